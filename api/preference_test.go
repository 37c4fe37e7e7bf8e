package api_test

import (
	"strings"
	"testing"

	"tidings"
)

// preferring is what the API answers about a user's preferences.
type preferring struct {
	tidings.Preferences
	Types []tidings.PreferenceType
}

func TestAUserSaysWhatHeWantsAndNobodyElseSeesIt(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		b.speak(100, "x")
		b.ok(202, "POST", "/v1/messages", b.app, good)
		b.plan()
		read := func(token, path string) (p preferring) {
			t.Helper()
			decode(t, b.ok(200, "GET", path, token, ""), &p)
			return p
		}
		lin := b.token("u1")
		p := read(lin, "/v1/preferences")
		if len(p.Rules) != 0 || len(p.Types) != 1 || p.Types[0].Application != "shop" || len(p.Types[0].Muted) != 0 || p.User != "u1" {
			t.Fatalf("%+v", p)
		}
		typ := p.Types[0].Type
		rule := `{"application":"shop","type":"` + typ + `","channel":"web","muted":true}`
		quiet := `,"quiet":{"from":"22:00","to":"08:00","timezone":"Asia/Shanghai","channels":["sms"]}`
		b.ok(200, "PUT", "/v1/preferences", lin, `{"rules":[`+rule+`,{"application":"pos","muted":true}]`+quiet+`}`)
		p = read(lin, "/v1/preferences")
		if len(p.Rules) != 2 || len(p.Types[0].Muted) != 1 || p.Quiet == nil || p.Quiet.From != "22:00" {
			t.Errorf("%+v", p)
		}
		// An application sees and replaces what is said of itself and of all.
		if p := read(b.other, "/v1/users/u1/preferences"); len(p.Rules) != 1 || p.Rules[0].Application != "pos" || len(p.Types) != 0 {
			t.Errorf("the other application sees %+v", p)
		}
		b.ok(200, "PUT", "/v1/users/u1/preferences", b.other, `{"rules":[]}`)
		if p := read(adminToken, "/v1/users/u1/preferences"); len(p.Rules) != 1 || p.Rules[0].Type != typ || p.Quiet != nil {
			t.Errorf("%+v", p)
		}
		var log struct{ Data []tidings.Change }
		decode(t, b.ok(200, "GET", "/v1/audit?action=preferences", adminToken, ""), &log)
		if len(log.Data) != 1 || log.Data[0].Object != "user u1" { // the user's own change is no configuration
			t.Errorf("%+v", log.Data)
		}
		b.refused(403, "GET", "/v1/preferences", b.token("u1", typ), "")
		b.refused(403, "PUT", "/v1/preferences", b.token("u1", typ), `{"rules":[]}`)
		b.refused(404, "GET", "/v1/users/nobody/preferences", adminToken, "")
		b.refused(404, "PUT", "/v1/users/nobody/preferences", adminToken, `{"rules":[]}`)
		b.refused(422, "PUT", "/v1/users/u1/preferences", b.other, `{"rules":[`+rule+`]}`)
	})
}

func TestPreferencesThatAreWrongNameTheirFieldAndChangeNothing(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		typ := `{"lane":"normal","channels":["web","sms"],"mandatory":["sms"],"caps":[{"channel":"sms","count":3,"window":86400}],"dedup":{"window":60,"key":"{{ order }}"},"replace":true,"title":"T"}`
		b.ok(200, "PUT", "/v1/types/must", b.app, typ)
		b.ok(200, "PUT", "/v1/types/always", b.app, `{"lane":"normal","channels":["web"],"mandatory":["web"]}`)
		many := strings.Repeat(`{"muted":true},`, 500)
		for _, c := range []struct {
			status      int
			body, field string
		}{
			{400, `{}`, "rules"}, {400, `{"rules":[` + many + `{"muted":true}]}`, "rules"},
			{400, `{"rules":[{"type":"must","muted":true}]}`, "rules[0].type"}, {400, `{"rules":[{"channel":"fax","muted":true}]}`, "rules[0].channel"},
			{400, `{"rules":[{"muted":true},{"muted":false}]}`, "rules[1]"}, {400, `{"rules":[],"quiet":{"from":"22:00","to":"22:00","timezone":"UTC","channels":["sms"]}}`, "quiet.to"},
			{400, `{"rules":[{"application":"a b","muted":true}]}`, "rules[0].application"},
			{422, `{"rules":[{"application":"shop","type":"no.such","muted":true}]}`, "rules[0].type"},
			{422, `{"rules":[{"application":"shop","type":"must","channel":"sms","muted":true}]}`, "rules[0].channel"},
			{422, `{"rules":[{"application":"shop","type":"always","muted":true}]}`, "rules[0].type"},
		} {
			p := b.refused(c.status, "PUT", "/v1/preferences", b.token("u1"), c.body)
			if len(p.Errors) == 0 || p.Errors[0].Field != c.field {
				t.Errorf("%.100s: %+v", c.body, p)
			}
		}
		b.refused(400, "PUT", "/v1/preferences", b.token("u1"), `{"rules":[],"color":"red"}`)
		b.ok(200, "PUT", "/v1/preferences", b.token("u1"), `{"rules":[{"application":"shop","type":"must","muted":true}]}`) // on the web it may

		for field, body := range map[string]string{
			"caps[0].count": `"caps":[{"channel":"sms","count":0,"window":60}]`, "caps[0].window": `"caps":[{"channel":"sms","count":1,"window":0}]`,
			"caps[0].channel": `"caps":[{"channel":"fax","count":1,"window":60}]`, "dedup.window": `"dedup":{"window":-1}`, "dedup.key": `"dedup":{"window":60,"key":"{{ a"}`,
			"mandatory[0]": `"mandatory":["app"]`, "variables[0].name": `"variables":[{"name":"unsubscribe_url","type":"string"}]`,
		} {
			p := b.refused(400, "PUT", "/v1/types/wrong", b.app, `{"lane":"normal","channels":["web","sms"],`+body+`}`)
			if len(p.Errors) == 0 || p.Errors[0].Field != field {
				t.Errorf("%s: %+v", body, p)
			}
		}
		if p := b.refused(400, "PUT", "/v1/quotas/shop", adminToken, `{"caps":[{"channel":"sms","count":5000,"window":60}]}`); p.Errors[0].Field != "caps[0].count" {
			t.Errorf("%+v", p)
		}
		b.ok(200, "PUT", "/v1/quotas/shop", adminToken, `{"caps":[{"channel":"sms","count":5,"window":60}]}`)
		if text := b.ok(200, "GET", "/v1/quotas/shop", adminToken, ""); !strings.Contains(text, `"count":5`) {
			t.Error(text)
		}
	})
}
