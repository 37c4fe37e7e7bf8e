package handlers_test

import (
	"context"
	dbsql "database/sql"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"tidings"
)

// at stops the database's clock.
func (w *world) at(t time.Time) {
	w.t.Helper()
	w.stopped = time.Now()
	must(w.t, w.db.StopClock(context.Background(), t))
}

// sweep does what the relay does every second, and all that follows.
func (w *world) sweep() (segments int) {
	w.t.Helper()
	due, err := w.db.Due(context.Background(), 1000)
	must(w.t, err)
	reminders, err := w.db.Tend(context.Background())
	must(w.t, err)
	w.queue = slices.Concat(w.queue, due, reminders)
	w.run()
	return len(due) + len(reminders)
}

func (w *world) routeType(change func(*tidings.MessageType)) {
	w.t.Helper()
	w.publish("step", []tidings.Channel{tidings.Web, tidings.SMS}, map[string]string{"zh-CN": "{{ order }}"})
	t := tidings.MessageType{Application: "orders", Name: "step", Lane: tidings.Normal, Channels: []tidings.Channel{tidings.Web, tidings.SMS},
		Variables: []tidings.Variable{{Name: "order", Type: tidings.VariableString}}}
	change(&t)
	if errs := t.Validate(); len(errs) > 0 {
		w.t.Fatal(errs)
	}
	must(w.t, w.db.PutType(context.Background(), t))
	w.t.Cleanup(func() { must(w.t, w.db.StopClock(context.Background(), time.Time{})) })
}

// planned is when the route stage decided. The stages of one process carry the database's time on, as their own clock goes, from
// when the first of them read it, while the test's stands still.
func (w *world) planned(accepted, at time.Time) time.Time {
	w.t.Helper()
	if d := at.Sub(accepted); d < 0 || d > time.Since(w.stopped) {
		w.t.Fatalf("planned %s after it was accepted", d)
	}
	return at
}

// missed fails unless the balance misses the row that the statement deletes.
func (w *world) missed(raw *dbsql.DB, statement string) {
	w.t.Helper()
	change(w.t, raw, statement)
	if b, err := w.db.Balance(context.Background(), time.Hour); err != nil || len(b.Faults) == 0 {
		w.t.Errorf("the balance does not see that somebody said %q, %v", statement, err)
	}
}

// state is the state and reason of the user's delivery on a channel.
func (w *world) state(m tidings.Message, user string, c tidings.Channel) tidings.DeliveryTrace {
	w.t.Helper()
	for _, d := range w.trace(m) {
		if d.User == user && d.Channel == c {
			return d
		}
	}
	return tidings.DeliveryTrace{}
}

func escalating(until tidings.Until) func(*tidings.MessageType) {
	return func(t *tidings.MessageType) {
		t.Route = &tidings.RoutePath{Until: until, Steps: []tidings.Step{{Channels: []tidings.Channel{tidings.Web}},
			{Channels: []tidings.Channel{tidings.SMS}, After: 600}, {Channels: []tidings.Channel{tidings.Web}, After: 300, To: "role:manager"},
			{Channels: []tidings.Channel{tidings.Web}, After: 300, To: tidings.ToHeadOffice}}}
	}
}

func TestAnEscalationToTheSecondWithAReadInTheMiddle(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, raw *dbsql.DB) {
		ctx := context.Background()
		w.routeType(escalating(tidings.UntilUser))
		start := time.Now().Truncate(time.Second)
		w.at(start)
		ms := w.accept(message("step", tidings.Audience{Users: []string{"u00"}}, tidings.Web, tidings.SMS),
			message("step", tidings.Audience{Users: []string{"u03"}}, tidings.Web, tidings.SMS))
		w.run()
		start = w.planned(start, w.state(ms[0], "u00", tidings.SMS).DueAt.Add(-10*time.Minute))
		for _, m := range ms {
			user := m.Audience.Users[0]
			if d := w.state(m, user, tidings.Web); d.State != tidings.Sent {
				t.Errorf("%+v", d)
			}
			if d := w.state(m, user, tidings.SMS); d.State != tidings.Held || d.Reason != tidings.RouteStep || !d.DueAt.Equal(start.Add(10*time.Minute)) {
				t.Errorf("%+v", d)
			}
		}
		w.at(start.Add(10*time.Minute - time.Microsecond))
		if n := w.sweep(); n != 0 {
			t.Errorf("%d segments before its time", n)
		}
		if n, err := w.db.Mark(ctx, "u03", tidings.MarkRead, []tidings.ID{ms[1].ID}, 0); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if d := w.state(ms[1], "u03", tidings.SMS); d.State != tidings.Suppressed || d.Reason != tidings.WasRead {
			t.Errorf("a read cancels the rest at once: %+v", d)
		}
		w.at(start.Add(10 * time.Minute))
		w.sweep()
		if d := w.state(ms[0], "u00", tidings.SMS); d.State != tidings.Sent {
			t.Errorf("%+v", d)
		}
		w.at(start.Add(15*time.Minute - time.Second))
		w.sweep()
		if n := number(t, raw, "SELECT count(*) FROM messages"); n != 2 {
			t.Errorf("%d messages before the manager's time", n)
		}
		if s, err := w.db.Message(ctx, "orders", ms[0].ID); err != nil || s.Status != "processing" || len(s.Escalations) != 2 {
			t.Errorf("%+v %v", s, err)
		}
		w.at(start.Add(15 * time.Minute))
		var both sync.WaitGroup // two workers make one
		for range 2 {
			both.Go(func() { _, err := w.db.Due(ctx, 1000); must(t, err) })
		}
		both.Wait()
		w.run()
		if n := number(t, raw, "SELECT count(*) FROM messages"); n != 3 {
			t.Fatalf("%d messages after the manager's time", n)
		}
		// u00 was named himself: the managers of all that is his, which is acme-1 (u01, u04, u07, u10).
		if n := number(t, raw, "SELECT count(*) FROM deliveries WHERE message_id = (SELECT max(child) FROM escalations) AND state = 'sent'"); n != 4 {
			t.Errorf("%d managers", n)
		}
		if n := number(t, raw, "SELECT count(*) FROM escalations WHERE reason = 'read' AND state = 'suppressed'"); n != 2 {
			t.Errorf("%d steps are spared", n)
		}
		_, err := w.db.Mark(ctx, "u00", tidings.MarkRead, nil, ms[0].ID)
		must(t, err)
		w.at(start.Add(30 * time.Minute))
		w.sweep()
		if n := number(t, raw, "SELECT count(*) FROM messages"); n != 3 {
			t.Errorf("%d messages: the head office is told of what was read", n)
		}
		w.balanced()
		w.missed(raw, "DELETE FROM escalations WHERE step = 4 AND message_id = (SELECT min(message_id) FROM escalations)")
	})
}

func TestOneReadByAnyoneEndsTheWholeFamily(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, raw *dbsql.DB) {
		w.routeType(escalating(tidings.UntilAnyone))
		start := time.Now().Truncate(time.Second)
		w.at(start)
		m := w.accept(message("step", tidings.Audience{Stores: []string{"acme-1"}, Roles: []string{"clerk"}}, tidings.Web, tidings.SMS))[0]
		w.run()
		start = w.planned(start, w.state(m, "u00", tidings.SMS).DueAt.Add(-10*time.Minute))
		w.at(start.Add(10 * time.Minute))
		w.sweep()
		w.at(start.Add(15 * time.Minute))
		w.sweep()
		child := number(t, raw, "SELECT child FROM escalations WHERE step = 3")
		if child == 0 {
			t.Fatal("no manager was told")
		}
		if _, err := w.db.Mark(context.Background(), "u01", tidings.MarkRead, []tidings.ID{tidings.ID(child)}, 0); err != nil {
			t.Fatal(err)
		}
		if n := number(t, raw, "SELECT count(*) FROM escalations WHERE step = 4 AND state = 'suppressed' AND reason = 'read'"); n != 1 {
			t.Error("the head office's step goes on")
		}
		w.at(start.Add(time.Hour - time.Minute))
		w.sweep()
		if n := number(t, raw, "SELECT count(*) FROM messages"); n != 2 {
			t.Errorf("%d messages", n)
		}
		w.balanced()
	})
}

func TestACanceledMessageEscalatesNoMore(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, raw *dbsql.DB) {
		ctx := context.Background()
		w.routeType(escalating(tidings.UntilUser))
		start := time.Now().Truncate(time.Second)
		w.at(start)
		ms := w.accept(message("step", tidings.Audience{Users: []string{"u00"}}, tidings.Web, tidings.SMS), message("step", tidings.Audience{Users: []string{"u03"}}, tidings.Web, tidings.SMS))
		w.run()
		if n, err := w.db.CancelDelivery(ctx, "orders", ms[1].ID, "u03", tidings.SMS); n != 1 || err != nil {
			t.Error(n, err)
		}
		if _, err := w.db.CancelDelivery(ctx, "orders", ms[1].ID, "u03", tidings.App); tidings.CodeOf(err) != tidings.NotFound {
			t.Error(err)
		}
		if d := w.state(ms[1], "u03", tidings.SMS); d.State != tidings.Canceled {
			t.Errorf("%+v", d)
		}
		_, err := w.db.Cancel(ctx, "orders", ms[0].ID)
		must(t, err)
		w.at(start.Add(50 * time.Minute))
		w.sweep()
		if n := number(t, raw, "SELECT count(*) FROM escalations WHERE state = 'canceled'"); n != 2 {
			t.Errorf("%d steps are canceled", n)
		}
		w.balanced()
	})
}

func TestDeliveriesWaitUntilTheStoreOpens(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, _ *dbsql.DB) {
		w.routeType(func(t *tidings.MessageType) { t.Hours = tidings.HoursHold })
		kolkata := tidings.Store{ID: "acme-1", Merchant: "acme", Name: "One", Timezone: "Asia/Kolkata", Hours: tidings.Hours{}}
		for _, d := range []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"} {
			kolkata.Hours[d] = []string{"10:00-18:00"}
		}
		must(t, w.db.PutStores(context.Background(), []tidings.Store{kolkata}))
		opens, _ := kolkata.Opens(time.Now().AddDate(0, 0, 1).Truncate(24 * time.Hour)) // at midnight UTC it is closed
		start := opens.Add(-30 * time.Minute).UTC()
		w.at(start)
		m := message("step", tidings.Audience{Stores: []string{"acme-1"}, Roles: []string{"manager"}}, tidings.Web, tidings.SMS)
		m.ExpiresAt = start.Add(48 * time.Hour)
		m = w.accept(m)[0]
		w.run()
		if d := w.state(m, "u01", tidings.SMS); d.State != tidings.Held || d.Reason != tidings.StoreClosed || d.DueAt.Sub(start).Round(time.Second) > 24*time.Hour {
			t.Fatalf("%+v", d)
		}
		if d := w.state(m, "u01", tidings.Web); d.State != tidings.Sent {
			t.Errorf("the web does not wait: %+v", d)
		}
		due := w.state(m, "u01", tidings.SMS).DueAt
		if local := due.In(location(t, "Asia/Kolkata")).Format("15:04:05"); local != "10:00:00" {
			t.Errorf("due at %s", local)
		}
		w.at(due.Add(-time.Second))
		w.sweep()
		if d := w.state(m, "u01", tidings.SMS); d.State != tidings.Held {
			t.Errorf("%+v", d)
		}
		w.at(due)
		w.sweep()
		if d := w.state(m, "u01", tidings.SMS); d.State != tidings.Sent {
			t.Errorf("%+v", d)
		}
		w.balanced()
	})
}

func location(t *testing.T, name string) *time.Location {
	zone, err := time.LoadLocation(name)
	must(t, err)
	return zone
}

func TestADigestHoldsEachEventOnceUnderTwoConcurrentOnes(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, raw *dbsql.DB) {
		ctx := context.Background()
		w.publish("summary", []tidings.Channel{tidings.SMS}, map[string]string{"zh-CN": "{{ count }}", "en-US": "{{ count }}"})
		w.routeType(func(t *tidings.MessageType) {
			t.Digest = &tidings.Digest{Window: 600, Channels: []tidings.Channel{tidings.SMS}, Type: "summary"}
		})
		start := time.Now().Truncate(time.Second)
		w.at(start)
		event := func() tidings.Message {
			return message("step", tidings.Audience{Users: []string{"u00"}}, tidings.Web, tidings.SMS)
		}
		first := w.accept(event())[0]
		w.run()
		start = w.planned(start, w.state(first, "u00", tidings.SMS).DueAt.Add(-10*time.Minute))
		if d := w.state(first, "u00", tidings.SMS); d.State != tidings.Held || d.Reason != tidings.InDigest || !d.DueAt.Equal(start.Add(10*time.Minute)) {
			t.Fatalf("%+v", d)
		}
		if d := w.state(first, "u00", tidings.Web); d.State != tidings.Sent {
			t.Errorf("the web waits: %+v", d)
		}
		w.at(start.Add(10*time.Minute - time.Second))
		w.sweep()
		if n := number(t, raw, "SELECT count(*) FROM messages"); n != 1 {
			t.Errorf("%d messages before the window's end", n)
		}
		// At the window's edge: one event before, one after, at the same time as two sweeps.
		for range 2 {
			w.accept(event())
			route := w.until("route")
			w.at(start.Add(10 * time.Minute))
			var both sync.WaitGroup
			var following, due [2][]tidings.Segment
			both.Go(func() {
				var err error
				following[0], err = w.stages["route"].Run(ctx, route)
				must(t, err)
			})
			for i := range due {
				both.Go(func() {
					var err error
					due[i], err = w.db.Due(ctx, 1000)
					must(t, err)
				})
			}
			both.Wait()
			w.queue = append(append(append(w.queue, following[0]...), due[0]...), due[1]...)
			w.run()
			w.at(start.Add(10*time.Minute - time.Second))
		}
		w.at(start.Add(21 * time.Minute))
		w.sweep()
		if n := number(t, raw, "SELECT count(*) FROM deliveries WHERE channel = 'sms' AND reason = 'digested'"); n != 3 {
			t.Errorf("%d of 3 events are in digests", n)
		}
		if n := number(t, raw, "SELECT count(*) FROM digest_items WHERE digest > 0"); n != 3 {
			t.Errorf("%d of 3", n)
		}
		total := int64(0)
		for _, c := range w.sender.calls {
			for _, r := range c.Content.Body {
				total += int64(r - '0')
			}
		}
		if total != 3 {
			t.Errorf("the digests tell of %d events: %+v", total, w.sender.calls)
		}
		w.balanced()
		w.missed(raw, "DELETE FROM digest_items WHERE message_id = (SELECT min(message_id) FROM digest_items)")
	})
}

func TestWhatIsCanceledIsNotToldInADigest(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, raw *dbsql.DB) {
		w.publish("summary", []tidings.Channel{tidings.SMS}, map[string]string{"zh-CN": "{{ count }}", "en-US": "{{ count }}"})
		w.routeType(func(t *tidings.MessageType) {
			t.Digest = &tidings.Digest{Window: 600, Channels: []tidings.Channel{tidings.SMS}, Type: "summary"}
		})
		start := time.Now().Truncate(time.Second)
		w.at(start)
		event := message("step", tidings.Audience{Users: []string{"u00"}}, tidings.SMS)
		ms := w.accept(event, event)
		w.run()
		change(t, raw, fmt.Sprintf("UPDATE messages SET canceled_at = 1 WHERE id = %d", ms[0].ID)) // which did not see the delivery that the route stage had in hand
		w.at(start.Add(11 * time.Minute))
		w.sweep()
		if len(w.sender.calls) != 1 || w.sender.calls[0].Content.Body != "1" {
			t.Errorf("%+v", w.sender.calls)
		}
		w.want(ms[0], tidings.Canceled, tidings.CanceledByApp)
		w.want(ms[1], tidings.Suppressed, tidings.Digested)
		w.balanced()
	})
}
