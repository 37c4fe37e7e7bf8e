package walk

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tidings"
)

// bombs are templates that mean ill. Those that are refused when they are written, or when they are submitted with their
// examples, never meet a message; the others do harm with its data only.
var bombs = map[string]string{
	"an endless range":        "{% for i in (1..1000000000) %}x{% endfor %}",
	"three loops deep":        "{% for a in x %}{% for b in x %}{% for c in x %}.{% endfor %}{% endfor %}{% endfor %}",
	"a huge source":           strings.Repeat("x", 16<<10+1),
	"a deep nesting":          strings.Repeat("{% if x %}", 1200) + "y" + strings.Repeat("{% endif %}", 100),
	"an include":              "{% include '/etc/passwd' %}",
	"a string that doubles":   "{% for a in x %}{% assign s = s | append: s %}{% endfor %}",
	"a thousand filters":      "{{ x " + strings.Repeat("| sort ", 1000) + "| size }}",
	"a million characters":    "{% for a in x %}{% for b in x %}0123456789{% endfor %}{% endfor %}",
	"a million silent turns":  "x{% for a in x %}{% for b in x %}{% if a == b %}{% endif %}{% endfor %}{% endfor %}",
	"a million sorts":         "x{% for a in x %}{% for b in x %}{% if x | sort | uniq %}{% endif %}{% endfor %}{% endfor %}",
	"a list that doubles":     strings.Repeat("{% assign x = x | concat: x %}", 40) + "{{ x | size }}",
	"quotes that double":      "{% assign s = '\"' %}{{ s " + strings.Repeat("| json ", 90) + "}}",
	"a date of a gigabyte":    "{{ 'now' | date: '%999999999d' }}",
	"a replacement of itself": "{% assign s = 'aaaaaaaaaaaaaaaaaaaa' %}" + strings.Repeat("{% assign s = s | replace: 'a', s %}", 30) + "{{ s }}",
	"a link that is a script": "",
}

func TestBombsAreRefusedOrFailWithAReasonAndNeighboursAreNotHarmed(t *testing.T) {
	admin := root(t)
	for _, id := range []string{"bombs", "neighbour"} {
		admin.must(201, "POST", "/v1/applications", object{"id": id, "name": id})
	}
	directory(t, "bombed", "bomb-lin")
	admin.must(200, "PUT", "/v1/types/order.paid?application=neighbour", orderPaid())
	admin.must(201, "POST", "/v1/templates?application=neighbour", webTemplate())
	admin.must(200, "POST", "/v1/templates/publish?application=neighbour", object{"type": "order.paid", "channel": "web", "locale": "zh-CN", "version": 1, "unreviewed": true})

	bomber := person(t, "bomber", "developer", "bombs")
	armed := map[string]string{} // types whose bombs were let in, by what they are
	refused := 0
	for what, body := range bombs {
		typ := strings.ReplaceAll(what, " ", ".")
		admin.must(200, "PUT", "/v1/types/"+typ+"?application=bombs", object{"lane": "normal", "channels": []string{"web"}, "variables": []object{
			{"name": "x", "type": "list", "required": true, "example": []int{1}}, {"name": "u", "type": "string", "example": "/a"}}})
		template := object{"type": typ, "channel": "web", "locale": "zh-CN", "title": "t", "body": body}
		if body == "" {
			template["body"], template["url"] = "text", "{{ u }}"
		}
		code, text := bomber.ask("POST", "/v1/templates", written(t, template))
		if code == 400 && strings.Contains(text, `"field":"body"`) {
			refused++
			continue
		}
		if code != 201 {
			t.Errorf("%s: %d %.300s", what, code, text)
			continue
		}
		ref := object{"type": typ, "channel": "web", "locale": "zh-CN", "version": 1}
		begin := time.Now()
		code, text = bomber.ask("POST", "/v1/templates/submit", written(t, ref))
		if took := time.Since(begin); took > 25*time.Second {
			t.Errorf("%s: its report took %v", what, took)
		}
		if code == 422 && strings.Contains(text, "template_failed") {
			refused++
			continue
		}
		if code != 200 {
			t.Errorf("%s: %d %.300s", what, code, text)
			continue
		}
		armed[what] = typ
		admin.must(200, "POST", "/v1/templates/approve?application=bombs", ref) // without a look
		admin.must(200, "POST", "/v1/templates/publish?application=bombs", ref)
	}
	if refused < 7 || len(armed) < 3 {
		t.Errorf("%d were refused, %d armed: %v", refused, len(armed), armed)
	}
	explode(t, armed)
}

// explode sends a message of every type, and the neighbour's between them.
func explode(t *testing.T, armed map[string]string) {
	t.Helper()
	admin := root(t)
	data := written(t, object{"x": strings.Split(strings.Repeat("b", 1000), ""), "u": "javascript:alert(1)"})
	ids := map[string]tidings.ID{}
	begin := time.Now()
	neighbours := 0
	for what, typ := range armed {
		body := fmt.Sprintf(`{"type":%q,"audience":{"users":["bomb-lin"]},"data":%s}`, typ, data)
		ids[what] = read[struct{ ID tidings.ID }](t, admin.must(202, "POST", "/v1/messages?application=bombs", body)).ID
		admin.must(202, "POST", "/v1/messages?application=neighbour", `{"type":"order.paid","audience":{"stores":["bombed-1"]},"channels":["web"],"data":{"order":"N"}}`)
		neighbours++
	}
	token := read[struct{ Token string }](t, admin.must(201, "POST", "/v1/tokens?application=neighbour", object{"user": "bomb-lin"})).Token
	until(t, "the neighbour's messages arrive", func() bool {
		inbox := get[list[tidings.InboxItem]](as(t, token), "/v1/inbox?limit=100&type=order.paid")
		arrived := 0
		for _, i := range inbox.Data {
			if i.Body == "订单 N 已付款" {
				arrived++
			}
		}
		return arrived == neighbours
	})
	t.Logf("%d bombs; %d messages of the neighbour within %v", len(armed), neighbours, time.Since(begin))
	for what, id := range ids {
		var trace list[tidings.DeliveryTrace]
		until(t, what+" comes to rest", func() bool {
			trace = get[list[tidings.DeliveryTrace]](admin, "/v1/messages/"+id.String()+"/deliveries")
			return len(trace.Data) == 1 && trace.Data[0].State != tidings.Queued
		})
		d := trace.Data[0]
		if d.Reason == tidings.NoReason || d.State == tidings.Sent {
			t.Errorf("%s: the delivery is %s %s %s", what, d.State, d.Reason, d.Detail)
		}
		t.Logf("%s: %s, %s: %.80s", what, d.State, d.Reason, d.Detail)
	}
}
