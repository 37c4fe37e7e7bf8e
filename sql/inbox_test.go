package sql_test

import (
	"context"
	"reflect"
	"slices"
	"testing"
	"time"

	"tidings"
	"tidings/internal/sqltest"
	"tidings/sql"
)

// inbox lists the messages in a user's inbox, the newest first.
func inbox(t testing.TB, db *sql.DB, user string, q tidings.InboxQuery) []tidings.ID {
	t.Helper()
	items, _, err := db.Inbox(context.Background(), user, q)
	must(t, err)
	return idsOf(items)
}

func idsOf(items []tidings.InboxItem) (ids []tidings.ID) {
	for _, i := range items {
		ids = append(ids, i.ID)
	}
	return ids
}

func wantIDs(t testing.TB, what string, got []tidings.ID, want ...tidings.ID) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func unread(t testing.TB, db *sql.DB, user string, types ...string) int {
	t.Helper()
	n, err := db.Unread(context.Background(), user, types)
	must(t, err)
	return n
}

func TestTheInboxShowsContentNumberAndDimensions(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		openShop(t, db)
		id := send(t, db, toStores("acme_1"))
		items, more, err := db.Inbox(context.Background(), "ann", tidings.InboxQuery{})
		must(t, err)
		if len(items) != 1 || more {
			t.Fatalf("%+v, more %v", items, more)
		}
		if age := time.Since(items[0].At); age < 0 || age > time.Minute {
			t.Errorf("accepted %s ago", age)
		}
		want := tidings.InboxItem{Entry: tidings.Entry{Number: 1, ID: id, Application: "orders", Type: "note", Title: "title for web",
			Body: "body for web", Via: []string{"s:acme_1"}, At: items[0].At}}
		if !reflect.DeepEqual(items[0], want) {
			t.Errorf("%+v, want %+v", items[0], want)
		}
	})
}

func TestAMessageOfOneStoreIsNotSeenByAnother(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		openShop(t, db)
		id := send(t, db, toStores("acme_1"))
		for user, want := range map[string][]tidings.ID{"ann": {id}, "both": {id}, "bob": nil, "boss": nil, "rita": nil} {
			wantIDs(t, user, inbox(t, db, user, tidings.InboxQuery{}), want...)
			if n := unread(t, db, user); n != len(want) {
				t.Errorf("%s has %d unread", user, n)
			}
		}
	})
}

func TestWhoLeavesAStoreNoLongerSeesWhatReachedHimThere(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		openShop(t, db)
		store := send(t, db, toStores("acme_1"))
		all := send(t, db, tidings.Message{Audience: tidings.Audience{Merchants: []string{"acme"}}})
		own := send(t, db, toUsers("both"))
		wantIDs(t, "before", inbox(t, db, "both", tidings.InboxQuery{}), own, all, store)
		must(t, db.DeleteStore(ctx, "acme_1"))
		wantIDs(t, "without the store", inbox(t, db, "both", tidings.InboxQuery{}), own, all)
		if n := unread(t, db, "both"); n != 2 {
			t.Errorf("%d unread", n)
		}
		n, err := db.Mark(ctx, "both", tidings.MarkRead, []tidings.ID{store}, 0)
		if err != nil || n != 0 {
			t.Errorf("marked %d of what he does not see, %v", n, err)
		}
		must(t, db.PutUsers(ctx, []tidings.User{{ID: "both"}}))
		wantIDs(t, "without any membership", inbox(t, db, "both", tidings.InboxQuery{}), own)
		// A dimension is matched whole: acme-1 is not acme_1, and m:acm is a part of m:acme.
		must(t, db.PutMerchants(ctx, []tidings.Merchant{{ID: "acm"}}))
		must(t, db.PutUsers(ctx, []tidings.User{{ID: "both", Memberships: []tidings.Membership{{Store: "acme-1", Role: "r"}, {Merchant: "acm", Role: "r"}}}}))
		wantIDs(t, "in another store", inbox(t, db, "both", tidings.InboxQuery{}), own)
	})
}

func TestTheInboxIsNarrowed(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		openShop(t, db)
		must(t, db.PutType(ctx, tidings.MessageType{Application: "orders", Name: "note.2", Lane: tidings.Normal}))
		a := send(t, db, toStores("acme_1"))
		b := send(t, db, tidings.Message{Type: "note.2", Audience: tidings.Audience{Merchants: []string{"acme"}, Scope: tidings.ScopeMerchant}})
		wantIDs(t, "by store", inbox(t, db, "both", tidings.InboxQuery{Dimension: "s:acme_1"}), a)
		wantIDs(t, "by merchant", inbox(t, db, "both", tidings.InboxQuery{Dimension: "m:acme"}), b)
		wantIDs(t, "by a dimension that is a part of another", inbox(t, db, "both", tidings.InboxQuery{Dimension: "m:acm"}))
		wantIDs(t, "by type", inbox(t, db, "both", tidings.InboxQuery{Types: []string{"note"}}), a)
		if n := unread(t, db, "both", "note.2"); n != 1 {
			t.Errorf("%d unread of one type", n)
		}
		_, err := db.Mark(ctx, "both", tidings.MarkRead, []tidings.ID{a}, 0)
		must(t, err)
		_, err = db.Mark(ctx, "both", tidings.MarkArchive, []tidings.ID{b}, 0)
		must(t, err)
		wantIDs(t, "not archived", inbox(t, db, "both", tidings.InboxQuery{}), a)
		wantIDs(t, "archived", inbox(t, db, "both", tidings.InboxQuery{Archived: true}), b)
		wantIDs(t, "unread", inbox(t, db, "both", tidings.InboxQuery{Unread: true}))
		if n := unread(t, db, "both"); n != 0 {
			t.Errorf("%d unread", n)
		}
	})
}

func TestTheInboxIsPagedInBothDirections(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		openShop(t, db)
		var sent []tidings.ID
		for range 5 {
			sent = append(sent, send(t, db, toUsers("ann")))
		}
		read := func(q tidings.PageQuery) ([]tidings.ID, bool) {
			items, more, err := db.Inbox(ctx, "ann", tidings.InboxQuery{PageQuery: q})
			must(t, err)
			return idsOf(items), more
		}
		for _, c := range []struct {
			q    tidings.PageQuery
			want []tidings.ID
			more bool
		}{
			{tidings.PageQuery{Limit: 2}, []tidings.ID{sent[4], sent[3]}, true},
			{tidings.PageQuery{Limit: 2, Before: sent[3]}, []tidings.ID{sent[2], sent[1]}, true},
			{tidings.PageQuery{Limit: 2, Before: sent[1]}, []tidings.ID{sent[0]}, false},
			{tidings.PageQuery{Limit: 2, After: sent[0]}, []tidings.ID{sent[2], sent[1]}, true},
			{tidings.PageQuery{Limit: 2, After: sent[2]}, []tidings.ID{sent[4], sent[3]}, false},
		} {
			got, more := read(c.q)
			wantIDs(t, "page", got, c.want...)
			if more != c.more {
				t.Errorf("%+v: more %v", c.q, more)
			}
		}
	})
}

func TestMarksAreSetOnceAndReadIsAlsoSeen(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		openShop(t, db)
		a, b, c := send(t, db, toUsers("ann", "bob")), send(t, db, toUsers("ann")), send(t, db, toUsers("ann"))
		mark := func(m tidings.Mark, upTo tidings.ID, want int, ids ...tidings.ID) {
			t.Helper()
			if n, err := db.Mark(ctx, "ann", m, ids, upTo); err != nil || n != want {
				t.Errorf("%s: changed %d, want %d, %v", m, n, want, err)
			}
		}
		mark(tidings.MarkSeen, b, 2)
		mark(tidings.MarkSeen, b, 0)
		mark(tidings.MarkSeen, 0, 0)
		mark(tidings.MarkRead, 0, 2, a, c, a)
		mark(tidings.MarkRead, c, 1)
		mark(tidings.MarkRead, 0, 0, a)
		items, _, err := db.Inbox(ctx, "ann", tidings.InboxQuery{})
		must(t, err)
		for _, i := range items {
			if i.SeenAt.IsZero() || i.ReadAt.IsZero() || i.SeenAt.After(i.ReadAt) || !i.ArchivedAt.IsZero() {
				t.Errorf("%s: seen %v, read %v, archived %v", i.ID, i.SeenAt, i.ReadAt, i.ArchivedAt)
			}
		}
		if n := unread(t, db, "bob"); n != 1 {
			t.Errorf("one user's marks changed another's: %d unread", n)
		}
	})
}

func TestWhoSeesSomeTypesMarksTheseAlone(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		openShop(t, db)
		ctx := context.Background()
		first := send(t, db, toStores("acme_1"))
		last := send(t, db, toStores("acme_1"))
		for _, c := range []struct {
			ids  []tidings.ID
			upTo tidings.ID
			typ  string
			want int
		}{{nil, last, "another", 0}, {[]tidings.ID{first}, 0, "another", 0}, {[]tidings.ID{first}, 0, "note", 1}, {nil, last, "note", 1}} {
			if n, err := db.Mark(ctx, "ann", tidings.MarkRead, c.ids, c.upTo, c.typ); err != nil || n != c.want {
				t.Errorf("%+v: %d %v", c, n, err)
			}
		}
	})
}

func TestWhatWaitsForSendAtOrWasTakenBackIsNotInTheInbox(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		openShop(t, db)
		later := send(t, db, tidings.Message{Audience: tidings.Audience{Stores: []string{"acme_1"}}, SendAt: time.Now().Add(30 * time.Minute)})
		wantIDs(t, "held", inbox(t, db, "ann", tidings.InboxQuery{}))
		if items, _, err := db.DimensionHistory(ctx, "s:acme_1", tidings.PageQuery{}); err != nil || len(items) > 0 {
			t.Errorf("held, and in the history: %v, %v", items, err)
		}
		if n, err := db.Cancel(ctx, "orders", later); err != nil || n != 2 {
			t.Errorf("took back %d, %v", n, err)
		}
		wantIDs(t, "canceled", inbox(t, db, "ann", tidings.InboxQuery{}))
		unrouted := accept(t, db, toUsers("ann"))
		open, err := db.Untouched(ctx, 0, 10)
		must(t, err)
		must(t, acquire(db, open[0]))
		wantIDs(t, "acquired only", inbox(t, db, "ann", tidings.InboxQuery{}))
		drive(t, db)
		wantIDs(t, "routed", inbox(t, db, "ann", tidings.InboxQuery{}), unrouted)
	})
}

func TestTheContentOfAnotherChannelStandsInForTheWebs(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		openShop(t, db)
		send(t, db, tidings.Message{Audience: tidings.Audience{Users: []string{"ann"}}, Channels: []tidings.Channel{tidings.SMS}})
		items, _, err := db.Inbox(context.Background(), "ann", tidings.InboxQuery{})
		must(t, err)
		if len(items) != 1 || items[0].Body != "body for sms" || items[0].Number != 0 {
			t.Errorf("%+v", items)
		}
	})
}

func TestTheHistoryOfAMerchantIncludesItsStores(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		openShop(t, db)
		one := send(t, db, toStores("acme_1"))
		all := send(t, db, tidings.Message{Audience: tidings.Audience{Merchants: []string{"acme"}}})
		rival := send(t, db, toStores("r.1"))
		send(t, db, toUsers("boss")) // personal: in nobody's history
		_, err := db.Mark(ctx, "ann", tidings.MarkRead, []tidings.ID{one}, 0)
		must(t, err)
		type line struct {
			id          tidings.ID
			users, read int
		}
		for dimension, want := range map[string][]line{
			"m:acme":   {{all, 4, 0}, {one, 2, 1}},
			"s:acme_1": {{all, 2, 0}, {one, 2, 1}},
			"s:acme-1": {{all, 1, 0}},
			"m:rival":  {{rival, 1, 0}},
			"s:r.1":    {{rival, 1, 0}},
			"s:acme":   nil,
		} {
			items, more, err := db.DimensionHistory(ctx, dimension, tidings.PageQuery{})
			must(t, err)
			var got []line
			for _, i := range items {
				got = append(got, line{i.ID, i.Users, i.Read})
				if i.Body != "body for web" || i.Application != "orders" || i.Type != "note" || i.At.IsZero() {
					t.Errorf("%+v", i)
				}
			}
			if !slices.Equal(got, want) || more {
				t.Errorf("%s: %v, want %v, more %v", dimension, got, want, more)
			}
		}
		items, more, err := db.DimensionHistory(ctx, "m:acme", tidings.PageQuery{Limit: 1, After: one - 1})
		if err != nil || len(items) != 1 || items[0].ID != one || !more {
			t.Errorf("upwards: %+v, more %v, %v", items, more, err)
		}
	})
}

func TestMarkingForADimensionMarksItsMembersOnly(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		openShop(t, db)
		id := send(t, db, tidings.Message{Audience: tidings.Audience{Merchants: []string{"acme"}}})
		marked := func(dimension string, users ...string) {
			t.Helper()
			got, err := db.MarkDimension(ctx, dimension, tidings.MarkRead, []tidings.ID{id})
			must(t, err)
			want := map[string][]tidings.ID{}
			for _, u := range users {
				want[u] = []tidings.ID{id}
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: marked %v, want %v", dimension, got, want)
			}
		}
		marked("s:acme_1", "ann", "both")
		left := map[string]int{"ann": 0, "both": 0, "bob": 1, "boss": 1}
		for user, want := range left {
			if n := unread(t, db, user); n != want {
				t.Errorf("%s has %d unread, want %d", user, n, want)
			}
		}
		counts, err := db.UnreadOf(ctx, []string{"ann", "both", "bob", "nobody"})
		if err != nil || !reflect.DeepEqual(counts, map[string]int{"bob": 1}) {
			t.Errorf("unread are %v, %v", counts, err)
		}
		marked("m:acme", "bob", "boss")
		marked("m:rival")
	})
}
