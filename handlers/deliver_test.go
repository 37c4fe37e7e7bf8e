package handlers_test

import (
	"context"
	dbsql "database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"tidings"
	"tidings/handlers"
	"tidings/internal/sqltest"
	"tidings/sql"
)

// die begins the attempts of a segment and goes no further: what a worker leaves that is killed while it calls.
func (w *world) die(s tidings.Segment) []tidings.Outgoing {
	w.t.Helper()
	ctx := context.Background()
	claim, items, err := w.db.Claim(ctx, s, time.Minute)
	must(w.t, err)
	out, err := w.db.Outgoing(ctx, claim, items)
	must(w.t, err)
	begun, err := w.db.Begin(ctx, claim, time.Minute, "test", "test", out)
	must(w.t, err)
	return begun
}

func TestWhatADyingWorkerHadUnderWayIsUnknown(t *testing.T) {
	for _, policy := range []tidings.Policy{tidings.AtMostOnce, tidings.AtLeastOnce} {
		t.Run(string(policy), func(t *testing.T) {
			eachWorld(t, func(t *testing.T, w *world, raw *dbsql.DB) {
				ctx := context.Background()
				w.policy(policy)
				m := w.accept(sms("u00"))[0]
				s := w.until("deliver-sms")
				begun := w.die(s)
				if _, err := w.stages["deliver-sms"].Run(ctx, s); !errors.Is(err, tidings.ErrStale) {
					t.Fatalf("a second worker took a segment whose claim lasts: %v", err)
				}
				change(t, raw, "UPDATE segments SET claim_until = 1 WHERE claim_until > 0")
				_, err := w.stages["deliver-sms"].Run(ctx, s)
				must(t, err)
				d := w.want(m, tidings.UnknownEnd, tidings.Interrupted)
				if len(d.Attempts) != 1 || d.Attempts[0].State != tidings.UnknownEnd || d.Attempts[0].Reason != tidings.Interrupted || len(w.sender.calls) != 0 {
					t.Fatalf("%+v, %d calls", d, len(w.sender.calls))
				}
				w.due(0)
				change(t, raw, "UPDATE deliveries SET due_at = due_at - 61000000")
				if policy == tidings.AtMostOnce {
					w.due(0)
				} else {
					w.due(1)
					w.run()
					if len(w.sender.calls) != 1 || w.sender.calls[0].Attempt == begun[0].Call.Attempt {
						t.Fatalf("calls %+v", w.sender.calls)
					}
					w.want(m, tidings.Sent, tidings.NoReason)
				}
				w.balanced()
			})
		})
	}
}

func TestADyingWorkersResultComesLateAndSettlesItsOwnAttempt(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, raw *dbsql.DB) {
		ctx := context.Background()
		w.policy(tidings.AtLeastOnce)
		m := w.accept(sms("u00"))[0]
		s := w.until("deliver-sms")
		first := w.die(s)[0]
		change(t, raw, "UPDATE segments SET claim_until = 1 WHERE claim_until > 0")
		_, err := w.stages["deliver-sms"].Run(ctx, s)
		must(t, err)
		change(t, raw, "UPDATE deliveries SET due_at = due_at - 61000000")
		w.due(1)
		second := w.until("deliver-sms")
		again := w.die(second)[0]
		// The first call's answer is found only now: a refusal of the first says nothing of the second, which is under way.
		must(t, w.db.Settle(ctx, []tidings.Settlement{{Attempt: first.Call.Attempt, State: tidings.Failed, Reason: tidings.ProviderRefused, User: "u00", Channel: tidings.SMS}}))
		d := w.want(m, tidings.Sending, tidings.NoReason)
		if len(d.Attempts) != 2 || d.Attempts[0].State != tidings.Failed || d.Attempts[1].State != tidings.Sending {
			t.Fatalf("%+v", d.Attempts)
		}
		must(t, w.db.Settle(ctx, []tidings.Settlement{{Attempt: again.Call.Attempt, State: tidings.Sent, ProviderID: "p", User: "u00", Channel: tidings.SMS}}))
		w.want(m, tidings.Sent, tidings.NoReason)
		// And a late "unknown" takes nothing back.
		must(t, w.db.Settle(ctx, []tidings.Settlement{{Attempt: again.Call.Attempt, State: tidings.UnknownEnd, Reason: tidings.ProviderSilent, User: "u00", Channel: tidings.SMS}}))
		w.want(m, tidings.Sent, tidings.NoReason)
	})
}

func TestWhatIsUnknownIsSentAgainOnlyAfterItsWindow(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, raw *dbsql.DB) {
		w.policy(tidings.AtLeastOnce)
		w.sender.reply = func(tidings.Call) error {
			if len(w.sender.calls) == 1 {
				return errors.New("the connection broke") // an error that says nothing leaves us not knowing
			}
			return nil
		}
		m := w.accept(sms("u00"))[0]
		w.run()
		w.want(m, tidings.UnknownEnd, tidings.ProviderSilent)
		left := number(t, raw, "SELECT due_at - changed_at FROM deliveries")
		if left < handlers.MinReceiptWindow.Microseconds() {
			t.Fatalf("it is sent again after %d µs, while the first call may be under way", left)
		}
		w.due(0)
		change(t, raw, fmt.Sprintf("UPDATE deliveries SET due_at = due_at - %d", left))
		w.due(1)
		w.run()
		if d := w.want(m, tidings.Sent, tidings.NoReason); len(d.Attempts) != 2 || d.Attempts[0].State != tidings.UnknownEnd {
			t.Fatalf("%+v", d)
		}
		w.balanced()
	})
}

func TestAReceiptWithinTheWindowSparesTheSecondCall(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, raw *dbsql.DB) {
		w.policy(tidings.AtLeastOnce)
		w.sender.reply = func(tidings.Call) error { return errors.New("the connection broke") }
		m := w.accept(sms("u00"))[0]
		w.run()
		must(t, w.db.Receive(context.Background(), tidings.Receipt{Attempt: w.sender.calls[0].Attempt, Kind: tidings.ReceiptAccepted}))
		change(t, raw, "UPDATE deliveries SET due_at = due_at - 61000000")
		w.due(0)
		w.want(m, tidings.Sent, tidings.NoReason)
	})
}

// The window is over and the resend stands in its queue, when the report of the first call comes at last.
func TestALateReceiptTakesAResendOffTheRoad(t *testing.T) {
	for kind, want := range map[tidings.ReceiptKind]tidings.State{tidings.ReceiptDelivered: tidings.Delivered, tidings.ReceiptAccepted: tidings.Sent} {
		t.Run(string(kind), func(t *testing.T) {
			eachWorld(t, func(t *testing.T, w *world, raw *dbsql.DB) {
				w.policy(tidings.AtLeastOnce)
				w.sender.reply = func(tidings.Call) error { return errors.New("the connection broke") }
				m := w.accept(sms("u00"))[0]
				w.run()
				change(t, raw, "UPDATE deliveries SET due_at = due_at - 61000000")
				w.due(1)
				w.want(m, tidings.Queued, tidings.NoReason)
				must(t, w.db.Receive(context.Background(), tidings.Receipt{Attempt: w.sender.calls[0].Attempt, Kind: kind}))
				w.run()
				if d := w.want(m, want, tidings.NoReason); len(d.Attempts) != 1 || len(w.sender.calls) != 1 {
					t.Errorf("%d calls, %+v", len(w.sender.calls), d.Attempts)
				}
				w.balanced()
			})
		})
	}
}

func TestAReceiptThatOvertakesTheAnswerStands(t *testing.T) {
	for kind, want := range map[tidings.ReceiptKind]tidings.State{tidings.ReceiptDelivered: tidings.Delivered, tidings.ReceiptNotDelivered: tidings.Failed} {
		t.Run(string(kind), func(t *testing.T) {
			eachWorld(t, func(t *testing.T, w *world, _ *dbsql.DB) {
				w.sender.reply = func(c tidings.Call) error {
					return w.db.Receive(context.Background(), tidings.Receipt{Attempt: c.Attempt, Kind: kind})
				}
				m := w.accept(sms("u00"))[0]
				w.run()
				ds := w.trace(m)
				if len(ds) != 1 || ds[0].State != want || ds[0].Attempts[0].ProviderID != "p" {
					t.Fatalf("%+v", ds)
				}
				w.balanced()
			})
		})
	}
}

func TestAFaultOfOurAccountParksTheRest(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, raw *dbsql.DB) {
		users := w.phones("p", 40)
		w.sender.reply = func(tidings.Call) error {
			return &tidings.SendError{Outcome: tidings.Busy, Reason: tidings.Misconfigured, Configuration: true, Err: errors.New("wrong password")}
		}
		m := w.accept(sms(users...))[0]
		w.run()
		called := len(w.sender.calls)
		if called == 0 || called >= len(users) {
			t.Fatalf("%d calls with a wrong password", called)
		}
		for _, d := range w.trace(m) {
			if d.State != tidings.Held || d.Reason != tidings.Misconfigured || d.DueAt.IsZero() {
				t.Errorf("%+v", d)
			}
		}
		if n := number(t, raw, "SELECT count(*) FROM attempts"); n != int64(called) {
			t.Errorf("%d attempts for %d calls", n, called)
		}
		w.sender.reply = nil
		w.mend()
		change(t, raw, "UPDATE deliveries SET due_at = 1 WHERE due_at IS NOT NULL")
		w.due(1)
		w.run()
		if n := number(t, raw, "SELECT count(*) FROM deliveries WHERE state = 'sent'"); n != int64(len(users)) {
			t.Errorf("%d of %d sent after the mend", n, len(users))
		}
		w.balanced()
	})
}

// batches is a provider that takes many calls at once.
type batches struct {
	sender
	of   [][]tidings.Call
	size int
	fail error
}

func (b *batches) BatchSize() int          { return b.size }
func (*batches) Batches(tidings.Call) bool { return true }
func (b *batches) SendBatch(_ context.Context, cs []tidings.Call) []tidings.Result {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.of = append(b.of, slices.Clone(cs))
	return tidings.Results(len(cs), tidings.Accepted{ProviderID: "batch"}, b.fail)
}

func TestABatchHoldsEqualContentsAndNoOthers(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, _ *dbsql.DB) {
		b := &batches{size: 3}
		w.stages["deliver-sms"] = handlers.Deliver(w.db, boardOf(t, b), time.Minute, slog.New(slog.DiscardHandler))
		ms := w.accept(sms("u00", "u02", "u03", "u05"), sms("u00", "u02", "u03", "u05"), sms("u01", "u04"))
		w.run()
		n := len(b.calls)
		for _, cs := range b.of {
			n += len(cs)
			if len(cs) > b.size {
				t.Errorf("%d calls in a batch of %d", len(cs), b.size)
			}
			for _, c := range cs {
				if c.Content != cs[0].Content || c.Message != cs[0].Message {
					t.Errorf("%+v in a batch with %+v", c, cs[0])
				}
			}
		}
		if n != 10 || len(b.of) == 0 {
			t.Errorf("%d calls in %d batches and %d alone", n, len(b.of), len(b.calls))
		}
		for _, m := range ms {
			for _, d := range w.trace(m) {
				if d.State != tidings.Sent || len(d.Attempts) != 1 {
					t.Errorf("%+v", d)
				}
			}
		}
		w.balanced()
	})
}

func TestContentsThatAlternateAreStillSentInBatches(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, _ *dbsql.DB) {
		b := &batches{size: 100}
		w.stages["deliver-sms"] = handlers.Deliver(w.db, boardOf(t, b), time.Minute, slog.New(slog.DiscardHandler))
		w.accept(sms("u00", "u01", "u02", "u03", "u04", "u05")) // Chinese and English in turn
		w.run()
		if n := len(b.calls) + len(b.of); n != 2 {
			t.Errorf("%d calls to the provider for two contents", n)
		}
	})
}

func TestABatchThatIsRefusedFailsEachOfIts(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, _ *dbsql.DB) {
		b := &batches{size: 10, fail: &tidings.SendError{Outcome: tidings.Refused, Reason: tidings.ProviderRefused, Err: errors.New("no")}}
		w.stages["deliver-sms"] = handlers.Deliver(w.db, boardOf(t, b), time.Minute, slog.New(slog.DiscardHandler))
		m := w.accept(sms("u00", "u03"))[0]
		w.run()
		for _, d := range w.trace(m) {
			if d.State != tidings.Failed || d.Reason != tidings.ProviderRefused {
				t.Errorf("%+v", d)
			}
		}
		w.balanced()
	})
}

// phones puts n users into the directory, named prefix and a number, who have nothing but a phone, and returns their ids.
func (w *world) phones(prefix string, n int) (users []string) {
	w.t.Helper()
	ctx := context.Background()
	for i := range n {
		u := fmt.Sprintf("%s%02d", prefix, i)
		users = append(users, u)
		must(w.t, w.db.PutUsers(ctx, []tidings.User{{ID: u, Name: "Phone"}}), w.db.PutAddresses(ctx, u, []tidings.Address{{Channel: tidings.SMS, Value: fmt.Sprintf("+861380013%04d", i)}}))
	}
	return users
}

func TestADriversPanicIsOneCallOfWhichNobodyKnows(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, _ *dbsql.DB) {
		w.sender.reply = func(c tidings.Call) error {
			if c.User == "u01" {
				panic("a map that is nil")
			}
			return nil
		}
		m := w.accept(sms("u00", "u01", "u02"))[0]
		w.run()
		for _, d := range w.trace(m) {
			want, reason := tidings.Sent, tidings.NoReason
			if d.User == "u01" {
				want, reason = tidings.UnknownEnd, tidings.ProviderSilent
			}
			if d.State != want || d.Reason != reason {
				t.Errorf("%+v", d)
			}
		}
		w.balanced()
	})
}

// picky is a sealer that cannot open one address any more.
type picky struct{ broken *string }

func (picky) Seal(_, value string) string { return "sealed " + value }
func (picky) Blind(value string) string   { return value }
func (picky) Prefix() string              { return "sealed " }
func (k picky) Open(_, sealed string) (string, error) {
	if value := strings.TrimPrefix(sealed, "sealed "); value != *k.broken {
		return value, nil
	}
	return "", errors.New("it is sealed under another secret")
}

func TestAnAddressThatCannotBeOpenedHoldsUpNoOther(t *testing.T) {
	for name, url := range map[string]func(testing.TB) string{"sqlite": sqltest.SQLite, "postgres": sqltest.Postgres} {
		t.Run(name, func(t *testing.T) {
			broken := ""
			db, err := sql.Open(context.Background(), sql.Options{URL: url(t), Sealer: picky{&broken}, Log: slog.New(slog.DiscardHandler)})
			must(t, err)
			t.Cleanup(func() { must(t, db.Close()) })
			w := newWorld(t, db)
			broken = "+8613800138001"
			m := w.accept(sms("u00", "u01"))[0]
			w.run()
			if d := w.state(m, "u00", tidings.SMS); d.State != tidings.Sent {
				t.Errorf("%+v", d)
			}
			if d := w.state(m, "u01", tidings.SMS); d.State != tidings.Held || d.Reason != tidings.Misconfigured || len(d.Attempts) > 0 {
				t.Errorf("%+v", d)
			}
			w.balanced()
		})
	}
}
