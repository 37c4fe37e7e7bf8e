package walk

import (
	"cmp"
	"testing"

	"tidings/console"
)

// The cells of the console's pages: the same columns as for the API. Only people get in, with a session or a key of theirs.
const (
	//             nobody app merchant user root  dev  viewer
	pageAnybody   = "11 333 33333 3 ++++ +++ +++"
	pageSeesApp   = "11 333 33333 3 ++++ +43 ++4"
	pageKeeps     = "11 333 33333 3 ++33 +43 333"
	pageOverseers = "11 333 33333 3 ++++ 333 +33"
	pageDeciders  = "11 333 33333 3 ++3+ 333 333"
	pageHalters   = "11 333 33333 3 +++3 333 333"
	pageSteers    = "11 333 33333 3 +++3 +43 333"
	pageAdmins    = "11 333 33333 3 ++33 333 333"
)

const (
	shopPage  = "/console/applications/shop"
	labPage   = "/console/applications/lab"
	typePage  = shopPage + "/types/order.paid"
	onePage   = typePage + "/templates/web/zh-CN/1"
	appRoute  = "/console/applications/{app}"
	typeRoute = appRoute + "/types/{type}"
	oneRoute  = typeRoute + "/templates/{channel}/{locale}/{version}"
)

var consoleRows = []row{
	{"GET /console", "", "", pageAnybody, nil},
	{"GET /console/review", "", "", pageDeciders, nil},
	{"GET /console/send", "", "", "11 333 33333 3 ++33 ++3 333", nil},
	{"POST /console/send", "", "application=shop&type=order.paid", pageKeeps, nil},
	{"GET /console/audit", "", "", pageOverseers, nil},
	{"GET /console/health", "", "", pageOverseers, nil},
	{"GET /console/integrations/new", "", "", pageAdmins, nil},
	{"GET /console/integrations/{id}", "/console/integrations/gate", "", pageOverseers, putGate},
	{"POST /console/integrations/{id}", "/console/integrations/gate", "order=x", pageAdmins, putGate},
	{"POST /console/integrations/{id}/pause", "/console/integrations/gate/pause", "", pageHalters, putGate},
	{"POST /console/integrations/{id}/resume", "/console/integrations/gate/resume", "", pageHalters, putGate},
	{"POST /console/integrations/{id}/delete", "/console/integrations/gate/delete", "", pageAdmins, putGate},

	{"GET /console/applications", "", "", pageAnybody, nil},
	{"GET /console/apply", "", "", pageAnybody, nil},
	{"POST /console/apply", "", "", pageAnybody, nil},
	{"GET " + appRoute, shopPage, "", pageSeesApp, nil},
	{"POST " + appRoute + "/approve", labPage + "/approve", "", pageDeciders, nil},
	{"POST " + appRoute + "/reject", labPage + "/reject", "", pageDeciders, nil},
	{"POST " + appRoute + "/suspend", labPage + "/suspend", "", pageHalters, nil},
	{"POST " + appRoute + "/resume", labPage + "/resume", "", pageHalters, nil},
	{"POST " + appRoute + "/keys", shopPage + "/keys", "", pageKeeps, nil},
	{"POST " + appRoute + "/keys/{key}/revoke", shopPage + "/keys/$revoked/revoke", "", pageKeeps, nil},
	{"GET " + appRoute + "/endpoints", shopPage + "/endpoints", "", "11 333 33333 3 ++++ +43 333", nil},
	{"POST " + appRoute + "/endpoints", shopPage + "/endpoints", "url=x", pageKeeps, nil},
	{"POST " + appRoute + "/endpoints/{endpoint}", shopPage + "/endpoints/$endpoint", "url=x", pageKeeps, nil},
	{"POST " + appRoute + "/endpoints/{endpoint}/disable", shopPage + "/endpoints/$endpoint/disable", "", pageKeeps, nil},
	{"POST " + appRoute + "/endpoints/{endpoint}/enable", shopPage + "/endpoints/$endpoint/enable", "", pageKeeps, nil},
	{"POST " + appRoute + "/endpoints/{endpoint}/rotate", shopPage + "/endpoints/$endpoint/rotate", "", pageKeeps, nil},
	{"POST " + appRoute + "/endpoints/{endpoint}/test", shopPage + "/endpoints/$endpoint/test", "", pageKeeps, nil},
	{"POST " + appRoute + "/endpoints/{endpoint}/replay", shopPage + "/endpoints/$endpoint/replay", "hours=x", pageKeeps, nil},
	{"POST " + appRoute + "/endpoints/{endpoint}/delete", shopPage + "/endpoints/none/delete", "", "11 333 33333 3 4433 443 333", nil},

	{"GET " + appRoute + "/type", shopPage + "/type", "", pageKeeps, nil},
	{"POST " + appRoute + "/type", shopPage + "/type", "", pageKeeps, nil},
	{"GET " + typeRoute, typePage, "", pageSeesApp, nil},
	{"POST " + typeRoute, typePage, "", pageKeeps, nil},
	{"GET " + typeRoute + "/templates", typePage + "/templates", "", pageSeesApp, nil},
	{"GET " + typeRoute + "/templates/edit", typePage + "/templates/edit", "", pageKeeps, nil},
	{"POST " + typeRoute + "/templates/edit", typePage + "/templates/edit", "", pageKeeps, nil},
	{"POST " + typeRoute + "/templates/preview", typePage + "/templates/preview", "channel=web&locale=zh-CN&body=x", pageKeeps, nil},
	{"GET " + oneRoute, onePage, "", pageSeesApp, nil},
	{"POST " + oneRoute + "/submit", onePage + "/submit", "", pageKeeps, nil},
	{"POST " + oneRoute + "/approve", onePage + "/approve", "", pageDeciders, nil},
	{"POST " + oneRoute + "/reject", onePage + "/reject", "", pageDeciders, nil},
	{"POST " + oneRoute + "/publish", onePage + "/publish", "", pageKeeps, nil},
	{"POST " + oneRoute + "/rollback", onePage + "/rollback", "", pageKeeps, nil},
	{"POST " + oneRoute + "/discard", onePage + "/discard", "", pageHalters, nil},

	{"GET /console/messages", "/console/messages?application=shop", "", "11 333 33333 3 ++++ +4+ ++4", nil}, // who has no application is told so
	{"GET /console/messages/{id}", "/console/messages/$message", "", pageSeesApp, nil},
	{"POST /console/messages/{id}/cancel", "/console/messages/$message/cancel", "", pageSteers, nil},
	{"GET /console/broadcasts", "/console/broadcasts?application=shop", "", "11 333 33333 3 ++++ +4+ ++4", nil},
	{"GET /console/broadcasts/new", "", "", "11 333 33333 3 +++3 ++3 333", nil},
	{"POST /console/broadcasts", "", "application=shop&type=order.paid", pageSteers, nil},
	{"GET /console/broadcasts/{id}", "/console/broadcasts/$broadcast", "", pageSeesApp, nil},
	{"POST /console/broadcasts/{id}/pause", "/console/broadcasts/$broadcast/pause", "", pageSteers, nil},
	{"POST /console/broadcasts/{id}/resume", "/console/broadcasts/$broadcast/resume", "", pageSteers, nil},
	{"POST /console/broadcasts/{id}/cancel", "/console/broadcasts/$broadcast/cancel", "", pageSteers, nil},
	{"POST /console/broadcasts/{id}/rate", "/console/broadcasts/$broadcast/rate", "rate=10", pageSteers, nil},
	{"GET /console/broadcasts/{id}/reads", "/console/broadcasts/$broadcast/reads", "", pageSeesApp, nil},
	{"GET /console/broadcasts/{id}/proof", "/console/broadcasts/$broadcast/proof", "", pageSeesApp, nil},
	{"GET /console/dead-letters", "/console/dead-letters?application=shop", "", "11 333 33333 3 ++++ +4+ ++4", nil},
	{"GET /console/replays", "/console/replays?application=shop", "", "11 333 33333 3 ++++ +4+ ++4", nil},
	{"GET /console/replays/new", "/console/replays/new?application=shop", "", pageSteers, nil},
	{"POST /console/replays", "", "application=shop&state=sent", pageSteers, nil},
	{"GET /console/replays/{id}", "/console/replays/$replay", "", pageSeesApp, nil},
	{"POST /console/replays/{id}/cancel", "/console/replays/0000000000001/cancel", "", "11 333 33333 3 4443 443 333", nil},
	{"GET /console/limits", "", "", pageOverseers, nil},
	{"GET " + appRoute + "/usage", shopPage + "/usage", "", pageSeesApp, nil},
	{"POST " + appRoute + "/usage", shopPage + "/usage", "rate=-1", pageAdmins, nil},
	{"GET /console/directory", "", "", pageOverseers, nil},
	{"GET /console/directory/merchants/{id}", "/console/directory/merchants/acme", "", pageOverseers, nil},
	{"GET /console/directory/stores/{id}", "/console/directory/stores/acme-1", "", pageOverseers, nil},
	{"GET /console/directory/users/{id}", "/console/directory/users/u1", "", pageOverseers, nil},

	{"GET /console/accounts", "", "", pageAdmins, nil},
	{"POST /console/accounts", "", "", pageAdmins, nil},
	{"GET /console/accounts/{id}", "/console/accounts/dev", "", pageAdmins, nil},
	{"POST /console/accounts/{id}", "/console/accounts/dev", "role=king", pageAdmins, nil},
	{"POST /console/accounts/{id}/password", "/console/accounts/dev/password", "password=short", pageAdmins, nil},
	{"GET /console/me", "", "", pageAnybody, nil},
	{"POST /console/me/password", "", "password=short", "11 333 33333 3 3333 333 333", nil}, // a key changes no password; a session does
}

func consolePages() (routes []string) {
	for _, p := range (&console.Console{}).Pages() {
		routes = append(routes, p.Method+" "+p.Path)
	}
	return routes
}

func TestEachPageOfTheConsoleAnswersEachOfThemAsTheTableSays(t *testing.T) {
	newWorld(t).compare(t, consolePages(), consoleRows)
}

// doorRows are the routes of the conveyor: who belongs to no application looks, admins and operators act.
var doorRows = []row{
	{"GET /queues", "", "", overseers, nil},
	{"GET /queues/", "/queues/api/queues", "", overseers, nil},
	{"GET /v1/queues", "", "", overseers, nil},
	{"POST /v1/queues/{queue}/pause", "/v1/queues/bulk-acquire/pause", "", halters, nil},
	{"POST /v1/queues/{queue}/resume", "/v1/queues/bulk-acquire/resume", "", halters, nil},
	{"POST /v1/queues/{queue}/retry", "/v1/queues/bulk-acquire/retry", "", halters, nil},
}

func TestTheConveyorsRoutesAnswerEachOfThemAsTheTableSays(t *testing.T) {
	var routes []string
	for _, p := range (&console.Console{}).Doors() {
		routes = append(routes, cmp.Or(p.Method, "GET")+" "+p.Path)
	}
	w := newWorld(t)
	w.compare(t, routes, doorRows)
	for _, path := range []string{"/queues/api/queues/bulk-acquire", "/queues/api/queues/bulk-acquire/archived_tasks"} { // asynqmon's own
		if code, _ := as(t, "").ask("DELETE", path, ""); code != 401 {
			t.Errorf("DELETE %s by nobody answers %d", path, code)
		}
	}
}
