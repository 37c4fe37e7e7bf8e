package comet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/redis/go-redis/v9"
)

// registerCall is the call that gives c its lease. fence is "" for a new connection.
func (n *Node) registerCall(c *conn, fence any) call {
	user := c.group.user
	return call{
		keys: []string{leaseKey(user), headKey(user)},
		args: []any{user, c.client, n.name, leaseKept, n.PerUser, int(Replaced), int(TooManyOpen), fence, n.Streams.callerRings(),
			c.transport.String()},
	}
}

// leased is what register.lua answers.
type leased struct {
	fence    int64 // 0: a newer connection has the lease
	head     int64
	believed bool // the head is of this generation
}

// leasedBy reads the answer and adds what is left to ring to bells.
func (n *Node) leasedBy(answer *redis.Cmd, bells rung) (leased, error) {
	parts, err := answer.StringSlice()
	if err != nil {
		return leased{}, fmt.Errorf("register a connection: %w", err)
	}
	if len(parts) < 3 {
		return leased{}, fmt.Errorf("register a connection: Redis answered %d values", len(parts))
	}
	for i := 3; i+1 < len(parts); i += 2 {
		bells[parts[i]] = append(bells[parts[i]], parts[i+1])
	}
	l := leased{}
	l.fence, _ = parseNumber(parts[0])
	l.head, l.believed = n.Streams.believe(parts[1], parts[2])
	return l, nil
}

// register gives a new connection its lease and returns the last number of its user. Only after that is the head read, so
// that a number is either in it or rings here.
func (n *Node) register(ctx context.Context, c *conn) (head int64, err error) {
	generation := n.Streams.watch.generation.Load()
	answers, err := run(ctx, n.Streams.redis, registerScript, []call{n.registerCall(c, "")})
	if err != nil {
		return 0, fmt.Errorf("register a connection: %w", err)
	}
	bells := rung{}
	l, err := n.leasedBy(answers[0], bells)
	if err != nil {
		return 0, err
	}
	if err := n.Streams.ring(ctx, bells); err != nil {
		return 0, err
	}
	sh := c.group.shard
	sh.mu.Lock()
	c.fence = l.fence
	if c.fence < c.below && c.refused == 0 {
		c.close(Replaced, 0)
	} else if c.refused != 0 {
		n.releases.add(c) // it was closed before it had what it gives up
	}
	sh.mu.Unlock()
	if n.Streams.watch.generation.Load() != generation { // the leases were written again meanwhile, but not this one
		if _, _, err := n.registerAgain(ctx, []*conn{c}); err != nil {
			return 0, err
		}
	} else if l.believed {
		return l.head, nil
	}
	return n.heads.get(ctx, c.group.user)
}

// registerAgain writes the leases of connections again after Redis may have lost them, and returns the heads of their
// users that are to be believed. When it fails for some, as where a member of a cluster is away, it tells for whom. A connection whose client has connected elsewhere meanwhile is closed.
func (n *Node) registerAgain(ctx context.Context, conns []*conn) (heads map[string]int64, away map[string]bool, err error) {
	calls := make([]call, 0, len(conns))
	held := make([]*conn, 0, len(conns))
	for _, c := range conns {
		sh := c.group.shard
		sh.mu.Lock()
		fence := c.fence
		sh.mu.Unlock()
		if fence > 0 {
			calls = append(calls, n.registerCall(c, fence))
			held = append(held, c)
		}
	}
	answers, _ := run(ctx, n.Streams.redis, registerScript, calls) // each answer carries its own error
	heads, away = make(map[string]int64, len(held)), map[string]bool{}
	var failed error
	bells := rung{}
	for i, a := range answers {
		l, err := n.leasedBy(a, bells)
		if err != nil {
			failed, away[held[i].group.user] = cmp.Or(failed, err), true
			continue
		}
		switch user := held[i].group.user; {
		case l.fence == 0:
			n.replaced(user, held[i].client, held[i].fence+1, Replaced)
		case l.believed:
			heads[user] = l.head
		}
	}
	return heads, away, errors.Join(failed, n.Streams.ring(ctx, bells))
}

// replaced closes the connections of a client that have a lower fence. One that has not heard its fence yet keeps the
// bell's to compare.
func (n *Node) replaced(user, client string, fence int64, code Code) {
	sh := n.shards.of(user)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	g := sh.groups[user]
	if g == nil {
		return
	}
	for i := len(g.conns) - 1; i >= 0; i-- {
		c := g.conns[i]
		switch {
		case c.client != client:
		case c.fence == 0:
			c.below = max(c.below, fence)
		case c.fence < fence:
			c.close(code, 0)
		}
	}
}

// releases gives up the leases of connections that are over, many at once: nobody waits for it.
type releases struct {
	node *Node
	mu   sync.Mutex
	over []call
}

// add notes that c is over. Under the shard's lock.
func (r *releases) add(c *conn) {
	if c.fence == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = append(r.over, call{keys: []string{leaseKey(c.group.user)}, args: []any{c.client, c.fence}})
}

// flush gives them up. What fails is left to the leases' expiry.
func (r *releases) flush(ctx context.Context) error {
	r.mu.Lock()
	over := r.over
	r.over = nil
	r.mu.Unlock()
	if len(over) == 0 {
		return nil
	}
	if _, err := run(ctx, r.node.Streams.redis, releaseScript, over); err != nil {
		return fmt.Errorf("give up leases: %w", err)
	}
	return nil
}
