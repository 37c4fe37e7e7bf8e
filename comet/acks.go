package comet

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"tidings"
)

// ackBatch is how many users' acknowledgements go to SQL in one statement.
const ackBatch = 1000

// ackEvery is how long acknowledgements are gathered.
const ackEvery = 200 * time.Millisecond

// acks gathers what clients have received and writes it to SQL in batches: of each user the highest number.
type acks struct {
	node *Node
	mu   sync.Mutex
	held map[string]int64
	// asked holds a word when something is held: a node that hears nothing does nothing.
	asked chan struct{}
}

// run writes what is held ackEvery after the first of it came, so that the rest goes with it.
func (a *acks) run(ctx context.Context) {
	failing := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.asked:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(ackEvery):
		}
		bounded, cancel := context.WithTimeout(ctx, readTimeout)
		err := a.flush(bounded)
		cancel()
		if err != nil && !failing && ctx.Err() == nil {
			a.node.Logger.Warn("could not write acknowledgements; trying again", "error", err)
		}
		if failing = err != nil; failing {
			a.ask()
		}
	}
}

func (a *acks) ask() {
	select {
	case a.asked <- struct{}{}:
	default: // already
	}
}

func (a *acks) add(user string, number int64) {
	a.node.metrics.acks.Inc()
	a.mu.Lock()
	defer a.mu.Unlock()
	if number > a.held[user] {
		a.held[user] = number
		a.ask()
	}
}

// flush writes what is held. What could not be written is held on.
func (a *acks) flush(ctx context.Context) error {
	a.mu.Lock()
	held := a.held
	if len(held) == 0 {
		a.mu.Unlock()
		return nil
	}
	a.held = make(map[string]int64)
	a.mu.Unlock()
	all := make([]tidings.Ack, 0, len(held))
	for user, number := range held {
		all = append(all, tidings.Ack{User: user, Number: number})
	}
	for batch := range slices.Chunk(all, ackBatch) {
		if err := a.node.History.Acknowledge(ctx, batch); err != nil {
			a.keep(held)
			return fmt.Errorf("write acknowledgements: %w", err)
		}
	}
	return nil
}

func (a *acks) keep(held map[string]int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for user, number := range held {
		a.held[user] = max(a.held[user], number)
	}
}
