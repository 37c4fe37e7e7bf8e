package handlers_test

import (
	"context"
	dbsql "database/sql"
	"strings"
	"testing"
	"time"

	"tidings"
	"tidings/internal/sqltest"
	"tidings/sql"
)

func TestWhatASuspendedApplicationSentIsHeldUntilItIsResumed(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		w, ctx := newWorld(t, db), context.Background()
		w.accept(message("refund", tidings.Audience{Users: []string{"u00", "u03"}}, tidings.Web, tidings.SMS))
		// One more stands queued before the deliver stage when the application is suspended.
		w.accept(message("refund", tidings.Audience{Users: []string{"u01"}}, tidings.SMS))
		w.collect()
		for _, stage := range []string{"acquire", "render", "route"} {
			var later []tidings.Segment
			for s, ok := w.next(); ok; s, ok = w.next() {
				if name(s) != stage || len(later) > 0 && stage == "acquire" {
					later = append(later, s)
					continue
				}
				following, err := w.stages[stage].Run(ctx, s)
				must(t, err)
				later = append(later, following...)
			}
			w.queue = later
		}
		must(t, db.SetApplicationState(ctx, "orders", tidings.ApplicationSuspended))
		before := len(w.streams.numbers["u00"])
		w.accept(message("refund", tidings.Audience{Users: []string{"u02"}}, tidings.Web, tidings.SMS))
		w.run()
		b := w.balanced()
		if len(w.sender.calls) != 0 || len(w.streams.numbers["u02"]) != 0 || b.Deliveries[tidings.Held] < 3 {
			t.Fatalf("%d calls, %v, %+v", len(w.sender.calls), w.streams.numbers, b.Deliveries)
		}
		if due, err := db.Due(ctx, 100); err != nil || len(due) != 0 {
			t.Errorf("%v %v", due, err)
		}
		must(t, db.SetApplicationState(ctx, "orders", tidings.ApplicationActive))
		due, err := db.Due(ctx, 100)
		if must(t, err); len(due) == 0 {
			t.Fatal("nothing was let go")
		}
		w.run()
		if b = w.balanced(); b.Deliveries[tidings.Held] != 0 || len(w.sender.calls) != 4 || len(w.streams.numbers["u02"]) != 1 || before > len(w.streams.numbers["u00"]) {
			t.Errorf("%d calls, %v, %+v", len(w.sender.calls), w.streams.numbers, b.Deliveries)
		}
	})
}

func TestOnlyTheVersionForAPartOfTheStoresIsDiscarded(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		w, ctx := newWorld(t, db), context.Background()
		made, err := db.CreateTemplate(ctx, tidings.Template{Application: "orders", Type: "refund", Channel: tidings.SMS, Locale: "zh-CN", Body: "new {{ order }}"})
		must(t, err)
		_, err = db.Publish(ctx, made.Ref(), 50, true)
		must(t, err)
		must(t, db.SetApplicationState(ctx, "orders", tidings.ApplicationSuspended))
		var users []string
		for i := range 6 { // those who have a phone
			users = append(users, "u0"+string(rune('0'+i)))
		}
		w.accept(message("refund", tidings.Audience{Users: users}, tidings.SMS))
		w.run()
		old := made.Ref()
		old.Version = 1
		n, err := db.Discard(ctx, made.Ref())
		must(t, err)
		m, err := db.Discard(ctx, old)
		must(t, err)
		if n == 0 || m == 0 || n+m > 6 { // the others read English
			t.Errorf("%d of the new version, %d of the old", n, m)
		}
	})
}

func TestADiscardedVersionIsTakenBackAtOnce(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		w, ctx := newWorld(t, db), context.Background()
		w.accept(message("refund", tidings.Audience{Users: []string{"u00"}}, tidings.SMS))
		must(t, db.SetApplicationState(ctx, "orders", tidings.ApplicationSuspended))
		w.run()
		ref := tidings.TemplateRef{Application: "orders", Type: "refund", Channel: tidings.SMS, Locale: "zh-CN", Version: 1}
		if n, err := db.Discard(ctx, ref); err != nil || n != 1 {
			t.Errorf("%d %v", n, err)
		}
		if n, err := db.Discard(ctx, ref); err != nil || n != 0 {
			t.Errorf("again: %d %v", n, err)
		}
		must(t, db.SetApplicationState(ctx, "orders", tidings.ApplicationActive))
		w.run()
		if b := w.balanced(); b.Deliveries[tidings.Canceled] != 1 || len(w.sender.calls) != 0 {
			t.Errorf("%+v, %d calls", b.Deliveries, len(w.sender.calls))
		}
	})
}

// resumed is the work of another process, of which this one's memory of who is suspended does not know yet.
const resumed = `UPDATE applications SET state = 'active'`

func TestWhatIsHeldAfterItsApplicationWasResumedElsewhereGoesOnAtOnce(t *testing.T) {
	for _, stage := range []string{"route", "deliver-sms", "sweep"} {
		t.Run(stage, func(t *testing.T) {
			eachWorld(t, func(t *testing.T, w *world, raw *dbsql.DB) {
				ctx := context.Background()
				m := w.accept(sms("u00"))[0]
				at := w.until(strings.Replace(stage, "sweep", "route", 1))
				must(t, w.db.SetApplicationState(ctx, "orders", tidings.ApplicationSuspended))
				if suspended, err := w.db.Suspended(ctx); !suspended["orders"] || err != nil {
					t.Fatal(suspended, err)
				}
				w.queue = append(w.queue, at)
				if stage == "sweep" {
					w.run()
				}
				change(t, raw, resumed)
				if stage == "sweep" {
					change(t, raw, "UPDATE deliveries SET due_at = 1")
				} else {
					w.run()
					w.want(m, tidings.Held, tidings.AppSuspended)
				}
				if n := w.sweep(); n != 1 || len(w.sender.calls) != 1 {
					t.Errorf("%d segments, %d calls: %+v", n, len(w.sender.calls), w.trace(m))
				}
			})
		})
	}
}

func TestStepsAndDigestsThatWaitedForAResumeGoOnWithIt(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, raw *dbsql.DB) {
		ctx := context.Background()
		w.publish("summary", []tidings.Channel{tidings.SMS}, map[string]string{"zh-CN": "{{ count }}", "en-US": "{{ count }}"})
		w.routeType(func(t *tidings.MessageType) {
			escalating(tidings.UntilUser)(t)
			t.Route.Steps = append(t.Route.Steps[:1:1], t.Route.Steps[2:]...)
		})
		events := tidings.MessageType{Application: "orders", Name: "refund", Lane: tidings.Normal, Channels: []tidings.Channel{tidings.SMS},
			Variables: []tidings.Variable{{Name: "order", Type: tidings.VariableString}},
			Digest:    &tidings.Digest{Window: 600, Channels: []tidings.Channel{tidings.SMS}, Type: "summary"}}
		must(t, w.db.PutType(ctx, events))
		start := time.Now().Truncate(time.Second)
		w.at(start)
		w.accept(message("step", tidings.Audience{Users: []string{"u00"}}, tidings.Web), sms("u03"))
		w.run()
		must(t, w.db.SetApplicationState(ctx, "orders", tidings.ApplicationSuspended))
		w.at(start.Add(11 * time.Minute))
		if w.sweep(); len(w.sender.calls) > 0 || number(t, raw, "SELECT count(*) FROM messages") != 2 {
			t.Fatal("it goes on while it is suspended")
		}
		w.at(start.Add(12 * time.Minute))
		if n := number(t, raw, "SELECT count(*) FROM deliveries WHERE reason = 'suspended' AND due_at > 0"); n != 1 {
			t.Errorf("%d are held for it", n)
		}
		must(t, w.db.SetApplicationState(ctx, "orders", tidings.ApplicationActive))
		w.sweep()
		w.sweep() // the message of the step, and the digest, have their own stages
		if n := number(t, raw, "SELECT count(*) FROM messages"); n != 2+2+1 || len(w.sender.calls) != 1 {
			t.Errorf("%d messages, %d calls", n, len(w.sender.calls))
		}
		w.balanced()
	})
}
