package handlers

import (
	"context"

	"tidings"
)

// later is what decides on what follows later: nothing, for types without a route, hours and digests.
type later struct {
	families map[tidings.ID]tidings.ID
	stores   map[string]tidings.Store
}

func laterOf(ctx context.Context, store RouteStore, w tidings.RouteWork, types map[tidings.ID]*knownType, via map[tidings.Item][]string) (l later, err error) {
	var routed []tidings.ID
	heeds := false
	for id, t := range types {
		if t.Route != nil || t.Digest != nil {
			routed = append(routed, id)
		}
		heeds = heeds || t.HeedsStores()
	}
	if len(routed) > 0 {
		if l.families, err = store.Families(ctx, routed); err != nil {
			return l, err
		}
	}
	if !heeds {
		return l, nil
	}
	var stores []string
	for _, v := range via {
		stores = append(stores, tidings.StoresOf(v)...)
	}
	if len(stores) > 0 {
		l.stores, err = store.StoreHours(ctx, stores)
	}
	return l, err
}

// child tells whether a message is a step of another one's route.
func (l later) child(id tidings.ID) bool {
	family, ok := l.families[id]
	return ok && family != id
}

// storesOf are the stores whose hours a notification heeds.
func (l later) storesOf(t *tidings.MessageType, via []string) (stores []tidings.Store) {
	if !t.HeedsStores() {
		return nil
	}
	for _, id := range tidings.StoresOf(via) {
		if s, ok := l.stores[id]; ok {
			stores = append(stores, s)
		}
	}
	return stores
}

// leave notes what the route stage leaves behind of a notification.
func (l later) leave(w *tidings.Waiting, m tidings.Audienced, t *tidings.MessageType, p tidings.Planning) {
	if p.Child || t.Route == nil && t.Digest == nil {
		return
	}
	if w.Types == nil {
		w.Types, w.Routes = map[tidings.ID]string{}, map[tidings.ID]tidings.Until{}
	}
	w.Types[m.ID] = m.Type
	if t.Route == nil {
		return
	}
	w.Routes[m.ID] = t.Route.Until
	for _, e := range tidings.Escalations(p) {
		e.Message = m.ID
		w.Escalations = append(w.Escalations, e)
	}
}
