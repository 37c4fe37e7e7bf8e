package tidings

import (
	"sync"
	"time"
)

// Cache keeps what was read for a while. What a process keeps may be that old: a change made elsewhere shows after the age, one of its own at
// once, if it forgets. It is for few things that are asked for all the time; when it is full it begins anew.
type Cache[K comparable, V any] struct {
	age   time.Duration
	most  int
	mu    sync.Mutex
	known map[K]aged[V]
	// forgotten counts, so that what was read before something was forgotten is not kept after it.
	forgotten int
}

type aged[V any] struct {
	value V
	until time.Time
}

// NewCache makes a Cache of at most most things.
func NewCache[K comparable, V any](age time.Duration, most int) *Cache[K, V] {
	return &Cache[K, V]{age: age, most: most, known: map[K]aged[V]{}}
}

// Get is the value for key, read anew when it is too old. read gets the one before, or the zero value; what it fails to read is not kept. Two who ask
// at once may both read: nobody waits for another's read.
func (c *Cache[K, V]) Get(now time.Time, key K, read func(before V) (V, error)) (V, error) {
	c.mu.Lock()
	a, ok := c.known[key]
	forgotten := c.forgotten
	c.mu.Unlock()
	if ok && now.Before(a.until) {
		return a.value, nil
	}
	value, err := read(a.value)
	if err != nil {
		var none V
		return none, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.forgotten != forgotten {
		return value, nil
	}
	if len(c.known) >= c.most {
		clear(c.known)
	}
	c.known[key] = aged[V]{value, now.Add(c.age)}
	return value, nil
}

// Forget has key read anew.
func (c *Cache[K, V]) Forget(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.known, key)
	c.forgotten++
}
