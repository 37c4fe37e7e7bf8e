package handlers_test

import (
	"context"
	dbsql "database/sql"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tidings"
	"tidings/handlers"
	"tidings/internal/sqltest"
	"tidings/sql"
)

// asked is a provider that sends no reports and answers questions with the next of its answers, the last again and again.
type asked struct {
	sender
	mu        sync.Mutex
	questions []tidings.Question
	answers   []tidings.ReceiptKind
	err       error
}

func (a *asked) Query(_ context.Context, q tidings.Question) (tidings.Receipt, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.questions = append(a.questions, q)
	kind := a.answers[0]
	if len(a.answers) > 1 {
		a.answers = a.answers[1:]
	}
	return tidings.Receipt{Kind: kind, ProviderID: "told"}, a.err
}

// silent makes every call one of which nobody knows.
func (a *asked) silent() *asked {
	a.reply = func(tidings.Call) error { return errors.New("the connection broke") }
	return a
}

// ask makes what waits to be asked due, and asks it.
func (w *world) ask(raw *dbsql.DB, a *handlers.Asker) {
	w.t.Helper()
	change(w.t, raw, "UPDATE attempts SET ask_at = 1 WHERE ask_at IS NOT NULL")
	must(w.t, a.Ask(context.Background()))
}

func (w *world) asker(far tidings.Sender) *handlers.Asker {
	board := boardOf(w.t, far)
	w.stages["deliver-sms"] = handlers.Deliver(w.db, board, time.Minute, slog.New(slog.DiscardHandler))
	return handlers.NewAsker(w.db, board, slog.New(slog.DiscardHandler))
}

func TestWhatNobodyKnowsIsAskedUntilSomebodyDoes(t *testing.T) {
	for kind, want := range map[tidings.ReceiptKind]tidings.State{tidings.ReceiptDelivered: tidings.Delivered, tidings.ReceiptAccepted: tidings.Sent, tidings.ReceiptNotDelivered: tidings.Failed} {
		t.Run(string(kind), func(t *testing.T) {
			eachWorld(t, func(t *testing.T, w *world, raw *dbsql.DB) {
				w.policy(tidings.AtLeastOnce) // an answer comes before the resend, and there is none
				far := (&asked{answers: []tidings.ReceiptKind{"", "", kind}}).silent()
				a := w.asker(far)
				m := w.accept(sms("u00"))[0]
				w.run()
				must(t, a.Ask(context.Background()))
				if len(far.questions) != 0 {
					t.Fatal("it was asked at once")
				}
				w.ask(raw, a)
				w.ask(raw, a)
				w.want(m, tidings.UnknownEnd, tidings.ProviderSilent)
				if n := number(t, raw, "SELECT asked FROM attempts"); n != 2 {
					t.Errorf("asked %d times", n)
				}
				w.ask(raw, a)
				d := w.trace(m)[0]
				if d.State != want || len(far.questions) != 3 || d.Attempts[0].ProviderID != "told" {
					t.Fatalf("%+v after %d questions", d, len(far.questions))
				}
				if q := far.questions[2]; q.Attempt != d.Attempts[0].ID || q.Address.Value != "+8613800138000" || q.At.IsZero() {
					t.Errorf("%+v", q)
				}
				w.ask(raw, a)
				if more := map[bool]int{true: 3, false: 4}[kind != tidings.ReceiptAccepted]; len(far.questions) != more {
					t.Errorf("%d questions after %s, want %d", len(far.questions), kind, more)
				}
				change(t, raw, "UPDATE deliveries SET due_at = 1 WHERE due_at IS NOT NULL")
				w.due(0)
				w.balanced()
			})
		})
	}
}

func TestAQuestionIsGivenUpAtALimitAndTheDeliveryStaysUnknown(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, raw *dbsql.DB) {
		far := (&asked{answers: []tidings.ReceiptKind{""}}).silent()
		a := w.asker(far)
		m := w.accept(sms("u00"))[0]
		w.run()
		last := int64(0)
		for range 30 {
			w.ask(raw, a)
			next := number(t, raw, "SELECT coalesce(max(ask_at), 0) FROM attempts")
			if next != 0 && next <= last {
				t.Fatalf("the next question is at %d, the last was at %d", next, last)
			}
			last = next
		}
		if n := len(far.questions); n != 13 || last != 0 {
			t.Errorf("%d questions, the next at %d", n, last)
		}
		w.want(m, tidings.UnknownEnd, tidings.ProviderSilent)
	})
}

func TestAProviderThatCannotBeAskedRests(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, raw *dbsql.DB) {
		far := (&asked{answers: []tidings.ReceiptKind{""}, err: errors.New("away")}).silent()
		a := w.asker(far)
		w.accept(sms("u00"))
		w.run()
		w.ask(raw, a)
		w.ask(raw, a)
		if n := len(far.questions); n != 1 {
			t.Errorf("%d questions", n)
		}
	})
}

// Two workers ask at once: each question is asked by one of them.
func TestAQuestionIsAskedByOneWorker(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world, raw *dbsql.DB) {
		far := (&asked{answers: []tidings.ReceiptKind{""}}).silent()
		a := w.asker(far)
		w.accept(sms("u00", "u01", "u02", "u03", "u04", "u05"))
		w.run()
		change(t, raw, "UPDATE attempts SET ask_at = 1")
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if err := a.Ask(context.Background()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := len(far.questions); n != 6 {
			t.Errorf("%d questions", n)
		}
	})
}

// A site none of whose providers can be asked never looks for questions.
func TestWhereNobodyCanBeAskedNothingIsRead(t *testing.T) {
	a := handlers.NewAsker(nil, boardOf(t, &sender{}), slog.New(slog.DiscardHandler))
	must(t, a.Ask(context.Background()))
}

func TestUnknownAttemptsAreCountedAndHowTheyWereSettled(t *testing.T) {
	for name, url := range map[string]func(testing.TB) string{"sqlite": sqltest.SQLite, "postgres": sqltest.Postgres} {
		t.Run(name, func(t *testing.T) {
			ctx, registry := context.Background(), prometheus.NewRegistry()
			url := url(t)
			db, err := sql.Open(ctx, sql.Options{URL: url, Metrics: sql.NewMetrics(registry)})
			must(t, err)
			t.Cleanup(func() { must(t, db.Close()) })
			w, raw := newWorld(t, db), behind(t, url)
			w.policy(tidings.AtLeastOnce)
			far := (&asked{answers: []tidings.ReceiptKind{tidings.ReceiptAccepted}}).silent()
			a := w.asker(far)
			w.accept(sms("u00"))
			w.run()
			w.ask(raw, a) // by query
			w.ask(raw, a) // and once
			reported := w.accept(sms("u01"))[0]
			w.run()
			must(t, db.Receive(ctx, tidings.Receipt{Attempt: w.trace(reported)[0].Attempts[0].ID, Kind: tidings.ReceiptDelivered}))
			w.accept(sms("u02"))
			w.run()
			far.reply = nil
			change(t, raw, "UPDATE deliveries SET due_at = 1 WHERE due_at IS NOT NULL")
			w.due(1)
			w.run()
			for _, want := range []struct {
				by string
				n  float64
			}{{"", 3}, {"query", 1}, {"receipt", 1}, {"policy", 1}} {
				name := "tidings_attempts_settled_total"
				if want.by == "" {
					name = "tidings_attempts_unknown_total"
				}
				if n := counted(t, registry, name, want.by); n != want.n {
					t.Errorf("%s %s: %v, want %v", name, want.by, n, want.n)
				}
			}
		})
	}
}

// counted is a counter of the channel sms and the provider test.
func counted(t *testing.T, r *prometheus.Registry, name, by string) (sum float64) {
	t.Helper()
	families, err := r.Gather()
	must(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if f.GetName() == name && labels["channel"] == "sms" && labels["provider"] == "test" && labels["by"] == by {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}
