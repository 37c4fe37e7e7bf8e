// Package switchboard holds the opened integrations and says, for a delivery, which of them takes it: in their order, and only
// one that is well. An integration is well while it has places free (bulkhead), its contract's rate allows it (token bucket), it does
// not rest (Retry-After, a fault of our account) and its breaker is closed.
package switchboard

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"tidings"
)

// Source gives all accounts when they have changed since the version that is known, else nil.
type Source func(ctx context.Context, known int64) (version int64, all []tidings.Configured, err error)

// Config says where integrations come from and how they are opened.
type Config struct {
	Drivers []tidings.Driver
	Source  Source
	// Setup prepares what a driver is opened with, apart from the values.
	Setup   func(tidings.Integration) tidings.Setup
	Now     func() time.Time // nil: time.Now
	Log     *slog.Logger
	Metrics *Metrics // nil: none
}

// reloadEvery is how soon a change of the integrations is heard of.
const reloadEvery = time.Second

// Board is the switchboard of a process.
type Board struct {
	config  Config
	drivers map[string]tidings.Driver

	mu      sync.Mutex
	version int64
	all     []tidings.Integration
	lines   map[string]*line
}

// New returns a Board that knows no integrations yet: see Reload and Run.
func New(c Config) *Board {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	b := &Board{config: c, drivers: map[string]tidings.Driver{}, lines: map[string]*line{}}
	for _, d := range c.Drivers {
		b.drivers[d.Provider] = d
	}
	return b
}

// Run reloads until ctx ends, and tells changed after each change.
func (b *Board) Run(ctx context.Context, changed func()) {
	tidings.Every(ctx, reloadEvery, func() {
		before := b.known()
		if err := b.Reload(ctx); err != nil && ctx.Err() == nil {
			b.config.Log.Warn("the integrations could not be read; those that are known go on", "error", err)
		}
		if b.known() != before {
			changed()
		}
	})
}

func (b *Board) known() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.version
}

// Reload opens what is new or has other values, and closes what is gone once its calls have ended. What did not change keeps
// its health. An account that cannot be opened takes nothing, and the log says why.
func (b *Board) Reload(ctx context.Context) error {
	version, accounts, err := b.config.Source(ctx, b.known())
	if err != nil || accounts == nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.version, b.all = version, nil
	lines := map[string]*line{}
	for _, a := range accounts {
		l, ok := b.lines[a.ID]
		if !ok || l.account.Provider != a.Provider || !maps.Equal(l.account.Values, a.Values) {
			if l, err = b.open(a); err != nil {
				b.config.Log.Error("an integration cannot be opened and takes no deliveries", "integration", a.ID, "provider", a.Provider, "error", err)
				continue
			}
		}
		l.configure(a)
		lines[a.ID] = l
		b.all = append(b.all, a.Integration)
	}
	for id, old := range b.lines {
		if lines[id] != old {
			old.retire()
		}
	}
	b.lines = lines
	return nil
}

func (b *Board) open(a tidings.Configured) (*line, error) {
	d, ok := b.drivers[a.Provider]
	if !ok {
		return nil, errors.New("this version has no driver for the provider")
	}
	setup := tidings.Setup{}
	if b.config.Setup != nil {
		setup = b.config.Setup(a.Integration)
	}
	setup.Integration, setup.Now = a.ID, b.config.Now
	setup.Values = map[string]string{}
	for _, f := range d.Fields {
		setup.Values[f.Name] = cmp.Or(a.Values[f.Name], f.Default)
	}
	s, err := d.Open(setup)
	if err != nil {
		return nil, err
	}
	return &line{sender: s, apart: d.Apart, calls: map[int64]time.Time{}}, nil
}

func (b *Board) bound(provider string) bool { return b.drivers[provider].Bound }

// Channels are those for which an integration is open.
func (b *Board) Channels() (cs []tidings.Channel) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, i := range b.all {
		if !slices.Contains(cs, i.Channel) {
			cs = append(cs, i.Channel)
		}
	}
	return cs
}

// Sender is that of an integration, for reports and questions; nil: there is none of this id.
func (b *Board) Sender(integration string) tidings.Sender {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l := b.lines[integration]; l != nil {
		return l.sender
	}
	return nil
}

// Asks tells whether any provider can be asked what became of an attempt.
func (b *Board) Asks() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.lines {
		if _, ok := l.sender.(tidings.Querier); ok {
			return true
		}
	}
	return false
}

// none is how long deliveries wait while no integration could carry them.
const none = time.Minute

// Place takes up to n places for calls at the first integration that is well. With Calls 0 none is, and Closed tells when one
// may be.
func (b *Board) Place(w tidings.Wanted, n int) (tidings.Line, tidings.Closed) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.config.Now()
	soonest := tidings.Closed{Reason: tidings.NoChannel, After: none}
	for k, i := range b.candidates(w, now) {
		l := b.lines[i.ID]
		got, closed := l.take(now, w, n)
		if got > 0 {
			return b.line(l, got), tidings.Closed{}
		}
		if k == 0 || closed.After < soonest.After {
			soonest = closed
		}
	}
	return tidings.Line{}, soonest
}

// candidates are the integrations in the order in which they are tried: those that just now answer late behind the others, but for one that
// drops repeats of what is sent again.
func (b *Board) candidates(w tidings.Wanted, now time.Time) []tidings.Integration {
	is := tidings.Candidates(b.all, w, b.bound, rand.Float64)
	slices.SortStableFunc(is, func(x, y tidings.Integration) int {
		return cmp.Compare(b.behind(x, w, now), b.behind(y, w, now))
	})
	return is
}

func (b *Board) behind(i tidings.Integration, w tidings.Wanted, now time.Time) int {
	if i.ID != w.First && b.lines[i.ID].sluggish(now) {
		return 1
	}
	return 0
}

// Other tells whether an integration that was not tried yet is well.
func (b *Board) Other(w tidings.Wanted) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.config.Now()
	return slices.ContainsFunc(tidings.Candidates(b.all, w, b.bound, rand.Float64), func(i tidings.Integration) bool {
		return !slices.Contains(w.Tried, i.ID) && b.lines[i.ID].closed(now).Reason == tidings.NoReason
	})
}

func (b *Board) line(l *line, n int) tidings.Line {
	ids := make([]int64, n)
	for i := range ids {
		ids[i] = l.start(b.config.Now())
	}
	next := func() int64 { // the caller holds the lock
		if len(ids) == 0 {
			return 0
		}
		id := ids[0]
		ids = ids[1:]
		return id
	}
	return tidings.Line{Integration: l.account.ID, Sender: l.sender, Calls: n,
		Done: func(err error, took time.Duration) {
			b.mu.Lock()
			defer b.mu.Unlock()
			l.done(next(), b.config.Now(), err, took)
			b.config.Metrics.called(l, err, took)
		},
		Back: func(n int) {
			b.mu.Lock()
			defer b.mu.Unlock()
			for range n {
				l.back(next())
			}
		},
	}
}

// Close closes every sender.
func (b *Board) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.lines {
		l.retire()
	}
}
