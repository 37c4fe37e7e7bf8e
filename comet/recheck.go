package comet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

const (
	// recheckUsers is how many users are compared with the heads of their lists at once: one statement of SQL.
	recheckUsers = 4000
	// lateAppends is how long after a loss a process may still append to what was lost, a master that was replaced: it
	// looks every second and gives up a look after 5 s.
	lateAppends = 10 * time.Second
)

// recheck has every connected user's lease written again and his connections compared with the head of his list: bells
// may have been lost.
func (n *Node) recheck() {
	select {
	case n.rechecks <- struct{}{}:
	default: // one is due already, and it begins after now
	}
}

func (n *Node) runRechecks(ctx context.Context) {
	known := int64(0)
	var late <-chan time.Time
	for {
		bySQL := false
		select {
		case <-ctx.Done():
			return
		case <-n.rechecks:
		case <-late:
			late, bySQL = nil, true
		}
		generation := n.Streams.watch.generation.Load()
		err := n.recheckAll(ctx, bySQL)
		if err != nil && ctx.Err() == nil {
			n.Logger.Warn("connected users could not be compared with their lists; trying again", "error", err)
		}
		switch {
		case err != nil && bySQL:
			late = time.After(fillAgain)
		case err != nil:
			time.AfterFunc(fillAgain, n.recheck)
		case generation > known:
			if known > 0 {
				late = time.After(n.late)
			}
			known = generation
		}
	}
}

// recheckAll writes leases before it reads heads: a number is in the head, or rings here. What Redis has not of this
// generation, or everything if so asked, is read from SQL: some thousand users in a statement, and the rest waits as long
// as the statement took, so that many nodes that do this at once leave SQL room for others.
func (n *Node) recheckAll(ctx context.Context, bySQL bool) error {
	n.metrics.rechecks.Inc()
	if err := n.Streams.watch.ready(ctx); err != nil {
		return err
	}
	if err := n.refreshEpoch(ctx); err != nil {
		return err
	}
	var failed error // for some: the others are compared all the same
	for users := range slices.Chunk(n.shards.users(), recheckUsers) {
		took, err := n.recheckSome(ctx, users, bySQL)
		if failed = errors.Join(failed, err); err != nil && took == 0 { // Redis is away, or SQL
			return failed
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(took):
		}
	}
	return failed
}

// recheckSome does so with some users and tells how long SQL took; 0: nobody could be compared.
func (n *Node) recheckSome(ctx context.Context, users []string, bySQL bool) (took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	heads, away, failed := n.registerAgain(ctx, n.shards.conns(users))
	stale := slices.DeleteFunc(slices.Clone(users), func(u string) bool {
		_, believed := heads[u]
		return away[u] || believed && !bySQL
	})
	began := time.Now()
	if len(stale) > 0 {
		read, err := n.Streams.reloadHeads(ctx, stale)
		failed = errors.Join(failed, err)
		maps.Copy(heads, read)
	}
	if len(heads) > 0 {
		took = time.Since(began)
	}
	for user, head := range heads {
		n.ring(bell{user: user, number: head})
	}
	return took, failed
}

// refreshEpoch reads the epoch. When it changed, the numbers mean something else now: everybody reloads, and whom an error kept from that
// does so the next time.
func (n *Node) refreshEpoch(ctx context.Context) error {
	n.epochs.Lock()
	defer n.epochs.Unlock()
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	epoch, err := n.History.Epoch(ctx)
	if err != nil {
		return fmt.Errorf("read the epoch: %w", err)
	}
	if !word(epoch) {
		return fmt.Errorf("the epoch %q is not 1 to 64 letters, digits, - and _", epoch)
	}
	if old := n.epoch.Load(); old == nil || *old != epoch {
		if old != nil { // heads and streams are of the list before: first of all they must not be believed
			if err := n.Streams.watch.lose(ctx); err != nil {
				return fmt.Errorf("disbelieve what Redis holds of another list: %w", err)
			}
		}
		n.epoch.Store(&epoch)
		n.unreset = old != nil
	}
	if !n.unreset {
		return nil
	}
	if err := n.resetAll(ctx); err != nil {
		return err
	}
	n.unreset = false
	return nil
}

func (n *Node) resetAll(ctx context.Context) error {
	epoch := n.epoch.Load()
	for users := range slices.Chunk(n.shards.usersWhose(func(g *group) bool { return g.epoch != epoch }), recheckUsers) {
		heads, err := n.History.Heads(ctx, users)
		if err != nil {
			return fmt.Errorf("reset after a new epoch: %w", err)
		}
		for _, user := range users {
			sh := n.shards.of(user)
			sh.mu.Lock()
			if g := sh.groups[user]; g != nil && g.epoch != epoch {
				g.renumber(epoch, heads[user])
			}
			sh.mu.Unlock()
		}
	}
	return nil
}

// watchChanges looks for users whose memberships changed. Of these nothing cached is believed any more: what they may no
// longer see must be gone within 5 s, from open connections too.
func (n *Node) watchChanges(ctx context.Context) {
	since := n.Now().Add(-time.Minute).UnixMicro()
	var before []string
	every(ctx, n.Changes, n.Logger, "look for changed memberships", func(ctx context.Context) error {
		users, until, err := n.History.ChangedUsers(ctx, since)
		if err != nil {
			return fmt.Errorf("look for changed memberships: %w", err)
		}
		n.distrust(users)
		// Once more a round later: an append may have been under way with what was read before the change.
		for chunk := range slices.Chunk(slices.Concat(users, before), recheckUsers) {
			if err := n.Streams.Forget(ctx, chunk); err != nil {
				return err
			}
		}
		since, before = until, users
		return n.refreshEpoch(ctx)
	})
}

// distrustFor is how long bells and streams of a changed user are not believed after the last round that named him: as
// long as a worker holds entries between reading and appending them. sql names a change for 10 s.
const distrustFor = 5 * time.Second

func (n *Node) distrust(users []string) {
	now := n.clock.now()
	for i := range n.shards.all {
		sh := &n.shards.all[i]
		sh.mu.Lock()
		for user, until := range sh.changed {
			if until <= now {
				delete(sh.changed, user)
			}
		}
		sh.mu.Unlock()
	}
	for _, user := range users {
		sh := n.shards.of(user)
		sh.mu.Lock()
		sh.changed[user] = now + distrustFor.Milliseconds()
		sh.mu.Unlock()
	}
}
