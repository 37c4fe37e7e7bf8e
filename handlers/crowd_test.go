package handlers_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"tidings"
	"tidings/internal/sqltest"
)

// crowd is how many users the merchant of the benchmark has, one of five in the directory.
const crowd, among = 20_000, 5

// BenchmarkAMerchantOfTwentyThousandUsers takes one message to all users of a merchant through the four stages, and reports
// how many notifications a second were resolved, rendered, routed and numbered, with the time of each stage per notification.
// The streams in Redis are left out. On a quiet machine of two cores it must be 10,000 a second at least.
func BenchmarkAMerchantOfTwentyThousandUsers(b *testing.B) {
	for _, database := range []struct {
		name string
		url  func(testing.TB) string
	}{{"sqlite", sqltest.SQLite}, {"postgres", sqltest.Postgres}} {
		b.Run(database.name, func(b *testing.B) {
			w := newWorld(b, sqltest.Open(b, database.url(b)))
			stores := w.crowd(crowd, among)
			for _, to := range []struct {
				name     string
				audience tidings.Audience
			}{
				{"merchant", tidings.Audience{Merchants: []string{"big"}}},
				{"role", tidings.Audience{Merchants: []string{"big"}, Roles: []string{"clerk"}, Scope: tidings.ScopeStores}},
				{"attribute", tidings.Audience{Merchants: []string{"big"}, Attributes: map[string]string{"tier": "gold"}}},
				{"stores", tidings.Audience{Stores: stores}},
				{"everyone", tidings.Audience{Everyone: true}},
			} {
				b.Run(to.name, func(b *testing.B) { w.carry(b, to.audience) })
			}
		})
	}
}

// crowd puts a merchant with n users in 1,000 stores into the directory, and returns the stores. Their ids stand among those of
// others: they are one of so many.
func (w *world) crowd(n, among int) (ids []string) {
	w.t.Helper()
	ctx := context.Background()
	must(w.t, w.db.PutMerchants(ctx, []tidings.Merchant{{ID: "big", Name: "Big", Attributes: map[string]string{"tier": "gold"}}, {ID: "other", Name: "Other"}}))
	stores := []tidings.Store{{ID: "other-1", Merchant: "other", Name: "Another"}}
	for i := range 1000 {
		ids = append(ids, fmt.Sprintf("big-%03d", i))
		stores = append(stores, tidings.Store{ID: ids[i], Merchant: "big", Name: "One of many"})
	}
	must(w.t, w.db.PutStores(ctx, stores))
	users := make([]tidings.User, among*n)
	for i := range users {
		store := "other-1"
		if i%among == 0 {
			store = ids[i/among%len(ids)]
		}
		users[i] = tidings.User{ID: fmt.Sprintf("c%06d", i), Name: "User", Locale: []string{"zh-CN", "en-US"}[i%2],
			Memberships: []tidings.Membership{{Store: store, Role: "clerk"}}}
	}
	for chunk := range slices.Chunk(users, 2000) {
		must(w.t, w.db.PutUsers(ctx, chunk))
	}
	return ids
}

// carry sends the message again and again, and walks each down the road before the next.
func (w *world) carry(b *testing.B, a tidings.Audience) {
	spent, notifications := map[string]time.Duration{}, 0
	for b.Loop() {
		w.accept(message("web", a, tidings.Web))
		w.collect()
		for s, ok := w.next(); ok; s, ok = w.next() {
			began := time.Now()
			following, err := w.stages[name(s)].Run(context.Background(), s)
			spent[name(s)] += time.Since(began)
			must(b, err)
			w.queue = append(w.queue, following...)
			if s.Stage == tidings.Route {
				notifications += s.Size
			}
		}
	}
	b.ReportMetric(float64(notifications)/b.Elapsed().Seconds(), "notifications/s")
	for _, stage := range slices.Sorted(maps.Keys(spent)) {
		b.ReportMetric(float64(spent[stage].Microseconds())/float64(notifications), stage+"-µs")
	}
}

// BenchmarkAReplayOfAHundredThousand plans and carries out a replay of 100,000 SMS that had no address, beside as many deliveries that are well.
func BenchmarkAReplayOfAHundredThousand(b *testing.B) {
	for _, database := range []struct {
		name string
		url  func(testing.TB) string
	}{{"sqlite", sqltest.SQLite}, {"postgres", sqltest.Postgres}} {
		b.Run(database.name, func(b *testing.B) {
			ctx := context.Background()
			w := newWorld(b, sqltest.Open(b, database.url(b)))
			w.crowd(crowd, among)
			w.accept(message("refund", tidings.Audience{Everyone: true}, tidings.Web, tidings.SMS))
			w.run()
			var of []tidings.ImportAddresses
			for i := range 100_000 {
				of = append(of, tidings.ImportAddresses{User: fmt.Sprintf("c%06d", i), Addresses: []tidings.Address{{Channel: tidings.SMS, Value: fmt.Sprintf("+86139%08d", i)}}})
			}
			for chunk := range slices.Chunk(of, 2000) {
				must(b, w.db.PutAddressesOf(ctx, chunk))
			}
			r := states(tidings.Suppressed)
			for b.Loop() {
				if p, err := w.db.PlanReplay(ctx, r, 100); err != nil || p.Count != 100_000 || p.Parts != 100_000 {
					b.Fatalf("%+v %v", p, err)
				}
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/plan")
			began := time.Now()
			if _, _, _, err := w.db.DeadLetters(ctx, tidings.DeadLetterQuery{ReplayFilter: r.Filter, Limit: 100}); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(time.Since(began).Seconds()*1000, "ms/page")
			began = time.Now()
			if made := w.replay(r); made.Replayed != 100_000 {
				b.Fatalf("%+v", made)
			}
			b.ReportMetric(time.Since(began).Seconds(), "s/replay")
		})
	}
}
