package auth

import (
	"sync"
	"time"

	"tidings"
)

// cacheSize bounds a cache, so that a flood of invented ids cannot fill the memory. When it is full it is emptied: the
// next few requests look up again.
const cacheSize = 10_000

// cache keeps what was looked up for cacheTime. Its zero value is ready for use. "Not found" is kept as well, so that a
// program that runs on with a deleted key does not reach SQL with each request; other errors are not.
type cache[V any] struct {
	mu    sync.RWMutex
	items map[string]cached[V]
}

type cached[V any] struct {
	value V
	err   error
	until time.Time
}

func (c *cache[V]) get(now time.Time, id string, look func() (V, error)) (V, error) {
	c.mu.RLock()
	item, ok := c.items[id]
	c.mu.RUnlock()
	if ok && now.Before(item.until) {
		return item.value, item.err
	}
	value, err := look()
	if err != nil && tidings.CodeOf(err) != tidings.NotFound {
		return value, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.items == nil || len(c.items) >= cacheSize {
		c.items = map[string]cached[V]{}
	}
	c.items[id] = cached[V]{value: value, err: err, until: now.Add(cacheTime)}
	return value, err
}
