package handlers_test

import (
	"context"
	"testing"
	"time"

	"tidings"
	"tidings/internal/sqltest"
	"tidings/sql"
)

// An attribute of a membership in a store is the store's, or else its merchant's; one membership must have all that is asked.
func TestAnAudienceIsNarrowedByAttributes(t *testing.T) {
	type attributes = map[string]string
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		w := newWorld(t, db)
		ctx := context.Background()
		const odd = `a'b"c,\n`
		must(t, db.PutMerchants(ctx, []tidings.Merchant{{ID: "acme", Attributes: attributes{"tier": "gold", "a.b": odd}}}),
			db.PutStores(ctx, []tidings.Store{{ID: "acme-1", Merchant: "acme", Attributes: attributes{"floor": "2"}},
				{ID: "acme-2", Merchant: "acme", Attributes: attributes{"floor": "2", "tier": "silver"}}}))
		acme := []string{"acme"}
		for _, c := range []struct {
			audience tidings.Audience
			want     int
		}{
			{tidings.Audience{Merchants: acme, Attributes: attributes{"tier": "gold"}}, 8},
			{tidings.Audience{Merchants: acme, Attributes: attributes{"tier": "gold", "floor": "2"}}, 8},
			{tidings.Audience{Merchants: acme, Attributes: attributes{"tier": "gold"}, Scope: tidings.ScopeMerchant}, 4},
			{tidings.Audience{Merchants: acme, Attributes: attributes{"floor": "2"}, Scope: tidings.ScopeMerchant}, 0},
			{tidings.Audience{Merchants: acme, Attributes: attributes{"tier": "bronze"}}, 0},
			{tidings.Audience{Merchants: acme, Attributes: attributes{"a.b": odd}}, 12},
			{tidings.Audience{Stores: []string{"acme-1", "acme-2"}, Attributes: attributes{"tier": "silver"}}, 4},
			{tidings.Audience{Everyone: true, Attributes: attributes{"tier": "silver"}}, 4},
			{tidings.Audience{Everyone: true, Attributes: attributes{"tier": "gold"}, Roles: []string{"owner"}}, 4},
			{tidings.Audience{Everyone: true, Attributes: attributes{"floor": "2"}, Roles: []string{"owner"}}, 0},
			{tidings.Audience{Users: []string{"u00", "u02"}, Attributes: attributes{"tier": "gold"}}, 1},
			{tidings.Audience{Users: []string{"u00", "u02"}, Attributes: attributes{"tier": "gold"}, Roles: []string{"manager"}}, 0},
			{tidings.Audience{Users: []string{"u02"}, Stores: []string{"acme-1"}, Attributes: attributes{"floor": "2"}}, 9},
		} {
			m := w.accept(message("web", c.audience, tidings.Web))[0]
			w.run()
			status, err := db.Message(ctx, "orders", m.ID)
			must(t, err)
			if status.Users != c.want {
				t.Errorf("%+v reached %d, want %d", c.audience, status.Users, c.want)
			}
		}
		w.balanced()
	})
}

// Nobody sees a message through a membership that did not have what the audience asked for.
func TestWhatAnAttributeRulesOutIsNoWayToTheUser(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		newWorld(t, db)
		ctx := context.Background()
		must(t, db.PutStores(ctx, []tidings.Store{{ID: "acme-1", Merchant: "acme", Attributes: map[string]string{"floor": "2"}}}))
		found, size, err := db.ResolvePage(ctx, tidings.Audienced{Message: tidings.Message{ID: 1, AcceptedAt: time.Now().Add(time.Minute),
			Audience: tidings.Audience{Merchants: []string{"acme"}, Attributes: map[string]string{"floor": "2"}}}}, 100)
		must(t, err)
		if len(found) != 8 || size != 8 {
			t.Fatalf("%d found, %d counted", len(found), size)
		}
		for _, n := range found {
			if len(n.Via) != 1 || n.Via[0] != "s:acme-1" {
				t.Errorf("%s is reached through %v", n.User, n.Via)
			}
		}
	})
}
