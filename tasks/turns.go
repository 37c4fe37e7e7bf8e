package tasks

import (
	"sync"

	"tidings"
)

// turns lets a few runs of a lane go at a time, those of the later stages first: what is on its way arrives before more is
// begun. So a crowd waits where it costs nothing, in the queue of the first stage, and what a stage has just written is
// still remembered when the next one asks for it.
type turns struct {
	mu      sync.Mutex
	free    int
	waiting [len(order)][]chan struct{}
}

// order is that of the road.
var order = [...]tidings.StageName{tidings.Acquire, tidings.Render, tidings.Route, tidings.Deliver}

// runsOfLane is how many runs a lane may have under way: one on the way to the database and one in it.
const runsOfLane = 2

func newTurns() *turns { return &turns{free: runsOfLane} }

// take waits for a turn.
func (t *turns) take(stage tidings.StageName) {
	t.mu.Lock()
	if t.free > 0 {
		t.free--
		t.mu.Unlock()
		return
	}
	turn := make(chan struct{})
	for i, s := range order {
		if s == stage {
			t.waiting[i] = append(t.waiting[i], turn)
		}
	}
	t.mu.Unlock()
	<-turn
}

// give passes the turn on: to the latest stage that waits.
func (t *turns) give() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := len(t.waiting) - 1; i >= 0; i-- {
		if w := t.waiting[i]; len(w) > 0 {
			t.waiting[i] = w[1:]
			close(w[0])
			return
		}
	}
	t.free++
}
