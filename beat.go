package tidings

import (
	"context"
	"math/rand/v2"
	"time"
)

// phase is where in a second this process's beats fall: another place than those of other processes, so that not all of them
// ask the database in the same moment.
var phase = time.Duration(rand.Int64N(int64(time.Second)))

// Every calls f at each beat of interval until ctx ends; beats that pass while f runs are left out. All that beats in a process
// beats together, since to wake an idle process costs more than most of what it then asks: five loops of a second cost one
// wake-up and not five.
func Every(ctx context.Context, interval time.Duration, f func()) {
	timer := time.NewTimer(UntilBeat(interval))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		f()
		timer.Reset(UntilBeat(interval))
	}
}

// early is by how much a timer may announce a beat before its time, with room to spare.
const early = 10 * time.Millisecond

// UntilBeat is how long it is until the next beat of interval: never so short that it is still the last one, which was announced
// early, and so at most interval + early.
func UntilBeat(interval time.Duration) time.Duration {
	now := time.Duration(time.Now().UnixNano()) - phase
	wait := interval - now%interval
	if wait < min(early, interval/10) {
		wait += interval
	}
	return wait
}
