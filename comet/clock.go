package comet

import (
	"context"
	"math"
	"sync"
	"time"
)

// wheelSlots is the wheel's size: with ticks of 100 ms it goes round in 102 s, so that a heartbeat of 55 s costs one look at its connection.
const wheelSlots = 1024

// clock is a timing wheel for all connections: one goroutine and a few bytes each instead of a timer each. It is as exact
// as its tick, and sleeps until the first slot that holds something: few connections cost few wake-ups.
type clock struct {
	node  *Node
	tick  int64 // ms
	began time.Time

	mu    sync.Mutex
	at    int64 // the last tick that was handled
	next  int64 // the first one after it that holds something
	slots [wheelSlots][]*conn
	more  chan struct{} // there is a new next
}

// never is the next of an empty wheel.
const never = math.MaxInt64

func newClock(n *Node) *clock {
	c := &clock{node: n, tick: max(n.Tick.Milliseconds(), 1), began: n.Now(), next: never, more: make(chan struct{}, 1)}
	c.at = c.now() / c.tick
	return c
}

// now is the time in ms since 1970 as it was at the start and went on since: a machine's clock that is set back must not have heartbeats
// and answers wait until it has caught up.
func (k *clock) now() int64 {
	return k.began.UnixMilli() + k.node.Now().Sub(k.began).Milliseconds()
}

// within has the clock look at c at a time at the latest. Under c.mu, or before c is started.
func (k *clock) within(c *conn, at int64) {
	if c.wakeAt != 0 && c.wakeAt <= at {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.at = max(k.at, min(k.now()/k.tick, k.next-1)) // what passed while it slept was empty
	slot := max((at+k.tick-1)/k.tick, k.at+1)
	if last := k.at + wheelSlots - 1; slot > last { // farther off: looked at once more on the way
		slot, at = last, last*k.tick
	}
	c.wakeAt = at
	k.slots[slot%wheelSlots] = append(k.slots[slot%wheelSlots], c)
	if slot < k.next {
		k.next = slot
		select {
		case k.more <- struct{}{}:
		default:
		}
	}
}

// run turns the wheel.
func (k *clock) run(ctx context.Context) {
	timer := time.NewTimer(k.rest())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-k.more:
		case <-timer.C:
			k.advance()
		}
		timer.Reset(k.rest())
	}
}

// rest is how long nothing is due.
func (k *clock) rest() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.next == never {
		return time.Hour
	}
	return time.Duration(max(k.next*k.tick-k.now(), 0)) * time.Millisecond
}

// first is the first slot that holds something. Under the lock.
func (k *clock) first() int64 {
	for slot := k.at + 1; slot < k.at+wheelSlots; slot++ {
		if len(k.slots[slot%wheelSlots]) > 0 {
			return slot
		}
	}
	return never
}

// advance looks at every connection whose time has come.
func (k *clock) advance() {
	now := k.now()
	k.mu.Lock()
	to := now / k.tick
	from := max(k.at, to-wheelSlots) + 1 // after a leap forward each slot once
	var due []*conn
	for slot := from; slot <= to; slot++ {
		due = append(due, k.slots[slot%wheelSlots]...)
		k.slots[slot%wheelSlots] = nil
	}
	k.at = max(k.at, to)
	k.next = k.first()
	k.mu.Unlock()
	for _, c := range due {
		c.look(now)
	}
}

// look does what is due for c and says when to look again.
func (c *conn) look(now int64) {
	sh := c.group.shard
	sh.mu.Lock()
	defer sh.mu.Unlock()
	again := c.due(now)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || again == 0 && c.wakeAt > now {
		return
	}
	if c.wakeAt <= now {
		c.wakeAt = 0
	}
	if again != 0 {
		c.node.clock.within(c, again)
	}
}

// due does what is due for c and returns when the next thing is, or 0. Under the shard's lock.
func (c *conn) due(now int64) int64 {
	c.mu.Lock()
	stalled, ending, closed := c.stalled, c.ending, c.closed
	waiting := c.wakeAt > now
	limit := stalled + c.node.Stall.Milliseconds()
	idle := ending && !closed && c.expire(now)
	until := c.answer
	c.mu.Unlock()
	switch {
	case idle:
		return until
	case closed || waiting:
		return 0
	case stalled != 0 && limit <= now:
		if !ending {
			c.node.metrics.closes.WithLabelValues(TooSlow.text()).Inc()
		}
		c.leave()
		c.abort()
		return 0
	case ending:
		return now + c.node.Stall.Milliseconds()
	case c.expires <= now:
		c.close(TokenExpired, 0)
		return now + c.node.Stall.Milliseconds()
	case c.transport == poll && c.answer <= now:
		c.end(frame{cursor: c.cursor()}.encode(poll))
		return now + c.node.Stall.Milliseconds()
	case c.silent(now):
		c.node.metrics.closes.WithLabelValues("silent").Inc()
		c.leave()
		c.abort()
		return 0
	case c.transport != poll && c.beat <= now:
		c.beat = now + c.beating
		c.heartbeat()
	}
	next := min(c.expires, c.beat)
	if c.transport == poll {
		next = min(c.expires, c.answer)
	}
	if stalled != 0 {
		next = min(next, limit)
	}
	return next
}

// heartbeat tells the client that the connection lives; a WebSocket's client is asked whether it does. Under the shard's lock.
func (c *conn) heartbeat() {
	b := frame{cursor: c.cursor()}.encode(c.transport)
	if c.socket != nil {
		c.socket.frames.Store(0)
		b = append(b, ping...)
	}
	c.put(b)
}
