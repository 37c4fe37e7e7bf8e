package comet

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"tidings"
	"tidings/internal/redistest"
)

// each runs f over a real Redis and over the in-process one of the embedded mode.
func eachRedis(t *testing.T, f func(t *testing.T, g *rig)) {
	t.Run("redis", func(t *testing.T) { f(t, newRig(t)) })
	t.Run("miniredis", func(t *testing.T) {
		c := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr()})
		t.Cleanup(func() { _ = c.Close() })
		f(t, rigOver(t, c))
	})
}

func TestARepeatedAppendChangesNothing(t *testing.T) {
	eachRedis(t, func(t *testing.T, g *rig) {
		s, stop := g.streams()
		defer stop()
		g.known(s, "ann")
		one, two := g.list.commit("ann", "one"), g.list.commit("ann", "two")
		for range 3 {
			if err := s.Append(t.Context(), []tidings.UserEntry{two, one}); err != nil {
				t.Fatal(err)
			}
		}
		items, err := s.cached(t.Context(), "ann", 1, 10)
		if err != nil || len(items) != 2 || items[0].number != 1 {
			t.Fatalf("%v %v", items, err)
		}
		heads, err := s.Heads(t.Context(), []string{"ann", "nobody"})
		if err != nil || heads["ann"] != 2 || heads["nobody"] != 0 {
			t.Fatalf("%v %v", heads, err)
		}
	})
}

func TestHeadsThatRedisLostAreReadFromSQLInOneQuery(t *testing.T) {
	eachRedis(t, func(t *testing.T, g *rig) {
		s, stop := g.streams()
		defer stop()
		var entries []tidings.UserEntry
		for range 3 {
			for _, u := range []string{"ann", "bob", "cid"} {
				entries = append(entries, g.list.commit(u, "x"))
			}
		}
		for _, u := range []string{"ann", "bob", "cid"} { // as if a node held them
			if err := g.redis.HSet(t.Context(), leaseKey(u), "c1", "n1 events 1").Err(); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Append(t.Context(), entries[6:]); err != nil {
			t.Fatal(err)
		}
		if g.list.heads != 1 {
			t.Fatalf("%d queries", g.list.heads)
		}
		if heads, err := s.Heads(t.Context(), []string{"ann", "bob"}); err != nil || heads["ann"] != 3 || heads["bob"] != 3 {
			t.Fatalf("%v %v", heads, err)
		}
	})
}

func TestAFlushBeginsOneNewGenerationForAllProcesses(t *testing.T) {
	eachRedis(t, func(t *testing.T, g *rig) {
		a, stopA := g.streams()
		defer stopA()
		b, stopB := g.streams()
		defer stopB()
		if err := errors.Join(a.watch.ready(t.Context()), b.watch.ready(t.Context())); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			before := a.watch.generation.Load()
			g.until("both agree", func() bool { return b.watch.generation.Load() == before })
			if err := g.redis.FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			g.until("both see a new generation", func() bool {
				n := a.watch.generation.Load()
				return n > before && b.watch.generation.Load() == n
			})
		}
	})
}

func TestARestartOfRedisBeginsANewGenerationThoughItsDataIsThere(t *testing.T) {
	server := redistest.Start(t, "--appendonly", "yes")
	g := rigOver(t, server.Client)
	s := g.node(nil)
	p := s.open("/comet/stream?client=c1", g.token("ann"))
	p.frame()
	g.send(s.Streams, "ann", "one")
	consecutive(t, p.numbers(1), 1)
	before := s.Streams.watch.generation.Load()
	server.Kill(t)
	g.list.commit("ann", "while Redis was away")
	server.Restart(t)
	consecutive(t, p.numbers(1), 2)
	if s.Streams.watch.generation.Load() <= before {
		t.Fatal("the generation is the old one")
	}
	g.send(s.Streams, "ann", "three")
	consecutive(t, p.numbers(1), 3)
}

func TestAHeadOfAnOlderGenerationIsNotBelieved(t *testing.T) {
	g := newRig(t)
	s, stop := g.streams()
	defer stop()
	if err := s.watch.ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := g.redis.HSet(t.Context(), headKey("ann"), "n", 99, "g", 0).Err(); err != nil {
		t.Fatal(err)
	}
	g.list.commit("ann", "x")
	if heads, err := s.Heads(t.Context(), []string{"ann"}); err != nil || heads["ann"] != 1 {
		t.Fatalf("%v %v", heads, err)
	}
}

func TestAStreamKeepsToItsBudgetAndAnEntryAboveItIsOnlyRung(t *testing.T) {
	g := newRig(t)
	s := g.node(nil)
	p := s.open("/comet/stream?client=c1", g.token("ann"))
	p.frame()
	big := string(make([]byte, 40<<10)) // NULs: six bytes each in JSON
	for range 8 {
		g.send(s.Streams, "ann", big)
	}
	consecutive(t, p.numbers(8), 1)
	used, err := g.redis.MemoryUsage(t.Context(), streamKey("ann")).Result()
	if err != nil || used > 2*streamBytes {
		t.Fatalf("%d bytes, %v", used, err)
	}
}

func TestManyWhoAskForHeadsAtOnceCostFewQueries(t *testing.T) {
	g := newRig(t)
	s := g.node(nil)
	g.list.mu.Lock()
	g.list.heads = 0
	g.list.mu.Unlock()
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			if _, err := s.heads.get(t.Context(), "user"+randomWord(6)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if g.list.heads > 40 {
		t.Fatalf("%d queries for 200 askers", g.list.heads)
	}
}

func TestANewEpochHasEveryPageReload(t *testing.T) {
	g := newRig(t)
	s := g.node(nil)
	g.send(s.Streams, "ann", "one")
	p := s.open("/comet/stream?client=c1&cursor=e1.1", g.token("ann"))
	p.frame()
	g.list.mu.Lock()
	g.list.epoch = "e2"
	g.list.mu.Unlock()
	if h := p.frame(); !h.Reset || h.Cursor != "e2.1" {
		t.Fatalf("%+v", h)
	}
}

func TestATimeOnTheWheelIsNeitherEarlyNorForgotten(t *testing.T) {
	g := newRig(t)
	s := g.node(nil)
	for _, wait := range []time.Duration{30 * time.Millisecond, 120 * time.Millisecond} {
		began := time.Now()
		s.poll(g.token("ann"), "cursor=e1.0&wait="+wait.String())
		if took := time.Since(began); took < wait-time.Millisecond || took > wait+2*time.Second {
			t.Fatalf("a wait of %s took %s", wait, took)
		}
	}
}

func TestATimeFartherOffThanTheWheelReachesIsKept(t *testing.T) {
	g := newRig(t)
	s := g.node(func(o *Options) { o.Tick = time.Millisecond }) // round in 512 ms
	began := time.Now()
	s.poll(g.token("ann"), "cursor=e1.0&wait=800ms")
	if took := time.Since(began); took < 800*time.Millisecond || took > 3*time.Second {
		t.Fatalf("a wait of 800 ms took %s", took)
	}
}

func TestAppendersOfTheSameUsersAndFlushesLoseAndDoubleNothing(t *testing.T) {
	g := newRig(t)
	s := g.node(nil)
	users := []string{"ann", "bob", "cid"}
	var pages []*page
	for _, user := range users {
		p := s.open("/comet/stream?client=c1", g.token(user))
		p.frame()
		pages = append(pages, p)
	}
	const appenders, each = 4, 100
	var wg sync.WaitGroup
	for range appenders {
		streams, stop := g.streams()
		t.Cleanup(stop)
		wg.Go(func() {
			for i := range each {
				var batch []tidings.UserEntry
				for _, user := range users {
					batch = append(batch, g.list.commit(user, "x"))
				}
				if err := streams.Append(t.Context(), batch); err != nil {
					t.Error(err)
				}
				if i%40 == 20 {
					if err := g.redis.FlushAll(t.Context()).Err(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	for _, p := range pages { // they read while it is written
		got := p.numbers(appenders * each)
		consecutive(t, got, 1)
		if len(got) != appenders*each {
			t.Fatalf("%d numbers", len(got))
		}
	}
	wg.Wait()
	for _, user := range users {
		if h := s.poll(g.token(user), "cursor=e1.0"); len(h.Messages) == 0 || h.Messages[0].Number != 1 {
			t.Fatalf("%s, from the beginning: %+v", user, h)
		}
	}
}
