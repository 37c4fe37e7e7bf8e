package walk

import (
	"strings"
	"sync"
	"testing"

	"tidings"
)

// mark stands in everything that belongs to the application shop, and must reach nobody who does not see shop.
const mark = "zqmark"

// columns are who asks, in the order of the cells of the matrix. "full", "bare", "dev" and "viewer-shop" are of the application
// shop, "other", "dev-pos" and "viewer-pos" of pos, "dev-none" of none; merchant keys are of acme and globex, store keys of
// acme-1 and acme-2, "reader" is acme-1's and may not mark; the user is acme-1's.
var columns = strings.Fields(`nobody revoked  bare full other  merchant merchant2 store store2 reader  user
	root admin operator approver  dev dev-pos dev-none  viewer viewer-shop viewer-pos`)

// strangers must not see what is shop's.
var strangers = []string{"other", "merchant2", "store2", "dev-pos", "dev-none", "viewer-pos"}

// world is what the routes are asked about, and by whom.
type world struct {
	tokens map[string]string
	fill   *strings.Replacer // puts what exists into a path
}

// theWorld is made once: the matrices of the API and of the console ask in the same one.
var theWorld = struct {
	sync.Once
	world
}{}

func newWorld(t *testing.T) world {
	t.Helper()
	theWorld.Do(func() { theWorld.world = makeWorld(t) })
	if theWorld.fill == nil {
		t.Fatal("the world was not made")
	}
	return theWorld.world
}

func makeWorld(t *testing.T) world {
	t.Helper()
	maker := person(t, "maker", "admin", "")
	for _, id := range []string{"shop", "pos", "lab"} {
		text := id
		if id == "shop" {
			text = mark
		}
		maker.must(201, "POST", "/v1/applications", object{"id": id, "name": text, "owner": text, "purpose": text})
		spec := orderPaid()
		maker.must(200, "PUT", "/v1/types/order.paid?application="+id, spec)
		template := webTemplate()
		template["body"] = text + " {{ order }}"
		maker.must(201, "POST", "/v1/templates?application="+id, template)
		maker.must(200, "POST", "/v1/templates/publish?application="+id, object{"type": "order.paid", "channel": "web", "locale": "zh-CN", "version": 1, "unreviewed": true})
	}
	lines := `{"merchant":{"id":"acme","name":"Acme"}}
{"merchant":{"id":"globex","name":"Globex"}}
{"store":{"id":"acme-1","merchant":"acme","name":"One"}}
{"store":{"id":"acme-2","merchant":"acme","name":"Two"}}
{"user":{"id":"u1","name":"Ann","locale":"zh-CN","memberships":[{"store":"acme-1","role":"clerk"}]}}`
	if code, text := importLines(maker, lines); code != 200 || !strings.Contains(text, `"refused":0`) {
		t.Fatal(text)
	}
	w := world{tokens: map[string]string{"nobody": "", "root": root(t).token, "admin": person(t, "admin", "admin", "").token}}
	for name, of := range map[string][2]string{"operator": {"operator"}, "approver": {"approver"}, "viewer": {"viewer"}, "dev": {"developer", "shop"},
		"dev-pos": {"developer", "pos"}, "dev-none": {"developer"}, "viewer-shop": {"viewer", "shop"}, "viewer-pos": {"viewer", "pos"}} {
		w.tokens[name] = person(t, name, of[0], of[1]).token
	}
	type made struct{ ID, Key string }
	all := []string{"messages:send", "messages:read", "templates:write", "directory:write", "tokens:mint"}
	key := func(name, path string, body object) made {
		k := read[made](t, maker.must(201, "POST", path, body))
		w.tokens[name] = k.Key
		return k
	}
	revoked := key("revoked", "/v1/applications/shop/keys", object{"scopes": all, "name": mark})
	maker.must(204, "DELETE", "/v1/applications/shop/keys/"+revoked.ID, nil)
	key("bare", "/v1/applications/shop/keys", object{"scopes": []string{"receipts"}, "name": mark})
	key("full", "/v1/applications/shop/keys", object{"scopes": all, "name": mark})
	key("other", "/v1/applications/pos/keys", object{"scopes": all})
	both := []string{"history:read", "inbox:write"}
	key("merchant", "/v1/keys", object{"kind": "merchant", "merchant": "acme", "scopes": both})
	key("merchant2", "/v1/keys", object{"kind": "merchant", "merchant": "globex", "scopes": both})
	key("store", "/v1/keys", object{"kind": "merchant", "store": "acme-1", "scopes": both})
	key("store2", "/v1/keys", object{"kind": "merchant", "store": "acme-2", "scopes": both})
	key("reader", "/v1/keys", object{"kind": "merchant", "store": "acme-1", "scopes": both[:1]})
	spare := key("", "/v1/keys", object{"kind": "merchant", "store": "acme-1", "scopes": both})
	own := read[made](t, as(t, w.tokens["dev"]).must(201, "POST", "/v1/account/keys", object{"name": "a second one"}))
	full := as(t, w.tokens["full"])
	w.tokens["user"] = read[struct{ Token string }](t, full.must(201, "POST", "/v1/tokens", object{"user": "u1"})).Token
	message := object{"type": "order.paid", "audience": object{"stores": []string{"acme-1"}}, "data": object{"order": mark}}
	id := read[struct{ ID tidings.ID }](t, full.must(202, "POST", "/v1/messages", message)).ID
	cast := read[struct{ ID tidings.ID }](t, full.must(202, "POST", "/v1/broadcasts", object{"type": "order.paid", "audience": object{"stores": []string{"acme-1"}},
		"data": object{"order": mark}, "must_read": true})).ID
	endpoint := read[struct{ ID tidings.ID }](t, maker.must(201, "POST", "/v1/applications/shop/endpoints", object{"name": mark, "url": "https://shop.invalid/hook", "events": []string{"endpoint.disabled"}})).ID
	replay := read[struct{ ID tidings.ID }](t, full.must(202, "POST", "/v1/replays", object{"filter": object{"states": []string{"failed"}}, "dry_run": false})).ID
	w.fill = strings.NewReplacer("$replay", replay.String(), "$endpoint", endpoint.String(), "$message", id.String(), "$broadcast", cast.String(), "$revoked", revoked.ID, "$spare", spare.ID, "$own", own.ID)
	return w
}
