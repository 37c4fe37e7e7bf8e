package tasks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tidings"
)

// Stage is one step of the road: from segments to the segments that follow them, which it has written in its own
// transaction. It may be run twice, or by two workers at once.
type Stage struct {
	run   func(ctx context.Context, ss []tidings.Segment) (next []tidings.Segment, err error)
	alone bool
}

// Grouped is a stage that works on several segments of one lane and application at once. Their tasks gather while the run
// before them is under way, as requests do for a group commit: a lone task runs at once, and a crowd shares the statements
// and the commit of one run. What follows them is merged, so that small batches grow into full segments on their way.
func Grouped(f func(ctx context.Context, ss []tidings.Segment) (next []tidings.Segment, err error)) Stage {
	return Stage{run: f}
}

// Each is a stage that works on one segment, several side by side: one that waits for a far side and must not make others
// wait with it.
func Each(f func(ctx context.Context, s tidings.Segment) (next []tidings.Segment, err error)) Stage {
	return Stage{alone: true, run: func(ctx context.Context, ss []tidings.Segment) (next []tidings.Segment, err error) {
		for _, s := range ss {
			n, failure := f(ctx, s)
			next, err = append(next, n...), errors.Join(err, failure)
		}
		return next, err
	}}
}

// Run runs the stage. A panic is an error of the segments it was given.
func (st Stage) Run(ctx context.Context, ss ...tidings.Segment) (next []tidings.Segment, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the stage panicked: %v", p)
		}
	}()
	return st.run(ctx, ss)
}

// What one run takes at the most: enough that its fixed costs are spread thin, and still one short step.
const (
	groupItems    = 4 * tidings.SegmentSize
	groupSegments = 64
)

// group gathers the tasks of one queue into runs of its stage, one run at a time and in the lane's turn. Only a broadcast's runs go two
// at a time, or beside another: it reaches each user once, so that none is told of two things in the wrong order.
type group struct {
	stage  Stage
	name   tidings.StageName
	turns  *turns
	follow func([]tidings.Segment)

	mu      sync.Mutex
	waiting []*member
	running int
	ordered bool         // one of the runs is of no broadcast
	items   atomic.Int64 // of those that wait
}

const runsOfGroup = 2

// full tells whether a segment's worth waits.
func (g *group) full() bool { return g.items.Load() >= tidings.SegmentSize }

// weight is how much of a run a segment is. A page of a broadcast's audience is large, though it is of one message.
func weight(s tidings.Segment) int {
	if s.Stage == tidings.Acquire && s.Broadcast != 0 {
		return tidings.SegmentSize
	}
	return s.Size
}

type member struct {
	segment tidings.Segment
	done    chan error
}

// join waits until a run with the segment in it has ended.
func (g *group) join(ctx context.Context, s tidings.Segment) error {
	m := &member{segment: s, done: make(chan error, 1)}
	g.mu.Lock()
	g.waiting = append(g.waiting, m)
	g.items.Add(int64(weight(s)))
	if g.running == 0 || g.running < runsOfGroup && s.Broadcast != 0 && g.full() {
		g.running++
		go g.run()
	}
	g.mu.Unlock()
	if g.full() {
		g.turns.grown()
	}
	select {
	case err := <-m.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *group) run() {
	for {
		g.turns.take(g.name, g.full)
		members := g.take()
		if members != nil {
			g.serve(members)
			g.served(members)
		}
		g.turns.give()
		if members == nil {
			return
		}
	}
}

// take removes the next run's members from those who wait: of the first one's application and broadcast, each segment once.
func (g *group) take() (members []*member) {
	g.mu.Lock()
	defer g.mu.Unlock()
	lead := slices.IndexFunc(g.waiting, func(m *member) bool { return m.segment.Broadcast != 0 || !g.ordered })
	if lead < 0 {
		g.running--
		return nil
	}
	first := g.waiting[lead].segment
	g.ordered = g.ordered || first.Broadcast == 0
	items, taken, full := 0, map[tidings.ID]bool{}, false
	var left []*member
	for _, m := range g.waiting {
		s := m.segment
		if s.Application != first.Application || s.Broadcast != first.Broadcast || taken[s.ID] {
			left = append(left, m)
			continue
		}
		// Behind one that does not fit nothing is taken: a smaller one would overtake it.
		if full = full || len(members) > 0 && (items+weight(s) > groupItems || len(members) == groupSegments); full {
			left = append(left, m)
			continue
		}
		members, items, taken[s.ID] = append(members, m), items+weight(s), true
	}
	g.waiting = left
	g.items.Add(-int64(items))
	// In the order in which they were written, so that what is appended to streams rises.
	slices.SortFunc(members, func(a, b *member) int { return cmp.Compare(a.segment.ID, b.segment.ID) })
	return members
}

// served notes the end of their run.
func (g *group) served(members []*member) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ordered = g.ordered && members[0].segment.Broadcast != 0
}

// serve runs members together. When that fails, because one of them is stale or poisoned, each runs alone, so that it is
// nobody's fault but its own.
func (g *group) serve(members []*member) {
	ctx, cancel := context.WithTimeout(context.Background(), taskTimeout-5*time.Second) // the tasks' own deadline is later
	defer cancel()
	segments := make([]tidings.Segment, len(members))
	for i, m := range members {
		segments[i] = m.segment
	}
	next, err := g.stage.Run(ctx, segments...)
	if err != nil && len(members) > 1 {
		for _, m := range members {
			g.serve([]*member{m})
		}
		return
	}
	if err == nil {
		g.follow(next)
	}
	for _, m := range members {
		m.done <- err
	}
}
