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
		commit := func() (entries []tidings.UserEntry) {
			for i := range users {
				users[i] = fmt.Sprintf("u%02d", i)
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
