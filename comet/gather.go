package comet

import (
	"context"
	"fmt"
	"sync"
)

// gather reads the heads that many ask for at once in one call: while a call runs, those who come wait for the next. A
// storm of reconnects after a loss so costs SQL a few queries, not one each.
type gather struct {
	read func(ctx context.Context, users []string) (map[string]int64, error)

	mu      sync.Mutex
	running bool
	waiting *round
}

type round struct {
	users map[string]struct{}
	done  chan struct{}
	heads map[string]int64
	err   error
}

// get is the user's head.
func (g *gather) get(ctx context.Context, user string) (int64, error) {
	g.mu.Lock()
	if g.waiting == nil {
		g.waiting = &round{users: make(map[string]struct{}), done: make(chan struct{})}
	}
	r := g.waiting
	r.users[user] = struct{}{}
	if !g.running {
		g.running = true
		go g.run(context.WithoutCancel(ctx)) // for all who wait, not only for the one who came first
	}
	g.mu.Unlock()
	select {
	case <-r.done:
		return r.heads[user], r.err
	case <-ctx.Done():
		return 0, fmt.Errorf("read a head: %w", context.Cause(ctx))
	}
}

func (g *gather) run(ctx context.Context) {
	for {
		g.mu.Lock()
		r := g.waiting
		g.waiting = nil
		g.running = r != nil
		g.mu.Unlock()
		if r == nil {
			return
		}
		users := make([]string, 0, len(r.users))
		for user := range r.users {
			users = append(users, user)
		}
		bounded, cancel := context.WithTimeout(ctx, readTimeout)
		r.heads, r.err = g.read(bounded, users)
		cancel()
		close(r.done)
	}
}
