package tasks

import (
	"slices"
	"sync"

	"tidings"
)

// turns lets the runs of a lane go one at a time, and others beside it only when what waits for them fills a run: so
// small work gathers and shares its fixed costs, and large work keeps the database busy. Later stages go first: what is on
// its way arrives before more is begun, a crowd waits where it costs nothing, in the queue of the first stage, and what a
// stage has just written is still remembered when the next one asks for it.
type turns struct {
	most int // runs at once

	mu      sync.Mutex
	running int
	waiting []*turn // in order of arrival
}

// turn is a group's wait for its run.
type turn struct {
	stage int
	full  func() bool // what waits fills a run
	come  chan struct{}
}

// runsOf is how many runs of a lane go at once. Broadcasts have one more: while a page of the audience is found, two runs of others go on.
func runsOf(l tidings.Lane) int {
	if l == tidings.Bulk {
		return 3
	}
	return 2
}

// place is a stage's on the road.
func place(s tidings.StageName) int {
	return slices.Index([]tidings.StageName{tidings.Acquire, tidings.Render, tidings.Route, tidings.Deliver}, s)
}

// take waits for a turn.
func (t *turns) take(s tidings.StageName, full func() bool) {
	mine := &turn{stage: place(s), full: full, come: make(chan struct{})}
	t.mu.Lock()
	t.waiting = append(t.waiting, mine)
	t.grant()
	t.mu.Unlock()
	<-mine.come
}

// give ends a turn.
func (t *turns) give() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.running--
	t.grant()
}

// grown is called when more waits for a run.
func (t *turns) grown() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.grant()
}

func (t *turns) grant() {
	for t.running < t.most {
		next := -1
		for i, w := range t.waiting {
			if (t.running == 0 || w.full()) && (next < 0 || w.stage > t.waiting[next].stage) {
				next = i
			}
		}
		if next < 0 {
			return
		}
		t.running++
		close(t.waiting[next].come)
		t.waiting = slices.Delete(t.waiting, next, next+1)
	}
}
