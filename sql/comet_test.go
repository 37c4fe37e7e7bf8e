package sql_test

import (
	"context"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"tidings"
	"tidings/internal/sqltest"
	"tidings/sql"
)

func TestTheTailOfTheListFollowsTheNumbers(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		openShop(t, db)
		var ids []tidings.ID
		for range 4 {
			ids = append(ids, send(t, db, toStores("acme_1")))
		}
		entries, gone, head, err := db.Tail(ctx, "ann", 1, 2)
		must(t, err)
		if head != 4 || len(gone) > 0 || len(entries) != 2 || entries[0].Number != 2 || entries[1].Number != 3 {
			t.Fatalf("%+v, gone %v, head %d", entries, gone, head)
		}
		want := tidings.Entry{Number: 2, ID: ids[1], Application: "orders", Type: "note", Title: "title for web", Body: "body for web",
			Via: []string{"s:acme_1"}, At: entries[0].At}
		if !reflect.DeepEqual(entries[0], want) || want.At.IsZero() {
			t.Errorf("%+v, want %+v", entries[0], want)
		}
		for _, after := range []int64{4, 9} {
			if entries, gone, head, err = db.Tail(ctx, "ann", after, 10); err != nil || head != 4 || len(entries)+len(gone) > 0 {
				t.Errorf("after %d: %+v, gone %v, head %d, %v", after, entries, gone, head, err)
			}
		}
		if entries, gone, head, err = db.Tail(ctx, "bob", 0, 10); err != nil || head != 0 || len(entries)+len(gone) > 0 {
			t.Errorf("another user: %+v, gone %v, head %d, %v", entries, gone, head, err)
		}
		if _, _, head, err = db.Tail(ctx, "no-such", 0, 10); err != nil || head != 0 {
			t.Errorf("nobody: head %d, %v", head, err)
		}
	})
}

func TestTheTailsOfManyUsersAreReadInOneStatement(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		openShop(t, db)
		for range 3 {
			send(t, db, toStores("acme_1")) // ann and both
		}
		short, long, end, other := tidings.Span{User: "ann", After: 1, Limit: 1}, tidings.Span{User: "ann", After: 1, Limit: 5},
			tidings.Span{User: "ann", After: 3, Limit: 5}, tidings.Span{User: "both", Limit: 2}
		nobody := tidings.Span{User: "no-such", Limit: 2}
		tails, err := db.Tails(ctx, []tidings.Span{short, other, nobody, end, long})
		must(t, err)
		numbers := func(s tidings.Span) (n []int64) {
			for _, e := range tails[s].Entries {
				n = append(n, e.Number)
			}
			return n
		}
		if got := numbers(long); !slices.Equal(got, []int64{2, 3}) {
			t.Errorf("behind 1: %v", got)
		}
		if got := numbers(short); len(got) == 0 || got[0] != 2 {
			t.Errorf("one behind 1: %v", got)
		}
		if got := numbers(other); !slices.Equal(got, []int64{1, 2}) {
			t.Errorf("another user: %v", got)
		}
		if got := numbers(end); len(got) > 0 || tails[end].Head != 3 || tails[other].Head != 3 || tails[nobody].Head != 0 {
			t.Errorf("behind the last: %v; heads %+v", got, tails)
		}
	})
}

func TestNumbersOfWhatIsNoLongerVisibleAreGone(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		openShop(t, db)
		send(t, db, toStores("acme_1"))
		own := send(t, db, toUsers("ann"))
		send(t, db, toStores("acme_1"))
		must(t, db.PutUsers(ctx, []tidings.User{{ID: "ann", Memberships: []tidings.Membership{{Store: "acme-1", Role: "r"}}}}))
		entries, gone, head, err := db.Tail(ctx, "ann", 0, 10)
		must(t, err)
		if head != 3 || !slices.Equal(gone, []int64{1, 3}) || len(entries) != 1 || entries[0].ID != own || entries[0].Number != 2 {
			t.Errorf("%+v, gone %v, head %d", entries, gone, head)
		}
	})
}

func TestAnAcknowledgementDeliversAndNeverGoesBack(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		openShop(t, db)
		for range 3 {
			send(t, db, toStores("acme_1"))
		}
		acked := func(want map[string]int64) {
			t.Helper()
			got, err := db.Acked(ctx, []string{"ann", "both", "bob", "no-such"})
			if must(t, err); !reflect.DeepEqual(got, want) {
				t.Errorf("acked %v, want %v", got, want)
			}
		}
		delivered := func(want int64) {
			t.Helper()
			if n := balanced(t, db).Deliveries[tidings.Delivered]; n != want {
				t.Errorf("%d delivered, want %d", n, want)
			}
		}
		must(t, db.Acknowledge(ctx, nil))
		must(t, db.Acknowledge(ctx, []tidings.Ack{{User: "ann", Number: 2}, {User: "ann", Number: 1}, {User: "both", Number: 1}, {User: "no-such", Number: 5}}))
		acked(map[string]int64{"ann": 2, "both": 1, "bob": 0, "no-such": 0})
		delivered(3)
		must(t, db.Acknowledge(ctx, []tidings.Ack{{User: "ann", Number: 1}, {User: "both", Number: 99}}))
		acked(map[string]int64{"ann": 2, "both": 3, "bob": 0, "no-such": 0})
		delivered(5)
		heads, err := db.Heads(ctx, []string{"ann", "bob"})
		if must(t, err); !reflect.DeepEqual(heads, map[string]int64{"ann": 3, "bob": 0}) {
			t.Errorf("heads %v", heads)
		}
	})
}

func TestAcknowledgementsInOppositeOrdersDoNotBlockEachOther(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		openShop(t, db)
		const n = 20
		for range n {
			accept(t, db, toStores("acme_1"))
		}
		drive(t, db)
		done := make(chan error, 2)
		for _, users := range [][]string{{"ann", "both"}, {"both", "ann"}} {
			go func() {
				var err error
				for i := int64(1); i <= n && err == nil; i++ {
					err = db.Acknowledge(ctx, []tidings.Ack{{User: users[0], Number: i}, {User: users[1], Number: i}})
				}
				done <- err
			}()
		}
		must(t, <-done)
		must(t, <-done)
		if b := balanced(t, db); b.Deliveries[tidings.Delivered] != 2*n || len(b.Faults) > 0 {
			t.Errorf("%+v", b)
		}
	})
}

func TestOneNodeBeginsTheNextGeneration(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		old, err := db.Generation(ctx)
		must(t, err)
		for range 3 { // three nodes that saw the same loss
			if g, err := db.NextGeneration(ctx, old); err != nil || g != old+1 {
				t.Errorf("generation %d, want %d, %v", g, old+1, err)
			}
		}
	})
}

func TestARestoredRecordHasANewEpochAndBelievesNothingOfRedis(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		before, err := db.Epoch(ctx)
		must(t, err)
		old, err := db.Generation(ctx)
		must(t, err)
		// A process knows more than the record, which was set back.
		if g, err := db.NextGeneration(ctx, old+5); err != nil || g != old+6 {
			t.Errorf("generation %d, want %d, %v", g, old+6, err)
		}
		must(t, db.Restored(ctx))
		after, err := db.Epoch(ctx)
		must(t, err)
		if g, err := db.Generation(ctx); err != nil || g < old+1000 || after == before || after == "" {
			t.Errorf("generation %d, epochs %q and %q, %v", g, before, after, err)
		}
	})
}

func TestEveryDatabaseHasAnEpochOfItsOwn(t *testing.T) {
	ctx := context.Background()
	fresh := func() *sql.DB { return sqltest.Open(t, "sqlite:"+filepath.Join(t.TempDir(), "tidings.db")) }
	a, b := fresh(), fresh()
	one, err := a.Epoch(ctx)
	must(t, err)
	two, err := b.Epoch(ctx)
	must(t, err)
	if one == two || one == "" {
		t.Errorf("epochs %q and %q", one, two)
	}
}
