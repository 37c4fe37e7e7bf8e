package comet

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"tidings"
)

// How numbers that no bell brought are read.
const (
	fillers     = 64  // at once; what they ask SQL for goes in one statement at a time, so that a storm leaves it room for others
	fillNumbers = 100 // in one read, at most
	fillSpans   = 100 // in one statement, at most: what is read together lies in memory together
	readTimeout = 10 * time.Second
	fillAgain   = 500 * time.Millisecond // after a read that failed
)

// fill has a filler bring the group's connections up to its head. One filler has a group at a time.
func (n *Node) fill(g *group) {
	g.shard.mu.Lock()
	defer g.shard.mu.Unlock()
	n.fillLocked(g)
}

func (n *Node) fillLocked(g *group) {
	if !g.filling && g.lags() > 0 {
		g.filling = true
		n.fills.add(g)
	}
}

func (n *Node) runFiller(ctx context.Context) {
	for {
		g, ok := n.fills.next()
		if !ok {
			return
		}
		if err := n.fillGroup(ctx, g); err != nil && ctx.Err() == nil {
			n.Logger.Warn("a hole could not be filled; trying again", "error", err)
			time.AfterFunc(fillAgain, func() { n.fills.add(g) })
		}
	}
}

// fillGroup reads and delivers until no connection of the group lags, or all that do are slow readers.
func (n *Node) fillGroup(ctx context.Context, g *group) error {
	sh := g.shard
	for {
		sh.mu.Lock()
		from, head, page, epoch := g.lags(), g.head, g.nextPage(), g.epoch
		trusted := sh.changed[g.user] == 0
		g.filling = from > 0
		sh.mu.Unlock()
		if from == 0 {
			return nil
		}
		items, last, err := n.read(ctx, g.user, from, page, trusted)
		if err != nil {
			return err
		}
		sh.mu.Lock()
		g.page = int32(len(items)) //nolint:gosec // fillNumbers at most
		if g.epoch == epoch {      // else it is of a list that is no more
			n.arrived(g, from, head, last, items)
		}
		sh.mu.Unlock()
	}
}

// nextPage is how many numbers to read: of large entries, of which a connection takes few at once, no more than these.
// Under the shard's lock.
func (g *group) nextPage() int {
	page := int(g.page)
	if page == 0 {
		return fillNumbers
	}
	return min(2*page, fillNumbers)
}

// arrived delivers what was read from a number on. What is not there can not be had: retention took it, or the list is
// another one. Under the shard's lock.
func (n *Node) arrived(g *group, from, heard, last int64, items []item) {
	switch {
	case len(items) == 0:
		if g.head == heard {
			g.head = last
		}
		g.reset(heard+1, last)
	case items[0].number > from:
		g.reset(items[0].number, max(last, g.head))
	default:
		g.deliver(items)
	}
}

// read reads some numbers from one on: of the cache if it may be trusted and has them, else of SQL with the last number.
func (n *Node) read(ctx context.Context, user string, from int64, page int, trusted bool) (items []item, last int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if trusted {
		items, err = n.Streams.cached(ctx, user, from, page)
		if err == nil && len(items) > 0 {
			n.metrics.filled.WithLabelValues("stream").Add(float64(len(items)))
			return n.bounded(items), 0, nil
		}
	}
	tail, err := n.tails.get(ctx, tidings.Span{User: user, After: from - 1, Limit: page})
	if err != nil {
		return nil, 0, fmt.Errorf("read the inbox of a connected user: %w", err)
	}
	items, err = merge(tail.Entries, tail.Gone)
	n.metrics.filled.WithLabelValues("sql").Add(float64(len(items)))
	return n.bounded(items), tail.Head, err
}

// bounded cuts items to what a connection may have waiting; the rest is read again once it is written.
func (n *Node) bounded(items []item) []item {
	size := 0
	for i, it := range items {
		size += len(it.entry) + 32
		if i > 0 && size > n.Buffer/4 {
			return items[:i]
		}
	}
	return items
}

// merge puts entries and gone numbers in one list, ascending, up to the first hole.
func merge(entries []tidings.Entry, gone []int64) ([]item, error) {
	items := make([]item, 0, len(entries)+len(gone))
	for _, e := range entries {
		content, err := marshalEntry(e)
		if err != nil {
			return nil, err
		}
		items = append(items, item{number: e.Number, entry: content})
	}
	for _, number := range gone {
		items = append(items, item{number: number, gone: true})
	}
	slices.SortFunc(items, func(a, b item) int { return cmp.Compare(a.number, b.number) })
	for i := 1; i < len(items); i++ {
		if items[i].number != items[i-1].number+1 {
			return items[:i], nil
		}
	}
	return items, nil
}
