package handlers

import (
	"context"
	"sync"
	"time"

	"tidings"
	"tidings/tasks"
)

// RouteStore is what the route stage reads and commits.
type RouteStore interface {
	RouteWork(ctx context.Context, ss []tidings.Segment) (tidings.RouteWork, error)
	Type(ctx context.Context, application, name string) (tidings.MessageType, error)
	// Via tells through which dimensions users were reached.
	Via(ctx context.Context, items []tidings.Item) (map[tidings.Item][]string, error)
	// Suspended tells which applications may not send for now.
	Suspended(ctx context.Context) (map[string]bool, error)
	Routed(ctx context.Context, ss []tidings.Segment, ds []tidings.Delivery) ([]tidings.Segment, error)
}

// Route asks which way: it turns each notification into deliveries, one for each channel. The decisions are tidings.Plan,
// which the preview calls too.
func Route(store RouteStore) tasks.Stage {
	rules := &timeRules{store: store, known: map[[2]string]timeRule{}}
	return tasks.Grouped(func(ctx context.Context, ss []tidings.Segment) ([]tidings.Segment, error) {
		w, err := store.RouteWork(ctx, ss)
		if err != nil {
			return nil, err
		}
		via, err := reached(ctx, store, w)
		if err != nil {
			return nil, err
		}
		quiet, err := rules.of(ctx, w)
		if err != nil {
			return nil, err
		}
		suspended, err := store.Suspended(ctx)
		if err != nil {
			return nil, err
		}
		return store.Routed(ctx, ss, holdSuspended(route(w, via, quiet), w, suspended))
	})
}

// reached tells how users were reached, where that decides which version they see.
func reached(ctx context.Context, store RouteStore, w tidings.RouteWork) (map[tidings.Item][]string, error) {
	for _, rs := range w.Contents {
		if tidings.InTrials(rs) {
			return store.Via(ctx, w.Items)
		}
	}
	return nil, nil
}

func route(w tidings.RouteWork, via map[tidings.Item][]string, quiet map[tidings.ID]*tidings.QuietHours) []tidings.Delivery {
	ds := make([]tidings.Delivery, 0, len(w.Items))
	for _, item := range w.Items {
		m := w.Messages[item.Message]
		plan := tidings.Plan(tidings.Planning{Now: w.Now, Channels: m.Channels, SendAt: m.SendAt, ExpiresAt: m.ExpiresAt,
			Canceled: m.Canceled, Contents: tidings.ChooseContents(item.User, item.Locale, via[item], w.Contents[m.ID]),
			Addresses: w.Addresses[item.User], Quiet: quiet[m.ID]})
		for _, d := range plan {
			d.Message, d.User = item.Message, item.User
			ds = append(ds, d)
		}
	}
	return ds
}

// suspendedPause is how long a delivery of a suspended application is held before it is looked at again; resuming the
// application ends it.
const suspendedPause = time.Hour

// holdSuspended holds what would go out now of applications that may not send.
func holdSuspended(ds []tidings.Delivery, w tidings.RouteWork, suspended map[string]bool) []tidings.Delivery {
	if len(suspended) == 0 {
		return ds
	}
	for i, d := range ds {
		if d.State == tidings.Queued && suspended[w.Messages[d.Message].Application] {
			ds[i].Suspend(w.Now.Add(suspendedPause))
		}
	}
	return ds
}

// timeRulesAge is how long a time rule may still be used after its type was changed.
const (
	timeRulesAge  = 2 * time.Second
	timeRulesSize = 10_000
)

// timeRules keeps the time rules of message types, so that a segment asks for each type once.
type timeRules struct {
	store RouteStore
	mu    sync.Mutex
	known map[[2]string]timeRule
}

type timeRule struct {
	quiet *tidings.QuietHours
	until time.Time
}

// of finds the quiet hours of messages whose types have any. A type that is gone has none.
func (t *timeRules) of(ctx context.Context, w tidings.RouteWork) (map[tidings.ID]*tidings.QuietHours, error) {
	var quiet map[tidings.ID]*tidings.QuietHours
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, m := range w.Messages {
		key := [2]string{m.Application, m.Type}
		rule, ok := t.known[key]
		if !ok || !w.Now.Before(rule.until) {
			typ, err := t.store.Type(ctx, m.Application, m.Type)
			if err != nil && tidings.CodeOf(err) != tidings.NotFound {
				return nil, err
			}
			if len(t.known) >= timeRulesSize {
				clear(t.known)
			}
			rule = timeRule{typ.Quiet, w.Now.Add(timeRulesAge)}
			t.known[key] = rule
		}
		if rule.quiet != nil {
			if quiet == nil {
				quiet = map[tidings.ID]*tidings.QuietHours{}
			}
			quiet[id] = rule.quiet
		}
	}
	return quiet, nil
}
