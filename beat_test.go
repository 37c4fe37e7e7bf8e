package tidings_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tidings"
)

func TestLoopsOfAProcessBeatTogetherAndLeaveOutWhatTheyMiss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		began := time.Now()
		pass := func(d time.Duration) { <-time.After(d) } // by the bubble's clock
		var first, second []time.Duration
		var loops sync.WaitGroup
		loops.Go(func() {
			tidings.Every(ctx, time.Second, func() { first = append(first, time.Since(began)) })
		})
		pass(2300 * time.Millisecond) // it began at another time
		loops.Go(func() {
			tidings.Every(ctx, 2*time.Second, func() {
				second = append(second, time.Since(began))
				pass(2500 * time.Millisecond)
			})
		})
		pass(20 * time.Second)
		cancel()
		loops.Wait()
		if len(first) < 20 || len(second) < 4 || len(second) > 6 {
			t.Fatalf("beats %v and %v", first, second)
		}
		for i, at := range first[1:] {
			if at-first[i] != time.Second {
				t.Errorf("beats %s and %s of a second", first[i], at)
			}
		}
		for _, at := range second {
			if (at-first[0])%time.Second != 0 {
				t.Errorf("a beat of two seconds at %s, of one second at %s", at, first[0])
			}
		}
		for i, at := range second[1:] {
			if at-second[i] != 4*time.Second {
				t.Errorf("a loop that takes 2.5 s beats at %s and %s", second[i], at)
			}
		}
	})
}
