package console_test

import (
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tidings"
)

// evils are what people put into names, data and templates to see it run.
var evils = []string{`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `'onmouseover='alert(1)`, `javascript:alert(1)`, `</textarea><svg onload=alert(1)>`,
	`{{constructor.constructor('alert(1)')()}}`, "`${alert(1)}`", `</title><iframe src="javascript:alert(1)">`}

// tag and attribute read markup as browsers do, as far as html/template writes it: values stand in quotes.
var (
	tag       = regexp.MustCompile(`<([a-zA-Z][a-zA-Z0-9]*)((?:\s+[^\s"'<>=/]+(?:\s*=\s*(?:"[^"]*"|'[^']*'|[^\s"'<>=]+))?)*)\s*/?>([^<]?)`)
	attribute = regexp.MustCompile(`([^\s"'<>=/]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'<>=]+)))?`)
	opening   = regexp.MustCompile(`<[a-zA-Z]`)
)

// dangers finds what would run in a page: scripts that are not our files, handlers, and addresses that are code.
func dangers(page string) (found []string) {
	tags := tag.FindAllStringSubmatch(page, -1)
	if n := len(opening.FindAllString(page, -1)); n != len(tags) {
		found = append(found, "a tag that cannot be read")
	}
	for _, m := range tags {
		name, source := strings.ToLower(m[1]), ""
		for _, a := range attribute.FindAllStringSubmatch(m[2], -1) {
			key, value := strings.ToLower(a[1]), strings.ToLower(strings.TrimSpace(html.UnescapeString(a[2]+a[3]+a[4])))
			if key == "src" {
				source = value
			}
			if strings.HasPrefix(key, "on") || key == "style" || key == "srcdoc" || strings.HasPrefix(key, "hx-on") {
				found = append(found, name+" has "+key)
			}
			if slices.Contains([]string{"href", "src", "action", "formaction"}, key) && strings.HasPrefix(value, "javascript:") {
				found = append(found, name+" leads to "+value)
			}
		}
		switch name {
		case "script":
			if !strings.HasPrefix(source, "/assets/") || m[3] != "" {
				found = append(found, "a script that is not our file")
			}
		case "iframe", "object", "embed", "img", "style", "base":
			found = append(found, "a "+name)
		}
	}
	return found
}

func TestWhatPeopleWriteNeverRuns(t *testing.T) {
	s := newSite(t)
	const templates = "/console/applications/shop/types/order.paid/templates"
	for i, evil := range evils {
		id := "evil" + string(rune('a'+i))
		check := func(what string, w *httptest.ResponseRecorder) {
			t.Helper()
			if found := dangers(w.Body.String()); len(found) > 0 {
				t.Errorf("%s with %q: %v", what, evil, found)
			}
		}
		if w := s.post("admin", "/console/apply", url.Values{"id": {id}, "name": {evil}, "owner": {evil}, "purpose": {evil}, "channels": {"web"}, "volume": {"1"}}); w.Code != http.StatusSeeOther {
			t.Fatalf("an application named %q is refused: %d", evil, w.Code)
		}
		check("application", s.get("admin", "/console/applications/"+id))
		check("apply", s.post("admin", "/console/apply", url.Values{"id": {evil}, "name": {evil}, "volume": {evil}, "origins": {evil}}))
		form := url.Values{"channel": {"web"}, "locale": {"zh-CN"}, "title": {evil + "{{ order }}"}, "body": {evil + "{{ order }}"}, "url": {"{{ order }}"}, "data": {`{"order":` + quoted(evil) + `}`}}
		check("preview", s.post("admin", templates+"/preview", form))
		form.Set("act", "preview")
		check("editor", s.post("admin", templates+"/edit", form))
		check("saved", s.post("admin", templates+"/edit", url.Values{"channel": {"web"}, "locale": {"zh-CN"}, "title": {evil}, "body": {evil + "{% raw %}x{% endraw %}"}}))
		check("send", s.post("admin", "/console/send", url.Values{"application": {"shop"}, "type": {"order.paid"}, "users": {evil}, "data": {evil}}))
		check("cast", s.post("admin", "/console/broadcasts", url.Values{"application": {"shop"}, "type": {"order.paid"}, "merchants": {evil}, "data": {evil}, "rate": {evil}, "remind": {evil}, "zone": {evil}, "nonce": {evil}, "send_at": {evil}}))
		check("key", s.post("admin", "/console/applications/shop/keys", url.Values{"name": {evil}, "scopes": {"messages:send"}, "types": {evil}}))
		check("endpoints", s.post("admin", "/console/applications/shop/endpoints", url.Values{"name": {evil}, "url": {"https://shop.example/?" + url.QueryEscape(evil)}, "events": {"delivery.sent"}}))
		check("a wrong endpoint", s.post("admin", "/console/applications/shop/endpoints", url.Values{"name": {evil}, "url": {evil}, "events": {evil}}))
		check("audit", s.get("admin", "/console/audit?actor="+url.QueryEscape(evil)))
		check("directory", s.get("admin", "/console/directory?q="+url.QueryEscape(evil)))
		check("done", s.get("admin", "/console?done="+url.QueryEscape(evil)))
		check("sign-in", s.do("POST", "/console/sign-in", "", url.Values{"account": {evil}, "password": {"x"}, "next": {evil}}, nil))
		if err := s.db.PutMerchants(t.Context(), []tidings.Merchant{{ID: id, Name: evil, Attributes: map[string]string{evil: evil}}}); err == nil {
			check("merchant", s.get("admin", "/console/directory/merchants/"+id))
		}
	}
	for _, path := range []string{"/console", "/console/applications", "/console/applications/shop", "/console/review", "/console/audit", "/console/directory", templates, templates + "/web/zh-CN/2", templates + "/edit"} {
		if found := dangers(s.get("admin", path).Body.String()); len(found) > 0 {
			t.Errorf("%s: %v", path, found)
		}
	}
}

func quoted(s string) string { return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"` }

func TestAKeyIsShownOnceAndNeverInAnAddress(t *testing.T) {
	s := newSite(t)
	w := s.post("dev", "/console/applications/shop/keys", url.Values{"name": {"checkout"}, "days": {"30"}, "scopes": {"messages:send"}})
	key := regexp.MustCompile(`tdk_[A-Za-z0-9_-]+`).FindString(w.Body.String())
	if w.Code != http.StatusCreated || key == "" || w.Header().Get("Location") != "" {
		t.Fatalf("making a key answers %d, with %q", w.Code, key)
	}
	if w.Header().Get("Cache-Control") != "no-store" {
		t.Error("the page with the key may be kept")
	}
	if strings.Contains(s.get("dev", "/console/applications/shop").Body.String(), key) {
		t.Error("the key is shown again")
	}
	if w := s.post("dev", "/console/applications/shop/keys", url.Values{"name": {"x"}, "scopes": {"directory:write"}}); w.Code != http.StatusForbidden || strings.Contains(w.Body.String(), "tdk_") {
		t.Errorf("a developer grants himself the directory: %d", w.Code)
	}
}

func TestATemplateGoesThroughTwoPairsOfEyes(t *testing.T) {
	s := newSite(t)
	const templates = "/console/applications/shop/types/order.paid/templates"
	w := s.post("dev", templates+"/edit", url.Values{"channel": {"web"}, "locale": {"zh-CN"}, "title": {"订单 {{ order }}"}, "body": {"已付款 {{ order }}"}, "act": {"save"}})
	place, _, _ := strings.Cut(w.Header().Get("Location"), "?")
	if w.Code != http.StatusSeeOther || !strings.HasPrefix(place, templates+"/web/zh-CN/") {
		t.Fatalf("saving answers %d %s", w.Code, w.Body)
	}
	step := func(who, act string, form url.Values, want int) {
		t.Helper()
		if w := s.post(who, place+"/"+act, form); w.Code != want {
			t.Fatalf("%s by %s answers %d: %s", act, who, w.Code, w.Body)
		}
	}
	step("dev", "publish", nil, http.StatusConflict)
	step("dev", "submit", nil, http.StatusSeeOther)
	if body := s.get("approver", "/console/review").Body.String(); !strings.Contains(body, place) {
		t.Error("the review does not lead to the template")
	}
	if body := s.get("approver", place).Body.String(); !strings.Contains(body, "订单 A-1") || !strings.Contains(body, place+"/approve") {
		t.Error("the reviewer does not see it rendered with the example")
	}
	step("dev", "approve", nil, http.StatusForbidden)
	step("approver", "reject", nil, http.StatusBadRequest) // without a comment
	step("approver", "approve", url.Values{"comment": {"fine"}}, http.StatusSeeOther)
	step("approver", "approve", nil, http.StatusConflict)
	step("dev", "publish", url.Values{"percent": {"200"}}, http.StatusBadRequest)
	step("dev", "publish", url.Values{"percent": {"100"}}, http.StatusSeeOther)
	if body := s.get("dev", place).Body.String(); !strings.Contains(body, "published") {
		t.Error("its page does not say that it is published")
	}
	w = s.post("admin", templates+"/edit", url.Values{"channel": {"web"}, "locale": {"zh-CN"}, "body": {"{{ order }}"}})
	own, _, _ := strings.Cut(w.Header().Get("Location"), "?")
	place = own
	step("admin", "submit", nil, http.StatusSeeOther)
	step("admin", "approve", nil, http.StatusForbidden) // his own
	if body := s.get("admin", "/console/audit?action=template").Body.String(); !strings.Contains(body, "template.approve refused") {
		t.Error("the audit log does not tell that somebody approved his own")
	}
}

func TestADeveloperAppliesAndBecomesItsDeveloperWhenAnotherApproves(t *testing.T) {
	s := newSite(t)
	bad := s.post("dev2", "/console/apply", url.Values{"id": {"coupons"}, "name": {"Coupons"}, "volume": {"many"}})
	if bad.Code != http.StatusBadRequest || !strings.Contains(bad.Body.String(), `value="Coupons"`) {
		t.Errorf("a form with a fault answers %d and forgets what was filled in", bad.Code)
	}
	w := s.post("dev2", "/console/apply", url.Values{"id": {"coupons"}, "name": {"Coupons"}, "purpose": {"campaigns"}, "channels": {"web"}, "volume": {"100"}})
	if w.Code != http.StatusSeeOther {
		t.Fatalf("applying answers %d: %s", w.Code, w.Body)
	}
	if body := s.get("dev2", "/console").Body.String(); !strings.Contains(body, "waits for an approver") {
		t.Error("the first page does not say that the application waits")
	}
	if w := s.post("approver", "/console/applications/coupons/approve", url.Values{"comment": {"welcome"}}); w.Code != http.StatusSeeOther {
		t.Fatalf("approving answers %d: %s", w.Code, w.Body)
	}
	s.tokens = map[string]string{} // another role ends the sessions
	if w := s.get("dev2", "/console/applications/coupons"); w.Code != http.StatusOK {
		t.Errorf("its developer sees %d", w.Code)
	}
	form := url.Values{"name": {"campaign.begins"}, "lane": {"bulk"}, "channels": {"web"}, "ttl": {"60"}, "quiet.from": {"22:00"}, "quiet.to": {"08:00"}, "quiet.timezone": {"Asia/Shanghai"},
		"quiet.channels": {"web"}, "variable.name": {"title", "count", ""}, "variable.type": {"string", "number", "string"}, "variable.example": {"Autumn", "3", ""}, "variable.required": {"0"}}
	if w := s.post("dev2", "/console/applications/coupons/type", form); w.Code != http.StatusSeeOther {
		t.Fatalf("making a type answers %d: %s", w.Code, w.Body)
	}
	if w := s.post("dev2", "/console/applications/coupons/type", form); w.Code != http.StatusConflict {
		t.Errorf("making the type again answers %d", w.Code)
	}
	typ, err := s.db.Type(t.Context(), "coupons", "campaign.begins")
	if err != nil || typ.TTL != 3600 || typ.Quiet == nil || len(typ.Variables) != 2 || !typ.Variables[0].Required || typ.Variables[1].Required || string(typ.Variables[1].Example) != "3" {
		t.Errorf("the type is %+v, %v", typ, err)
	}
	form.Set("variable.example", "Autumn")
	form["variable.example"] = []string{"Autumn", "three", ""}
	if w := s.post("dev2", "/console/applications/coupons/types/campaign.begins", form); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), `value="three"`) {
		t.Errorf("an example of the wrong type answers %d", w.Code)
	}
}

func TestATestMessageIsSentForTheChosenApplication(t *testing.T) {
	s := newSite(t)
	w := s.post("dev", "/console/send", url.Values{"application": {"shop"}, "type": {"order.paid"}, "users": {"u1, u2"}, "channels": {"web"}, "data": {`{"order":"A-1"}`}, "act": {"send"}})
	want := `shop {"type":"order.paid","audience":{"users":["u1","u2"]},"data":{"order":"A-1"},"channels":["web"]}`
	if w.Code != http.StatusSeeOther || len(s.sent) != 1 || s.sent[0] != want {
		t.Errorf("sending answers %d with %v", w.Code, s.sent)
	}
}

func TestPagesAreInTheLanguageThatWasChosen(t *testing.T) {
	s := newSite(t)
	if body := s.do("GET", "/console", s.as("admin"), nil, map[string]string{"Accept-Language": "zh-CN,zh;q=0.9"}).Body.String(); !strings.Contains(body, `lang="zh-CN"`) || !strings.Contains(body, "审计日志") {
		t.Error("a Chinese browser is not answered in Chinese")
	}
	w := s.do("POST", "/console/language", "", url.Values{"lang": {"zh"}, "next": {"/console/audit?lang=en&actor=x"}}, nil)
	if w.Header().Get("Location") != "/console/audit?actor=x" || !strings.Contains(w.Header().Get("Set-Cookie"), "tidings_lang=zh") {
		t.Errorf("choosing a language answers %v", w.Header())
	}
}

func TestAFaultOfOursIsAPageWithoutItsInside(t *testing.T) {
	s := newSite(t)
	token := s.as("root")
	if err := s.db.Close(); err != nil {
		t.Fatal(err)
	}
	w := s.do("GET", "/console", token, nil, nil)
	if w.Code < 500 || strings.Contains(w.Body.String(), "sql") {
		t.Errorf("a page whose record is gone answers %d: %s", w.Code, w.Body)
	}
}

func TestEachAssetIsServedAndNoPageNeedsMoreThanItsPolicyGives(t *testing.T) {
	s := newSite(t)
	for _, name := range []string{"console.css", "console.js", "htmx.min.js", "demo.js", "inbox.js", "messages.js", "tidings.js", "tidings-bell.js"} {
		w := s.do("GET", "/assets/"+name, "", nil, nil)
		if body, err := io.ReadAll(w.Body); w.Code != http.StatusOK || err != nil || len(body) == 0 {
			t.Errorf("%s answers %d", name, w.Code)
		}
	}
	if w := s.do("GET", "/assets/htmx.md", "", nil, nil); w.Code != http.StatusNotFound {
		t.Errorf("a file that is no asset answers %d", w.Code)
	}
	for _, r := range s.console.Pages() {
		if r.Method != "GET" {
			continue
		}
		w := s.get("admin", filled.Replace(r.Path))
		if policy := w.Header().Get("Content-Security-Policy"); strings.Contains(policy, "unsafe") || !strings.Contains(policy, "default-src 'none'") {
			t.Errorf("%s has the policy %q", r.Path, policy)
		}
		if found := dangers(w.Body.String()); len(found) > 0 {
			t.Errorf("%s: %v", r.Path, found)
		}
	}
	if w := s.do("GET", "/inbox", "", nil, nil); w.Code != http.StatusOK || len(dangers(w.Body.String())) > 0 {
		t.Errorf("the message centre answers %d", w.Code)
	}
}

func TestTheSearchForDangersFindsThem(t *testing.T) {
	for _, bad := range []string{`<script>alert(1)</script>`, `<script src="https://evil.example/x.js"></script>`, `<p onclick="x()">`, `<a href=" javascript:x">`, `<img src=x>`,
		`<p style="color:red">`, `<form action="java&#115;cript:x">`, `<p a'b"<script>`, `<svg onload=x()>`} {
		if len(dangers(bad)) == 0 {
			t.Errorf("nothing is found in %s", bad)
		}
	}
	if found := dangers(`<!doctype html><p class="x" hidden>a &lt;script&gt;</p><script src="/assets/console.js" defer></script>`); len(found) > 0 {
		t.Error(found)
	}
}

func TestAFormsTimesAreByTheReadersClock(t *testing.T) {
	s := newSite(t)
	form := url.Values{"application": {"shop"}, "type": {"order.paid"}, "merchants": {"acme"}, "channels": {"web"}, "data": {`{"order":"A-1"}`}, "act": {"send"}, "nonce": {"n1"},
		"zone": {"America/New_York"}, "send_at": {"2027-07-01T09:00"}, "rate": {"5"}, "must_read": {"1"}, "remind": {"24h 48h=sms+web"}}
	if w := s.post("dev", "/console/broadcasts", form); w.Code != http.StatusSeeOther {
		t.Fatalf("it answers %d: %s", w.Code, w.Body)
	}
	for _, want := range []string{`"send_at":"2027-07-01T09:00:00-04:00"`, `"rate":5`, `"must_read":true`, `{"after":"24h"},{"after":"48h","channels":["sms","web"]}`, "shop console-n1 {", `"merchants":["acme"]`} {
		if !strings.Contains(s.sent[0], want) {
			t.Errorf("%s lacks %s", s.sent[0], want)
		}
	}
	form.Set("everyone", "1")
	if s.post("admin", "/console/broadcasts", form); !strings.Contains(s.sent[1], `"audience":{"everyone":true}`) {
		t.Errorf("to everyone: %s", s.sent[1])
	}
	form.Set("rate", "-1")
	if w := s.post("dev", "/console/broadcasts", form); w.Code != http.StatusBadRequest || !strings.Contains(html.UnescapeString(w.Body.String()), `value="24h 48h=sms+web"`) || len(s.sent) != 2 {
		t.Errorf("a wrong rate answers %d and forgets what was filled in", w.Code)
	}
}
