package api_test

import (
	"strings"
	"testing"

	"tidings"
	"tidings/auth"
)

func TestABadCursorLimitOrFilterIsRefused(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		token := b.token("u1")
		for _, q := range []string{"after=x", "before=zzzzzzzzzzzzz", "after=0000000000001&before=0000000000001", "limit=0", "limit=201", "limit=x",
			"unread=1", "merchant=a%20b", "merchant=a&store=b", "aftr=1", "type=%00", "after=%FF", "limit=1&limit=2", "%zz"} {
			b.refused(400, "GET", "/v1/inbox?"+q, token, "")
		}
		for _, q := range []string{"since=yesterday", "after=x", "type=a%20b", "status=done"} {
			b.refused(400, "GET", "/v1/messages?"+q, b.app, "")
		}
		b.ok(200, "GET", "/v1/inbox?unread=true&store=acme-1&type=order.paid&type=b&limit=200", token, "")
	})
}

func TestPagesOfMessagesMeetWithoutGapOrRepeat(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		b.ok(202, "POST", "/v1/messages/batch", b.app, `{"messages":[`+strings.Repeat(good+",", 6)+good+`]}`)
		var seen []tidings.ID
		for next, n := "", 0; n < 10; n++ {
			var page struct {
				Data []tidings.MessageStatus
				Page struct {
					Before string
					More   bool `json:"has_more"`
				}
			}
			decode(t, b.ok(200, "GET", "/v1/messages?limit=3"+next, b.app, ""), &page)
			for _, m := range page.Data {
				seen = append(seen, m.ID)
			}
			if !page.Page.More {
				break
			}
			next = "&before=" + page.Page.Before
		}
		if len(seen) != 7 {
			t.Fatalf("%d messages", len(seen))
		}
		for i := 1; i < len(seen); i++ {
			if seen[i] >= seen[i-1] {
				t.Errorf("%v is not the newest first", seen)
			}
		}
	})
}

func TestMarksAreCheckedBeforeTheyAreSet(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		token := b.token("u1")
		for _, body := range []string{`{}`, `{"ids":[]}`, `{"ids":["x"]}`, `{"up_to":"x"}`, `{"ids":["0000000000001"],"up_to":"0000000000001"}`,
			`{"ids":["0000000000001"` + strings.Repeat(`,"0000000000001"`, 500) + `]}`, `{"id":"0000000000001"}`} {
			b.refused(400, "POST", "/v1/inbox/read", token, body)
		}
		if got := b.ok(200, "POST", "/v1/inbox/read", token, `{"ids":["0000000000001"]}`); strings.TrimSpace(got) != `{"changed":0}` {
			t.Errorf("%s", got)
		}
		b.ok(200, "POST", "/v1/inbox/seen", token, `{"up_to":"0000000000001"}`)
		if len(b.marked) != 0 { // nothing changed
			t.Errorf("pages were told %q", b.marked)
		}
		if got := b.ok(200, "GET", "/v1/inbox/unread", token, ""); strings.TrimSpace(got) != `{"unread":0}` {
			t.Errorf("%s", got)
		}
	})
}

func TestATokenIsMintedOnlyForSomebodyInTheDirectory(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		var made struct{ Token string }
		decode(t, b.ok(201, "POST", "/v1/tokens", b.app, `{"user":"u1","expires_in":60,"types":["order.paid"]}`), &made)
		c, err := b.tokens.Verify(made.Token)
		if err != nil || c.User != "u1" || c.Application != "shop" || len(c.Types) != 1 {
			t.Errorf("%+v %v", c, err)
		}
		b.ok(200, "GET", "/v1/inbox", made.Token, "")
		b.refused(422, "POST", "/v1/tokens", b.app, `{"user":"nobody"}`)
		for _, body := range []string{`{}`, `{"user":"u1","expires_in":3601}`, `{"user":"u1","expires_in":-1}`, `{"user":"a b"}`, `{"user":"u1","types":[""]}`} {
			b.refused(400, "POST", "/v1/tokens", b.app, body)
		}
	})
}

func TestAMerchantKeyReadsItsOwnDimensionAndNothingElse(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		b.ok(200, "PUT", "/v1/merchants/rival", b.app, `{"name":"Rival"}`)
		b.ok(200, "PUT", "/v1/stores/rival-1", b.app, `{"merchant":"rival"}`)
		var chain, shop, reader struct{ Key string }
		decode(t, b.ok(201, "POST", "/v1/keys", adminToken, `{"kind":"merchant","merchant":"acme","scopes":["history:read","inbox:write"]}`), &chain)
		decode(t, b.ok(201, "POST", "/v1/keys", adminToken, `{"kind":"merchant","store":"acme-1","scopes":["history:read","inbox:write"]}`), &shop)
		decode(t, b.ok(201, "POST", "/v1/keys", adminToken, `{"kind":"merchant","store":"acme-1","scopes":["history:read"]}`), &reader)
		for _, c := range []struct {
			status    int
			key, path string
		}{
			{200, chain.Key, "/v1/merchants/acme/messages"}, {200, chain.Key, "/v1/stores/acme-1/messages"},
			{404, chain.Key, "/v1/merchants/rival/messages"}, {404, chain.Key, "/v1/stores/rival-1/messages"}, {404, chain.Key, "/v1/stores/none/messages"},
			{200, shop.Key, "/v1/stores/acme-1/messages"}, {404, shop.Key, "/v1/merchants/acme/messages"}, {404, shop.Key, "/v1/stores/rival-1/messages"},
			{200, adminToken, "/v1/stores/rival-1/messages"},
		} {
			b.ok(c.status, "GET", c.path, c.key, "")
			b.ok(c.status, "POST", c.path+"/read", c.key, `{"ids":["0000000000001"]}`)
		}
		b.refused(403, "POST", "/v1/stores/acme-1/messages/read", reader.Key, `{"ids":["0000000000001"]}`)
		b.refused(400, "POST", "/v1/stores/acme-1/messages/read", shop.Key, `{"up_to":"0000000000001"}`)
	})
}

func TestOnlyASignedReceiptIsTaken(t *testing.T) {
	onEach(t, func(t *testing.T, b *bundle) {
		id := tidings.ID(7)
		sig := auth.SignReceipt([]byte(master), id)
		for _, q := range []string{"", "?attempt=" + id.String(), "?attempt=" + id.String() + "&sig=x", "?attempt=" + tidings.ID(8).String() + "&sig=" + sig, "?attempt=x&sig=" + sig} {
			b.refused(403, "GET", "/v1/receipts/kannel"+q, "", "")
			b.refused(403, "POST", "/v1/receipts/kannel"+q, "", "")
		}
		b.refused(404, "GET", "/v1/receipts/nobody?attempt="+id.String()+"&sig="+sig, "", "")
		if w := b.ask("GET", "/v1/receipts/kannel?attempt="+id.String()+"&sig="+sig, "", ""); w.Code >= 500 || w.Code == 403 {
			t.Errorf("signed, of no attempt: %d %s", w.Code, w.Body)
		}
	})
}
