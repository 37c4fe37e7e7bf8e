package handlers_test

import (
	"context"
	dbsql "database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"tidings"
	"tidings/channels/switchboard"
	"tidings/handlers"
	"tidings/internal/proctest"
)

// boardOf is a switchboard with an integration for each sender, i0, i1, ... in their order.
func boardOf(t testing.TB, senders ...tidings.Sender) *switchboard.Board {
	version := int64(0)
	b := switchboard.New(switchboard.Config{
		Drivers: []tidings.Driver{{Provider: "test", Channel: tidings.SMS, Open: func(s tidings.Setup) (tidings.Sender, error) {
			var n int
			_, err := fmt.Sscanf(s.Integration, "i%d", &n)
			return senders[n], err
		}}},
		Source: func(context.Context, int64) (int64, []tidings.Configured, error) {
			version++
			var all []tidings.Configured
			for i := range senders {
				all = append(all, tidings.Configured{Values: map[string]string{"version": fmt.Sprint(version)}, Integration: tidings.Integration{
					ID: fmt.Sprintf("i%d", i), Channel: tidings.SMS, Provider: "test", State: tidings.IntegrationActive, Order: i}})
			}
			return version, all, nil
		}})
	must(t, b.Reload(context.Background()))
	return b
}

// mend gives the integrations other values, as who corrects a password does.
func (w *world) mend() { must(w.t, w.board.Reload(context.Background())) }

func TestWhatOneIntegrationSurelyDidNotTakeTheNextOneTakes(t *testing.T) {
	no := func(o tidings.Outcome, why tidings.Reason) error {
		return &tidings.SendError{Outcome: o, Reason: why, Err: errors.New("no")}
	}
	for name, c := range map[string]struct {
		first error
		state tidings.State
		calls int // at the second
	}{
		"down":         {no(tidings.Busy, tidings.ProviderDown), tidings.Sent, 1},
		"busy":         {no(tidings.Busy, tidings.ProviderBusy), tidings.Sent, 1},
		"account":      {&tidings.SendError{Outcome: tidings.Busy, Reason: tidings.Misconfigured, Configuration: true, Err: errors.New("x")}, tidings.Sent, 1},
		"refused":      {no(tidings.Refused, tidings.ProviderRefused), tidings.Sent, 1},
		"address":      {no(tidings.Refused, tidings.AddressRefused), tidings.Failed, 0},
		"content":      {no(tidings.Refused, tidings.TooLong), tidings.Failed, 0},
		"nobody knows": {no(tidings.Unknown, tidings.ProviderSilent), tidings.UnknownEnd, 0},
		"says nothing": {errors.New("broke"), tidings.UnknownEnd, 0},
	} {
		t.Run(name, func(t *testing.T) {
			eachWorld(t, func(t *testing.T, w *world, raw *dbsql.DB) {
				second := &sender{}
				w.sender.reply = func(tidings.Call) error { return c.first }
				w.stages["deliver-sms"] = handlers.Deliver(w.db, boardOf(t, w.sender, second), time.Minute, slog.New(slog.DiscardHandler))
				m := w.accept(sms("u00"))[0]
				w.run()
				ds := w.trace(m)
				if len(ds) != 1 || ds[0].State != c.state || len(w.sender.calls) != 1 || len(second.calls) != c.calls || len(ds[0].Attempts) != 1+c.calls {
					t.Fatalf("%+v; %d and %d calls", ds, len(w.sender.calls), len(second.calls))
				}
				if n := number(t, raw, "SELECT count(*) FROM attempts WHERE integration = 'i1'"); int(n) != c.calls {
					t.Errorf("%d attempts name the second integration", n)
				}
				w.balanced()
			})
		})
	}
}

// A provider that hangs has in hand what it was given, and nothing else of the same segment waits for it.
func TestCallsThatHangDelayNobodyElseInTheirSegment(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, _ *dbsql.DB) {
		ctx := context.Background()
		users := w.phones("h", 40)
		first, second := &hanging{let: make(chan struct{})}, &sender{}
		w.stages["deliver-sms"] = handlers.Deliver(w.db, boardOf(t, first, second), time.Minute, slog.New(slog.DiscardHandler))
		m := w.accept(sms(users...))[0]
		s := w.until("deliver-sms")
		done := make(chan error, 1)
		go func() {
			_, err := w.stages["deliver-sms"].Run(ctx, s)
			done <- err
		}()
		err := proctest.Until(7*time.Second, func() error { // before the calls that hang time out
			if n := second.count(); n < len(users)-16 {
				return fmt.Errorf("the second provider was given %d", n)
			}
			return nil
		})
		close(first.let)
		must(t, err, <-done)
		states := map[tidings.State]int{}
		for _, d := range w.trace(m) {
			states[d.State]++
		}
		if states[tidings.Sent] != 24 || states[tidings.UnknownEnd] != 16 {
			t.Errorf("%v", states)
		}
		w.balanced()
	})
}

// hanging is a provider that answers nothing until it is let.
type hanging struct{ let chan struct{} }

func (*hanging) Provider() string { return "test" }
func (h *hanging) Send(ctx context.Context, _ tidings.Call) (tidings.Accepted, error) {
	select {
	case <-h.let:
	case <-ctx.Done():
	}
	return tidings.Accepted{}, errors.New("broke")
}

func TestWhenAllSaidNoItWaitsAndAllAreTriedAgain(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, raw *dbsql.DB) {
		second := &sender{}
		away := func(tidings.Call) error {
			return &tidings.SendError{Outcome: tidings.Busy, Reason: tidings.ProviderDown, Err: errors.New("refused")}
		}
		w.sender.reply, second.reply = away, away
		w.stages["deliver-sms"] = handlers.Deliver(w.db, boardOf(t, w.sender, second), time.Minute, slog.New(slog.DiscardHandler))
		m := w.accept(sms("u00"))[0]
		w.run()
		w.want(m, tidings.Held, tidings.ProviderDown)
		w.sender.reply = nil
		change(t, raw, "UPDATE deliveries SET due_at = 1 WHERE due_at IS NOT NULL")
		w.due(1)
		w.run()
		w.want(m, tidings.Sent, tidings.NoReason)
		if len(w.sender.calls) != 2 || len(second.calls) != 1 {
			t.Errorf("%d and %d calls", len(w.sender.calls), len(second.calls))
		}
		w.balanced()
	})
}

// keyed is a provider that drops repeats by key.
type keyed struct {
	sender
	keys int
}

func (k *keyed) Key(context.Context) (string, error) {
	k.keys++
	return fmt.Sprint("key", k.keys), nil
}

func TestWhatIsSentAgainCarriesTheKeyOfTheFirstTime(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, raw *dbsql.DB) {
		w.policy(tidings.AtLeastOnce)
		first, k := &sender{}, &keyed{}
		first.reply = func(tidings.Call) error {
			return &tidings.SendError{Outcome: tidings.Busy, Reason: tidings.ProviderDown, Err: errors.New("refused")}
		}
		k.reply = func(tidings.Call) error {
			if len(k.calls) == 1 {
				return errors.New("broke")
			}
			return nil
		}
		w.stages["deliver-sms"] = handlers.Deliver(w.db, boardOf(t, first, k), time.Minute, slog.New(slog.DiscardHandler))
		m := w.accept(sms("u00"))[0]
		w.run()
		w.want(m, tidings.UnknownEnd, tidings.ProviderSilent)
		change(t, raw, "UPDATE deliveries SET due_at = 1 WHERE due_at IS NOT NULL")
		w.due(1)
		w.run()
		w.want(m, tidings.Sent, tidings.NoReason)
		// The first integration stands before it in the order, and yet the one that knows the key is asked.
		if len(first.calls) != 1 || len(k.calls) != 2 || k.calls[0].Key != "key1" || k.calls[1].Key != "key1" {
			t.Errorf("%d calls, %+v", len(first.calls), k.calls)
		}
	})
}

// A provider knows a key for a day: a delivery that was held for longer, as over a weekend on which our account was at fault, is a new call.
func TestAKeyThatTheProviderKnowsNoMoreIsNotUsedAgain(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, raw *dbsql.DB) {
		k := &keyed{}
		k.reply = func(tidings.Call) error {
			if len(k.calls) < 3 {
				return &tidings.SendError{Outcome: tidings.Busy, Reason: tidings.ProviderBusy, Err: errors.New("later")}
			}
			return nil
		}
		w.stages["deliver-sms"] = handlers.Deliver(w.db, boardOf(t, k), time.Minute, slog.New(slog.DiscardHandler))
		m := w.accept(sms("u00"))[0]
		w.run()
		for range 2 {
			change(t, raw, "UPDATE deliveries SET due_at = 1 WHERE due_at IS NOT NULL")
			w.due(1)
			w.run()
			change(t, raw, "UPDATE attempts SET started_at = started_at - 43200000000")
		}
		w.want(m, tidings.Sent, tidings.NoReason)
		if keys := []string{k.calls[0].Key, k.calls[1].Key, k.calls[2].Key}; !slices.Equal(keys, []string{"key1", "key1", "key2"}) {
			t.Errorf("%q", keys)
		}
	})
}
