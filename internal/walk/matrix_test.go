package walk

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"tidings/api"
	"tidings/middleware"
)

// row is what a route answers to each of columns: + for whoever may (anything but 401, 403, 404 and a fault), else 1, 3 or 4
// for 401, 403, 404. before makes anew what the request takes away.
type row struct {
	route, path, body string
	cells             string
	before            func(caller)
}

// Rows that differ in nothing but the route share their cells; each stands here for a sentence of the design.
const (
	//             nobody bare  merchant user root   dev  viewer
	sends     = "11 3+4 33333 3 ++33 +43 333" // the application's keys with the scope, admins, its developers
	readsApp  = "11 3+4 33333 3 ++++ +43 ++4" // with the scope, and all people who see the application
	asksApp   = "11 ++4 33333 3 ++++ +43 ++4" // any key of the application, and all people who see it
	cancels   = "11 3+4 33333 3 +++3 +43 333"
	usersOwn  = "11 333 33333 + 3333 333 333"
	writesDir = "11 3++ 33333 3 ++33 333 333" // the directory is one for all applications
	seesDir   = "11 3++ 33333 3 ++++ 333 +33"
	everyone  = "++ +++ +++++ + ++++ +++ +++"
	anybody   = "11 333 33333 3 ++++ +++ +++" // all people, about themselves
	admins    = "11 333 33333 3 ++33 333 333"
	overseers = "11 333 33333 3 ++++ 333 +33" // people who belong to no application, to read
	deciders  = "11 333 33333 3 ++3+ 333 333"
	halters   = "11 333 33333 3 +++3 333 333"
	keeps     = "11 333 33333 3 ++33 +43 333" // admins and the application's developers
)

const (
	ofShop  = "?application=shop"
	version = `{"type":"order.paid","channel":"web","locale":"zh-CN","version":1,"comment":"no"}`
)

var apiRows = []row{
	{"POST /v1/messages", ofShop, "{}", sends, nil},
	{"POST /v1/messages/batch", ofShop, "{}", sends, nil},
	{"POST /v1/messages:preview", ofShop, "{}", sends, nil},
	{"POST /v1/messages:cancel", ofShop, `{"cancellation_key":"none"}`, cancels, nil},
	{"GET /v1/messages", ofShop, "", readsApp, nil},
	{"GET /v1/messages/{id}", "/v1/messages/$message", "", readsApp, nil},
	{"GET /v1/messages/{id}/deliveries", "/v1/messages/$message/deliveries", "", readsApp, nil},
	{"DELETE /v1/messages/{id}", "/v1/messages/$message", "", cancels, nil},
	{"DELETE /v1/messages/{id}/deliveries/{user}/{channel}", "/v1/messages/$message/deliveries/nobody/web", "", "11 344 33333 3 4443 443 333", nil},

	{"POST /v1/broadcasts", ofShop, "{}", cancels, nil},
	{"POST /v1/broadcasts:verify", ofShop, `{"broadcast":"$broadcast"}`, readsApp, nil},
	{"GET /v1/broadcasts", ofShop, "", readsApp, nil},
	{"GET /v1/broadcasts/{id}", "/v1/broadcasts/$broadcast", "", readsApp, nil},
	{"POST /v1/broadcasts/{id}/pause", "/v1/broadcasts/$broadcast/pause", "", cancels, nil},
	{"POST /v1/broadcasts/{id}/resume", "/v1/broadcasts/$broadcast/resume", "", cancels, nil},
	{"PUT /v1/broadcasts/{id}/rate", "/v1/broadcasts/$broadcast/rate", `{"rate":10}`, cancels, nil},
	{"POST /v1/broadcasts/{id}/cancel", "/v1/broadcasts/$broadcast/cancel", "", cancels, nil},
	{"GET /v1/broadcasts/{id}/reads", "/v1/broadcasts/$broadcast/reads", "", readsApp, nil},
	{"GET /v1/broadcasts/{id}/proof", "/v1/broadcasts/$broadcast/proof", "", readsApp, nil},

	{"GET /v1/dead-letters", ofShop, "", readsApp, nil},
	{"POST /v1/replays", ofShop, `{"filter":{"states":["failed"]},"dry_run":true}`, cancels, nil},
	{"GET /v1/replays", ofShop, "", readsApp, nil},
	{"GET /v1/replays/{id}", "/v1/replays/$replay", "", readsApp, nil},
	{"GET /v1/replays/{id}/deliveries", "/v1/replays/$replay/deliveries", "", readsApp, nil},
	{"POST /v1/replays/{id}/cancel", "/v1/replays/0000000000001/cancel", "", "11 344 33333 3 4443 443 333", nil},

	{"GET /v1/inbox", "", "", usersOwn, nil},
	{"GET /v1/inbox/unread", "", "", usersOwn, nil},
	{"POST /v1/inbox/seen", "", "{}", usersOwn, nil},
	{"POST /v1/inbox/read", "", "{}", usersOwn, nil},
	{"POST /v1/inbox/archive", "", "{}", usersOwn, nil},
	{"GET /v1/preferences", "", "", usersOwn, nil},
	{"PUT /v1/preferences", "", "{}", usersOwn, nil},
	{"POST /v1/tokens", ofShop, "{}", "11 3+4 33333 3 ++33 333 333", nil},

	{"GET /v1/merchants/{id}/messages", "/v1/merchants/acme/messages", "", "11 333 +4444 3 ++++ 333 +33", nil},
	{"POST /v1/merchants/{id}/messages/seen", "/v1/merchants/acme/messages/seen", "{}", "11 333 +4443 3 ++33 333 333", nil},
	{"POST /v1/merchants/{id}/messages/read", "/v1/merchants/acme/messages/read", "{}", "11 333 +4443 3 ++33 333 333", nil},
	{"POST /v1/merchants/{id}/messages/archive", "/v1/merchants/acme/messages/archive", "{}", "11 333 +4443 3 ++33 333 333", nil},
	{"GET /v1/stores/{id}/messages", "/v1/stores/acme-1/messages", "", "11 333 +4+4+ 3 ++++ 333 +33", nil},
	{"POST /v1/stores/{id}/messages/seen", "/v1/stores/acme-1/messages/seen", "{}", "11 333 +4+43 3 ++33 333 333", nil},
	{"POST /v1/stores/{id}/messages/read", "/v1/stores/acme-1/messages/read", "{}", "11 333 +4+43 3 ++33 333 333", nil},
	{"POST /v1/stores/{id}/messages/archive", "/v1/stores/acme-1/messages/archive", "{}", "11 333 +4+43 3 ++33 333 333", nil},

	{"GET /v1/merchants", "", "", seesDir, nil},
	{"PUT /v1/merchants/{id}", "/v1/merchants/new", "{}", writesDir, nil},
	{"GET /v1/merchants/{id}", "/v1/merchants/acme", "", seesDir, nil},
	{"DELETE /v1/merchants/{id}", "/v1/merchants/passing", "", writesDir, passing},
	{"GET /v1/stores", "", "", seesDir, nil},
	{"PUT /v1/stores/{id}", "/v1/stores/new", "{}", writesDir, nil},
	{"GET /v1/stores/{id}", "/v1/stores/acme-1", "", seesDir, nil},
	{"DELETE /v1/stores/{id}", "/v1/stores/passing-1", "", writesDir, passing},
	{"GET /v1/users", "", "", seesDir, nil},
	{"PUT /v1/users/{id}", "/v1/users/new", "{}", writesDir, nil},
	{"GET /v1/users/{id}", "/v1/users/u1", "", seesDir, nil},
	{"DELETE /v1/users/{id}", "/v1/users/passing", "", writesDir, passing},
	{"PUT /v1/users/{id}/addresses", "/v1/users/u1/addresses", "{}", writesDir, nil},
	{"GET /v1/users/{id}/preferences", "/v1/users/u1/preferences", "", seesDir, nil},
	{"PUT /v1/users/{id}/preferences", "/v1/users/u1/preferences", "{}", writesDir, nil},
	{"POST /v1/directory/import", "", "{}", writesDir, nil},

	{"POST /v1/applications", "", "{}", admins, nil},
	{"POST /v1/applications:apply", "", "{}", anybody, nil},
	{"GET /v1/applications", "", "", anybody, nil},
	{"GET /v1/applications/{id}", "/v1/applications/shop", "", "11 ++4 33333 3 ++++ +44 ++4", nil},
	{"PUT /v1/applications/{id}", "/v1/applications/lab", "{}", admins, nil},
	{"POST /v1/applications/{id}/approve", "/v1/applications/lab/approve", "{}", deciders, nil},
	{"POST /v1/applications/{id}/reject", "/v1/applications/lab/reject", "{}", deciders, nil},
	{"POST /v1/applications/{id}/suspend", "/v1/applications/lab/suspend", "", halters, nil},
	{"POST /v1/applications/{id}/resume", "/v1/applications/lab/resume", "", halters, nil},
	{"GET /v1/applications/{id}/usage", "/v1/applications/shop/usage", "", asksApp, nil},
	{"GET /v1/quotas/{id}", "/v1/quotas/shop", "", overseers, nil},
	{"PUT /v1/quotas/{id}", "/v1/quotas/shop", `{"rate":-1}`, admins, nil},
	{"GET /v1/providers", "", "", overseers, nil},
	{"GET /v1/integrations", "", "", overseers, nil},
	{"GET /v1/integrations/{id}", "/v1/integrations/gate", "", overseers, putGate},
	{"PUT /v1/integrations/{id}", "/v1/integrations/gate", `{"provider":"none"}`, admins, nil},
	{"DELETE /v1/integrations/{id}", "/v1/integrations/gate", "", admins, putGate},
	{"POST /v1/integrations/{id}/pause", "/v1/integrations/gate/pause", "", halters, putGate},
	{"POST /v1/integrations/{id}/resume", "/v1/integrations/gate/resume", "", halters, putGate},
	{"POST /v1/integrations/{id}/check", "/v1/integrations/gate/check", "", halters, putGate},
	{"POST /v1/applications/{id}/keys", "/v1/applications/shop/keys", "{}", keeps, nil},
	{"GET /v1/applications/{id}/keys", "/v1/applications/shop/keys", "", "11 333 33333 3 ++++ +43 333", nil},
	{"DELETE /v1/applications/{id}/keys/{key}", "/v1/applications/shop/keys/$revoked", "", keeps, nil},
	{"POST /v1/applications/{id}/endpoints", "/v1/applications/shop/endpoints", "{}", keeps, nil},
	{"GET /v1/applications/{id}/endpoints", "/v1/applications/shop/endpoints", "", "11 333 33333 3 ++++ +43 333", nil},
	{"GET /v1/applications/{id}/endpoints/{endpoint}", "/v1/applications/shop/endpoints/$endpoint", "", "11 333 33333 3 ++++ +43 333", nil},
	{"PUT /v1/applications/{id}/endpoints/{endpoint}", "/v1/applications/shop/endpoints/$endpoint", "{}", keeps, nil},
	{"DELETE /v1/applications/{id}/endpoints/{endpoint}", "/v1/applications/shop/endpoints/none", "", "11 333 33333 3 4433 443 333", nil},
	{"POST /v1/applications/{id}/endpoints/{endpoint}/disable", "/v1/applications/shop/endpoints/$endpoint/disable", "", keeps, nil},
	{"POST /v1/applications/{id}/endpoints/{endpoint}/enable", "/v1/applications/shop/endpoints/$endpoint/enable", "", keeps, nil},
	{"POST /v1/applications/{id}/endpoints/{endpoint}/rotate", "/v1/applications/shop/endpoints/$endpoint/rotate", "", keeps, nil},
	{"POST /v1/applications/{id}/endpoints/{endpoint}/test", "/v1/applications/shop/endpoints/$endpoint/test", "", keeps, nil},
	{"POST /v1/applications/{id}/endpoints/{endpoint}/replay", "/v1/applications/shop/endpoints/$endpoint/replay", "{}", keeps, nil},
	{"GET /v1/applications/{id}/endpoints/{endpoint}/events", "/v1/applications/shop/endpoints/$endpoint/events", "", "11 333 33333 3 ++++ +43 333", nil},
	{"POST /v1/keys", "", "{}", admins, nil},
	{"GET /v1/keys", "", "", overseers, nil},
	{"DELETE /v1/keys/{key}", "/v1/keys/$spare", "", admins, nil},

	{"POST /v1/accounts", "", "{}", admins, nil},
	{"GET /v1/accounts", "", "", overseers, nil},
	{"GET /v1/accounts/{id}", "/v1/accounts/dev", "", overseers, nil},
	{"PUT /v1/accounts/{id}", "/v1/accounts/dev", `{"role":"king"}`, admins, nil},
	{"GET /v1/account", "", "", anybody, nil},
	{"PUT /v1/account", "", `{"locale":"xx"}`, "11 333 33333 3 4+++ +++ +++", nil}, // the admin token has no account
	{"POST /v1/account/keys", "", `{"expires_at":"x"}`, anybody, nil},
	{"GET /v1/account/keys", "", "", anybody, nil},
	{"DELETE /v1/account/keys/{key}", "/v1/account/keys/$own", "", "11 333 33333 3 4444 +44 444", nil}, // it is dev's
	{"GET /v1/audit", "", "", overseers, nil},
	{"GET /v1/audit/verify", "", "", overseers, nil},

	{"GET /v1/types", ofShop, "", asksApp, nil},
	{"PUT /v1/types/{name}", "/v1/types/order.paid" + ofShop, "{}", sends, nil},
	{"GET /v1/types/{name}", "/v1/types/order.paid" + ofShop, "", asksApp, nil},
	{"GET /v1/templates", ofShop + "&type=order.paid", "", asksApp, nil},
	{"POST /v1/templates", ofShop, "{}", sends, nil},
	{"GET /v1/templates/submitted", ofShop, "", "11 333 33333 3 ++++ +43 ++4", nil},
	{"GET /v1/templates/report", ofShop + "&type=order.paid&channel=web&locale=zh-CN&version=1", "", readsApp, nil},
	{"POST /v1/templates/submit", ofShop, version, sends, nil},
	{"POST /v1/templates/approve", ofShop, version, deciders, nil},
	{"POST /v1/templates/reject", ofShop, version, deciders, nil},
	{"POST /v1/templates/publish", ofShop, version, sends, nil},
	{"POST /v1/templates/rollback", ofShop, version, sends, nil},
	{"POST /v1/templates/discard", ofShop, version, halters, nil},

	{"GET /v1/receipts/{provider}", "/v1/receipts/kannel?sig=forged", "", "33 333 33333 3 3333 333 333", nil}, // nobody has the signature
	{"POST /v1/receipts/{provider}", "/v1/receipts/kannel?sig=forged", "", "33 333 33333 3 3333 333 333", nil},
	{"GET /v1/receipts/{provider}/{integration}", "/v1/receipts/kannel/gate?key=forged", "", "33 333 33333 3 3333 333 333", nil},
	{"POST /v1/receipts/{provider}/{integration}", "/v1/receipts/kannel/gate?key=forged", "", "33 333 33333 3 3333 333 333", nil},
	{"GET /v1/presence", "", "", overseers, nil},
	{"GET /v1/presence/{user}", "/v1/presence/u1", "", overseers, nil},
	{"GET /v1/balance", "", "", overseers, nil},
	{"GET /openapi.yaml", "", "", everyone, nil},
	{"GET /healthz", "", "", everyone, nil},
	{"GET /readyz", "", "", everyone, nil},
}

// passing is a merchant, a store and a user who are there to be deleted.
func passing(c caller) {
	importLines(c, `{"merchant":{"id":"passing","name":"P"}}
{"store":{"id":"passing-1","merchant":"passing","name":"P"}}
{"user":{"id":"passing","name":"P"}}`)
}

// putGate is an integration that is there to be paused and deleted.
func putGate(c caller) {
	c.must(200, "PUT", "/v1/integrations/gate", `{"provider":"kannel","state":"paused","settings":{"user":"u","password":"p"}}`)
}

func TestEachRouteOfTheAPIAnswersEachOfThemAsTheTableSays(t *testing.T) {
	w := newWorld(t)
	var routes []string
	for _, r := range api.New(api.Config{Door: middleware.NewDoor(middleware.Config{})}).Routes() {
		routes = append(routes, r.Method+" "+r.Path)
	}
	w.compare(t, routes, apiRows)
}

// compare asks every route as everybody. A route without a row fails, and so does a row without a route.
func (w world) compare(t *testing.T, routes []string, rows []row) {
	t.Helper()
	for _, r := range routes {
		if !slices.ContainsFunc(rows, func(o row) bool { return o.route == r }) {
			t.Errorf("%s stands in no table: who may use it?", r)
		}
	}
	asked := 0
	for _, r := range rows {
		cells := strings.ReplaceAll(r.cells, " ", "")
		if !slices.Contains(routes, r.route) || len(cells) != len(columns) {
			t.Errorf("%s: there is no such route, or not %d cells", r.route, len(columns))
			continue
		}
		method, path, _ := strings.Cut(r.route, " ")
		if strings.HasPrefix(r.path, "/") {
			path = r.path
		} else {
			path += r.path
		}
		path = w.fill.Replace(path)
		var header []string
		if strings.HasPrefix(path, "/console") && method == "POST" {
			header = []string{"Content-Type", "application/x-www-form-urlencoded"}
		}
		got := make([]byte, len(columns))
		for i, name := range columns {
			if r.before != nil && cells[i] == '+' {
				r.before(root(t))
			}
			code, text := as(t, w.tokens[name]).ask(method, path, r.body, header...)
			got[i] = sign(code)
			asked++
			if got[i] != cells[i] {
				t.Errorf("%s by %s answers %d, and the table says %c: %.200s", r.route, name, code, cells[i], text)
			}
			if slices.Contains(strangers, name) {
				if strings.Contains(text, mark) {
					t.Errorf("%s shows %s what is shop's: %.300s", r.route, name, text)
				}
				if method == "GET" { // and as one who does not say what he is after
					bare, _, _ := strings.Cut(path, "?")
					if code, text := as(t, w.tokens[name]).ask(method, bare, ""); code >= 500 || strings.Contains(text, mark) {
						t.Errorf("GET %s by %s answers %d: %.300s", bare, name, code, text)
					}
				}
			}
		}
	}
	t.Logf("%d routes, %d principals, %d questions", len(routes), len(columns), asked)
}

// sign is a status as the tables write it.
func sign(code int) byte {
	switch {
	case code == 401 || code == 403 || code == 404:
		return fmt.Sprint(code)[2]
	case code >= 500 && code != 503:
		return 'X'
	}
	return '+'
}
