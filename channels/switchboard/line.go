package switchboard

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"time"

	"tidings"
)

// line is one opened integration. Its board's lock guards it.
type line struct {
	account tidings.Configured
	sender  tidings.Sender
	apart   bool // its addresses are servers of their own
	retired bool

	calls   map[int64]time.Time // under way, with when they began
	last    int64
	bucket  bucket // the contract's rate
	retries bucket // the retry budget
	breaker breaker
	usual   time.Duration // that a call takes until its answer; 0: none has come yet
	hung    int           // calls in a row that ended late and without an answer
	rest    time.Time     // takes nothing before
	why     tidings.Reason
	seen    minute
}

// The retry budget: a fifth of the first attempts and ten a second, so that retries never make most of the load of a provider in need.
const (
	retryShare  = 0.2
	retryRate   = 10
	retryBudget = 100 // saved up at the most
)

// A provider that hangs says nothing for as long as its calls may take, and each of them stays unknown. So it is found out before: when
// stalled of its calls are late (older than leastLate and than lateFactor of its usual times) others are preferred to it; when they are older
// than leastSlow too, nothing more is sent there; and when as many in a row ended so, without an answer, its breaker opens.
const (
	stalled    = 5
	leastLate  = 300 * time.Millisecond
	lateFactor = 5
	leastSlow  = 2 * time.Second
	usualOver  = 16 // calls over which usual is the moving average
)

// Pauses after which to look again.
const (
	fullPause    = 25 * time.Millisecond // all places are taken
	stalledPause = time.Second
	faultPause   = time.Minute // our account is at fault: every call would only be burnt
)

func (l *line) configure(a tidings.Configured) {
	l.account = a
	l.bucket.rate, l.bucket.size = a.Rate, math.Max(cmp.Or(float64(a.Burst), a.Rate), 1)
	l.retries.rate, l.retries.size = retryRate, retryBudget
}

// closed tells why the line takes nothing at all just now. Its zero value: it is well, though it may have no place free.
func (l *line) closed(now time.Time) tidings.Closed {
	if now.Before(l.rest) {
		return tidings.Closed{Reason: l.why, After: l.rest.Sub(now)}
	}
	if after := l.breaker.closedFor(now); after > 0 {
		return tidings.Closed{Reason: tidings.ProviderDown, After: after}
	}
	if l.older(now, max(l.late(), leastSlow)) >= stalled {
		return tidings.Closed{Reason: tidings.ProviderDown, After: stalledPause}
	}
	return tidings.Closed{}
}

// late is how long a call may take before it is strange.
func (l *line) late() time.Duration { return max(leastLate, lateFactor*l.usual) }

// sluggish tells whether another line is to be preferred, if one is well.
func (l *line) sluggish(now time.Time) bool { return l.older(now, l.late()) >= stalled }

// older counts the calls under way for longer than d. Where addresses are servers of their own they say nothing of the line.
func (l *line) older(now time.Time, d time.Duration) (n int) {
	if l.apart {
		return 0
	}
	for _, began := range l.calls {
		if now.Sub(began) > d {
			n++
		}
	}
	return n
}

// take takes up to n places. A fifth of them is kept for the critical lane.
func (l *line) take(now time.Time, w tidings.Wanted, n int) (int, tidings.Closed) {
	if c := l.closed(now); c.Reason != tidings.NoReason {
		return 0, c
	}
	places := cmp.Or(l.account.Parallel, tidings.DefaultParallel)
	if w.Lane != tidings.Critical {
		places -= min((places+4)/5, places-1)
	}
	n = min(n, places-len(l.calls), l.breaker.probes(now))
	if n <= 0 {
		return 0, tidings.Closed{Reason: tidings.ProviderBusy, After: fullPause}
	}
	again := slices.Contains(w.Before, l.account.ID)
	if again {
		if n = l.retries.take(now, n); n == 0 {
			return 0, tidings.Closed{Reason: tidings.ProviderBusy, After: l.retries.after()}
		}
	}
	if l.account.Rate > 0 {
		if n = l.bucket.take(now, n); n == 0 {
			return 0, tidings.Closed{Reason: tidings.ProviderBusy, After: l.bucket.after()}
		}
	}
	if !again {
		l.retries.add(retryShare * float64(n))
	}
	l.breaker.begin(n)
	return n, tidings.Closed{}
}

func (l *line) start(now time.Time) int64 {
	l.last++
	l.calls[l.last] = now
	return l.last
}

// back gives a place back that no call was made from.
func (l *line) back(id int64) {
	delete(l.calls, id)
	l.bucket.add(1)
	l.breaker.back()
	l.closeWhenIdle()
}

// done learns from a call. A provider that said no of one delivery is well, and so is one whose fault is that of one address alone: a
// merchant's system that is down, a robot that has posted enough. One that was busy, silent or not to be reached is not.
func (l *line) done(id int64, now time.Time, err error, took time.Duration) {
	delete(l.calls, id)
	e := fault(err)
	l.seen.add(now, e, took)
	l.breaker.record(now, e != nil && !e.OfAddress && e.Outcome != tidings.Refused && !e.Configuration)
	l.learn(now, e, took)
	switch {
	case e == nil || e.OfAddress:
	case e.Configuration:
		l.pause(now, max(e.After, faultPause), tidings.Misconfigured)
	case e.Outcome == tidings.Busy && e.After > 0:
		l.pause(now, e.After, tidings.ProviderBusy)
	}
	l.closeWhenIdle()
}

// learn keeps how long answers take, and opens the breaker of a line whose calls end late and without one. Beside its many good calls of the last
// seconds the few that hung would not show.
func (l *line) learn(now time.Time, e *tidings.SendError, took time.Duration) {
	switch {
	case e != nil && e.OfAddress:
	case e == nil || e.Outcome != tidings.Unknown:
		l.hung, l.usual = 0, l.usual+(took-l.usual)/usualOver
	case took > l.late():
		if l.hung++; l.hung >= stalled && l.breaker.pause == 0 {
			l.hung = 0
			l.breaker.open(now)
		}
	}
}

func (l *line) pause(now time.Time, d time.Duration, why tidings.Reason) {
	if until := now.Add(d); until.After(l.rest) {
		l.rest, l.why = until, why
	}
}

// fault is what a driver's error says; one that says nothing leaves us not knowing.
func fault(err error) *tidings.SendError {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*tidings.SendError](err); ok {
		return e
	}
	return &tidings.SendError{Outcome: tidings.Unknown, Reason: tidings.ProviderSilent, Err: err}
}

// retire closes the sender when its last call has ended.
func (l *line) retire() {
	l.retired = true
	l.closeWhenIdle()
}

func (l *line) closeWhenIdle() {
	if c, ok := l.sender.(interface{ Close() }); ok && l.retired && len(l.calls) == 0 {
		c.Close()
	}
}

// bucket holds tokens that come at a rate.
type bucket struct {
	rate, size float64
	tokens     float64
	at         time.Time // of tokens; zero: full
}

func (b *bucket) take(now time.Time, n int) int {
	if b.at.IsZero() {
		b.tokens = b.size
	} else {
		b.add(now.Sub(b.at).Seconds() * b.rate)
	}
	b.at = now
	n = min(n, int(b.tokens+1e-9)) // five fifths are one
	b.tokens -= float64(n)
	return n
}

func (b *bucket) add(n float64) { b.tokens = min(b.size, b.tokens+n) }

// after is when the next token is there.
func (b *bucket) after() time.Duration {
	return time.Duration((1 - b.tokens) / b.rate * float64(time.Second))
}
