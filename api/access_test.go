package api_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"tidings"
	"tidings/auth"
)

// TestEachRouteLetsInOnlyThoseItNames asks every route with every kind of credential and every role.
func TestEachRouteLetsInOnlyThoseItNames(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		var bare, merchant, operator struct{ Key string }
		decode(t, b.ok(201, "POST", "/v1/applications/shop/keys", adminToken, `{"scopes":["receipts"]}`), &bare)
		decode(t, b.ok(201, "POST", "/v1/keys", adminToken, `{"kind":"merchant","merchant":"acme","scopes":["history:read","inbox:write"]}`), &merchant)
		decode(t, b.ok(201, "POST", "/v1/keys", adminToken, `{"kind":"admin","role":"operator"}`), &operator)
		people := map[string]auth.Principal{
			"operator's key": {Kind: auth.Admin, Role: tidings.RoleOperator}, "root": {Kind: auth.Admin, Role: tidings.RoleAdmin},
		}
		tokens := map[string]string{"operator's key": operator.Key, "root": adminToken}
		for _, role := range tidings.Roles {
			name := "the " + string(role)
			people[name], tokens[name] = auth.Principal{Kind: auth.Admin, Role: role}, b.person("p-"+string(role), role, "")
		}
		for _, role := range []tidings.Role{tidings.RoleDeveloper, tidings.RoleViewer} {
			name := "shop's " + string(role)
			people[name], tokens[name] = auth.Principal{Kind: auth.Admin, Role: role, Application: "shop"}, b.person("shop-"+string(role), role, "shop")
		}
		for _, r := range b.api.Routes() {
			path := strings.NewReplacer("{id}", "none", "{key}", "none", "{name}", "none", "{provider}", "none").Replace(r.Path)
			if strings.Contains(r.Path, "/keys") { // an application of their own, so that no 404 hides a 403
				path = strings.Replace(r.Path, "{id}", "shop", 1)
			}
			may := func(k auth.Kind) bool { return r.Access.Public || slices.Contains(r.Access.Kinds, k) }
			check := func(name, token string, ok bool) {
				w := b.ask(r.Method, path, token, "")
				denied := w.Code == 401 || w.Code == 403 && !r.Access.Public
				if denied == ok || w.Code == 500 {
					t.Errorf("%s %s by %s: %d, may %v", r.Method, r.Path, name, w.Code, ok)
				}
			}
			check("application", b.app, may(auth.Application))
			check("without the scope", bare.Key, may(auth.Application) && r.Access.Scope == "" || r.Access.Public)
			check("merchant", merchant.Key, may(auth.Merchant))
			check("user", b.token("u1"), may(auth.User))
			for name, p := range people {
				check(name, tokens[name], r.Access.Public || may(auth.Admin) && auth.May(p, r.Access.Action, "") == nil)
			}
			if w := b.ask(r.Method, path, "", ""); (w.Code == 401) == r.Access.Public {
				t.Errorf("%s %s by nobody: %d", r.Method, r.Path, w.Code)
			}
		}
	})
}

func TestAForgedOrExpiredTokenOrKeyIsRefused(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		token := b.token("u1")
		b.ok(200, "GET", "/v1/inbox", token, "")
		for _, bad := range []string{token[:len(token)-4], token + "x", b.app[:len(b.app)-1] + "-", "tdk_0123456789_x", "x"} {
			b.refused(401, "GET", "/v1/inbox", bad, "")
		}
		b.pass(2 * time.Hour)
		b.refused(401, "GET", "/v1/inbox", token, "")
	})
}

func TestAnotherApplicationsThingsDoNotExist(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		var a accepted
		decode(t, b.ok(202, "POST", "/v1/messages", b.app, good), &a)
		for _, path := range []string{a.Links["self"], a.Links["deliveries"], "/v1/messages/nonsense", "/v1/messages/0000000000001", "/v1/applications/shop", "/v1/messages?application=shop"} {
			b.refused(404, "GET", path, b.other, "")
		}
		b.ok(200, "GET", "/v1/messages/"+a.ID, adminToken, "")
		b.refused(400, "POST", "/v1/messages", adminToken, good)
		b.ok(202, "POST", "/v1/messages?application=pos", adminToken, good)
	})
}

func TestASuspendedApplicationAndARevokedKeyAreOut(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		b.ok(202, "POST", "/v1/messages", b.app, good)
		b.ok(200, "POST", "/v1/applications/shop/suspend", adminToken, "")
		b.pass(5 * time.Second)
		b.refused(403, "POST", "/v1/messages", b.app, good)
		b.ok(200, "POST", "/v1/applications/shop/resume", adminToken, "")
		b.pass(5 * time.Second)
		b.ok(202, "POST", "/v1/messages", b.app, good)
		b.ok(204, "DELETE", "/v1/applications/shop/keys/"+b.app[4:14], adminToken, "")
		b.pass(5 * time.Second)
		b.refused(401, "POST", "/v1/messages", b.app, good)
		b.refused(404, "DELETE", "/v1/applications/shop/keys/"+b.other[4:14], adminToken, "")
	})
}

func TestAKeyIsShownOnceAndPhoneNumbersNever(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		secret := b.app[15:]
		b.refused(400, "PUT", "/v1/users/u1/addresses", b.app, `{"addresses":[{"channel":"sms","value":"`+phone+`x"}]}`)
		all := b.ok(200, "GET", "/v1/applications/shop/keys", adminToken, "") + b.ok(200, "GET", "/v1/users/u1", b.app, "") +
			b.ok(200, "GET", "/v1/users", b.app, "") + b.log.String()
		if strings.Contains(all, secret) || strings.Contains(all, phone) {
			t.Error("a secret came back")
		}
	})
}

func TestAPageOfAnotherOriginReadsNothing(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		token := b.token("u1")
		b.ok(200, "GET", "/v1/inbox", token, "", "Origin", "https://shop.example")
		b.refused(403, "GET", "/v1/inbox", token, "", "Origin", "https://pos.example")
		b.refused(403, "GET", "/v1/inbox", token, "", "Origin", "https://evil.example")
	})
}

func TestWhatIsNoRouteIsAProblemToo(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		b.refused(404, "GET", "/v1/nothing", b.app, "")
		b.refused(405, "PATCH", "/v1/messages", b.app, "")
		if w := b.ask("DELETE", "/v1/users", b.app, ""); w.Code != 405 || w.Header().Get("Allow") != "GET" {
			t.Errorf("%d %v", w.Code, w.Header())
		}
		b.ok(200, "GET", "/healthz", "", "")
		b.ok(200, "GET", "/readyz", "", "")
		if body := b.ok(200, "GET", "/openapi.yaml", "", ""); !strings.HasPrefix(body, "openapi: 3.1") {
			t.Errorf("%.40s", body)
		}
		b.ok(200, "GET", "/v1/balance", adminToken, "")
	})
}
