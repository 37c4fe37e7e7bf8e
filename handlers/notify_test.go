package handlers_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"tidings"
	"tidings/channels/webhook"
	"tidings/handlers"
	"tidings/internal/proctest"
	"tidings/internal/sqltest"
	"tidings/sql"
)

// receiver is an application's system, which verifies with the reference library of Standard Webhooks.
type receiver struct {
	url    string
	secret string

	mu     sync.Mutex
	answer func(id string) int // nil: 200
	ids    []string
	bodies []string
	wrong  []error
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.url = server.URL + "/tidings"
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	r.mu.Lock()
	secret, answer := r.secret, r.answer
	r.mu.Unlock()
	library, libraryErr := standardwebhooks.NewWebhook(secret)
	if err == nil && libraryErr == nil {
		err = library.Verify(body, q.Header)
	}
	id := q.Header.Get("webhook-id")
	status := 200
	if answer != nil {
		status = answer(id)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids, r.bodies = append(r.ids, id), append(r.bodies, string(body))
	if err := errors.Join(err, libraryErr); err != nil {
		r.wrong = append(r.wrong, err)
	}
	w.WriteHeader(status)
}

func (r *receiver) seen() (ids, bodies []string, wrong error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.ids), slices.Clone(r.bodies), errors.Join(r.wrong...)
}

func (r *receiver) answers(f func(id string) int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = f
}

// told makes an endpoint at the receiver.
func (w *world) told(r *receiver, events ...tidings.EventType) tidings.Endpoint {
	w.t.Helper()
	r.secret = tidings.NewWebhookSecret()
	e, err := w.db.CreateEndpoint(context.Background(), tidings.Endpoint{Application: "orders", URL: r.url, Events: events}, r.secret)
	must(w.t, err)
	return e
}

// notify runs a Notifier over store until the function that it returns is called.
func notify(t *testing.T, store handlers.EventStore, networks string) (stop func()) {
	t.Helper()
	caller, err := webhook.NewCaller(networks, time.Now)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		handlers.NewNotifier(store, caller, slog.New(slog.DiscardHandler), func(string) {}).Run(ctx)
		close(done)
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done; caller.Close() })
	t.Cleanup(stop)
	return stop
}

func until(t *testing.T, ready func() error) {
	t.Helper()
	must(t, proctest.Until(20*time.Second, ready))
}

const loopback = "127.0.0.0/8"

func TestEndpointsAreToldAndVerifyWithTheReferenceLibrary(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		w, r := newWorld(t, db), newReceiver(t)
		e := w.told(r, tidings.EventOf(tidings.Sent), tidings.EventRead)
		m := w.accept(message("refund", tidings.Audience{Users: []string{"u00"}}, tidings.Web, tidings.SMS))[0]
		w.run()
		_, err := db.Mark(t.Context(), "u00", tidings.MarkRead, []tidings.ID{m.ID}, 0)
		must(t, err)
		notify(t, db, loopback)
		until(t, func() error {
			if ids, _, _ := r.seen(); len(ids) < 3 {
				return fmt.Errorf("only %d webhooks", len(ids))
			}
			return nil
		})
		ids, bodies, wrong := r.seen()
		must(t, wrong)
		slices.Sort(ids)
		if len(slices.Compact(ids)) != 3 {
			t.Errorf("%q", ids)
		}
		var got []string
		for _, b := range bodies {
			var event struct {
				Type      string
				Timestamp time.Time
				Data      map[string]string
			}
			must(t, json.Unmarshal([]byte(b), &event))
			if event.Data["message"] != m.ID.String() || event.Data["message_type"] != "refund" || event.Data["application"] != "orders" || time.Since(event.Timestamp).Abs() > time.Minute {
				t.Errorf("%s", b)
			}
			if strings.Contains(b, "86138") {
				t.Errorf("a phone number left: %s", b)
			}
			got = append(got, strings.TrimSpace(event.Type+" "+event.Data["user"]+" "+event.Data["channel"]+" "+event.Data["state"]))
		}
		slices.Sort(got)
		if want := []string{"delivery.sent u00 sms sent", "delivery.sent u00 web sent", "notification.read u00"}; !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
		_, secret, err := rotate(t.Context(), db, e)
		must(t, err)
		old := r.secret
		for _, s := range []string{old, secret} { // for a day both verify
			r.mu.Lock()
			r.secret = s
			r.mu.Unlock()
			before, _, _ := r.seen()
			_, err := db.TestEndpoint(t.Context(), "orders", e.ID)
			must(t, err)
			until(t, func() error {
				if ids, _, _ := r.seen(); len(ids) == len(before) {
					return errors.New("no test event")
				}
				return nil
			})
		}
		_, _, wrong = r.seen()
		must(t, wrong)
	})
}

func rotate(ctx context.Context, db *sql.DB, e tidings.Endpoint) (tidings.Endpoint, string, error) {
	secret := tidings.NewWebhookSecret()
	e, err := db.ChangeEndpoint(ctx, "endpoint.rotate", "orders", e.ID, secret, func(*tidings.Endpoint) error { return nil })
	return e, secret, err
}

// killed is a store whose process dies after the calls and before their record.
type killed struct {
	handlers.EventStore
	died chan struct{}
	once sync.Once
}

func (k *killed) ClaimEvents(ctx context.Context, id tidings.ID, limit int, _ time.Duration) (tidings.EndpointWork, error) {
	return k.EventStore.ClaimEvents(ctx, id, limit, 2*time.Second) // so that the test need not wait a minute
}

func (k *killed) EndEvents(context.Context, tidings.ID, []tidings.EventResult) (tidings.EndpointReason, error) {
	k.once.Do(func() { close(k.died) })
	return "", errors.New("killed")
}

func TestAWorkerKilledBetweenAnswerAndRecordLeavesTheEventToTheNextUnderTheSameID(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		w, r := newWorld(t, db), newReceiver(t)
		e := w.told(r, tidings.EventOf(tidings.Sent))
		w.accept(message("web", tidings.Audience{Users: []string{"u00"}}, tidings.Web))
		w.run()
		k := &killed{EventStore: db, died: make(chan struct{})}
		stop := notify(t, k, loopback)
		<-k.died
		stop()
		notify(t, db, loopback)
		until(t, func() error {
			found, _, err := db.Events(t.Context(), tidings.EventQuery{Application: "orders", Endpoint: e.ID})
			if err == nil && (len(found) != 1 || found[0].State != tidings.EventDelivered) {
				err = fmt.Errorf("%+v", found)
			}
			return err
		})
		ids, bodies, wrong := r.seen()
		must(t, wrong)
		if len(ids) < 2 || slices.ContainsFunc(ids, func(id string) bool { return id != ids[0] }) || bodies[0] != bodies[1] {
			t.Errorf("%q %q", ids, bodies)
		}
	})
}

func TestASlowEndpointDelaysNoOtherAndOneThatAnswers410IsDisabled(t *testing.T) {
	db := sqltest.Open(t, sqltest.SQLite(t))
	w, slow, quick, gone := newWorld(t, db), newReceiver(t), newReceiver(t), newReceiver(t)
	release := make(chan struct{})
	var once sync.Once
	t.Cleanup(func() { once.Do(func() { close(release) }) })
	slow.answers(func(string) int { <-release; return 200 })
	gone.answers(func(string) int { return http.StatusGone })
	w.told(slow, tidings.EventOf(tidings.Sent))
	w.told(quick, tidings.EventOf(tidings.Sent), tidings.EventDisabled)
	last := w.told(gone, tidings.EventOf(tidings.Sent))
	w.accept(message("web", tidings.Audience{Merchants: []string{"acme"}}, tidings.Web))
	w.run()
	notify(t, db, loopback)
	until(t, func() error {
		_, bodies, _ := quick.seen()
		if len(bodies) != 13 || !slices.ContainsFunc(bodies, func(b string) bool {
			return strings.Contains(b, `"endpoint.disabled"`) && strings.Contains(b, last.ID.String()) && strings.Contains(b, `"gone"`)
		}) {
			return fmt.Errorf("%d webhooks %q", len(bodies), bodies)
		}
		return nil
	})
	if ids, _, _ := slow.seen(); len(ids) != 0 {
		t.Errorf("the slow one has answered %d", len(ids))
	}
	e, err := db.Endpoint(t.Context(), "orders", last.ID)
	if err != nil || e.State != tidings.EndpointDisabled || e.Reason != tidings.EndpointGone {
		t.Errorf("%+v %v", e, err)
	}
	once.Do(func() { close(release) })
	until(t, func() error {
		ids, _, _ := slow.seen() // one may be there twice: its first call took longer than we wait
		slices.Sort(ids)
		if n := len(slices.Compact(ids)); n < 12 {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
}

func TestAnEndpointInOurNetworkIsNotCalledAndFailuresAreTriedAgain(t *testing.T) {
	db := sqltest.Open(t, sqltest.SQLite(t))
	w, inside, flaky := newWorld(t, db), newReceiver(t), newReceiver(t)
	secret := strings.Replace(inside.url, "http://", "https://", 1) // even by https, and on whatever port
	e, err := db.CreateEndpoint(t.Context(), tidings.Endpoint{Application: "orders", URL: secret, Events: []tidings.EventType{tidings.EventOf(tidings.Sent)}}, tidings.NewWebhookSecret())
	must(t, err)
	w.accept(message("web", tidings.Audience{Users: []string{"u00"}}, tidings.Web))
	w.run()
	stop := notify(t, db, "")
	until(t, func() error {
		found, err := db.Endpoint(t.Context(), "orders", e.ID)
		if err == nil && (found.Health.Failures == 0 || found.Health.Error != "this host may not be called") {
			err = fmt.Errorf("%+v", found.Health)
		}
		return err
	})
	stop()
	if ids, _, _ := inside.seen(); len(ids) != 0 {
		t.Errorf("our network was reached: %q", ids)
	}
	must(t, db.DeleteEndpoint(t.Context(), "orders", e.ID))

	failed := map[string]bool{}
	var mu sync.Mutex
	flaky.answers(func(id string) int {
		mu.Lock()
		defer mu.Unlock()
		if !failed[id] {
			failed[id] = true
			return http.StatusServiceUnavailable
		}
		return http.StatusNoContent
	})
	again := w.told(flaky, tidings.EventOf(tidings.Sent))
	w.accept(message("web", tidings.Audience{Users: []string{"u01"}}, tidings.Web))
	w.run()
	notify(t, db, loopback)
	until(t, func() error {
		found, err := db.Endpoint(t.Context(), "orders", again.ID)
		if err == nil && (found.Health.SucceededAt.IsZero() || found.Health.Failures != 0 || found.Health.Pending != 0) {
			err = fmt.Errorf("%+v", found.Health)
		}
		return err
	})
	if ids, _, wrong := flaky.seen(); wrong != nil || len(ids) != 2 || ids[0] != ids[1] {
		t.Errorf("%q %v", ids, wrong)
	}
}
