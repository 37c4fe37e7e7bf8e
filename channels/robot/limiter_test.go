package robot

import (
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestManyAtOnceTakeNoMoreThanTheLimit(t *testing.T) {
	l, now := newLimiter(20, time.Minute), time.Now()
	var taken atomic.Int64
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			if l.take("robot", now) == 0 {
				taken.Add(1)
			}
		})
	}
	all.Wait()
	if taken.Load() != 20 {
		t.Errorf("%d posts", taken.Load())
	}
}

func TestRobotsAtRestAreForgotten(t *testing.T) {
	l, now := newLimiter(1, time.Minute), time.Now()
	for i := range maxRobots {
		l.take(strconv.Itoa(i), now)
	}
	now = now.Add(time.Minute)
	if wait := l.take("another", now); wait != 0 || len(l.posts) != 1 {
		t.Errorf("%s, %d robots are remembered", wait, len(l.posts))
	}
}
