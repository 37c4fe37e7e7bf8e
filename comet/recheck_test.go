package comet

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidings"
)

// shaky is a list whose heads cannot be read for a while.
type shaky struct {
	*list
	failures atomic.Int64 // that are left
}

func (l *shaky) Heads(ctx context.Context, users []string) (map[string]int64, error) {
	if l.failures.Add(-1) >= 0 {
		return nil, errors.New("the database went away")
	}
	return l.list.Heads(ctx, users)
}

// restored makes another list of it, as after a restore from a backup.
func (l *list) restored() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.epoch = "e2"
}

func TestANewEpochResetsWhoIsConnected(t *testing.T) {
	for name, failures := range map[string]int64{"at once": 0, "when SQL can be asked again": 3} {
		t.Run(name, func(t *testing.T) {
			everyTransport(t, func(t *testing.T, transport string) {
				g := newRig(t)
				store := &shaky{list: g.list}
				g.store = store
				s := g.node(nil)
				p := s.open("/comet/"+transport+"?client=c1", g.token("ann"))
				p.frame()
				g.send(s.Streams, "ann", "one")
				consecutive(t, p.numbers(1), 1)
				s.holds(1)
				store.failures.Store(failures)
				g.list.restored()
				if h := p.frame(); !h.Reset || h.Cursor != "e2.1" {
					t.Fatalf("%+v", h)
				}
				if left := store.failures.Load(); left > 0 {
					t.Fatalf("%d failures did not happen", left)
				}
				g.send(s.Streams, "ann", "two")
				consecutive(t, p.numbers(1), 2)
			})
		})
	}
}

// A list becomes another one between the look at a client's cursor and the first number that it waits for.
func TestAListThatIsRestoredWhileAConnectionBeginsIsReset(t *testing.T) {
	for _, way := range []transport{poll, stream} {
		t.Run(way.String(), func(t *testing.T) {
			g := newRig(t)
			s := g.node(func(o *Options) { o.Changes = time.Hour })
			g.send(s.Streams, "ann", "one")
			q := request{claims: claims("ann", time.Now().Add(time.Hour)), client: "c1", cursor: "e1.1", wait: time.Minute}
			c := s.newConn(q, way)
			c.wire = &served{signal: make(chan struct{}, 1)}
			s.enter()
			s.shards.join(c, "ann")
			at, err := s.begin(t.Context(), c, q)
			if err != nil {
				t.Fatal(err)
			}
			g.list.restored()
			g.list.mu.Lock()
			g.list.entries["ann"] = make([]tidings.Entry, 7)
			g.list.mu.Unlock()
			if err := s.refreshEpoch(t.Context()); err != nil {
				t.Fatal(err)
			}
			c.start(at)
			c.mu.Lock()
			defer c.mu.Unlock()
			if said := string(c.pending); !strings.Contains(said, `"reset":true`) || !strings.Contains(said, `"e2.7"`) {
				t.Fatalf("it heard %q", said)
			}
		})
	}
}

// What Redis holds is of the list before: neither its heads nor its entries are believed.
func TestAfterARestoreNothingOfTheOldListIsHeard(t *testing.T) {
	everyTransport(t, func(t *testing.T, transport string) {
		g := newRig(t)
		s := g.node(nil)
		held := s.open("/comet/"+transport+"?client=held", g.token("ann"))
		held.frame()
		for range 12 {
			g.send(s.Streams, "ann", "old")
		}
		held.numbers(12)
		s.holds(1)
		g.list.mu.Lock()
		g.list.entries["ann"] = g.list.entries["ann"][:7]
		g.list.epoch = "e2"
		g.list.mu.Unlock()
		if h := held.frame(); !h.Reset || h.Cursor != "e2.7" {
			t.Fatalf("%+v", h)
		}
		back := s.open("/comet/"+transport+"?client=back&cursor=e1.12", g.token("ann"))
		if h := back.frame(); !h.Reset || h.Cursor != "e2.7" {
			t.Fatalf("%+v", h)
		}
		for range 3 {
			g.send(s.Streams, "ann", "new")
		}
		for _, p := range []*page{held, back} {
			for n := int64(8); n <= 10; {
				for _, m := range p.frame().Messages {
					if m.Number != n || m.Title != "new" {
						t.Fatalf("%+v, not %d", m, n)
					}
					n++
				}
			}
		}
	})
}
