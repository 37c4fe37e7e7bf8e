package comet

import "sync"

// queue hands things to a few workers in order, without a bound and without blocking who adds: each thing is in it at most
// once (its flag says so), so it holds no more than there are connections or users.
type queue[T any] struct {
	mu     sync.Mutex
	more   sync.Cond
	things []T
	closed bool
}

func newQueue[T any]() *queue[T] {
	q := &queue[T]{}
	q.more.L = &q.mu
	return q
}

func (q *queue[T]) add(t T) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.things = append(q.things, t)
	q.more.Signal()
}

// next waits for a thing; ok is false once the queue is closed.
func (q *queue[T]) next() (t T, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.things) == 0 && !q.closed {
		q.more.Wait()
	}
	if q.closed {
		return t, false
	}
	var none T
	t, q.things[0] = q.things[0], none
	q.things = q.things[1:]
	return t, true
}

// close has the workers end.
func (q *queue[T]) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.more.Broadcast()
}
