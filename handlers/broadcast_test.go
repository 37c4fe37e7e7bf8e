package handlers_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"tidings"
	"tidings/internal/sqltest"
	"tidings/sql"
)

// cast accepts a broadcast to everybody of acme.
func (w *world) cast(b tidings.Broadcast, a tidings.Audience, channels ...tidings.Channel) tidings.ID {
	w.t.Helper()
	typ := "refund"
	if len(channels) == 1 {
		typ = "web"
	}
	m := message(typ, a, channels...)
	m.Lane, m.Broadcast = tidings.Bulk, &b
	return w.accept(m)[0].ID
}

// steps runs what is open, at most n segments; a segment that is put aside is dropped from the conveyor, as in asynq.
func (w *world) steps(n int) (ran, aside int) {
	w.t.Helper()
	w.collect()
	for ran+aside < n {
		s, ok := w.next()
		if !ok {
			return ran, aside
		}
		following, err := w.stages[name(s)].Run(context.Background(), s)
		if errors.Is(err, tidings.ErrStale) {
			aside++
			continue
		}
		must(w.t, err)
		ran++
		w.queue = append(w.queue, following...)
	}
	return ran, aside
}

// findable counts the open segments that a sweep would find.
func (w *world) findable() int {
	w.t.Helper()
	open, err := w.db.Untouched(context.Background(), -time.Second, 10_000)
	must(w.t, err)
	return len(open)
}

func TestABroadcastThatIsPausedGoesOnWhereItStood(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		w, ctx := newWorld(t, db), context.Background()
		w.crowd(5000, 1)
		id := w.cast(tidings.Broadcast{}, tidings.Audience{Merchants: []string{"big"}}, tidings.Web)
		w.steps(9) // the first page, some of what follows it
		must(t, db.SteerBroadcast(ctx, "orders", id, tidings.BroadcastPaused))
		must(t, db.SteerBroadcast(ctx, "orders", id, tidings.BroadcastPaused))
		w.queue = nil
		_, aside := w.steps(1000)
		before := len(w.streams.numbers)
		if aside == 0 || before >= 5000 || w.findable() != 0 {
			t.Fatalf("%d put aside, %d reached, %d due", aside, before, w.findable())
		}
		// What is accepted beside it goes on.
		w.accept(message("web", tidings.Audience{Users: []string{"u01"}}, tidings.Web))
		w.steps(1000)
		if len(w.streams.numbers["u01"]) != 1 {
			t.Error("another message waits for the paused broadcast")
		}
		delete(w.streams.numbers, "u01")
		b, err := db.Broadcast(ctx, "orders", id)
		if must(t, err); b.State != tidings.BroadcastPaused || b.Progress.Frozen != 5000 || len(w.streams.numbers) > before {
			t.Errorf("%+v %+v, %d reached", b, b.Progress, len(w.streams.numbers))
		}
		must(t, db.SteerBroadcast(ctx, "orders", id, tidings.BroadcastRunning))
		if w.findable() == 0 {
			t.Fatal("nothing was let go")
		}
		w.run() // each segment twice
		w.collect()
		w.run()
		w.balanced()
		for user, numbers := range w.streams.numbers {
			if len(numbers) != 1 {
				t.Fatalf("%s got %v", user, numbers)
			}
		}
		if len(w.streams.numbers) != 5000 {
			t.Errorf("%d users were reached", len(w.streams.numbers))
		}
		b, err = db.Broadcast(ctx, "orders", id)
		if must(t, err); b.Progress.Percent != 100 || b.Progress.Rendered != 5000 || b.Progress.Routed != 5000 {
			t.Errorf("%+v", b.Progress)
		}
	})
}

func TestAPauseStopsAProvidersSegmentInItsMiddle(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		w, ctx := newWorld(t, db), context.Background()
		var users []string
		for i := range 40 {
			users = append(users, fmt.Sprintf("p%03d", i))
			must(t, db.PutUsers(ctx, []tidings.User{{ID: users[i], Name: "P", Locale: "zh-CN"}}),
				db.PutAddresses(ctx, users[i], []tidings.Address{{Channel: tidings.SMS, Value: fmt.Sprintf("+8613900%06d", i)}}))
		}
		m := message("refund", tidings.Audience{Users: users}, tidings.SMS)
		m.Lane, m.Broadcast = tidings.Bulk, &tidings.Broadcast{}
		id := w.accept(m)[0].ID
		paused := false
		w.sender.reply = func(tidings.Call) error { // under the sender's lock
			if !paused {
				paused = true
				return db.SteerBroadcast(ctx, "orders", id, tidings.BroadcastPaused)
			}
			return nil
		}
		w.steps(1000)
		// The first chunk, and the second, which takes the lane's other places when the first is slow to begin.
		if n := len(w.sender.calls); n == 0 || n > 25 {
			t.Fatalf("%d calls, the first of which paused it", n)
		}
		must(t, db.SteerBroadcast(ctx, "orders", id, tidings.BroadcastRunning))
		w.run()
		w.balanced()
		seen := map[string]int{}
		for _, c := range w.sender.calls {
			seen[c.User]++
		}
		if len(seen) != 40 || len(w.sender.calls) != 40 {
			t.Errorf("%d calls to %d users", len(w.sender.calls), len(seen))
		}
	})
}

func TestACanceledBroadcastEndsWithWhatIsPending(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		w, ctx := newWorld(t, db), context.Background()
		w.crowd(5000, 1)
		id := w.cast(tidings.Broadcast{MustRead: true}, tidings.Audience{Merchants: []string{"big"}}, tidings.Web)
		w.steps(9)
		must(t, db.SteerBroadcast(ctx, "orders", id, tidings.BroadcastPaused))
		w.steps(1000)
		before := len(w.streams.numbers)
		must(t, db.SteerBroadcast(ctx, "orders", id, tidings.BroadcastCanceled))
		w.run()
		w.balanced()
		if len(w.streams.numbers) > before {
			t.Errorf("%d were reached after the cancel", len(w.streams.numbers)-before)
		}
		if err := db.SteerBroadcast(ctx, "orders", id, tidings.BroadcastRunning); tidings.CodeOf(err) != tidings.Conflict {
			t.Errorf("resumed: %v", err)
		}
		if err := db.SteerBroadcast(ctx, "payments", id, tidings.BroadcastCanceled); tidings.CodeOf(err) != tidings.NotFound {
			t.Errorf("another's: %v", err)
		}
	})
}

func TestARateHoldsOverTheWorkers(t *testing.T) {
	const rate, people, step = 500, 3000, 200 * time.Millisecond
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		w, ctx := newWorld(t, db), context.Background()
		w.crowd(people, 1)
		start := time.Now().Truncate(time.Second)
		w.at(start) // the pace goes by the database's clock, and so the machine may be as slow as it likes
		t.Cleanup(func() { must(t, db.StopClock(ctx, time.Time{})) })
		id := w.cast(tidings.Broadcast{Rate: rate}, tidings.Audience{Merchants: []string{"big"}}, tidings.Web)
		frozen := 0
		for elapsed := time.Duration(0); frozen < people && elapsed < time.Minute; elapsed += step {
			w.at(start.Add(elapsed))
			var err error
			w.queue, err = db.Untouched(ctx, tidings.Grace, 10_000) // a sweep
			must(t, err)
			fresh, err := db.Untouched(ctx, 0, 10_000)
			must(t, err)
			for _, s := range fresh {
				if s.Parent == 0 && frozen == 0 {
					w.queue = append(w.queue, s)
				}
			}
			for s, ok := w.next(); ok; s, ok = w.next() {
				following, err := w.stages[name(s)].Run(ctx, s)
				if !errors.Is(err, tidings.ErrStale) {
					must(t, err)
				}
				w.queue = append(w.queue, following...)
			}
			b, err := db.Broadcast(ctx, "orders", id)
			must(t, err)
			frozen = b.Progress.Frozen
			if most := int((elapsed.Seconds() + 1.1) * rate); frozen > most {
				t.Fatalf("%d after %s, at most %d", frozen, elapsed, most)
			}
			if least := int((elapsed.Seconds() - 1.1) * rate); frozen < min(least, people) {
				t.Fatalf("%d after %s, at least %d", frozen, elapsed, least)
			}
		}
		if frozen != people {
			t.Fatalf("%d of %d", frozen, people)
		}
		w.run()
		w.balanced()
	})
}

func TestARemindersAudienceIsWhoHasNotRead(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		w, ctx := newWorld(t, db), context.Background()
		soon := time.Now().Add(-time.Second) // already due
		id := w.cast(tidings.Broadcast{MustRead: true, Reminders: []tidings.Reminder{
			{N: 1, DueAt: soon, Channels: []tidings.Channel{tidings.Web}}, {N: 2, DueAt: time.Now().Add(time.Hour), Channels: []tidings.Channel{tidings.SMS}}}},
			tidings.Audience{Merchants: []string{"acme"}}, tidings.Web, tidings.SMS)
		w.run()
		for _, u := range []string{"u00", "u01", "u02"} {
			_, err := db.Mark(ctx, u, tidings.MarkRead, []tidings.ID{id}, 0)
			must(t, err)
		}
		_, err := db.Tend(ctx)
		must(t, err, remind(db))
		w.run()
		b, err := db.Broadcast(ctx, "orders", id)
		must(t, err)
		if r := b.Reminders; len(r) != 2 || r[0].State != tidings.ReminderSent || r[0].Users != 9 || r[1].State != tidings.ReminderWaiting {
			t.Fatalf("%+v", r)
		}
		child, err := db.Broadcast(ctx, "orders", b.Reminders[0].Message)
		if must(t, err); child.Parent != id || child.Progress.Audience != 9 || child.Progress.Counts[tidings.Web][tidings.Sent] != 9 {
			t.Errorf("%+v %+v", child, child.Progress)
		}
		// Reading the reminder is reading.
		_, err = db.Mark(ctx, "u03", tidings.MarkRead, []tidings.ID{child.ID}, 0)
		must(t, err)
		if reads, err := db.Reads(ctx, "orders", id, tidings.ReadQuery{}); err != nil || reads.Total != 12 || reads.Read != 4 {
			t.Errorf("%+v %v", reads, err)
		}
		w.balanced()
		must(t, db.SteerBroadcast(ctx, "orders", id, tidings.BroadcastCanceled))
		b, err = db.Broadcast(ctx, "orders", id)
		if must(t, err); b.Reminders[1].State != tidings.ReminderDropped {
			t.Errorf("%+v", b.Reminders)
		}
	})
}

func TestAReminderIsNeedlessWhenEverybodyHasRead(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		w, ctx := newWorld(t, db), context.Background()
		id := w.cast(tidings.Broadcast{MustRead: true, Reminders: []tidings.Reminder{{N: 1, DueAt: time.Now().Add(-time.Second), Channels: []tidings.Channel{tidings.Web}}}},
			tidings.Audience{Users: []string{"u00", "u01"}}, tidings.Web)
		w.run()
		for _, u := range []string{"u00", "u01"} {
			_, err := db.Mark(ctx, u, tidings.MarkRead, []tidings.ID{id}, 0)
			must(t, err)
		}
		must(t, remind(db), remind(db))
		b, err := db.Broadcast(ctx, "orders", id)
		if must(t, err); b.Reminders[0].State != tidings.ReminderNeedless || b.Reminders[0].Message != 0 || b.Progress.Read != 2 {
			t.Errorf("%+v %+v", b.Reminders, b.Progress)
		}
		if ran, _ := w.steps(10); ran != 0 || len(w.streams.numbers["u00"]) != 1 {
			t.Errorf("%d segments for nobody", ran)
		}
		w.balanced()
	})
}

func remind(db *sql.DB) error {
	_, err := db.Remind(context.Background())
	return err
}

func TestTheTreeAddsUp(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		w, ctx := newWorld(t, db), context.Background()
		must(t, db.PutStores(ctx, []tidings.Store{{ID: "acme-1", Merchant: "acme", Name: "One", Region: "east"}, {ID: "acme-2", Merchant: "acme", Name: "Two", Region: "west"}}))
		id := w.cast(tidings.Broadcast{MustRead: true}, tidings.Audience{Everyone: true}, tidings.Web)
		w.run()
		for _, u := range []string{"u00", "u01", "u02", "u05"} {
			_, err := db.Mark(ctx, u, tidings.MarkRead, []tidings.ID{id}, 0)
			must(t, err)
		}
		at := func(q tidings.ReadQuery) map[string][2]int {
			t.Helper()
			reads, err := db.Reads(ctx, "orders", id, q)
			must(t, err)
			got := map[string][2]int{"all": {reads.Total, reads.Read}}
			for _, n := range reads.Nodes {
				got[n.ID] = [2]int{n.Total, n.Read}
			}
			return got
		}
		p := func(s string) *string { return &s }
		// u00 u03 u06 u09: acme and acme-1 · u01 ...: acme-1 · u02 ...: acme-2
		for _, c := range []struct {
			q    tidings.ReadQuery
			want map[string][2]int
		}{
			{tidings.ReadQuery{}, map[string][2]int{"all": {12, 4}, "": {4, 1}, "east": {8, 2}, "west": {4, 2}}},
			{tidings.ReadQuery{Region: p("east")}, map[string][2]int{"all": {8, 2}, "acme": {8, 2}}},
			{tidings.ReadQuery{Merchant: p("acme")}, map[string][2]int{"all": {12, 4}, "": {4, 1}, "acme-1": {8, 2}, "acme-2": {4, 2}}},
			{tidings.ReadQuery{Merchant: p("acme"), Store: p("acme-2")}, map[string][2]int{"all": {4, 2}, "u02": {1, 1}, "u05": {1, 1}, "u08": {1, 0}, "u11": {1, 0}}},
			{tidings.ReadQuery{Store: p("acme-2"), After: "u05", Limit: 1}, map[string][2]int{"all": {4, 2}, "u08": {1, 0}}},
		} {
			if got := at(c.q); fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("%+v: %v, want %v", c.q, got, c.want)
			}
		}
		lines := 0
		must(t, db.Proof(ctx, "orders", id, func(l tidings.ProofLine) error { lines++; return nil }))
		if lines != 16 {
			t.Errorf("%d lines", lines)
		}
		plain := w.cast(tidings.Broadcast{}, tidings.Audience{Users: []string{"u00"}}, tidings.Web)
		if _, err := db.Reads(ctx, "orders", plain, tidings.ReadQuery{}); tidings.CodeOf(err) != tidings.Conflict {
			t.Errorf("%v", err)
		}
	})
}
