package console

import (
	"strings"

	"tidings/auth"
)

// root is where the console's pages are.
const root = "/console"

// areas are the entries of the navigation, with what one must be allowed to do to see them.
var areas = []struct {
	key, href string
	act       auth.Action
}{
	{"nav.home", root, auth.OwnAccount},
	{"nav.applications", root + "/applications", auth.OwnAccount},
	{"nav.review", root + "/review", auth.ReviewTemplates},
	{"nav.messages", root + "/messages", auth.OwnAccount},
	{"nav.broadcasts", root + "/broadcasts", auth.OwnAccount},
	{"nav.dead-letters", root + "/dead-letters", auth.OwnAccount},
	{"nav.send", root + "/send", auth.SendMessages},
	{"nav.directory", root + "/directory", auth.ReadDirectory},
	{"nav.limits", root + "/limits", auth.ReadInstallation},
	{"nav.health", root + "/health", auth.ReadInstallation},
	{"nav.audit", root + "/audit", auth.ReadAudit},
	{"nav.accounts", root + "/accounts", auth.ManageAccounts},
}

// nav is the navigation as the visitor may use it, with the area marked in which he is.
func (v *visit) nav() []navItem {
	var items []navItem
	for _, a := range areas {
		if auth.May(v.me, a.act, "") != nil {
			continue
		}
		path := v.r.URL.Path
		current := path == a.href || a.href != root && strings.HasPrefix(path, a.href+"/")
		items = append(items, navItem{Key: a.key, Href: a.href, Current: current})
	}
	return items
}
