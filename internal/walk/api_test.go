package walk

import (
	"bufio"
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"tidings"
)

// directory writes a merchant of a walk's own, with one store and one user.
func directory(t *testing.T, merchant, user string) {
	t.Helper()
	lines := `{"merchant":{"id":"` + merchant + `","name":"Merchant"}}
{"store":{"id":"` + merchant + `-1","merchant":"` + merchant + `","name":"Store"}}
{"user":{"id":"` + user + `","name":"Lin","locale":"zh-CN","memberships":[{"store":"` + merchant + `-1","role":"manager"}]}}`
	code, text := importLines(root(t), lines)
	if code != 200 || !strings.Contains(text, `"refused":0`) {
		t.Fatalf("import answers %d: %s", code, text)
	}
}

func importLines(c caller, lines string) (int, string) {
	c.t.Helper()
	return c.ask("POST", "/v1/directory/import", lines, "Content-Type", "application/x-ndjson")
}

// applied is what a developer fills in who wants an application.
func applied(id string) object {
	return object{"id": id, "name": "The " + id, "owner": id + "@example.com", "purpose": "orders, to stores", "channels": []string{"web", "sms"}, "volume": 1000}
}

// orderPaid is a message type of two channels with an example of what it requires.
func orderPaid() object {
	return object{"lane": "normal", "channels": []string{"web", "sms"}, "variables": []object{{"name": "order", "type": "string", "required": true, "example": "A-1"}}}
}

func webTemplate() object {
	return object{"type": "order.paid", "channel": "web", "locale": "zh-CN", "title": "订单已付款", "body": "订单 {{ order }} 已付款"}
}

func TestTheWalkByAPI(t *testing.T) {
	dev, boss := person(t, "walk-dev", "developer", ""), person(t, "walk-boss", "approver", "")
	directory(t, "walk", "walk-lin")

	// The developer applies. Neither he nor a type before its time gets through; the approver lets him in, once.
	app := read[tidings.Application](t, dev.must(201, "POST", "/v1/applications:apply", applied("walk")))
	if app.State != tidings.ApplicationApplied || app.AppliedBy != "walk-dev" {
		t.Fatalf("applied: %+v", app)
	}
	dev.must(403, "POST", "/v1/applications/walk/approve", object{})
	dev.must(403, "PUT", "/v1/types/order.paid", orderPaid())
	root(t).must(409, "POST", "/v1/applications/walk/keys", object{"scopes": []string{"messages:send"}})
	boss.must(200, "POST", "/v1/applications/walk/approve", object{"comment": "welcome"})
	boss.must(409, "POST", "/v1/applications/walk/approve", object{})
	until(t, "the developer belongs to his application", func() bool {
		code, _ := dev.ask("GET", "/v1/types", "")
		return code == 200
	})

	// A key, shown once; what only an admin grants is refused.
	dev.must(403, "POST", "/v1/applications/walk/keys", object{"scopes": []string{"directory:write"}})
	key := read[struct{ ID, Key string }](t, dev.must(201, "POST", "/v1/applications/walk/keys", object{"scopes": []string{"messages:send", "messages:read"}}))
	if listed := dev.must(200, "GET", "/v1/applications/walk/keys", nil); strings.Contains(listed, key.Key[15:]) || !strings.Contains(listed, key.ID) {
		t.Errorf("the key is listed as %s", listed)
	}
	sender := as(t, key.Key)

	// Type, template, preview.
	dev.must(200, "PUT", "/v1/types/order.paid", orderPaid())
	draft := read[tidings.Template](t, dev.must(201, "POST", "/v1/templates", webTemplate()))
	if draft.State != tidings.TemplateDraft || draft.Author != "walk-dev" {
		t.Fatalf("the draft is %+v", draft)
	}
	ref := object{"type": "order.paid", "channel": "web", "locale": "zh-CN", "version": draft.Version}
	message := object{"type": "order.paid", "audience": object{"stores": []string{"walk-1"}}, "data": object{"order": "B-77"}, "channels": []string{"web"}}
	before := sender.must(200, "POST", "/v1/messages:preview", message)
	if strings.Contains(before, "B-77") || !strings.Contains(before, "walk-lin") {
		t.Errorf("before anything is published the preview is %s", before)
	}

	// Four eyes: what was not submitted is not approved, what was not approved is not published, and the author does not approve.
	boss.must(409, "POST", "/v1/templates/approve?application=walk", ref)
	dev.must(409, "POST", "/v1/templates/publish", ref)
	report := read[tidings.TemplateReport](t, dev.must(200, "POST", "/v1/templates/submit", ref))
	if len(report.Renderings) == 0 || report.Renderings[0].Content.Body != "订单 A-1 已付款" || report.Template.State != tidings.TemplateSubmitted {
		t.Errorf("the report is %+v", report)
	}
	dev.must(403, "POST", "/v1/templates/approve", ref)
	ownAttempt(t)
	boss.must(200, "POST", "/v1/templates/approve?application=walk", ref)
	dev.must(200, "POST", "/v1/templates/publish", ref)
	if after := sender.must(200, "POST", "/v1/messages:preview", message); !strings.Contains(after, "订单 B-77 已付款") {
		t.Errorf("the preview is %s", after)
	}

	id := read[struct{ ID tidings.ID }](t, sender.must(202, "POST", "/v1/messages", message)).ID
	arrives(t, "walk-lin", "walk", id, "订单 B-77 已付款")
	storeMarks(t, "walk-1", "walk-lin", "walk", id)
	till := read[struct{ Key string }](t, root(t).must(201, "POST", "/v1/keys", object{"kind": "merchant", "store": "walk-1", "scopes": []string{"history:read"}})).Key
	if past := get[list[tidings.HistoryItem]](as(t, till), "/v1/stores/walk-1/messages"); len(past.Data) != 1 || past.Data[0].ID != id {
		t.Errorf("the store's history is %+v", past.Data)
	}
	auditSays(t, "walk-dev", "application.apply", "template.create", "template.submit", "template.publish", "key.create", "type.put")
	auditSays(t, "walk-boss", "application.approve", "application.approve refused", "template.approve", "template.approve refused")
}

// ownAttempt has an approver write a template and try to approve it himself.
func ownAttempt(t *testing.T) {
	t.Helper()
	admin := person(t, "walk-author", "admin", "")
	made := read[tidings.Template](t, admin.must(201, "POST", "/v1/templates?application=walk", webTemplate()))
	ref := object{"type": "order.paid", "channel": "web", "locale": "zh-CN", "version": made.Version}
	admin.must(200, "POST", "/v1/templates/submit?application=walk", ref)
	if text := admin.must(403, "POST", "/v1/templates/approve?application=walk", ref); !strings.Contains(text, "author") {
		t.Errorf("the author is refused with %s", text)
	}
	refused := get[list[tidings.Change]](root(t), "/v1/audit?actor=walk-author&action=template.approve%20refused")
	if len(refused.Data) != 1 || refused.Data[0].Action != "template.approve refused" || !strings.Contains(refused.Data[0].Object, "walk/order.paid/web/zh-CN/2") {
		t.Errorf("the audit log has %+v", refused.Data)
	}
	admin.must(403, "POST", "/v1/templates/reject?application=walk", object{"type": "order.paid", "channel": "web", "locale": "zh-CN", "version": made.Version, "comment": "mine"})
	// A key that he made is he as well.
	key := read[struct{ Key string }](t, admin.must(201, "POST", "/v1/applications/walk/keys", object{"scopes": []string{"templates:write"}}))
	byKey := read[tidings.Template](t, as(t, key.Key).must(201, "POST", "/v1/templates", webTemplate()))
	ref["version"] = byKey.Version
	as(t, key.Key).must(200, "POST", "/v1/templates/submit", ref)
	admin.must(403, "POST", "/v1/templates/approve?application=walk", ref)
}

// arrives waits until the user's inbox has the message, reads it, and looks at its trace.
func arrives(t *testing.T, user, application string, id tidings.ID, body string) {
	t.Helper()
	admin := root(t)
	token := read[struct{ Token string }](t, admin.must(201, "POST", "/v1/tokens?application="+application, object{"user": user})).Token
	page := as(t, token)
	until(t, "the message is in the inbox", func() bool {
		inbox := get[list[tidings.InboxItem]](page, "/v1/inbox?unread=true")
		return len(inbox.Data) == 1 && inbox.Data[0].Body == body
	})
	inbox := get[list[tidings.InboxItem]](page, "/v1/inbox")
	other := listens(t, token)
	page.must(200, "POST", "/v1/inbox/read", object{"ids": []string{inbox.Data[0].ID.String()}})
	isTold(t, other, `"marked":{"mark":"read","ids":["`+inbox.Data[0].ID.String()+`"],"unread":0}`)
	if left := get[list[tidings.InboxItem]](page, "/v1/inbox?unread=true"); len(left.Data) != 0 {
		t.Errorf("unread is still %+v", left.Data)
	}
	trace := get[list[tidings.DeliveryTrace]](admin, "/v1/messages/"+id.String()+"/deliveries")
	if len(trace.Data) == 0 || trace.Data[0].User != user {
		t.Errorf("the trace is %+v", trace.Data)
	}
}

// isTold reads a page's frames until one holds the text.
func isTold(t *testing.T, page *bufio.Reader, text string) {
	t.Helper()
	for {
		line, err := page.ReadString('\n')
		if err != nil {
			t.Fatalf("the page does not hear %s: %v", text, err)
		}
		if strings.Contains(line, text) {
			return
		}
	}
}

// storeMarks archives a message for a whole store, which its users' pages hear; operators see who these are.
func storeMarks(t *testing.T, store, user, application string, id tidings.ID) {
	t.Helper()
	admin := root(t)
	page := listens(t, read[struct{ Token string }](t, admin.must(201, "POST", "/v1/tokens?application="+application, object{"user": user})).Token)
	there := get[list[tidings.Listener]](admin, "/v1/presence/"+user).Data
	if len(there) != 1 || there[0].Client != "walk" || there[0].Transport != "stream" || there[0].Since.IsZero() {
		t.Errorf("connected are %+v", there)
	}
	until(t, "the node says that it holds the page", func() bool { // every five seconds
		p := get[tidings.Presence](admin, "/v1/presence")
		return len(p.Nodes) == 1 && p.Nodes[0].Node == there[0].Node && p.Transports["stream"] > 0 && p.Nodes[0].Most >= p.Connections
	})
	admin.must(200, "POST", "/v1/stores/"+store+"/messages/archive", object{"ids": []string{id.String()}})
	isTold(t, page, `"marked":{"mark":"archive","ids":["`+id.String()+`"],"unread":0}`)
}

// listens opens another page of the user's: a stream of lines.
func listens(t *testing.T, token string) *bufio.Reader {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", up.URL+"/comet/stream?client=walk", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := plain.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = answer.Body.Close() })
	lines := bufio.NewReader(answer.Body)
	if hello, err := lines.ReadString('\n'); err != nil || !strings.Contains(hello, "heartbeat_ms") {
		t.Fatalf("the stream begins with %q, %v", hello, err)
	}
	return lines
}

// auditSays wants rows of these actions by an actor, and the whole log to hold.
func auditSays(t *testing.T, actor string, actions ...string) {
	t.Helper()
	log := get[list[tidings.Change]](root(t), "/v1/audit?limit=200&actor="+actor)
	for _, action := range actions {
		if !slices.ContainsFunc(log.Data, func(c tidings.Change) bool { return c.Action == action }) {
			t.Errorf("the audit log does not tell that %s did %s; it has %d rows of his", actor, action, len(log.Data))
		}
	}
	if report := get[tidings.AuditReport](root(t), "/v1/audit/verify"); report.Bad != 0 {
		t.Errorf("the audit log: %+v", report)
	}
}
