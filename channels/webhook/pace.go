package webhook

import (
	"sync"
	"time"

	"tidings"
)

// What each receiver is spared, and with it the others: one that hangs or is down must not fill the places of the integration.
const (
	atOnce      = 4  // calls under way to one URL
	perSecond   = 50 // and begun in a second
	placePause  = 500 * time.Millisecond
	silences    = 3 // in a row, from which on a receiver rests between single calls
	firstRest   = 5 * time.Second
	lastRest    = 5 * time.Minute
	maxPaced    = 10_000 // of which something is remembered before those at rest are forgotten
	forgetAfter = time.Minute
)

// pace is how fast each URL is called by this process.
type pace struct {
	mu        sync.Mutex
	receivers map[string]*receiver
}

type receiver struct {
	under  int
	bucket tidings.Bucket
	asked  time.Time // when a call was wanted last
	rest   time.Time // not called before
	silent int       // calls in a row without an answer
}

func newPace() *pace { return &pace{receivers: map[string]*receiver{}} }

// take begins a call to url, or tells how long to wait for one.
func (p *pace) take(url string, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.receivers[url]
	if r == nil {
		p.forget(now)
		r = &receiver{}
		p.receivers[url] = r
	}
	r.asked = now
	switch {
	case now.Before(r.rest):
		return r.rest.Sub(now)
	case r.under >= atOnce || r.silent >= silences && r.under > 0:
		return placePause
	}
	if _, ok := r.bucket.Take(tidings.Quota{Rate: perSecond}, 1, now); !ok {
		return time.Second / perSecond
	}
	r.under++
	return 0
}

// done ends a call. After Retry-After, or silences calls without an answer, the URL rests.
func (p *pace) done(url string, now time.Time, e *tidings.SendError) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.receivers[url]
	if r == nil {
		return
	}
	r.under--
	if e == nil || e.Outcome == tidings.Refused || e.Reason == tidings.ProviderBusy {
		r.silent = 0
	} else if r.silent++; r.silent >= silences {
		r.until(now.Add(min(firstRest<<min(r.silent-silences, 10), lastRest)))
	}
	if e != nil && e.Outcome == tidings.Busy {
		r.until(now.Add(e.After))
	}
}

func (r *receiver) until(t time.Time) {
	if t.After(r.rest) {
		r.rest = t
	}
}

// forget makes room for others.
func (p *pace) forget(now time.Time) {
	if len(p.receivers) < maxPaced {
		return
	}
	for url, r := range p.receivers {
		if r.under == 0 && now.After(r.rest) && now.Sub(r.asked) > forgetAfter {
			delete(p.receivers, url)
		}
	}
}
