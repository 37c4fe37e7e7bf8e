package handlers_test

import (
	"context"
	dbsql "database/sql"
	"errors"
	"fmt"
	"log/slog"
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

// eachWorld runs the test on both databases, with a connection behind the store's back: its clock is the database's, so that
// a test moves the times in the rows instead of waiting.
func eachWorld(t *testing.T, test func(t *testing.T, w *world, raw *dbsql.DB)) {
	t.Helper()
	for name, url := range map[string]func(testing.TB) string{"sqlite": sqltest.SQLite, "postgres": sqltest.Postgres} {
		t.Run(name, func(t *testing.T) {
			url := url(t)
			w := newWorld(t, sqltest.Open(t, url))
			test(t, w, behind(t, url))
		})
	}
}

// behind is a connection behind the store's back.
func behind(t *testing.T, url string) *dbsql.DB {
	driver, source := "pgx", url
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		driver, source = "sqlite", "file:"+path+"?_pragma=busy_timeout(10000)"
	}
	raw, err := dbsql.Open(driver, source)
	must(t, err)
	t.Cleanup(func() { must(t, raw.Close()) })
	return raw
}

func change(t testing.TB, raw *dbsql.DB, statement string) {
	t.Helper()
	_, err := raw.Exec(statement)
	must(t, err)
}

func number(t testing.TB, raw *dbsql.DB, query string) (n int64) {
	t.Helper()
	must(t, raw.QueryRow(query).Scan(&n))
	return n
}

// until runs what is on the conveyor up to the first segment of the stage, and returns that without running it.
func (w *world) until(stage string) tidings.Segment {
	w.t.Helper()
	w.collect()
	for s, ok := w.next(); ok; s, ok = w.next() {
		if name(s) == stage {
			return s
		}
		following, err := w.stages[name(s)].Run(context.Background(), s)
		must(w.t, err)
		w.queue = append(w.queue, following...)
	}
	w.t.Fatalf("the road never came to %s", stage)
	return tidings.Segment{}
}

// trace is what became of a message, user by user.
func (w *world) trace(m tidings.Message) (ds []tidings.DeliveryTrace) {
	w.t.Helper()
	ds, _, err := w.db.Deliveries(context.Background(), "orders", m.ID, "", 100)
	must(w.t, err)
	return ds
}

// want fails unless the message has exactly one delivery, in that state for that reason.
func (w *world) want(m tidings.Message, state tidings.State, reason tidings.Reason) tidings.DeliveryTrace {
	w.t.Helper()
	ds := w.trace(m)
	if len(ds) != 1 || ds[0].State != state || ds[0].Reason != reason {
		w.t.Fatalf("%+v, want one that is %s %s", ds, state, reason)
	}
	return ds[0]
}

func (w *world) due(want int) {
	w.t.Helper()
	due, err := w.db.Due(context.Background(), 1000)
	must(w.t, err)
	if len(due) != want {
		w.t.Fatalf("%d segments are due, want %d", len(due), want)
	}
}

// policy makes the sms policy of the refund type.
func (w *world) policy(p tidings.Policy) {
	w.t.Helper()
	must(w.t, w.db.PutType(context.Background(), tidings.MessageType{Application: "orders", Name: "refund", Lane: tidings.Normal,
		Channels: []tidings.Channel{tidings.Web, tidings.SMS}, OnUnknown: map[tidings.Channel]tidings.Policy{tidings.SMS: p},
		Variables: []tidings.Variable{{Name: "order", Type: tidings.VariableString}}}))
}

func sms(users ...string) tidings.Message {
	return message("refund", tidings.Audience{Users: users}, tidings.SMS)
}

func TestALargeAudienceIsResolvedPageByPage(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, raw *dbsql.DB) {
		ctx := context.Background()
		crowd, pages := 12000, 3
		if w.db.Name() == "sqlite" { // written in Go, and so fifty times slower under the race detector
			crowd, pages = 6000, 2
		}
		for from := 0; from < crowd; from += 1000 {
			var users []tidings.User
			for i := from; i < from+1000; i++ {
				users = append(users, tidings.User{ID: fmt.Sprintf("c%05d", i), Name: "C", Memberships: []tidings.Membership{{Store: "acme-2", Role: "crowd"}}})
			}
			must(t, w.db.PutUsers(ctx, users))
		}
		// A small message before it and one after it in the same segment: neither is lost nor counted twice.
		ms := w.accept(message("web", tidings.Audience{Users: []string{"u00"}}, tidings.Web),
			message("web", tidings.Audience{Stores: []string{"acme-2"}, Roles: []string{"crowd"}}, tidings.Web),
			message("web", tidings.Audience{Merchants: []string{"acme"}, Roles: []string{"owner"}}, tidings.Web))
		w.collect()
		acquires, before := 0, int64(0)
		var rest []tidings.Segment
		for s, ok := w.next(); ok; s, ok = w.next() {
			if s.Stage != tidings.Acquire {
				rest = append(rest, s)
				continue
			}
			following, err := w.stages["acquire"].Run(ctx, s)
			must(t, err)
			acquires++
			if after := number(t, raw, "SELECT count(*) FROM notifications"); after-before > 5000 {
				t.Errorf("one step resolved %d users", after-before)
			} else {
				before = after
			}
			for _, f := range following {
				if f.Size > tidings.SegmentSize {
					t.Errorf("a segment of %d", f.Size)
				}
			}
			w.queue = append(w.queue, following...)
		}
		if acquires < pages {
			t.Errorf("%d users in %d steps", crowd, acquires)
		}
		w.queue = rest
		w.run()
		for i, want := range []int{1, crowd, 4} {
			status, err := w.db.Message(ctx, "orders", ms[i].ID)
			must(t, err)
			if status.Users != want || status.Status != "done" || status.Counts[tidings.Web][tidings.Sent] != want {
				t.Errorf("message %d: %+v, want %d users", i, status, want)
			}
		}
		if b := w.balanced(); b.Notifications != int64(crowd+5) {
			t.Errorf("%+v", b)
		}
	})
}

func TestAUserWhoCameAfterAcceptanceIsNotReached(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, raw *dbsql.DB) {
		everyone := w.accept(message("web", tidings.Audience{Everyone: true}, tidings.Web), message("web", tidings.Audience{Users: []string{"late"}}, tidings.Web),
			message("web", tidings.Audience{Stores: []string{"acme-1"}}, tidings.Web))
		must(t, w.db.PutUsers(context.Background(), []tidings.User{{ID: "late", Name: "Late", Memberships: []tidings.Membership{{Store: "acme-1", Role: "clerk"}}}}))
		w.run()
		if n := number(t, raw, "SELECT count(*) FROM notifications WHERE user_id = 'late'"); n != 0 {
			t.Errorf("he has %d notifications", n)
		}
		for i, want := range []int{12, 0, 8} {
			if status, err := w.db.Message(context.Background(), "orders", everyone[i].ID); err != nil || status.Users != want {
				t.Errorf("%d users, want %d, %v", status.Users, want, err)
			}
		}
		w.balanced()
	})
}

func TestAUserWhoLeftIsNotReached(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, _ *dbsql.DB) {
		ctx := context.Background()
		before := w.accept(message("refund", tidings.Audience{Users: []string{"u00"}}, tidings.Web, tidings.SMS))[0]
		must(t, w.db.DeleteUser(ctx, "u00"))
		w.run()
		if ds := w.trace(before); len(ds) != 0 {
			t.Errorf("gone before the acquire stage: %+v", ds)
		}
		after := w.accept(message("refund", tidings.Audience{Users: []string{"u01"}}, tidings.Web, tidings.SMS))[0]
		first := w.until("route")
		must(t, w.db.DeleteUser(ctx, "u01"))
		w.queue = append(w.queue, first)
		w.run()
		for _, d := range w.trace(after) {
			if d.State == tidings.Sent || d.State == tidings.Delivered {
				t.Errorf("gone before the route stage: %+v", d)
			}
		}
		if len(w.sender.calls) != 0 {
			t.Errorf("%d calls", len(w.sender.calls))
		}
		w.balanced()
	})
}

func TestWhatExpiredWhileItWaitedIsNeverSentLate(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, raw *dbsql.DB) {
		m := w.accept(message("refund", tidings.Audience{Users: []string{"u00"}}, tidings.SMS))[0]
		s := w.until("deliver-sms")
		w.queue = append(w.queue, s)
		change(t, raw, "UPDATE deliveries SET expires_at = 1")
		w.run()
		for _, d := range w.trace(m) {
			if d.State != tidings.Expired || d.Reason != tidings.TimeRanOut {
				t.Errorf("%+v", d)
			}
		}
		if len(w.sender.calls)+len(w.streams.numbers) > 0 {
			t.Error("sent late")
		}
		w.balanced()
	})
}

func TestAMessageThatExpiredBeforeAnyStageSawItIsOver(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, _ *dbsql.DB) {
		late := message("web", tidings.Audience{Everyone: true}, tidings.Web)
		late.ExpiresAt = time.Now()
		m := w.accept(late)[0]
		w.run()
		status, err := w.db.Message(context.Background(), "orders", m.ID)
		must(t, err)
		if status.Reason != tidings.TimeRanOut || status.Users != 0 {
			t.Errorf("%+v", status)
		}
		w.balanced()
	})
}

func TestSendAtHoldsAndDueReleases(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, raw *dbsql.DB) {
		later := message("web", tidings.Audience{Users: []string{"u00"}}, tidings.Web)
		later.SendAt = time.Now().Add(30 * time.Minute)
		m := w.accept(later)[0]
		w.run()
		w.want(m, tidings.Held, tidings.NotYetDue)
		w.due(0)
		change(t, raw, "UPDATE deliveries SET due_at = due_at - 1801000000")
		w.due(1)
		w.run()
		w.want(m, tidings.Sent, tidings.NoReason)
		w.due(0)
		w.balanced()
	})
}

func TestWhatIsHeldBeyondItsExpiryIsExpired(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, raw *dbsql.DB) {
		later := sms("u00")
		later.SendAt = time.Now().Add(30 * time.Minute)
		m := w.accept(later)[0]
		w.run()
		change(t, raw, "UPDATE deliveries SET due_at = 1, expires_at = 2")
		w.due(0)
		w.want(m, tidings.Expired, tidings.TimeRanOut)
		w.run()
		if len(w.sender.calls) > 0 {
			t.Error("sent late")
		}
		w.balanced()
	})
}

func TestWhatIsCanceledIsNotSentWhereverItStands(t *testing.T) {
	for _, stage := range []string{"acquire", "render", "route", "deliver-sms", "held"} {
		t.Run(stage, func(t *testing.T) {
			eachWorld(t, func(t *testing.T, w *world, raw *dbsql.DB) {
				m := sms("u00", "u01")
				if stage == "held" {
					m.SendAt = time.Now().Add(30 * time.Minute)
				}
				m = w.accept(m)[0]
				if stage == "held" {
					w.run()
				} else {
					s := w.until(stage)
					w.queue = append(w.queue, s)
				}
				_, err := w.db.Cancel(context.Background(), "orders", m.ID)
				must(t, err)
				change(t, raw, "UPDATE deliveries SET due_at = 1 WHERE due_at IS NOT NULL")
				w.due(0)
				w.run()
				for _, d := range w.trace(m) {
					if d.State != tidings.Canceled || d.Reason != tidings.CanceledByApp {
						t.Errorf("%+v", d)
					}
				}
				if len(w.sender.calls) > 0 {
					t.Errorf("%d calls", len(w.sender.calls))
				}
				w.balanced()
			})
		})
	}
}

// meddling cancels between what the route stage reads and what it commits.
type meddling struct {
	*sql.DB
	between func()
}

func (m meddling) RouteWork(ctx context.Context, ss []tidings.Segment) (tidings.RouteWork, error) {
	w, err := m.DB.RouteWork(ctx, ss)
	m.between()
	return w, err
}

// slow lets something happen between what the deliver stage reads and the attempts that it commits.
type slow struct {
	*sql.DB
	between func()
}

func (s slow) Outgoing(ctx context.Context, c tidings.Claim, items []tidings.Item) ([]tidings.Outgoing, error) {
	out, err := s.DB.Outgoing(ctx, c, items)
	s.between()
	return out, err
}

func TestWhatIsOverBetweenReadingAndTheAttemptEndsWithoutACall(t *testing.T) {
	for reason, statement := range map[tidings.Reason]string{
		tidings.TimeRanOut:    "UPDATE deliveries SET expires_at = 1 WHERE user_id <> 'u00'",
		tidings.CanceledByApp: "UPDATE messages SET canceled_at = 1", // whose deliveries the cancel did not see
	} {
		t.Run(string(reason), func(t *testing.T) {
			eachWorld(t, func(t *testing.T, w *world, raw *dbsql.DB) {
				m := w.accept(sms("u00", "u01", "u02"))[0]
				s := w.until("deliver-sms")
				w.stages["deliver-sms"] = handlers.Deliver(slow{w.db, sync.OnceFunc(func() { change(t, raw, statement) })}, w.board, time.Minute, slog.New(slog.DiscardHandler))
				w.queue = append(w.queue, s)
				w.run()
				calls := 0
				for _, d := range w.trace(m) {
					switch {
					case reason == tidings.TimeRanOut && d.User == "u00":
						calls++
						if d.State != tidings.Sent {
							t.Errorf("%+v", d)
						}
					case d.Reason != reason || d.State != tidings.State(reason) || len(d.Attempts) > 0:
						t.Errorf("%+v", d)
					}
				}
				if len(w.sender.calls) != calls {
					t.Errorf("%d calls, not %d", len(w.sender.calls), calls)
				}
				w.balanced()
			})
		})
	}
}

func TestACancelBetweenReadingAndCommittingOfTheRouteStageCounts(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, _ *dbsql.DB) {
		m := w.accept(sms("u00"))[0]
		s := w.until("route")
		w.stages["route"] = handlers.Route(meddling{w.db, sync.OnceFunc(func() {
			_, err := w.db.Cancel(context.Background(), "orders", m.ID)
			must(t, err)
		})})
		w.queue = append(w.queue, s)
		w.run()
		if len(w.sender.calls) > 0 {
			t.Errorf("sent after the application was told that it is canceled")
		}
		w.want(m, tidings.Canceled, tidings.CanceledByApp)
	})
}

func TestAGroupOfSegmentsIsOneStep(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, raw *dbsql.DB) {
		ctx := context.Background()
		for range 5 {
			w.accept(message("refund", tidings.Audience{Merchants: []string{"acme"}}, tidings.Web, tidings.SMS))
		}
		w.collect()
		for len(w.queue) > 0 {
			byStage := map[string][]tidings.Segment{}
			for _, s := range w.queue {
				byStage[name(s)] = append(byStage[name(s)], s)
			}
			w.queue = nil
			for stage, ss := range byStage {
				next, err := w.stages[stage].Run(ctx, ss...)
				must(t, err)
				if again, err := w.stages[stage].Run(ctx, ss...); !errors.Is(err, tidings.ErrStale) || len(again) > 0 {
					t.Fatalf("%s again: %v, %v", stage, again, err)
				}
				w.queue = append(w.queue, next...)
			}
		}
		if n := number(t, raw, "SELECT count(*) FROM segments WHERE stage = 'route'"); n != 1 {
			t.Errorf("%d route segments for 60 notifications that were acquired together", n)
		}
		if b := w.balanced(); b.Notifications != 60 || b.Deliveries[tidings.Sent] != 60+30 {
			t.Errorf("%+v", b)
		}
		for u, numbers := range w.streams.numbers {
			slices.Sort(numbers)
			if !slices.Equal(numbers, []int64{1, 2, 3, 4, 5}) {
				t.Errorf("%s: %v", u, numbers)
			}
		}
	})
}

func TestAGroupWithAStaleSegmentChangesNothing(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, _ *dbsql.DB) {
		ctx := context.Background()
		w.accept(message("web", tidings.Audience{Users: []string{"u00"}}, tidings.Web))
		w.accept(message("web", tidings.Audience{Users: []string{"u01"}}, tidings.Web))
		w.collect()
		ss := slices.Clone(w.queue)
		_, err := w.db.RaiseTry(ctx, ss[1:])
		must(t, err)
		if next, err := w.stages["acquire"].Run(ctx, ss...); !errors.Is(err, tidings.ErrStale) || len(next) > 0 {
			t.Fatalf("%v, %v", next, err)
		}
		w.run()
		w.balanced()
	})
}
