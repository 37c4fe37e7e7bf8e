package comet

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"tidings"
)

func (g *rig) presence(s *Streams) tidings.Presence {
	g.t.Helper()
	p, err := s.Presence(g.t.Context())
	if err != nil {
		g.t.Fatal(err)
	}
	return p
}

func (g *rig) listeners(s *Streams, user string) []tidings.Listener {
	g.t.Helper()
	l, err := s.Listeners(g.t.Context(), user)
	if err != nil {
		g.t.Fatal(err)
	}
	return l
}

func TestOperatorsSeeWhoIsConnectedHowAndWhere(t *testing.T) {
	everyTransport(t, func(t *testing.T, transport string) {
		g := newRig(t)
		began, name := time.Now().Add(-time.Second), strings.TrimPrefix(onWire("/comet/"+transport), "/comet/")
		a, b := g.node(func(o *Options) { o.ID = "a"; o.MaxConnections = 7 }), g.node(func(o *Options) { o.ID = "b" })
		p := a.open("/comet/"+transport+"?client=c1", g.token("ann"))
		p.frame()
		b.open("/comet/stream?client=c2", g.token("ann")).frame()
		g.until("both are seen", func() bool { return len(g.listeners(b.Streams, "ann")) == 2 }) // a poll asks again
		for i, want := range []tidings.Listener{{Client: "c1", Transport: name, Node: "a"}, {Client: "c2", Transport: "stream", Node: "b"}} {
			for _, l := range g.listeners(b.Streams, "ann") {
				if l.Client != want.Client {
					continue
				}
				if l.Since.Before(began) || l.Since.After(time.Now().Add(time.Second)) {
					t.Errorf("%d: since %s", i, l.Since)
				}
				if l.Since = (time.Time{}); l != want {
					t.Errorf("%+v, not %+v", l, want)
				}
			}
		}
		if l := g.listeners(a.Streams, "bob"); len(l) != 0 {
			t.Errorf("bob is there: %+v", l)
		}
		a.holds(1)
		b.holds(1)
		for _, s := range []*site{a, b} { // as every five seconds
			if err := s.renew(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		said := g.presence(b.Streams)
		if said.Connections != 2 || len(said.Nodes) != 2 || said.Nodes[0].Node != "a" || said.Nodes[0].Connections != 1 || said.Nodes[0].Most != 7 ||
			said.Nodes[0].Transports[name] != 1 || said.Nodes[0].StartedAt.Before(began) || said.Nodes[0].Draining {
			t.Errorf("%+v", said)
		}
		a.stop()
		if said = g.presence(b.Streams); said.Connections != 1 || len(said.Nodes) != 1 || said.Transports["stream"] != 1 {
			t.Errorf("after a stop: %+v", said)
		}
		if l := g.listeners(b.Streams, "ann"); len(l) != 1 || l[0].Client != "c2" {
			t.Errorf("after a stop: %+v", l)
		}
	})
}

func TestWhoWasHeldByANodeThatDiedIsNotPresent(t *testing.T) {
	g := newRig(t)
	s := g.node(nil)
	s.open("/comet/stream?client=c1", g.token("ann")).frame()
	g.until("she is seen", func() bool { return len(g.listeners(s.Streams, "ann")) == 1 })
	// What is left of a node that was killed 15 s ago.
	if err := g.redis.HSet(t.Context(), leaseKey("ann"), "c2", "dead:abc 1000 ws").Err(); err != nil {
		t.Fatal(err)
	}
	if err := g.redis.ZAdd(t.Context(), nodesKey, redis.Z{Score: float64(time.Now().Unix()), Member: "dead:abc"}).Err(); err != nil {
		t.Fatal(err)
	}
	if l := g.listeners(s.Streams, "ann"); len(l) != 1 || l[0].Client != "c1" {
		t.Errorf("%+v", l)
	}
	if said := g.presence(s.Streams); len(said.Nodes) != 1 {
		t.Errorf("%+v", said)
	}
}
