package handlers

import (
	"context"
	"maps"
	"slices"
	"time"

	"tidings"
	"tidings/tasks"
	"tidings/templates"
)

// RouteStore is what the route stage reads and commits.
type RouteStore interface {
	Gate
	RouteWork(ctx context.Context, ss []tidings.Segment) (tidings.RouteWork, error)
	Type(ctx context.Context, application, name string) (tidings.MessageType, error)
	// Preferences are those of users that may say something about types of the application; mostly none, and nil.
	Preferences(ctx context.Context, application string, types, users []string) (map[string]*tidings.Preferences, error)
	// Quotas are those of the applications that have one.
	Quotas(ctx context.Context) (map[string]tidings.Quota, error)
	// MessageData reads the data of messages.
	MessageData(ctx context.Context, ids []tidings.ID) (map[tidings.ID][]byte, error)
	// Via tells through which dimensions users were reached.
	Via(ctx context.Context, items []tidings.Item) (map[tidings.Item][]string, error)
	// Suspended tells which applications may not send for now.
	Suspended(ctx context.Context) (map[string]bool, error)
	// Families tells to which message's route messages belong, StoreHours when stores are open.
	Families(ctx context.Context, ids []tidings.ID) (map[tidings.ID]tidings.ID, error)
	StoreHours(ctx context.Context, ids []string) (map[string]tidings.Store, error)
	Routed(ctx context.Context, ss []tidings.Segment, ds []tidings.Delivery, w tidings.Waiting) ([]tidings.Segment, error)
}

// Route asks which way: it turns each notification into deliveries, one for each channel. The decisions are tidings.Plan,
// which the preview calls too.
func Route(store RouteStore) tasks.Stage {
	known := &knownTypes{store: store, known: tidings.NewCache[[2]string, *knownType](knownTypesAge, typesKept)}
	return tasks.Grouped(func(ctx context.Context, ss []tidings.Segment) ([]tidings.Segment, error) {
		if err := pass(ctx, store, ss...); err != nil {
			return nil, err
		}
		w, err := store.RouteWork(ctx, ss)
		if err != nil {
			return nil, err
		}
		types, err := known.of(ctx, w)
		if err != nil {
			return nil, err
		}
		via, err := reached(ctx, store, w, types)
		if err != nil {
			return nil, err
		}
		later, err := laterOf(ctx, store, w, types, via)
		if err != nil {
			return nil, err
		}
		preferences, err := preferencesOf(ctx, store, ss[0].Application, w)
		if err != nil {
			return nil, err
		}
		keys, err := dedupKeys(ctx, store, types, w)
		if err != nil {
			return nil, err
		}
		quotas, err := store.Quotas(ctx)
		if err != nil {
			return nil, err
		}
		suspended, err := store.Suspended(ctx)
		if err != nil {
			return nil, err
		}
		r := routing{w, via, types, preferences, keys, quotas[ss[0].Application].Caps, later}
		ds, waiting := r.plan()
		return store.Routed(ctx, ss, holdSuspended(ds, w, suspended), waiting)
	})
}

// reached tells how users were reached, where that decides which version they see, or when.
func reached(ctx context.Context, store RouteStore, w tidings.RouteWork, types map[tidings.ID]*knownType) (map[tidings.Item][]string, error) {
	for _, t := range types {
		if t.HeedsStores() {
			return store.Via(ctx, w.Items)
		}
	}
	for _, rs := range w.Contents {
		if tidings.InTrials(rs) {
			return store.Via(ctx, w.Items)
		}
	}
	return nil, nil
}

// preferencesOf are those of the users of a segment.
func preferencesOf(ctx context.Context, store RouteStore, application string, w tidings.RouteWork) (map[string]*tidings.Preferences, error) {
	types, users := map[string]bool{}, make([]string, len(w.Items))
	for _, m := range w.Messages {
		types[m.Type] = true
	}
	for i, item := range w.Items {
		users[i] = item.User
	}
	return store.Preferences(ctx, application, slices.Collect(maps.Keys(types)), users)
}

// routing is what the ways of a segment's notifications are decided by.
type routing struct {
	tidings.RouteWork
	via         map[tidings.Item][]string
	types       map[tidings.ID]*knownType
	preferences map[string]*tidings.Preferences
	keys        map[tidings.ID]string // what the types of messages take for the same
	caps        []tidings.Cap         // of the application
	later
}

func (r routing) plan() ([]tidings.Delivery, tidings.Waiting) {
	ds, w := make([]tidings.Delivery, 0, len(r.Items)), tidings.Waiting{}
	for _, item := range r.Items {
		m, t := r.Messages[item.Message], r.types[item.Message].MessageType
		p := tidings.Planning{Now: r.Now, Channels: m.Channels, SendAt: m.SendAt, ExpiresAt: m.ExpiresAt,
			Canceled: m.Canceled, Contents: tidings.ChooseContents(item.User, item.Locale, r.via[item], r.Contents[m.ID]),
			Addresses: r.Addresses[item.User], Quiet: t.Quiet, Type: t, Preferences: r.preferences[item.User],
			Caps: r.caps, CollapseKey: m.CollapseKey, DedupKey: r.keys[m.ID],
			Child: r.child(m.ID), Stores: r.storesOf(t, r.via[item])}
		r.leave(&w, m, t, p)
		for _, d := range tidings.Plan(p) {
			d.Message, d.User = item.Message, item.User
			ds = append(ds, d)
		}
	}
	w.Escalations = tidings.MergeEscalations(w.Escalations)
	return ds, w
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

const (
	// knownTypesAge is how long a message type may still be used after it was changed.
	knownTypesAge = 2 * time.Second
	// typesKept bounds the memory of what is known of types.
	typesKept = 10_000
)

// knownTypes keeps message types, so that a segment asks for each type once.
type knownTypes struct {
	store RouteStore
	known *tidings.Cache[[2]string, *knownType]
}

type knownType struct {
	*tidings.MessageType
	same *templates.Template // of its dedup key; nil: the collapse key
}

// of finds the types of messages. One that is gone has no rules.
func (k *knownTypes) of(ctx context.Context, w tidings.RouteWork) (map[tidings.ID]*knownType, error) {
	types := make(map[tidings.ID]*knownType, len(w.Messages))
	for id, m := range w.Messages {
		t, err := k.known.Get(w.Now, [2]string{m.Application, m.Type}, func(*knownType) (*knownType, error) { return k.read(ctx, m.Application, m.Type) })
		if err != nil {
			return nil, err
		}
		types[id] = t
	}
	return types, nil
}

func (k *knownTypes) read(ctx context.Context, application, name string) (*knownType, error) {
	read, err := k.store.Type(ctx, application, name)
	if err != nil && tidings.CodeOf(err) != tidings.NotFound {
		return nil, err
	}
	read.Application, read.Name = application, name
	t := &knownType{MessageType: &read}
	if read.Dedup != nil && read.Dedup.Key != "" {
		t.same, _ = templates.Parse(tidings.Template{Body: read.Dedup.Key}) // the platform took it: it can be parsed
	}
	return t, nil
}

// dedupKeys are what messages are the same by, of types that have a dedup window. One whose key comes out empty or not at all
// is like no other.
func dedupKeys(ctx context.Context, store RouteStore, types map[tidings.ID]*knownType, w tidings.RouteWork) (map[tidings.ID]string, error) {
	var keys map[tidings.ID]string
	var unread []tidings.ID
	for id, t := range types {
		switch {
		case t.Dedup == nil:
			continue
		case keys == nil:
			keys = map[tidings.ID]string{}
		}
		m := w.Messages[id]
		if t.same == nil {
			keys[id] = m.CollapseKey
		} else if m.Data == nil {
			unread = append(unread, id)
		} else {
			keys[id] = t.key(m.Data)
		}
	}
	if len(unread) == 0 {
		return keys, nil
	}
	data, err := store.MessageData(ctx, unread)
	for _, id := range unread {
		keys[id] = types[id].key(data[id])
	}
	return keys, err
}

func (t *knownType) key(data []byte) string { return templates.DedupKey(t.same, data) }
