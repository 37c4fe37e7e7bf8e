package comet

import (
	"errors"
	"fmt"
	"testing"

	"tidings"
)

func TestAUserWhoseStreamIsBrokenHoldsUpNoneOfThoseBesideHim(t *testing.T) {
	eachRedis(t, func(t *testing.T, g *rig) {
		s, stop := g.streams()
		defer stop()
		const broken = 3
		users := make([]string, 2*usersAtOnce+3) // more than one call, and a last one with fewer
		for i := range users {
			users[i] = fmt.Sprintf("u%02d", i)
		}
		g.known(s, users...)
		commit := func() (entries []tidings.UserEntry) {
			for i := range users {
				for range i%3 + 1 {
					entries = append(entries, g.list.commit(users[i], "x"))
				}
			}
			return entries
		}
		if err := s.Append(t.Context(), commit()); err != nil {
			t.Fatal(err)
		}
		key := streamKey(users[broken])
		if err := errors.Join(g.redis.Del(t.Context(), key).Err(), g.redis.Set(t.Context(), key, "no stream", 0).Err()); err != nil {
			t.Fatal(err)
		}
		if err := s.Append(t.Context(), commit()); err == nil {
			t.Fatal("nobody is told of the broken one")
		}
		for i, user := range users {
			items, err := s.cached(t.Context(), user, 1, 10)
			if i == broken {
				continue
			}
			if err != nil || len(items) != 2*(i%3+1) {
				t.Errorf("%s has %d entries: %v", user, len(items), err)
			}
		}
	})
}

func TestWhoWasNotHereForLongIsLeftOutUntilHeComes(t *testing.T) {
	eachRedis(t, func(t *testing.T, g *rig) {
		n := g.node(nil)
		g.send(n.Streams, "ann", "one")
		if keys, err := g.redis.Exists(t.Context(), streamKey("ann"), headKey("ann")).Result(); err != nil || keys != 0 {
			t.Fatalf("%d keys: %v", keys, err)
		}
		if heads, tails := g.list.queried(); heads+tails > 0 {
			t.Fatalf("SQL was asked %d times", heads+tails)
		}
		consecutive(t, n.poll(g.token("ann"), "cursor=e1.0").numbers(), 1)
		g.until("she is gone", func() bool {
			leases, err := g.redis.Exists(t.Context(), leaseKey("ann")).Result()
			return err == nil && leases == 0
		})
		g.send(n.Streams, "ann", "while she is away for a moment")
		if items, err := n.Streams.cached(t.Context(), "ann", 2, 10); err != nil || len(items) != 1 {
			t.Fatalf("%v %v", items, err)
		}
	})
}

func TestWhoIsHereIsFoundAmongManyWhoAreNot(t *testing.T) {
	eachRedis(t, func(t *testing.T, g *rig) {
		n := g.node(nil)
		users := []string{"ann"}
		for i := range 20 {
			users = append(users, fmt.Sprintf("u%02d", i))
		}
		tell := func() {
			t.Helper()
			var entries []tidings.UserEntry
			for _, user := range users {
				entries = append(entries, g.list.commit(user, "to everyone"))
			}
			if err := n.Streams.Append(t.Context(), entries); err != nil {
				t.Fatal(err)
			}
		}
		streams := func() (there int64) {
			t.Helper()
			for _, user := range users {
				there += g.redis.Exists(t.Context(), streamKey(user)).Val()
			}
			return there
		}
		p := n.open("/comet/stream?client=c1", g.token("ann"))
		p.frame()
		for range 3 { // the first finds out that most are away, the others ask beforehand
			tell()
		}
		consecutive(t, p.numbers(3), 1)
		if there := streams(); there != 1 || !n.Streams.away.Load() {
			t.Fatalf("%d streams", there)
		}
		g.known(n.Streams, users...)
		tell()
		consecutive(t, p.numbers(1), 4)
		if there := streams(); int(there) != len(users) || n.Streams.away.Load() {
			t.Fatalf("%d streams, now that all were here", there)
		}
	})
}

// A call that fails keeps those of other calls from nothing: in a cluster, whose calls go to several members, it is one that is away.
func TestACallThatFailsKeepsNobodyOfTheOthersFromHearing(t *testing.T) {
	eachRedis(t, func(t *testing.T, g *rig) {
		n := g.node(nil)
		broken := "aaa"
		must(t, g.redis.Set(t.Context(), headKey(broken), "no hash", 0).Err())
		entries := []tidings.UserEntry{}
		for i := range usersAtOnce { // one call
			user := broken
			if i > 0 {
				user = fmt.Sprint("beside", i)
			}
			entries = append(entries, g.list.commit(user, "x"))
		}
		p := n.open("/comet/stream?client=c1", g.token("ann"))
		p.frame()
		must(t, g.redis.Del(t.Context(), headKey("ann"), streamKey("ann")).Err()) // it has to be read from SQL
		if err := n.Streams.Append(t.Context(), append(entries, g.list.commit("ann", "one"))); err == nil {
			t.Fatal("nobody is told of the broken one")
		}
		consecutive(t, p.numbers(1), 1)
		if items, err := n.Streams.cached(t.Context(), "ann", 1, 10); err != nil || len(items) != 1 {
			t.Errorf("%v %v", items, err)
		}
	})
}

func TestAHeadThatNobodyWaitsForIsNotWrittenFromSQL(t *testing.T) {
	eachRedis(t, func(t *testing.T, g *rig) {
		s, stop := g.streams()
		t.Cleanup(stop)
		g.list.commit("ann", "one")
		there := func() int64 { return g.redis.Exists(t.Context(), headKey("ann")).Val() }
		if heads, err := s.Heads(t.Context(), []string{"ann"}); err != nil || heads["ann"] != 1 || there() != 0 {
			t.Fatalf("%v %v, %d heads", heads, err, there())
		}
		// A number that is given now is left out by append.lua, and so must not be hidden by one that was read before.
		g.known(s, "ann")
		if there() != 1 {
			t.Fatal("of who is here it is not written")
		}
		must(t, s.Forget(t.Context(), []string{"ann"}))
		if n := g.redis.HGet(t.Context(), headKey("ann"), "n").Val(); n != "1" {
			t.Errorf("what a user may see changes what his last number is: %q", n)
		}
		g.send(s, "ann", "two")
		for key, name := range map[string]string{streamKey("ann"): "stream", headKey("ann"): "head"} {
			if left := g.redis.TTL(t.Context(), key).Val(); left <= 0 {
				t.Errorf("the %s has no time to live: %s", name, left)
			}
		}
	})
}
