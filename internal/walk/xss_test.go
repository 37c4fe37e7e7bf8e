package walk

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode"

	"golang.org/x/net/html"

	"tidings"
)

// corpus is what people try. Every element of it would carry the attribute data-zq, if a page took it for an element.
var corpus = []string{
	`<script data-zq>alert(1)</script>`, `</script><script data-zq>alert(2)</script>`, `<img data-zq src=x onerror=alert(3)>`,
	`"><img data-zq src=x onerror=alert(4)>`, `'><svg data-zq onload=alert(5)>`, `<svg data-zq/onload=alert(6)>`,
	`<svg data-zq><script>alert(7)</script></svg>`, `<iframe data-zq src="javascript:alert(8)"></iframe>`, `<a data-zq href="javascript:alert(9)">x</a>`,
	`" onmouseover="alert(10)" data-zq="`, `' onfocus='alert(11)' autofocus data-zq='`, `x onpointerenter=alert(12) data-zq`,
	`</title><script data-zq>alert(13)</script>`, `</textarea><img data-zq src=x onerror=alert(14)>`, `</style><script data-zq>alert(15)</script>`,
	`<!--><img data-zq src=x onerror=alert(16)>-->`, `<details data-zq open ontoggle=alert(17)>`, `<math data-zq><mtext></form><form><mglyph><style></math><img src onerror=alert(18)>`,
	`<body data-zq onload=alert(19)>`, `<base data-zq href="https://evil.example/">`, `<meta data-zq http-equiv=refresh content="0;url=javascript:alert(20)">`,
	`<object data-zq data="data:text/html,<script>alert(21)</script>"></object>`, `<form data-zq action="javascript:alert(22)"><button>go</button></form>`,
	`<button data-zq hx-get="https://evil.example" hx-trigger="load">x</button>`, `<div data-zq hx-on:click="alert(24)">x</div>`,
	`javascript:alert(25)`, ` javascript:alert(26)//`, `JaVaScRiPt:alert(27)`, `data:text/html,<script data-zq>alert(28)</script>`,
	`<template data-zq><script>alert(29)</script></template>`, `&lt;script data-zq&gt;alert(30)&lt;/script&gt;`, `\u003cscript data-zq\u003ealert(31)\u003c/script\u003e`,
	`<scr<script>ipt data-zq>alert(32)</scr</script>ipt>`, `<ımg data-zq src=x onerror=alert(33)>`, "<img\tdata-zq\tsrc=x\fonerror=alert(34)>",
}

var planted struct {
	sync.Once
	messages []string
	replays  []string
}

// plant lays out the corpus once: one application, merchant, store, user, account and type for each of its strings, and a user
// who gets every message.
func plant(t *testing.T) []string {
	t.Helper()
	planted.Do(func() { planted.messages = sow(t) })
	return planted.messages
}

func sow(t *testing.T) (messages []string) {
	t.Helper()
	admin := root(t)
	admin.must(201, "POST", "/v1/applications", object{"id": "xss", "name": "xss"})
	var lines strings.Builder
	for i, evil := range corpus {
		fmt.Fprintf(&lines, "%s\n%s\n%s\n", written(t, object{"merchant": object{"id": fmt.Sprintf("0x%d", i), "name": evil, "attributes": object{"tier": evil}}}),
			written(t, object{"store": object{"id": fmt.Sprintf("0x%d-1", i), "merchant": fmt.Sprintf("0x%d", i), "name": evil, "region": evil, "attributes": object{"tier": evil}}}),
			written(t, object{"user": object{"id": fmt.Sprintf("0x%d", i), "name": evil, "memberships": []object{{"store": fmt.Sprintf("0x%d-1", i), "role": "clerk"}}}}))
	}
	lines.WriteString(`{"user":{"id":"0xall","name":"All"}}`)
	if code, text := importLines(admin, lines.String()); code != 200 || !strings.Contains(text, `"refused":0`) {
		t.Fatalf("import answers %d: %.500s", code, text)
	}
	for i, evil := range corpus {
		id := fmt.Sprintf("xss%d", i)
		admin.must(201, "POST", "/v1/applications", object{"id": id, "name": evil, "owner": evil, "purpose": evil})
		admin.must(201, "POST", "/v1/applications/"+id+"/keys", object{"name": evil, "scopes": []string{"receipts"}})
		admin.must(201, "POST", "/v1/applications/"+id+"/endpoints", object{"name": evil, "url": "https://shop.invalid/?" + url.QueryEscape(evil), "events": []string{"endpoint.disabled"}})
		admin.must(201, "POST", "/v1/accounts", object{"id": id, "name": evil, "role": "viewer"})
		admin.must(200, "PUT", "/v1/integrations/"+id, object{"provider": "kannel", "name": evil, "state": "paused", "settings": object{"user": strings.Join(strings.FieldsFunc(evil, unicode.IsControl), " "), "password": "p"}})
		for _, path := range []string{"/v1/types/" + url.PathEscape(evil) + "?application=xss", "/v1/merchants/" + url.PathEscape(evil), "/v1/users/" + url.PathEscape(evil)} {
			if code, text := admin.ask("PUT", path, `{"name":"x","lane":"normal","channels":["web"]}`); code < 400 || code >= 500 {
				t.Errorf("PUT %s answers %d: %s", path, code, text)
			}
		}
		admin.must(200, "PUT", "/v1/types/t?application="+id, object{"lane": "normal", "channels": []string{"web", "sms"}, "variables": []object{{"name": "v", "type": "string", "required": true, "example": evil}}})
		template := object{"type": "t", "channel": "web", "locale": "zh-CN", "title": evil + " {{ v }}", "body": evil + " {{ v }}", "provider_code": evil}
		admin.must(201, "POST", "/v1/templates?application="+id, template)
		admin.must(200, "POST", "/v1/templates/publish?application="+id, object{"type": "t", "channel": "web", "locale": "zh-CN", "version": 1, "unreviewed": true})
		template["body"] = "another " + evil
		admin.must(201, "POST", "/v1/templates?application="+id, template)
		admin.must(200, "POST", "/v1/templates/submit?application="+id, object{"type": "t", "channel": "web", "locale": "zh-CN", "version": 2})
		linked := object{"type": "t", "channel": "web", "locale": "en", "body": "x", "url": evil} // a link that is no link is refused when it is submitted
		admin.must(201, "POST", "/v1/templates?application="+id, linked)
		message := object{"type": "t", "audience": object{"users": []string{fmt.Sprintf("0x%d", i), "0xall"}}, "data": object{"v": evil}, "cancellation_key": evil, "must_read": true}
		m := read[struct{ ID tidings.ID }](t, admin.must(202, "POST", "/v1/broadcasts?application="+id, message)) // and so a message too
		messages = append(messages, m.ID.String())
		again := object{"filter": object{"states": []string{"failed"}, "type": "t"}, "dry_run": false}
		r := read[struct{ ID tidings.ID }](t, admin.must(202, "POST", "/v1/replays?application="+id, again))
		planted.replays = append(planted.replays, r.ID.String())
	}
	return messages
}

func TestNothingOfTheCorpusIsMoreThanTextOnAnyPage(t *testing.T) {
	messages := plant(t)
	seen := map[int]bool{}
	asked := 0
	look := func(method, path string, form url.Values) int {
		t.Helper()
		header := []string{"Accept", "text/html", "Accept-Language", []string{"zh", "en"}[asked%2]}
		if form != nil {
			header = append(header, "Content-Type", "application/x-www-form-urlencoded")
		}
		code, text := root(t).ask(method, path, form.Encode(), header...)
		asked++
		if code >= 500 {
			t.Errorf("%s %s answers %d: %.300s", method, path, code, text)
		}
		inspect(t, method+" "+path, text, seen)
		return code
	}
	for _, p := range consolePages() {
		method, path, _ := strings.Cut(p, " ")
		if strings.HasSuffix(path, "/proof") { // a file to keep, of ids
			continue
		}
		for i, evil := range corpus {
			id := fmt.Sprintf("xss%d", i)
			person := fmt.Sprintf("0x%d", i)
			at := strings.NewReplacer("{app}", id, "{type}", "t", "{channel}", "web", "{locale}", "zh-CN", "{version}", "2", "{key}", url.PathEscape(evil), "merchants/{id}", "merchants/"+person,
				"stores/{id}", "stores/"+person+"-1", "users/{id}", "users/"+person, "accounts/{id}", "accounts/"+id, "messages/{id}", "messages/"+messages[i], "replays/{id}", "replays/"+planted.replays[i], "broadcasts/{id}", "broadcasts/"+messages[i], "integrations/{id}", "integrations/"+id).Replace(path)
			if method == "POST" && !strings.HasSuffix(path, "preview") && !slices.ContainsFunc([]string{"/send", "/apply", "/edit", "/type", "/types/{type}", "/accounts", "/keys", "/usage", "/approve", "/integrations/{id}", "/broadcasts", "/endpoints"}, func(end string) bool { return strings.HasSuffix(path, end) }) {
				continue // these answer with a page we have seen, and change what the next one needs
			}
			if method == "GET" {
				code := look(method, at+"?q="+url.QueryEscape(evil)+"&actor="+url.QueryEscape(evil)+"&application="+id+"&done="+url.QueryEscape(evil)+"&next="+url.QueryEscape(evil)+"&type=t", nil)
				if code != 200 {
					t.Errorf("GET %s answers %d: that looks at nothing", at, code)
				}
				continue
			}
			look(method, at, filled(evil, id, person))
		}
	}
	for i, evil := range corpus {
		for _, path := range []string{"/console/sign-in?next=" + url.QueryEscape(evil), "/console/" + url.PathEscape(evil), "/inbox?lang=" + url.QueryEscape(evil), "/queues/" + url.PathEscape(evil),
			"/console/applications/" + url.PathEscape(evil), "/console/messages?state=" + url.QueryEscape(evil), "/v1/users/" + url.PathEscape(evil)} {
			look("GET", path, nil)
		}
		if i%4 == 0 { // few: wrong sign-ins are counted
			look("POST", "/console/sign-in", url.Values{"account": {evil}, "password": {evil}, "next": {evil}})
		}
	}
	for i, evil := range corpus {
		if !seen[i] {
			t.Errorf("no page shows %s: what was looked at?", evil)
		}
	}
	t.Logf("%d strings, %d pages", len(corpus), asked)
}

func TestNothingOfTheCorpusIsMoreThanTextInTheMessageCentre(t *testing.T) {
	plant(t)
	token := read[struct{ Token string }](t, root(t).must(201, "POST", "/v1/tokens?application=xss", object{"user": "0xall"})).Token
	w := open(t)
	w.Do(visit("/inbox#token="+token), sees(`document.getElementById("state").dataset.state === "open"`))
	w.Do(sees(fmt.Sprintf(`(document.getElementById("older").hidden || document.getElementById("older").click(), document.querySelectorAll("#list li").length === %d)`, len(corpus))))
	w.Do(reads(corpus[0]), reads(corpus[8]), sees(`document.querySelectorAll("[data-zq], #list img, #list svg, #list script, #list iframe, #list [href^='javascript' i]").length === 0`))
	w.Picture("xss-inbox")
}

// filled is every field that some form has, with the same string in all that take text. What it asks for is refused.
func filled(evil, application, person string) url.Values {
	form := url.Values{"application": {application}, "type": {"t"}, "channel": {"web"}, "locale": {"zh-CN"}, "act": {"preview"}, "users": {person}, "channels": {"web"},
		"data": {`{"v":` + fmt.Sprintf("%q", "x") + `}`}, "title": {evil}, "body": {evil + " {{"}, "url": {evil}, "percent": {"x"}, "volume": {"x"}, "rate": {"x"}}
	for _, field := range []string{"id", "name", "owner", "purpose", "comment", "stores", "merchants", "signature", "provider_code", "code", "role", "lane", "origins", "scopes", "ttl",
		"variable", "var.name", "vname", "example", "daily", "burst", "expires", "quiet.from", "from", "to", "timezone"} {
		form[field] = []string{evil}
	}
	return form
}

// links are attributes that a browser follows.
var links = []string{"href", "src", "action", "formaction", "data", "xlink:href", "poster", "srcdoc", "background", "content"}

// inspect looks for what a page must not have, and notes whose text it shows.
func inspect(t *testing.T, page, text string, seen map[int]bool) {
	t.Helper()
	document, err := html.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	var shown strings.Builder
	for n := range document.Descendants() {
		shown.WriteString(n.Data)
		if n.Type != html.ElementNode {
			continue
		}
		source := ""
		for _, a := range n.Attr {
			value := strings.ToLower(strings.TrimSpace(a.Val))
			shown.WriteString("\n" + a.Val)
			if a.Key == "src" {
				source = a.Val
			}
			if strings.HasPrefix(a.Key, "on") || strings.HasPrefix(a.Key, "hx-on") || strings.Contains(a.Key, "data-zq") || a.Key == "style" {
				t.Errorf("%s has <%s %s=%q>", page, n.Data, a.Key, a.Val)
			}
			if slices.Contains(links, a.Key) && (strings.HasPrefix(value, "javascript:") || strings.HasPrefix(value, "data:") && value != "data:,") || strings.Contains(value, "url=javascript:") && n.Data == "meta" {
				t.Errorf("%s links: <%s %s=%q>", page, n.Data, a.Key, a.Val)
			}
			if strings.HasPrefix(a.Key, "hx-") && strings.Contains(value, "evil.example") {
				t.Errorf("%s asks elsewhere: %s=%q", page, a.Key, a.Val)
			}
		}
		if n.Data == "script" && strings.HasPrefix(page, "GET /queues") && !strings.Contains(childText(n), "alert(") {
			continue // the dashboard's own, which its policy names by their hashes
		}
		if n.Data == "script" && (!strings.HasPrefix(source, "/assets/") || n.FirstChild != nil) {
			t.Errorf("%s has a script of %q: %.100q", page, source, childText(n))
		}
		if slices.Contains([]string{"iframe", "object", "embed", "base", "template", "math"}, n.Data) {
			t.Errorf("%s has <%s>", page, n.Data)
		}
	}
	for i, evil := range corpus {
		if strings.Contains(shown.String(), evil) {
			seen[i] = true
		}
	}
}

func childText(n *html.Node) string {
	if n.FirstChild == nil {
		return ""
	}
	return n.FirstChild.Data
}
