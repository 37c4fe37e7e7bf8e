package switchboard

import (
	"time"

	"tidings"
)

// The breaker opens when at least half of at least twenty calls of the last ten seconds failed. It stays open for ten seconds, doubled each
// time up to two minutes, then lets three calls through: if all succeed it is closed, if one fails it is open again.
const (
	window     = 10 // seconds
	leastCalls = 20
	firstPause = 10 * time.Second
	lastPause  = 120 * time.Second
	probeCalls = 3
)

type breaker struct {
	seconds [window]struct {
		at            int64 // Unix time
		calls, failed int
	}
	until  time.Time     // open before it
	pause  time.Duration // of the last opening; 0: closed
	under  int           // half open: probes under way
	passed int           // half open: probes that succeeded
}

// closedFor is how long nothing goes through.
func (b *breaker) closedFor(now time.Time) time.Duration {
	switch {
	case b.pause == 0:
		return 0
	case now.Before(b.until):
		return b.until.Sub(now)
	case b.under+b.passed >= probeCalls:
		return time.Second // the probes under way decide
	}
	return 0
}

// probes is how many calls may go through now.
func (b *breaker) probes(now time.Time) int {
	if b.pause == 0 {
		return 1 << 30
	}
	if now.Before(b.until) {
		return 0
	}
	return probeCalls - b.under - b.passed
}

func (b *breaker) begin(n int) {
	if b.pause > 0 {
		b.under += n
	}
}

func (b *breaker) back() {
	if b.pause > 0 && b.under > 0 {
		b.under--
	}
}

func (b *breaker) record(now time.Time, failed bool) {
	if b.pause > 0 {
		b.probed(now, failed)
		return
	}
	s := &b.seconds[now.Unix()%window]
	if s.at != now.Unix() {
		s.at, s.calls, s.failed = now.Unix(), 0, 0
	}
	s.calls++
	if failed {
		s.failed++
	}
	calls, faults := 0, 0
	for _, s := range b.seconds {
		if s.at > now.Unix()-window {
			calls, faults = calls+s.calls, faults+s.failed
		}
	}
	if failed && calls >= leastCalls && 2*faults >= calls {
		b.open(now)
	}
}

// probed learns from a call that ended while the breaker is open or half open. Of those that began before it opened only the
// half-open time is told apart by when they end; they speak of the same provider.
func (b *breaker) probed(now time.Time, failed bool) {
	if now.Before(b.until) || b.under == 0 {
		return
	}
	b.under--
	if failed {
		b.open(now)
		return
	}
	if b.passed++; b.passed >= probeCalls {
		*b = breaker{}
	}
}

func (b *breaker) open(now time.Time) {
	pause := min(max(2*b.pause, firstPause), lastPause)
	*b = breaker{pause: pause, until: now.Add(pause)}
}

func (b *breaker) state(now time.Time) tidings.Breaker {
	switch {
	case b.pause == 0:
		return tidings.BreakerClosed
	case now.Before(b.until):
		return tidings.BreakerOpen
	}
	return tidings.BreakerHalfOpen
}
