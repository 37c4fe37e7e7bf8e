package sql

import (
	"context"
	"slices"
	"sync"
	"time"

	"tidings"
)

const (
	// suspendedAge is how old this process's list of suspended applications may be. The promise is 5 s.
	suspendedAge = 2 * time.Second
	// suspendedPause is after what time a delivery held for it is looked at again; resuming does not wait for that.
	suspendedPause = time.Hour
	// unknownPause is that of one of which nobody knows what became: its reason stays, and so resuming does not find it.
	unknownPause = time.Minute
)

// suspended keeps which applications are suspended, so that the road asks once in suspendedAge and not for each segment.
type suspended struct {
	mu    sync.Mutex
	ids   map[string]bool
	until time.Time
}

// Suspended tells which applications may not send for now; mostly none, and nil.
func (db *DB) Suspended(ctx context.Context) (map[string]bool, error) {
	s := &db.suspended
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Now().Before(s.until) {
		return s.ids, nil
	}
	var ids []string
	if err := db.Select(ctx, &ids, "suspended-applications"); err != nil {
		return nil, err
	}
	return s.learn(ids), nil
}

// learn keeps a reading. Under the lock.
func (s *suspended) learn(ids []string) map[string]bool {
	s.ids, s.until = nil, time.Now().Add(suspendedAge)
	for _, id := range ids {
		if s.ids == nil {
			s.ids = make(map[string]bool, len(ids))
		}
		s.ids[id] = true
	}
	return s.ids
}

// suspended tells which applications may not send until the end of the transaction: not one that is resumed meanwhile. It comes before any
// other lock, as a resume takes the application before its deliveries.
func (t *tx) suspended(ctx context.Context) (map[string]bool, error) {
	var ids []string
	if err := t.Select(ctx, &ids, "share-suspended"); err != nil {
		return nil, err
	}
	s := &t.db.suspended
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.learn(ids), nil
}

// resume has what was held for a suspension go on.
func (t *tx) resume(ctx context.Context, application string) error {
	for _, q := range []string{"release-suspended-digests", "release-suspended", "release-suspended-steps"} {
		if _, err := t.Exec(ctx, q, application); err != nil {
			return err
		}
	}
	return nil
}

// unlessResumed has what the effect holds for a suspension go on at once if that is over by now: this process may have learnt of its end
// two seconds late, and the resume could not find what was not held yet.
func unlessResumed(ds []tidings.Delivery, effect ...statement) []statement {
	isHeld := func(d tidings.Delivery) bool { return d.State == tidings.Held && d.Reason == tidings.AppSuspended }
	if !slices.ContainsFunc(ds, isHeld) { // as mostly: nothing is copied then
		return effect
	}
	held := slices.DeleteFunc(slices.Clone(ds), func(d tidings.Delivery) bool { return !isHeld(d) })
	var ids []struct{ ID string }
	return append(append([]statement{into(&ids, "share-suspended")}, effect...), do("wake-resumed", columns(
		ints(held, func(d tidings.Delivery) int64 { return int64(d.Message) }), strs(held, func(d tidings.Delivery) string { return d.User }),
		strs(held, func(d tidings.Delivery) string { return string(d.Channel) }))))
}

// forget makes this process look again at once; others do within suspendedAge.
func (s *suspended) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.until = time.Time{}
}
