package handlers_test

import (
	"context"
	dbsql "database/sql"
	"fmt"
	"slices"
	"testing"
	"time"

	"tidings"
)

// night is the night before a store opens at nine: from eight in the evening, by the clock where it is.
type night struct {
	zone         string
	start, opens time.Time
	lasts        time.Duration
}

// nights are the next in which clocks change, and one in which they do not.
func nights(t *testing.T) (all []night) {
	t.Helper()
	now := time.Now()
	for _, name := range []string{"America/New_York", "Europe/Berlin"} {
		zone := location(t, name)
		change := now.AddDate(0, 0, 2).In(zone)
		for range 2 { // one in spring, one in autumn
			_, change = change.ZoneBounds()
			_, before := change.Add(-time.Second).Zone()
			_, after := change.Zone()
			lasts := 13*time.Hour - time.Duration(after-before)*time.Second
			opens := change.Truncate(time.Hour)
			for opens.Hour() != 9 {
				opens = opens.Add(time.Hour)
			}
			all = append(all, night{name, opens.Add(-lasts), opens, lasts})
		}
	}
	for _, name := range []string{"Asia/Shanghai", "Asia/Kolkata"} {
		day := now.In(location(t, name)).AddDate(0, 0, 3)
		opens := time.Date(day.Year(), day.Month(), day.Day(), 9, 0, 0, 0, day.Location())
		all = append(all, night{name, opens.Add(-13 * time.Hour), opens, 13 * time.Hour})
	}
	slices.SortFunc(all, func(a, b night) int { return a.start.Compare(b.start) }) // clocks go forward
	return all
}

func TestANightsHoldEndsToTheSecondAlsoWhenTheClocksChange(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, _ *dbsql.DB) {
		ctx := context.Background()
		w.routeType(func(t *tidings.MessageType) { t.Hours = tidings.HoursHold })
		lasting, all := map[time.Duration]int{}, nights(t)
		name := func(i int) (store, user string) { return fmt.Sprintf("night-%d", i), fmt.Sprintf("owl-%d", i) }
		for i, n := range all { // before the clock is stopped: who comes after a message was accepted does not get it
			store, user := name(i)
			s := tidings.Store{ID: store, Merchant: "acme", Name: "Night", Timezone: n.zone, Hours: tidings.Hours{}}
			for _, d := range []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"} {
				s.Hours[d] = []string{"09:00-17:00"}
			}
			must(t, w.db.PutStores(ctx, []tidings.Store{s}),
				w.db.PutUsers(ctx, []tidings.User{{ID: user, Name: "Owl", Locale: "zh-CN", Memberships: []tidings.Membership{{Store: store, Role: "clerk"}}}}),
				w.db.PutAddresses(ctx, user, []tidings.Address{{Channel: tidings.SMS, Value: fmt.Sprintf("+861370000000%d", i)}}))
		}
		for i, n := range all {
			lasting[n.lasts]++
			store, user := name(i)
			if clock := n.start.In(location(t, n.zone)).Format("15:04:05"); clock != "20:00:00" {
				t.Fatalf("the night of %s begins at %s", n.zone, clock)
			}
			w.at(n.start)
			m := message("step", tidings.Audience{Stores: []string{store}}, tidings.Web, tidings.SMS)
			m.ExpiresAt = n.start.Add(48 * time.Hour)
			m = w.accept(m)[0]
			w.run()
			if d := w.state(m, user, tidings.SMS); d.State != tidings.Held || d.Reason != tidings.StoreClosed || !d.DueAt.Equal(n.opens) {
				t.Errorf("%s at %s: %s (%s) until %s, and it opens %s", n.zone, n.start, d.State, d.Reason, d.DueAt, n.opens)
			}
			if d := w.state(m, user, tidings.Web); d.State != tidings.Sent {
				t.Errorf("the web waits: %+v", d)
			}
			for _, step := range []struct {
				at   time.Time
				want tidings.State
			}{{n.opens.Add(-time.Second), tidings.Held}, {n.opens, tidings.Sent}} {
				w.at(step.at)
				w.sweep()
				if d := w.state(m, user, tidings.SMS); d.State != step.want {
					t.Errorf("%s at %s: %s", n.zone, step.at.In(location(t, n.zone)), d.State)
				}
			}
		}
		if lasting[12*time.Hour] != 2 || lasting[13*time.Hour] != 2 || lasting[14*time.Hour] != 2 {
			t.Errorf("the nights last %v", lasting)
		}
		w.balanced()
	})
}
