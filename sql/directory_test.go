package sql_test

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"tidings"
	"tidings/internal/sqltest"
	"tidings/sql"
)

func TestTheDirectoryGivesBackWhatWasPut(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		openShop(t, db)
		m, err := db.Merchant(ctx, "acme")
		must(t, err)
		if want := (tidings.Merchant{ID: "acme", Name: "Acme", Attributes: map[string]string{"tier": "gold"}}); !reflect.DeepEqual(m, want) {
			t.Errorf("%+v, want %+v", m, want)
		}
		s, err := db.Store(ctx, "acme_1")
		must(t, err)
		want := tidings.Store{ID: "acme_1", Merchant: "acme", Name: "One", Region: "east", Timezone: "Asia/Shanghai", Attributes: map[string]string{"floor": "2"}}
		if !reflect.DeepEqual(s, want) {
			t.Errorf("%+v, want %+v", s, want)
		}
		u, err := db.User(ctx, "both")
		must(t, err)
		wantUser := tidings.User{ID: "both", Name: "Both", Locale: tidings.DefaultLocale,
			Memberships: []tidings.Membership{{Merchant: "acme", Role: "owner"}, {Store: "acme_1", Role: "clerk"}}}
		if !reflect.DeepEqual(u, wantUser) {
			t.Errorf("%+v, want %+v", u, wantUser)
		}
		ds, err := db.Dimensions(ctx, "both")
		must(t, err)
		if !slices.Equal(ds, []string{"m:acme", "s:acme_1"}) {
			t.Errorf("dimensions %v", ds)
		}
	})
}

func TestTheDirectoryIsReadInPagesInTheOrderOfBytes(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		must(t, db.PutMerchants(ctx, []tidings.Merchant{{ID: "b"}, {ID: "B"}, {ID: "a-1"}, {ID: "a_1"}, {ID: "a1"}}))
		var ids []string
		for after := ""; ; {
			page, err := db.Merchants(ctx, after, 2)
			must(t, err)
			for _, m := range page {
				ids, after = append(ids, m.ID), m.ID
			}
			if len(page) < 2 {
				break
			}
		}
		if want := []string{"B", "a-1", "a1", "a_1", "b"}; !slices.Equal(ids, want) {
			t.Errorf("%v, want %v", ids, want)
		}
	})
}

func TestPuttingAUserReplacesHisMemberships(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		openShop(t, db)
		must(t, db.PutUsers(ctx, []tidings.User{{ID: "both", Name: "B", Memberships: []tidings.Membership{{Store: "acme-1", Role: "boss"}}}}))
		u, err := db.User(ctx, "both")
		must(t, err)
		if want := []tidings.Membership{{Store: "acme-1", Role: "boss"}}; !reflect.DeepEqual(u.Memberships, want) {
			t.Errorf("%+v, want %+v", u.Memberships, want)
		}
	})
}

func TestOfTwoRecordsWithOneIDTheLaterCounts(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		must(t, db.PutMerchants(ctx, []tidings.Merchant{{ID: "a", Name: "first"}, {ID: "a", Name: "second"}}))
		m, err := db.Merchant(ctx, "a")
		must(t, err)
		if m.Name != "second" {
			t.Errorf("name %q", m.Name)
		}
	})
}

func TestAMembershipInWhatDoesNotExistNamesItsFieldAndChangesNothing(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		openShop(t, db)
		bad := tidings.User{ID: "new", Memberships: []tidings.Membership{{Merchant: "acme"}, {Store: "no-such"}}}
		for field, us := range map[string][]tidings.User{
			"memberships[1].store":          {bad},
			"users[1].memberships[1].store": {{ID: "fine"}, bad},
		} {
			err := db.PutUsers(ctx, us)
			wantCode(t, err, tidings.Unprocessable)
			if got := err.(*tidings.Error).Fields[0].Field; got != field {
				t.Errorf("field %q, want %q", got, field)
			}
		}
		for _, id := range []string{"new", "fine"} {
			_, err := db.User(ctx, id)
			wantCode(t, err, tidings.NotFound)
		}
		err := db.PutStores(ctx, []tidings.Store{{ID: "s", Merchant: "no-such"}})
		wantCode(t, err, tidings.Unprocessable)
		if got := err.(*tidings.Error).Fields[0].Field; got != "merchant" {
			t.Errorf("field %q", got)
		}
	})
}

func TestADeletedMerchantTakesItsStoresAndMembershipsAlong(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		openShop(t, db)
		must(t, db.DeleteMerchant(ctx, "acme"))
		_, err := db.Merchant(ctx, "acme")
		wantCode(t, err, tidings.NotFound)
		_, err = db.Store(ctx, "acme_1")
		wantCode(t, err, tidings.NotFound)
		for _, user := range []string{"boss", "ann", "both"} {
			if ds, err := db.Dimensions(ctx, user); err != nil || len(ds) > 0 {
				t.Errorf("%s is still in %v, %v", user, ds, err)
			}
		}
		if ds, err := db.Dimensions(ctx, "rita"); err != nil || len(ds) != 1 {
			t.Errorf("another merchant's user is in %v, %v", ds, err)
		}
		wantCode(t, db.DeleteMerchant(ctx, "acme"), tidings.NotFound)
	})
}

func TestADeletedStoreEndsOnlyItsOwnMemberships(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		openShop(t, db)
		must(t, db.DeleteStore(ctx, "acme_1"))
		for user, want := range map[string][]string{"ann": nil, "bob": {"s:acme-1"}, "both": {"m:acme"}} {
			if ds, err := db.Dimensions(ctx, user); err != nil || !slices.Equal(ds, want) {
				t.Errorf("%s is in %v, want %v, %v", user, ds, want, err)
			}
		}
	})
}

func TestADeletedUserHasNoAddressesAndMayComeBack(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		openShop(t, db)
		must(t, db.DeleteUser(ctx, "ann"))
		var n int
		must(t, db.Raw().Get(&n, "SELECT count(*) FROM addresses WHERE user_id = 'ann'"))
		if n != 0 {
			t.Errorf("%d addresses left", n)
		}
		wantCode(t, db.PutAddresses(ctx, "ann", nil), tidings.NotFound)
		must(t, db.PutUsers(ctx, []tidings.User{{ID: "ann", Name: "Ann"}}))
		if _, err := db.User(ctx, "ann"); err != nil {
			t.Error(err)
		}
	})
}

func TestAStoreThatGoesToAnotherMerchantTakesItsMembersAlong(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		openShop(t, db)
		must(t, db.PutStores(ctx, []tidings.Store{{ID: "acme_1", Merchant: "rival", Name: "One"}}))
		id := send(t, db, tidings.Message{Audience: tidings.Audience{Merchants: []string{"rival"}}})
		m, err := db.Message(ctx, "orders", id)
		must(t, err)
		if m.Users != 3 { // rita, and ann and both of the store that moved
			t.Errorf("%d users", m.Users)
		}
	})
}

func TestAChangeOfMembershipsIsAChangeOfTheUser(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		openShop(t, db)
		_, err := db.Raw().Exec("UPDATE users SET changed_at = 1")
		must(t, err)
		must(t, db.DeleteStore(ctx, "acme-1"))
		users, until, err := db.ChangedUsers(ctx, 1)
		must(t, err)
		if !slices.Equal(users, []string{"bob"}) {
			t.Errorf("changed: %v", users)
		}
		if late := time.Since(time.UnixMicro(until)); late < 5*time.Second || late > time.Minute {
			t.Errorf("asks next from %s ago: commits under way would be missed, or too much repeated", late)
		}
		if users, _, err = db.ChangedUsers(ctx, time.Now().Add(time.Minute).UnixMicro()); err != nil || len(users) > 0 {
			t.Errorf("changed in the future: %v, %v", users, err)
		}
	})
}

// rot13 stands for a real sealer: the store must not care how it hides.
type rot13 struct{}

func (rot13) Seal(_, s string) string          { return "sealed:" + s[len(s)-2:] }
func (rot13) Open(_, s string) (string, error) { return strings.TrimPrefix(s, "sealed:"), nil }
func (rot13) Blind(s string) string            { return fmt.Sprintf("blind:%d", len(s)) }
func (rot13) Prefix() string                   { return "sealed:" }

func TestAddressesAreSealedInTheDatabase(t *testing.T) {
	ctx := context.Background()
	for _, url := range []string{sqltest.SQLite(t), sqltest.Postgres(t)} {
		db, err := sql.Open(ctx, sql.Options{URL: url, Sealer: rot13{}})
		must(t, err)
		t.Cleanup(func() { must(t, db.Close()) })
		must(t, db.PutUsers(ctx, []tidings.User{{ID: "u"}}))
		must(t, db.PutAddresses(ctx, "u", []tidings.Address{{Channel: tidings.App, Value: "old"}}))
		must(t, db.PutAddresses(ctx, "u", []tidings.Address{{Channel: tidings.SMS, Value: "+8613812345678"}}))
		var rows []string
		must(t, db.Raw().Select(&rows, "SELECT channel || ' ' || value || ' ' || blind FROM addresses"))
		if want := []string{"sms sealed:78 blind:14"}; !slices.Equal(rows, want) {
			t.Errorf("%v, want %v", rows, want)
		}
	}
}

// The import's promise: a thousand users in one call take a fraction of a second.
func BenchmarkPutAThousandUsers(b *testing.B) {
	for name, url := range map[string]string{"sqlite": sqltest.SQLite(b), "postgres": sqltest.Postgres(b)} {
		db := sqltest.Open(b, url)
		ctx := context.Background()
		must(b, db.PutMerchants(ctx, []tidings.Merchant{{ID: "m"}}))
		must(b, db.PutStores(ctx, []tidings.Store{{ID: "s", Merchant: "m"}}))
		users := make([]tidings.User, 1000)
		for i := range users {
			users[i] = tidings.User{ID: fmt.Sprintf("u%06d", i), Name: "User", Memberships: []tidings.Membership{{Merchant: "m", Role: "r"}, {Store: "s", Role: "r"}}}
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				must(b, db.PutUsers(ctx, users))
			}
		})
	}
}

func TestAStoreKeepsItsHoursAndHolidays(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		openShop(t, db)
		s := tidings.Store{ID: "acme_1", Merchant: "acme", Name: "One", Hours: tidings.Hours{"mon": {"09:00-12:00", "13:00-18:00"}}, Holidays: []string{"2026-10-01"}}
		must(t, db.PutStores(ctx, []tidings.Store{s}))
		got, err := db.Store(ctx, "acme_1")
		must(t, err)
		if !reflect.DeepEqual(got, s) {
			t.Errorf("%+v, want %+v", got, s)
		}
		all, err := db.Stores(ctx, "", "", 10)
		must(t, err)
		if len(all) != 3 || all[0].ID != "acme-1" {
			t.Errorf("all stores: %+v", all)
		}
	})
}

func TestWhatIsDeletedTogetherIsCountedAndLogged(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := tidings.WithActor(context.Background(), tidings.Actor{Account: "lin", Via: "cli"})
		openShop(t, db)
		before, err := db.Changes(ctx, tidings.ChangeQuery{Limit: 100})
		must(t, err)
		n, err := db.DeleteUsers(ctx, []string{"ann", "bob", "bob", "nobody"})
		must(t, err)
		if n != 2 {
			t.Errorf("%d users deleted", n)
		}
		n, err = db.DeleteStores(ctx, []string{"acme_1", "r.1"})
		must(t, err)
		if ds, err := db.Dimensions(ctx, "rita"); n != 2 || err != nil || len(ds) > 0 {
			t.Errorf("%d stores deleted, rita is in %v, %v", n, ds, err)
		}
		if n, err := db.DeleteMerchants(ctx, []string{"nothing"}); n != 0 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		after, err := db.Changes(ctx, tidings.ChangeQuery{Limit: 100})
		must(t, err)
		if len(after) != len(before)+2 || after[0].Action != "store.delete" || after[0].Actor != "lin" || after[1].Action != "user.delete" {
			t.Errorf("%+v", after)
		}
	})
}
