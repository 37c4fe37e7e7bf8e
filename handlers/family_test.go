package handlers_test

import (
	"context"
	dbsql "database/sql"
	"errors"
	"testing"
	"time"

	"tidings"
	"tidings/internal/proctest"
)

func TestABroadcastsStepsToOthersWaitWhileItIsPausedAndCountAsItself(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, raw *dbsql.DB) {
		ctx := context.Background()
		w.routeType(escalating(tidings.UntilUser))
		start := time.Now().Truncate(time.Second)
		w.at(start)
		m := message("step", tidings.Audience{Stores: []string{"acme-1"}}, tidings.Web, tidings.SMS)
		m.Lane, m.Broadcast = tidings.Bulk, &tidings.Broadcast{MustRead: true}
		m = w.accept(m)[0]
		w.run()
		w.sweep()
		stands := func(want tidings.BroadcastState) tidings.Broadcast {
			t.Helper()
			b, err := w.db.Broadcast(ctx, "orders", m.ID)
			if must(t, err); b.State != want {
				t.Fatalf("it is %s and not %s", b.State, want)
			}
			return b
		}
		if stands(tidings.BroadcastRunning); number(t, raw, "SELECT count(*) FROM escalations WHERE due_at IS NOT NULL") != 2 {
			t.Fatal("it has no steps to others")
		}
		must(t, w.db.SteerBroadcast(ctx, "orders", m.ID, tidings.BroadcastPaused))
		w.at(start.Add(16 * time.Minute))
		due, err := w.db.Due(ctx, 1000)
		must(t, err)
		w.queue = append(w.queue, due...)
		w.steps(1000)
		if n := number(t, raw, "SELECT count(*) FROM messages"); n != 1 {
			t.Fatalf("%d messages while it is paused", n)
		}
		must(t, w.db.SteerBroadcast(ctx, "orders", m.ID, tidings.BroadcastRunning))
		w.sweep()
		child := tidings.ID(number(t, raw, "SELECT max(child) FROM escalations"))
		if child == 0 {
			t.Fatal("no manager was told after it was resumed")
		}
		// u01 is a manager among its recipients: what he reads as a manager he has read.
		_, err = w.db.Mark(ctx, "u01", tidings.MarkRead, []tidings.ID{child}, 0)
		must(t, err)
		if reads, err := w.db.Reads(ctx, "orders", m.ID, tidings.ReadQuery{}); err != nil || reads.Read != 1 {
			t.Errorf("%+v %v", reads, err)
		}
		if b := stands(tidings.BroadcastRunning); b.Progress.Read != 1 { // the head office's step waits
			t.Errorf("%+v", b.Progress)
		}
		w.at(start.Add(2 * time.Hour))
		must(t, proctest.Until(20*time.Second, func() error {
			w.sweep()
			if b, err := w.db.Broadcast(ctx, "orders", m.ID); err != nil || b.State != tidings.BroadcastDone {
				return errors.New("it does not end")
			}
			return nil
		}))
		w.balanced()
	})
}
