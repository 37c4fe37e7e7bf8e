package handlers_test

import (
	"context"
	dbsql "database/sql"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tidings"
	"tidings/handlers"
	"tidings/internal/sqltest"
	"tidings/sql"
)

func (w *world) quota(q tidings.Quota) {
	w.t.Helper()
	q.Application = "orders"
	must(w.t, w.db.PutQuota(context.Background(), q))
}

// budget is how the SMS budget stands when everything that can be settled is.
func (w *world) budget() tidings.Budget {
	w.t.Helper()
	ctx := context.Background()
	page, err := w.db.SettleReservations(ctx, sql.ReservationPage{}, 1000)
	must(w.t, err)
	if page != (sql.ReservationPage{}) {
		w.t.Fatal("more reservations than a page")
	}
	u, err := w.db.Usage(ctx, "orders", 1, time.Now())
	must(w.t, err)
	return u.Budget
}

func (w *world) wantBudget(reserved, spent, refunded int) {
	w.t.Helper()
	b := w.budget()
	if b.Reserved != reserved || b.Spent != spent || b.Refunded != refunded {
		w.t.Fatalf("%+v, want %d reserved, %d spent, %d refunded", b, reserved, spent, refunded)
	}
}

func TestABudgetIsSpentPartByPartAndNeverExceeded(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		w := newWorld(t, db)
		w.publish("long", []tidings.Channel{tidings.SMS}, map[string]string{"zh-CN": strings.Repeat("中", 100)}) // 2 parts
		w.quota(tidings.Quota{SMSBudget: 7})
		m := w.accept(message("long", tidings.Audience{Users: []string{"u00", "u01", "u02", "u03", "u04", "u09"}}, tidings.SMS))[0]
		w.run()
		w.wantBudget(0, 6, 0)
		got := map[tidings.Reason]int{}
		for _, d := range w.trace(m) {
			got[d.Reason]++
			last := d.Decisions[len(d.Decisions)-1]
			if (d.Reason == tidings.OverBudget) != (last.Outcome == tidings.Stops) || last.Rule != tidings.RuleBudget {
				t.Errorf("%s %s: %+v", d.User, d.Reason, d.Decisions)
			}
		}
		if got[tidings.NoReason] != 3 || got[tidings.OverBudget] != 2 || got[tidings.NoAddress] != 1 || len(w.sender.calls) != 3 {
			t.Fatalf("%v, %d calls", got, len(w.sender.calls))
		}
		w.balanced()
	})
}

func TestWhatIsNotSentIsRefunded(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, raw *dbsql.DB) {
		ctx := context.Background()
		w.quota(tidings.Quota{SMSBudget: 100})
		refused := &tidings.SendError{Outcome: tidings.Refused, Reason: tidings.ProviderRefused}
		silent := &tidings.SendError{Outcome: tidings.Unknown, Reason: tidings.ProviderSilent}
		busy := &tidings.SendError{Outcome: tidings.Busy, Reason: tidings.ProviderBusy}
		w.sender.reply = func(c tidings.Call) error {
			return map[string]error{"u01": refused, "u02": silent, "u03": busy}[c.User]
		}
		m := w.accept(sms("u00", "u01", "u02", "u03"))[0]
		w.run()
		w.wantBudget(1, 2, 1) // busy waits; sent and unknown are spent; refused is refunded
		_, err := w.db.Cancel(ctx, "orders", m.ID)
		must(t, err)
		w.wantBudget(0, 2, 2)

		later := sms("u00", "u01")
		later.SendAt = time.Now().Add(30 * time.Minute)
		w.accept(later)
		w.run()
		w.wantBudget(2, 2, 2)
		change(t, raw, "UPDATE deliveries SET due_at = 1, expires_at = 2 WHERE due_at IS NOT NULL")
		w.due(0)
		w.wantBudget(0, 2, 4)

		for _, d := range w.trace(m) {
			if d.User != "u00" && d.User != "u02" {
				continue
			}
			kind := map[string]tidings.ReceiptKind{"u00": tidings.ReceiptRejected, "u02": tidings.ReceiptNotDelivered}[d.User]
			for range 2 { // receipts come twice
				must(t, w.db.Receive(ctx, tidings.Receipt{Attempt: d.Attempts[0].ID, Kind: kind}))
			}
		}
		w.wantBudget(0, 1, 5) // the operator refused one after all; the other was charged and did not arrive
		w.balanced()
	})
}

func TestABudgetHoldsAgainstManyWorkersAtOnce(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		w := newWorld(t, db)
		w.quota(tidings.Quota{SMSBudget: 50, Daily: map[tidings.Channel]int{tidings.Web: 30}})
		refused := &tidings.SendError{Outcome: tidings.Refused, Reason: tidings.ProviderRefused}
		w.sender.reply = func(c tidings.Call) error {
			if c.User == "u05" {
				return refused
			}
			return nil
		}
		for range 20 {
			w.accept(message("refund", tidings.Audience{Users: []string{"u00", "u01", "u02", "u03", "u04", "u05"}}, tidings.Web, tidings.SMS))
		}
		w.collect()
		done := make(chan struct{})
		var watch, workers sync.WaitGroup
		watch.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				u, err := w.db.Usage(context.Background(), "orders", 1, time.Now())
				if err != nil || u.Budget.Reserved+u.Budget.Spent > 50 || u.Budget.Reserved < 0 || u.Used[tidings.Web] > 30 {
					t.Errorf("%+v, %v", u, err)
					return
				}
			}
		})
		for range 6 {
			workers.Go(func() {
				for s, ok := w.next(); ok; s, ok = w.next() {
					following, err := w.stages[name(s)].Run(context.Background(), s)
					if err != nil {
						t.Errorf("%s: %v", s.TaskID(), err)
					}
					w.mu.Lock()
					w.queue = append(w.queue, following...)
					w.mu.Unlock()
				}
			})
		}
		workers.Wait()
		close(done)
		watch.Wait()
		w.run() // what was put on the conveyor when the last worker had gone
		b := w.budget()
		calls, refusals := 0, 0
		for _, c := range w.sender.calls {
			calls++
			if c.User == "u05" {
				refusals++
			}
		}
		// What was refunded may have been reserved again, so that more calls than parts are possible, and never more parts.
		if b.Reserved != 0 || b.Spent > 50 || b.Spent != calls-refusals || b.Refunded != refusals || calls < 50 {
			t.Errorf("%+v after %d calls, of which %d were refused", b, calls, refusals)
		}
		if all := w.balanced(); all.Deliveries[tidings.Sent] != int64(b.Spent)+30 {
			t.Errorf("%+v", all)
		}
	})
}

func TestADailyQuotaStopsWhatIsBeyondIt(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		w := newWorld(t, db)
		w.quota(tidings.Quota{Daily: map[tidings.Channel]int{tidings.Web: 5}})
		m := w.accept(message("refund", tidings.Audience{Merchants: []string{"acme"}}, tidings.Web, tidings.SMS))[0]
		w.run()
		got := map[string]int{}
		for _, d := range w.trace(m) {
			got[string(d.Channel)+" "+string(d.State)+" "+string(d.Reason)]++
		}
		if got["web sent "] != 5 || got["web suppressed over_quota"] != 7 || got["sms sent "] != 6 {
			t.Errorf("%v", got)
		}
		for u, numbers := range w.streams.numbers {
			if len(numbers) != 1 || numbers[0] != 1 {
				t.Errorf("%s: %v", u, numbers)
			}
		}
		u, err := db.Usage(context.Background(), "orders", 3, time.Now())
		must(t, err)
		if u.Used[tidings.Web] != 5 || len(u.Days) != 3 || u.Days[2].Day != u.Today || u.Days[2].Counts[tidings.Web][tidings.Suppressed] != 7 {
			t.Errorf("%+v", u)
		}
		w.quota(tidings.Quota{}) // no limits any more
		w.accept(message("web", tidings.Audience{Merchants: []string{"acme"}}, tidings.Web))
		w.run()
		if b := w.balanced(); b.Deliveries[tidings.Sent] != 11+12 {
			t.Errorf("%+v", b)
		}
	})
}

func TestABudgetIsWarnedOfOnceAMonth(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		w := newWorld(t, db)
		w.quota(tidings.Quota{SMSBudget: 5})
		w.accept(sms("u00", "u01", "u02"))
		w.run()
		for i, want := range []bool{false, true, false} {
			if i == 1 {
				w.accept(sms("u03"))
				w.run()
			}
			bs, err := db.Budgets(ctx, time.Now())
			must(t, err)
			if len(bs) != 1 || bs[0].Low() != (i > 0) || bs[0].Warned != (i > 1) {
				t.Fatalf("%d: %+v", i, bs)
			}
			if bs[0].Low() {
				first, err := db.WarnBudget(ctx, bs[0])
				must(t, err)
				if first != want {
					t.Errorf("warned %v, want %v", first, want)
				}
			}
		}
		changes, err := db.Changes(ctx, tidings.ChangeQuery{Action: "budget", Limit: 10})
		must(t, err)
		if len(changes) != 1 || changes[0].Object != "application orders" {
			t.Errorf("%+v", changes)
		}
	})
}

func TestQuietHoursHoldUntilTheirEnd(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, raw *dbsql.DB) {
		ctx := context.Background()
		now := time.Now().UTC()
		quiet := tidings.QuietHours{From: now.Add(-time.Hour).Format("15:04"), To: now.Add(2 * time.Hour).Format("15:04"), Timezone: "UTC",
			Channels: []tidings.Channel{tidings.SMS}}
		must(t, w.db.PutType(ctx, tidings.MessageType{Application: "orders", Name: "refund", Lane: tidings.Normal,
			Channels: []tidings.Channel{tidings.Web, tidings.SMS}, Quiet: &quiet}))
		late := message("refund", tidings.Audience{Users: []string{"u00"}}, tidings.Web, tidings.SMS) // expires within them
		patient := late
		patient.ExpiresAt = now.Add(5 * time.Hour)
		ms := w.accept(late, patient)
		w.run()
		for i, want := range []struct {
			state tidings.State
			last  tidings.Verdict
		}{{tidings.Suppressed, tidings.Stops}, {tidings.Held, tidings.Holds}} {
			for _, d := range w.trace(ms[i]) {
				if d.Channel == tidings.Web {
					if d.State != tidings.Sent || d.Reason != tidings.NoReason {
						t.Errorf("web: %+v", d)
					}
					continue
				}
				said := d.Decisions[slices.Index(tidings.Rules, tidings.RuleQuiet)]
				if d.State != want.state || d.Reason != tidings.QuietTime || said.Rule != tidings.RuleQuiet || said.Outcome != want.last {
					t.Errorf("message %d: %+v", i, d)
				}
			}
		}
		w.due(0)
		change(t, raw, fmt.Sprintf("UPDATE deliveries SET due_at = due_at - %d WHERE due_at IS NOT NULL", (2*time.Hour).Microseconds()))
		w.due(1)
		w.run()
		if len(w.sender.calls) != 1 {
			t.Errorf("%d calls", len(w.sender.calls))
		}
		w.balanced()
	})
}

func TestAVersionForAPartOfTheStoresReachesTheirUsersAndNobodyElse(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		w := newWorld(t, db)
		percent, part := trialPercent(t)
		for _, c := range []tidings.Channel{tidings.Web, tidings.SMS} {
			made, err := db.CreateTemplate(ctx, tidings.Template{Application: "orders", Type: "refund", Channel: c, Locale: "zh-CN", Title: "T", Body: "新 {{ order }}"})
			must(t, err)
			_, err = db.Publish(ctx, made.Ref(), percent, true)
			must(t, err)
		}
		w.stages["render"] = handlers.Render(db, time.Now) // forgets what was published before
		w.accept(message("refund", tidings.Audience{Stores: []string{"acme-1", "acme-2"}}, tidings.Web, tidings.SMS))
		w.run()
		w.balanced()
		if len(w.sender.calls) != 6 {
			t.Fatalf("%d calls", len(w.sender.calls))
		}
		seen := map[string]int{}
		for _, c := range w.sender.calls {
			store := map[byte]string{'0': "acme-1", '1': "acme-1", '2': "acme-2", '3': "acme-1", '4': "acme-1", '5': "acme-2"}[c.User[2]]
			want := map[bool]string{true: "新 A-1", false: "退款 A-1"}[store == part]
			if c.User[2] == '1' || c.User[2] == '4' { // en-US, of which there is one version
				want = "Refund A-1"
			}
			if c.Content.Body != want {
				t.Errorf("%s of %s got %q, want %q", c.User, store, c.Content.Body, want)
			}
			seen[want]++
		}
		if len(seen) != 3 {
			t.Errorf("%v", seen)
		}
	})
}

func TestTheBalanceSeesAReservationThatVanished(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, raw *dbsql.DB) {
		w.quota(tidings.Quota{SMSBudget: 10})
		w.accept(sms("u00", "u01"))
		w.run()
		w.balanced()
		change(t, raw, "DELETE FROM reservations WHERE user_id = 'u01'")
		b, err := w.db.Balance(context.Background(), time.Minute)
		must(t, err)
		if len(b.Faults) != 1 || b.Faults[0].Rule != "budget" || b.Faults[0].Expected != 2 || b.Faults[0].Found != 1 {
			t.Errorf("%+v", b.Faults)
		}
	})
}

func TestASuspendedApplicationsDeliveriesSayWhyTheyWait(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		w := newWorld(t, db)
		m := w.accept(sms("u00"))[0]
		must(t, db.SetApplicationState(context.Background(), "orders", tidings.ApplicationSuspended))
		w.run()
		d := w.want(m, tidings.Held, tidings.AppSuspended)
		if said := d.Decisions[slices.Index(tidings.Rules, tidings.RuleSending)]; said.Rule != tidings.RuleSending || said.Outcome != tidings.Holds {
			t.Errorf("%+v", d.Decisions)
		}
	})
}

func TestADiscardedTrialTakesBackItsOwnDeliveriesAndTheirParts(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		ctx := context.Background()
		w := newWorld(t, db)
		w.quota(tidings.Quota{SMSBudget: 100})
		percent, part := trialPercent(t)
		made, err := db.CreateTemplate(ctx, tidings.Template{Application: "orders", Type: "refund", Channel: tidings.SMS, Locale: "zh-CN", Body: "新 {{ order }}"})
		must(t, err)
		_, err = db.Publish(ctx, made.Ref(), percent, true)
		must(t, err)
		later := message("refund", tidings.Audience{Stores: []string{"acme-1", "acme-2"}}, tidings.SMS)
		later.SendAt = time.Now().Add(30 * time.Minute)
		m := w.accept(later)[0]
		w.run()
		w.wantBudget(6, 0, 0)
		n, err := db.Discard(ctx, made.Ref())
		must(t, err)
		got := 0
		for _, d := range w.trace(m) {
			store := map[byte]string{'0': "acme-1", '1': "en", '2': "acme-2", '3': "acme-1", '4': "en", '5': "acme-2"}[d.User[2]]
			if d.User[1] == '0' && d.User[2] < '6' && (d.Reason == tidings.Discarded) != (store == part) {
				t.Errorf("%s of %s: %s %s", d.User, store, d.State, d.Reason)
			}
			if d.Reason == tidings.Discarded {
				got++
			}
		}
		if got != 2 || n != 2 {
			t.Errorf("%d discarded, and %d are", n, got)
		}
		w.wantBudget(4, 0, 2)
	})
}

// trialPercent finds a percentage that takes in one of the two stores, and tells which.
func trialPercent(t *testing.T) (percent int, store string) {
	for percent = 1; percent < 100; percent++ {
		one, two := tidings.InTrial("u", []string{"m:acme", "s:acme-1"}, percent), tidings.InTrial("u", []string{"s:acme-2"}, percent)
		switch {
		case one && !two:
			return percent, "acme-1"
		case two && !one:
			return percent, "acme-2"
		}
	}
	t.Fatal("both stores count alike")
	return 0, ""
}
