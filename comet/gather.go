package comet

import (
	"context"
	"fmt"
	"sync"
)

// gather reads what many ask for at once in one call: while a call runs, those who come wait for the next. A storm of
// reconnects or of lost bells so costs SQL a few statements, one at a time, and not one each.
type gather[K comparable, V any] struct {
	read func(ctx context.Context, keys []K) (map[K]V, error)
	most int // keys in a call

	mu      sync.Mutex
	running bool
	waiting []*round[K, V]
}

type round[K comparable, V any] struct {
	keys   map[K]struct{}
	done   chan struct{}
	values map[K]V
	err    error
}

// get is the value of a key.
func (g *gather[K, V]) get(ctx context.Context, key K) (V, error) {
	g.mu.Lock()
	r := g.open()
	r.keys[key] = struct{}{}
	if !g.running {
		g.running = true
		go g.run(context.WithoutCancel(ctx)) // for all who wait, not only for the one who came first
	}
	g.mu.Unlock()
	select {
	case <-r.done:
		return r.values[key], r.err
	case <-ctx.Done():
		var none V
		return none, fmt.Errorf("read a list: %w", context.Cause(ctx))
	}
}

// open is the round that still takes a key. Under the lock.
func (g *gather[K, V]) open() *round[K, V] {
	if n := len(g.waiting); n > 0 && len(g.waiting[n-1].keys) < g.most {
		return g.waiting[n-1]
	}
	r := &round[K, V]{keys: make(map[K]struct{}), done: make(chan struct{})}
	g.waiting = append(g.waiting, r)
	return r
}

func (g *gather[K, V]) run(ctx context.Context) {
	for {
		g.mu.Lock()
		if len(g.waiting) == 0 {
			g.running = false
			g.mu.Unlock()
			return
		}
		r := g.waiting[0]
		g.waiting = g.waiting[1:]
		g.mu.Unlock()
		keys := make([]K, 0, len(r.keys))
		for key := range r.keys {
			keys = append(keys, key)
		}
		bounded, cancel := context.WithTimeout(ctx, readTimeout)
		r.values, r.err = g.read(bounded, keys)
		cancel()
		close(r.done)
	}
}
