package comet

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// timed is a connection that has ended: the clock looks at it, and it wants nothing more.
func timed(n *Node) *conn {
	return &conn{node: n, group: &group{shard: &shard{}}, closed: true}
}

func TestTheClockSleepsUntilSomethingIsDueAndLooksInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(context.Background())
		looks := 0
		n := &Node{Options: Options{Now: func() time.Time { looks++; return time.Now() }, Tick: 100 * time.Millisecond}}
		n.clock = newClock(n)
		done := make(chan struct{})
		go func() { n.clock.run(ctx); close(done) }()
		pass := func(d time.Duration) { <-time.After(d); synctest.Wait() }
		at := func(d time.Duration) *conn {
			c := timed(n)
			n.clock.within(c, time.Now().Add(d).UnixMilli())
			return c
		}
		looked := func(c *conn) bool {
			n.clock.mu.Lock()
			defer n.clock.mu.Unlock()
			return !slices.ContainsFunc(n.clock.slots[:], func(slot []*conn) bool { return slices.Contains(slot, c) })
		}

		pass(time.Hour) // the wheel is empty, and was so for longer than it takes to go round
		late, soon, over := at(50*time.Second), at(2*time.Second), at(-time.Second)
		far := at(10 * time.Minute) // farther than the wheel reaches
		pass(200 * time.Millisecond)
		if !looked(over) || looked(soon) {
			t.Errorf("after 0.2 s: %v %v", looked(over), looked(soon))
		}
		pass(1900 * time.Millisecond)
		if !looked(soon) || looked(late) {
			t.Errorf("after 2.1 s: %v %v", looked(soon), looked(late))
		}
		looks = 0
		pass(47 * time.Second)
		if looks > 0 {
			t.Errorf("looked at the time %d times while nothing was due", looks)
		}
		between := at(400 * time.Millisecond) // it sleeps until later
		pass(500 * time.Millisecond)
		if !looked(between) || looked(late) {
			t.Errorf("after 49.6 s: %v %v", looked(between), looked(late))
		}
		pass(500 * time.Millisecond)
		if !looked(late) || looked(far) {
			t.Errorf("after 50.1 s: %v %v", looked(late), looked(far))
		}
		pass(wheelSlots * 100 * time.Millisecond) // it is looked at on the way
		if !looked(far) {
			t.Error("what is farther off than the wheel reaches was not looked at once it had gone round")
		}
		stop()
		<-done
	})
}
