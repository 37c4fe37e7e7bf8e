package handlers

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"time"

	"tidings"
)

// EventStore keeps what endpoints are to be told of.
type EventStore interface {
	// DueEndpoints are the endpoints that are to be called now.
	DueEndpoints(ctx context.Context) ([]tidings.ID, error)
	// ClaimEvents takes due events of an endpoint for the time of lease; work without events is none.
	ClaimEvents(ctx context.Context, endpoint tidings.ID, limit int, lease time.Duration) (tidings.EndpointWork, error)
	// EndEvents writes what became of calls, and tells why it disabled the endpoint, if it did.
	EndEvents(ctx context.Context, endpoint tidings.ID, results []tidings.EventResult) (tidings.EndpointReason, error)
}

// Caller makes one call with a webhook. Its error is of a call that nobody answered.
type Caller interface {
	Call(ctx context.Context, h tidings.Hook) (status int, after time.Duration, err error)
}

const (
	notifyEvery = time.Second
	notifyAtOne = 16               // calls to one endpoint under way at once in each worker
	notifyMost  = 256              // endpoints called at once in each worker
	notifyLease = 60 * time.Second // longer than a call and its record take
)

// Notifier tells endpoints of applications what became of deliveries and notifications. Each endpoint is called by a goroutine of its own,
// so that a slow one delays nobody else. Events are rows with a due time: they are never lost, and one whose worker died after the call is
// brought again under the same id.
type Notifier struct {
	store  EventStore
	caller Caller
	log    *slog.Logger
	told   func(outcome string) // for the metrics

	mu   sync.Mutex
	busy map[tidings.ID]bool
	wait sync.WaitGroup
}

// NewNotifier returns a Notifier that is not running yet. told hears of each call: "delivered" or "failed".
func NewNotifier(store EventStore, caller Caller, log *slog.Logger, told func(outcome string)) *Notifier {
	return &Notifier{store: store, caller: caller, log: log, told: told, busy: map[tidings.ID]bool{}}
}

// Run calls the endpoints that have events due, until ctx ends; it returns when no call is under way.
func (n *Notifier) Run(ctx context.Context) {
	defer n.wait.Wait()
	tidings.Every(ctx, notifyEvery, func() {
		if err := n.look(ctx); err != nil && ctx.Err() == nil {
			n.log.Warn("endpoints could not be told; trying again", "error", err)
		}
	})
}

// look begins to serve each endpoint that has events due and is not being served.
func (n *Notifier) look(ctx context.Context) error {
	due, err := n.store.DueEndpoints(ctx)
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, id := range due {
		if n.busy[id] || len(n.busy) >= notifyMost {
			continue
		}
		n.busy[id] = true
		n.wait.Go(func() {
			defer n.free(id)
			if err := n.serve(ctx, id); err != nil && ctx.Err() == nil {
				n.log.Warn("an endpoint could not be told; trying again", "endpoint", id, "error", err)
			}
		})
	}
	return nil
}

func (n *Notifier) free(id tidings.ID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.busy, id)
}

// serve calls one endpoint until it has nothing due or does not take what it gets.
func (n *Notifier) serve(ctx context.Context, endpoint tidings.ID) error {
	for {
		w, err := n.store.ClaimEvents(ctx, endpoint, notifyAtOne, notifyLease)
		if err != nil || len(w.Events) == 0 {
			return err
		}
		results := make([]tidings.EventResult, len(w.Events))
		var calls sync.WaitGroup
		for i, e := range w.Events {
			calls.Go(func() { results[i] = n.call(context.WithoutCancel(ctx), w, e) })
		}
		calls.Wait()
		failed := false
		for _, r := range results {
			outcome := "delivered"
			if !r.OK {
				outcome, failed = "failed", true
			}
			n.told(outcome)
		}
		disabled, err := n.store.EndEvents(context.WithoutCancel(ctx), endpoint, results) // what was called is recorded, also while we stop
		if disabled != "" {
			n.log.Warn("an endpoint is disabled", "endpoint", endpoint, "reason", disabled)
		}
		if err != nil || failed || ctx.Err() != nil {
			return err
		}
	}
}

// call makes one call and judges the answer, of which the status alone counts.
func (n *Notifier) call(ctx context.Context, w tidings.EndpointWork, e tidings.Event) tidings.EventResult {
	r := tidings.EventResult{Event: e, Retry: jittered(tidings.EventDelay(e.Calls))}
	body, err := e.Body()
	if err != nil {
		r.Error = "the event could not be written"
		return r
	}
	r.Status, r.After, err = n.caller.Call(ctx, tidings.Hook{URL: w.URL, Secrets: w.Secrets, ID: e.Webhook, Body: body})
	if err != nil {
		r.Error = told(err)
		return r
	}
	r.OK, r.Gone = r.Status >= 200 && r.Status < 300, r.Status == http.StatusGone
	if !r.OK {
		r.Error, r.Retry = "it answered "+strconv.Itoa(r.Status), max(r.Retry, r.After)
	}
	return r
}

// jittered is a random part of d: full jitter, but a second at least.
func jittered(d time.Duration) time.Duration { return time.Second + rand.N(max(d-time.Second, 1)) }

// told is what an application hears of a call without an answer. The cause itself may name hosts of ours, a resolver or a proxy.
func told(err error) string {
	if e, ok := errors.AsType[*tidings.SendError](err); ok {
		if e.Outcome == tidings.Unknown {
			return "no answer"
		}
		return "it could not be reached"
	}
	return err.Error()
}
