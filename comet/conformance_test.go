package comet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tidings"
)

// What holds over every transport alike.

func TestEveryNumberComesInOrderAndOnce(t *testing.T) {
	everyTransport(t, func(t *testing.T, transport string) {
		g := newRig(t)
		s := g.node(nil)
		p := s.open("/comet/"+transport+"?client=c1", g.token("ann"))
		if h := p.frame(); h.Cursor != "e1.0" || h.HeartbeatMS == 0 {
			t.Fatalf("the hello is %+v", h)
		}
		for i := range 50 {
			g.send(s.Streams, "ann", fmt.Sprint("订单 ", i))
		}
		consecutive(t, p.numbers(50), 1)
	})
}

func TestALateAppendFillsTheHoleFromSQLAndARepeatedOneBringsNothingTwice(t *testing.T) {
	everyTransport(t, func(t *testing.T, transport string) {
		g := newRig(t)
		s := g.node(nil)
		p := s.open("/comet/"+transport+"?client=c1", g.token("ann"))
		p.frame()
		var entries []tidings.UserEntry
		for range 6 {
			entries = append(entries, g.list.commit("ann", "x"))
		}
		for _, i := range []int{0, 1, 2, 3, 5, 4, 4, 5} { // 6 before 5, then both again
			if err := s.Streams.Append(t.Context(), entries[i:i+1]); err != nil {
				t.Fatal(err)
			}
		}
		consecutive(t, p.numbers(6), 1)
		g.send(s.Streams, "ann", "seven")
		consecutive(t, p.numbers(1), 7)
	})
}

func TestAClientResumesOnAnotherNodeWithItsCursor(t *testing.T) {
	everyTransport(t, func(t *testing.T, transport string) {
		g := newRig(t)
		a, b := g.node(nil), g.node(nil)
		p := a.open("/comet/"+transport+"?client=c1", g.token("ann"))
		p.frame()
		g.send(a.Streams, "ann", "one")
		cursor := p.frame().Cursor
		a.stop()
		g.send(b.Streams, "ann", "two")
		g.send(b.Streams, "ann", "three")
		p = b.open("/comet/"+transport+"?client=c1&cursor="+cursor, g.token("ann"))
		consecutive(t, p.numbers(2), 2)
	})
}

func TestACursorThatCannotBeResumedIsReset(t *testing.T) {
	everyTransport(t, func(t *testing.T, transport string) {
		g := newRig(t)
		s := g.node(func(o *Options) { o.Behind = 3 })
		for range 5 {
			g.send(s.Streams, "ann", "x")
		}
		isReset := func(name, cursor string) {
			h := s.open("/comet/"+transport+"?client="+name+"&cursor="+cursor, g.token("ann")).frame()
			if !h.Reset || h.Cursor != "e1.5" {
				t.Errorf("%s: %+v", name, h)
			}
		}
		isReset("another-epoch", "e0.2")
		isReset("above-the-head", "e1.9")
		isReset("too-far-behind", "e1.1")
		g.list.mu.Lock()
		g.list.kept["ann"] = 4
		g.list.mu.Unlock()
		if err := s.Streams.Forget(t.Context(), []string{"ann"}); err != nil {
			t.Fatal(err)
		}
		p := s.open("/comet/"+transport+"?client=below-retention&cursor=e1.3", g.token("ann"))
		h := p.frame()
		if !h.Reset {
			h = p.frame() // after the hello
		}
		if !h.Reset || h.Cursor != "e1.5" {
			t.Errorf("below retention: %+v", h)
		}
	})
}

func TestFlushAllWhileConnectedLosesAndDoublesNothing(t *testing.T) {
	g := newRig(t)
	s := g.node(nil)
	pages := map[string]*page{}
	for i := range 8 {
		user := "user" + strconv.Itoa(i)
		pages[user] = s.open("/comet/"+[]string{"stream", "events", "ws", "poll"}[i%4]+"?client=c1", g.token(user))
		pages[user].frame()
	}
	const each = 150
	done := make(chan error)
	go func() {
		for i := range each {
			for user := range pages {
				if err := s.Streams.Append(t.Context(), []tidings.UserEntry{g.list.commit(user, "x")}); err != nil {
					done <- err
					return
				}
			}
			if i%60 == 30 {
				if err := g.redis.FlushAll(t.Context()).Err(); err != nil {
					done <- err
					return
				}
			}
		}
		done <- nil
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for user, p := range pages {
		got := p.numbers(each)
		consecutive(t, got, 1)
		if len(got) != each {
			t.Fatalf("%s has %d", user, len(got))
		}
	}
}

func TestTheLastNumberBeforeAFlushIsFoundInSQL(t *testing.T) {
	everyTransport(t, func(t *testing.T, transport string) {
		g := newRig(t)
		s := g.node(nil)
		p := s.open("/comet/"+transport+"?client=c1", g.token("ann"))
		p.frame()
		g.send(s.Streams, "ann", "one")
		consecutive(t, p.numbers(1), 1)
		g.list.commit("ann", "its append, its bell and all else is lost")
		if err := g.redis.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		consecutive(t, p.numbers(1), 2)
	})
}

func TestANewerConnectionOfTheSameClientTakesOverOnAnyNode(t *testing.T) {
	everyTransport(t, func(t *testing.T, transport string) {
		g := newRig(t)
		a, b := g.node(nil), g.node(nil)
		token := g.token("ann")
		old := a.open("/comet/"+transport+"?client=c1", token)
		old.frame()
		other := a.open("/comet/"+transport+"?client=c2", token)
		other.frame()
		a.holds(2)
		fresh := b.open("/comet/events?client=c1", token)
		fresh.frame()
		isClosed(t, old, Replaced)
		g.send(a.Streams, "ann", "x")
		consecutive(t, fresh.numbers(1), 1)
		consecutive(t, other.numbers(1), 1)
	})
}

// isClosed reads the page's close, and its end behind it.
func isClosed(t *testing.T, p *page, code Code) {
	t.Helper()
	if h := p.frame(); h.Close == nil || h.Close.Code != code || h.Close.Reason != code.text() {
		t.Fatalf("it heard %+v", h)
	}
	if h, err := p.read(); !errors.Is(err, io.EOF) {
		t.Fatalf("after its close it got %+v, %v", h, err)
	}
}

func TestTheOldestConnectionOfAUserIsClosedWhenThereAreTooMany(t *testing.T) {
	everyTransport(t, func(t *testing.T, transport string) {
		g := newRig(t)
		s := g.node(func(o *Options) { o.PerUser = 2 })
		first := s.open("/comet/"+transport+"?client=c1", g.token("ann"))
		first.frame()
		s.holds(1)
		for _, client := range []string{"c2", "c3"} {
			s.open("/comet/stream?client="+client, g.token("ann")).frame()
		}
		isClosed(t, first, TooManyOpen)
	})
}

func TestAConnectionEndsWithItsToken(t *testing.T) {
	everyTransport(t, func(t *testing.T, transport string) {
		g := newRig(t)
		s := g.node(nil)
		token, _, err := g.tokens.Mint(claims("ann", time.Now().Add(2*time.Second)))
		if err != nil {
			t.Fatal(err)
		}
		h := s.open("/comet/"+transport+"?client=c1", token)
		h.frame()
		isClosed(t, h, TokenExpired)
	})
}

func TestAcknowledgementsAreCumulativeAndBecomeReceipts(t *testing.T) {
	everyTransport(t, func(t *testing.T, transport string) {
		g := newRig(t)
		s := g.node(nil)
		p := s.open("/comet/"+transport+"?client=c1", g.token("ann"))
		p.frame()
		g.send(s.Streams, "ann", "one")
		g.send(s.Streams, "ann", "two")
		p.numbers(2)
		for _, cursor := range []string{"e1.2", "e1.1"} {
			if err := p.ack(cursor); err != nil {
				t.Fatal(err)
			}
		}
		g.until("it is written", func() bool { return g.list.ackedOf("ann") == 2 })
	})
}

func TestATokenThatOnlyShowsSomeTypesSkipsTheOthersWithoutAHole(t *testing.T) {
	everyTransport(t, func(t *testing.T, transport string) {
		g := newRig(t)
		s := g.node(nil)
		p := s.open("/comet/"+transport+"?client=c1", g.token("ann", "invoice"))
		p.frame()
		g.send(s.Streams, "ann", "an order")
		e := g.list.commit("ann", "an invoice")
		e.Entry.Type = "invoice"
		if err := s.Streams.Append(t.Context(), []tidings.UserEntry{e}); err != nil {
			t.Fatal(err)
		}
		if h := p.frame(); h.Cursor != "e1.2" || len(h.Messages) != 1 || h.Messages[0].Number != 2 {
			t.Fatalf("%+v", h)
		}
	})
}

func TestDrainAsksEveryoneToComeBackAndTakesNobody(t *testing.T) {
	everyTransport(t, func(t *testing.T, transport string) {
		g := newRig(t)
		s := g.node(nil)
		p := s.open("/comet/"+transport+"?client=c1", g.token("ann"))
		p.frame()
		s.holds(1)
		s.Drain(t.Context(), 100*time.Millisecond)
		isClosed(t, p, GoingAway)
		if _, status, _ := s.tryOpen(http.DefaultClient, "/comet/"+transport+"?client=c1", g.token("ann")); status != http.StatusServiceUnavailable {
			t.Fatalf("a new one got %d", status)
		}
		if s.Ready() == nil {
			t.Fatal("it is ready")
		}
	})
}

func TestAHangUpIsNoticed(t *testing.T) {
	everyTransport(t, func(t *testing.T, transport string) {
		g := newRig(t)
		s := g.node(nil)
		p := s.open("/comet/"+transport+"?client=c1", g.token("ann"))
		p.frame()
		s.holds(1)
		p.gone()
		g.until("it is gone", func() bool { return s.Connections() == 0 })
		g.until("its lease is given up", func() bool { return g.redis.HLen(t.Context(), leaseKey("ann")).Val() == 0 })
	})
}

func TestOneConnectionTooManyIsAnswered503BeforeAnyWork(t *testing.T) {
	everyTransport(t, func(t *testing.T, transport string) {
		g := newRig(t)
		s := g.node(func(o *Options) { o.MaxConnections = 1 })
		s.open("/comet/stream?client=c1", g.token("ann")).frame()
		response, err := http.DefaultClient.Do(s.request("GET", "/comet/"+transport+"?client=c2", "no token is looked at", ""))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if response.StatusCode != 503 || response.Header.Get("Retry-After") == "" || !response.Close {
			t.Fatalf("%d %v %v", response.StatusCode, response.Header, response.Close)
		}
	})
}

func TestSilenceIsBrokenByHeartbeats(t *testing.T) {
	for _, transport := range []string{"stream", "events", "ws"} {
		t.Run(transport, func(t *testing.T) {
			g := newRig(t)
			s := g.node(func(o *Options) { o.Heartbeat, o.Stall = 30*time.Millisecond, time.Second })
			p := s.open("/comet/"+transport+"?client=c1", g.token("ann"))
			for range 60 { // a WebSocket's client answers the pings, else it would be cut by now
				if h, err := p.read(); err != nil || h.Cursor != "e1.0" {
					t.Fatalf("%+v, %v", h, err)
				}
			}
		})
	}
}

// slowly is a client with a buffer of its own size that reads only when it is asked to.
func slowly(t *testing.T, buffer int) *http.Client {
	transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err == nil {
			_ = c.(*net.TCPConn).SetReadBuffer(buffer)
		}
		return c, err
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func TestASlowReaderHoldsNobodyAndGetsEverythingWhenItReadsOn(t *testing.T) {
	for _, transport := range []string{"stream", "events", "ws"} {
		t.Run(transport, func(t *testing.T) {
			g := newRig(t)
			s := g.node(nil)
			slow, _, _ := s.tryOpen(slowly(t, 256<<10), "/comet/"+transport+"?client=slow", g.token("ann"))
			quick := s.open("/comet/"+transport+"?client=quick", g.token("ann"))
			quick.frame()
			text := strings.Repeat("慢", 8000)
			const count = 350 // 8 MB: more than the sockets hold
			for range count {
				g.send(s.Streams, "ann", text)
			}
			consecutive(t, quick.numbers(count), 1)
			for _, c := range s.shards.conns(nil) {
				c.mu.Lock()
				if len(c.pending) > 2*s.Buffer {
					t.Errorf("%d bytes wait for a slow reader", len(c.pending))
				}
				c.mu.Unlock()
			}
			slow.frame()
			consecutive(t, slow.numbers(count), 1)
		})
	}
}

func TestAReaderThatTakesNothingIsCut(t *testing.T) {
	for _, transport := range []string{"stream", "events", "ws"} {
		t.Run(transport, func(t *testing.T) {
			g := newRig(t)
			s := g.node(func(o *Options) { o.Stall = 100 * time.Millisecond })
			s.tryOpen(slowly(t, 4096), "/comet/"+transport+"?client=slow", g.token("ann"))
			text := strings.Repeat("x", 30000)
			g.until("it is cut", func() bool { g.send(s.Streams, "ann", text); return s.Connections() == 0 })
		})
	}
}

func TestWhatAUserMarkedReachesAllOfHisPagesOnEveryNode(t *testing.T) {
	everyTransport(t, func(t *testing.T, transport string) {
		g := newRig(t)
		a, b := g.node(nil), g.node(nil)
		one := a.open("/comet/"+transport+"?client=c1", g.token("ann"))
		two := b.open("/comet/"+transport+"?client=c2", g.token("ann"))
		some := b.open("/comet/"+transport+"?client=c3", g.token("ann", "invoice"))
		other := b.open("/comet/"+transport+"?client=c4", g.token("bob"))
		for _, p := range []*page{one, two, some, other} {
			p.frame()
		}
		// Marks are not kept: a poll between two requests misses one, and so does a node that subscribes anew. So they are
		// said on and on.
		unread := func(_ context.Context, users []string) (map[string]int, error) {
			if len(users) != 1 || users[0] != "ann" {
				t.Errorf("asked of %v", users)
			}
			return map[string]int{"ann": 3}, nil
		}
		said := func(m tidings.Marked, heard func()) {
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			wg.Go(func() {
				for tick := time.Tick(20 * time.Millisecond); ctx.Err() == nil; <-tick {
					if err := a.Streams.Marked(ctx, []tidings.UserMarked{{User: "ann", Marked: m}, {User: "nobody", Marked: m}}, unread); err != nil && ctx.Err() == nil {
						t.Error(err)
					}
				}
			})
			heard()
			cancel()
			wg.Wait()
		}
		m := tidings.Marked{Mark: tidings.MarkRead, IDs: []tidings.ID{7, 8}, Unread: 3}
		said(m, func() {
			for _, p := range []*page{one, two} {
				if h := p.frame(); h.Cursor != "e1.0" || h.Marked == nil || !reflect.DeepEqual(*h.Marked, m) {
					t.Fatalf("%+v %+v", h, h.Marked)
				}
			}
			if h := some.frame(); h.Marked == nil || h.Marked.Mark != tidings.MarkRead || h.Marked.IDs != nil || h.Marked.Unread != 0 {
				t.Fatalf("a token for some types heard %+v", h.Marked)
			}
		})
		said(tidings.Marked{Mark: tidings.MarkArchive, UpTo: 9}, func() {
			h := two.frame()
			for h.Marked != nil && h.Marked.Mark == tidings.MarkRead { // said again
				h = two.frame()
			}
			if h.Marked == nil || h.Marked.UpTo != 9 || h.Marked.IDs != nil {
				t.Fatalf("%+v", h.Marked)
			}
		})
		g.send(a.Streams, "bob", "x")
		if h := other.frame(); h.Marked != nil || len(h.Messages) != 1 {
			t.Fatalf("another user heard %+v", h.Marked)
		}
	})
}
