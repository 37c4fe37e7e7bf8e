package sql

import (
	"context"
	"sync"
	"time"
)

const (
	// suspendedAge is how old this process's list of suspended applications may be. The promise is 5 s.
	suspendedAge = 2 * time.Second
	// suspendedPause is after what time a delivery held for it is looked at again; resuming does not wait for that.
	suspendedPause = time.Hour
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
	now := time.Now()
	if now.Before(s.until) {
		return s.ids, nil
	}
	var ids []string
	if err := db.Select(ctx, &ids, "suspended-applications"); err != nil {
		return nil, err
	}
	s.ids, s.until = nil, now.Add(suspendedAge)
	for _, id := range ids {
		if s.ids == nil {
			s.ids = make(map[string]bool, len(ids))
		}
		s.ids[id] = true
	}
	return s.ids, nil
}

// forget makes this process look again at once; others do within suspendedAge.
func (s *suspended) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.until = time.Time{}
}
