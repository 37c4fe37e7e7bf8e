package api_test

import (
	"strings"
	"testing"
)

func TestTheDirectoryRefusesWhatItCannotHold(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		for _, c := range []struct {
			status            int
			path, body, field string
		}{
			{400, "/v1/merchants/acme", `{"id":"other"}`, "id"},
			{400, "/v1/merchants/a%20b", `{}`, "id"},
			{400, "/v1/stores/s", `{"name":"x"}`, "merchant"},
			{400, "/v1/stores/s", `{"merchant":"acme","timezone":"Mars"}`, "timezone"},
			{400, "/v1/users/u2", `{"memberships":[{"role":"clerk"}]}`, "memberships[0]"},
			{400, "/v1/users/u2", `{"memberships":[{"store":"acme-1","role":"clerk","boss":true}]}`, "memberships[0].boss"},
			{400, "/v1/users/u1/addresses", `{}`, "addresses"},
			{400, "/v1/users/u1/addresses", `{"addresses":[{"channel":"web","value":"x"}]}`, "addresses[0].channel"},
		} {
			p := b.refused(c.status, "PUT", c.path, b.app, c.body)
			if len(p.Errors) == 0 || p.Errors[0].Field != c.field {
				t.Errorf("%s %s: %+v", c.path, c.body, p)
			}
		}
		b.refused(422, "PUT", "/v1/stores/s", b.app, `{"merchant":"none"}`)
		b.refused(422, "PUT", "/v1/users/u2", b.app, `{"memberships":[{"store":"none","role":"clerk"}]}`)
		b.refused(404, "PUT", "/v1/users/none/addresses", b.app, `{"addresses":[]}`)
		b.refused(404, "GET", "/v1/users/u2", b.app, "")
		b.ok(204, "DELETE", "/v1/users/u1", b.app, "")
		b.refused(404, "GET", "/v1/users/u1", b.app, "")
	})
}

func TestAnImportTakesTheGoodLinesAndReportsTheOthers(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		body := strings.Join([]string{
			`{"merchant":{"id":"m2","name":"Two"}}`, `{"store":{"id":"s2","merchant":"m2"}}`, ``,
			`{"user":{"id":"u2","memberships":[{"store":"s2","role":"clerk"}]}}`, `{"user":{"id":"u3","memberships":[{"store":"none","role":"clerk"}]}}`,
			`{"user":{"id":"u2","name":"again","memberships":[]}}`, `{"addresses":{"user":"u2","addresses":[{"channel":"sms","value":"` + phone + `"}]}}`,
			`{"addresses":{"user":"none","addresses":[]}}`, `nonsense`, `{"user":{"id":"u4"},"store":{"id":"s4","merchant":"m2"}}`, `{"user":{"id":"a b"}}`,
		}, "\n")
		var report struct {
			Merchants, Stores, Users, Addresses, Refused int
			Problems                                     []struct{ Line int }
		}
		decode(t, b.ok(200, "POST", "/v1/directory/import", b.app, body), &report)
		if report.Merchants != 1 || report.Stores != 1 || report.Users != 2 || report.Addresses != 1 || report.Refused != 5 {
			t.Errorf("%+v", report)
		}
		lines := map[int]bool{}
		for _, p := range report.Problems {
			lines[p.Line] = true
		}
		for _, n := range []int{5, 8, 9, 10, 11} {
			if !lines[n] {
				t.Errorf("line %d is not reported: %+v", n, report.Problems)
			}
		}
		if u := b.ok(200, "GET", "/v1/users/u2", b.app, ""); !strings.Contains(u, "again") {
			t.Errorf("the later line did not win: %s", u)
		}
	})
}

func TestThePlatformRefusesWhatCannotWork(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		for _, c := range []struct {
			status             int
			method, path, body string
			field              string
		}{
			{400, "POST", "/v1/applications", `{"id":"a b","name":"x"}`, "id"},
			{400, "POST", "/v1/applications", `{"id":"x","name":"x","state":"suspended"}`, "state"},
			{400, "POST", "/v1/applications", `{"id":"x","name":"x","origins":["https://a.example/"]}`, "origins[0]"},
			{400, "POST", "/v1/applications/shop/keys", `{"scopes":["history:read"]}`, "scopes[0]"},
			{400, "POST", "/v1/applications/shop/keys", `{}`, "scopes"},
			{400, "POST", "/v1/keys", `{"kind":"application","scopes":["messages:send"]}`, "kind"},
			{400, "POST", "/v1/keys", `{"kind":"merchant","scopes":["history:read"]}`, "merchant"},
			{422, "POST", "/v1/keys", `{"kind":"merchant","store":"none","scopes":["history:read"]}`, "store"},
			{400, "POST", "/v1/keys", `{"kind":"admin","role":"king"}`, "role"},
			{400, "POST", "/v1/keys", `{"kind":"admin","role":"admin","expires_at":"2020-01-01T00:00:00Z"}`, "expires_at"},
			{400, "PUT", "/v1/types/x?application=shop", `{"lane":"fast","channels":["web"]}`, "lane"},
			{400, "PUT", "/v1/types/x?application=shop", `{"lane":"normal","channels":["web","web"]}`, "channels"},
			{400, "PUT", "/v1/types/x?application=shop", `{"name":"y","lane":"normal","channels":["web"]}`, "name"},
			{400, "PUT", "/v1/types/x", `{"lane":"normal","channels":["web"]}`, "application"},
			{422, "POST", "/v1/templates?application=shop", `{"type":"none","channel":"web","locale":"zh-CN","body":"x"}`, "type"},
			{400, "POST", "/v1/templates?application=shop", `{"type":"order.paid","channel":"app","locale":"zh-CN","body":"x"}`, "channel"},
			{400, "POST", "/v1/templates?application=shop", `{"type":"order.paid","channel":"web","locale":"zh-CN","body":"{% if %}"}`, "body"},
			{400, "POST", "/v1/templates?application=shop", `{"type":"order.paid","channel":"web","locale":"?","body":"x"}`, "locale"},
			{400, "POST", "/v1/templates/publish?application=shop", `{"type":"order.paid","channel":"web","locale":"zh-CN"}`, "version"},
		} {
			p := b.refused(c.status, c.method, c.path, adminToken, c.body)
			if len(p.Errors) == 0 || p.Errors[0].Field != c.field {
				t.Errorf("%s %s: %+v", c.path, c.body, p)
			}
		}
		b.refused(409, "POST", "/v1/applications", adminToken, `{"id":"shop","name":"again"}`)
		b.refused(404, "POST", "/v1/applications/none/keys", adminToken, `{"scopes":["messages:send"]}`)
		b.refused(404, "POST", "/v1/applications/none/suspend", adminToken, "")
	})
}

func TestATemplateIsDraftedAndPublished(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		var made, published struct {
			Version int
			State   string
		}
		decode(t, b.ok(201, "POST", "/v1/templates", b.app, `{"type":"order.paid","channel":"web","locale":"zh-CN","title":"订单","body":"{{ order }}"}`), &made)
		const version = `"type":"order.paid","channel":"web","locale":"zh-CN","version":1`
		b.refused(409, "POST", "/v1/templates/publish", b.app, `{`+version+`}`)
		b.refused(403, "POST", "/v1/templates/publish", b.app, `{`+version+`,"unreviewed":true}`)
		decode(t, b.ok(200, "POST", "/v1/templates/publish?application=shop", adminToken, `{`+version+`,"unreviewed":true}`), &published)
		if made.Version != 1 || made.State != "draft" || published.State != "published" {
			t.Errorf("%+v %+v", made, published)
		}
		b.refused(404, "POST", "/v1/templates/publish", b.other, `{"type":"order.paid","channel":"web","locale":"zh-CN","version":1}`)
		if list := b.ok(200, "GET", "/v1/templates?type=order.paid", b.app, ""); !strings.Contains(list, "published") {
			t.Errorf("%s", list)
		}
		b.ok(200, "GET", "/v1/types", b.app, "")
		b.refused(404, "GET", "/v1/types/none", b.app, "")
	})
}

func TestATypeThatWasChangedIsUsedAtOnce(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		b.ok(202, "POST", "/v1/messages", b.app, good)
		b.ok(200, "PUT", "/v1/types/order.paid", b.app, `{"lane":"normal","channels":["web"],"variables":[{"name":"ref","type":"string"}]}`)
		b.refused(422, "POST", "/v1/messages", b.app, good)
	})
}
