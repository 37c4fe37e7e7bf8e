package comet

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"tidings"
)

// ackBatch is how many users' acknowledgements go to SQL in one statement.
const ackBatch = 1000

// acks gathers what clients have received and writes it to SQL in batches: of each user the highest number.
type acks struct {
	node *Node
	mu   sync.Mutex
	held map[string]int64
}

func (a *acks) add(user string, number int64) {
	a.node.metrics.acks.Inc()
	a.mu.Lock()
	defer a.mu.Unlock()
	if number > a.held[user] {
		a.held[user] = number
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
