package comet

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"tidings"
)

// Append adds entries, which are committed in SQL, to the users' streams and rings. It may be called again with the same
// entries: nothing is added twice. On an error some may have been appended.
func (s *Streams) Append(ctx context.Context, entries []tidings.UserEntry) error {
	if len(entries) == 0 {
		return nil
	}
	if err := s.watch.ready(ctx); err != nil {
		return err
	}
	asked := s.away.Load()
	if asked {
		var err error
		if entries, err = s.ofThoseHere(ctx, entries); err != nil {
			return err
		}
	}
	users, args, err := s.appendArgs(entries)
	if err != nil {
		return err
	}
	generation := s.watch.generation.Load() // before SQL is read: what happens meanwhile makes it stale
	stale, left, failed := s.append(ctx, generation, users, args, nil)
	if !asked && len(users) > usersAtOnce {
		s.away.Store(2*left > len(users))
	}
	if len(stale) == 0 {
		return failed
	}
	heads, err := s.history.Heads(ctx, stale)
	if err != nil {
		return errors.Join(failed, fmt.Errorf("append to streams: %w", err))
	}
	_, _, err = s.append(ctx, generation, stale, args, heads)
	return errors.Join(failed, err)
}

// ofThoseHere are the entries of users whom append.lua would not leave out. To ask beforehand costs a sixth of a call in vain, so it is
// done while most are left out: a broadcast.
func (s *Streams) ofThoseHere(ctx context.Context, entries []tidings.UserEntry) ([]tidings.UserEntry, error) {
	pipe := s.redis.Pipeline()
	asked := make(map[string]*redis.IntCmd, len(entries))
	for _, e := range entries {
		if asked[e.User] == nil {
			asked[e.User] = pipe.Exists(ctx, headKey(e.User), leaseKey(e.User))
		}
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("append to streams: %w", err)
	}
	here := slices.DeleteFunc(slices.Clone(entries), func(e tidings.UserEntry) bool { return asked[e.User].Val() == 0 })
	s.away.Store(2*len(here) < len(entries))
	return here, nil
}

// appendArgs groups entries by user: the pairs of number and entry that append.lua takes, ascending.
func (s *Streams) appendArgs(entries []tidings.UserEntry) (users []string, args map[string][]any, err error) {
	args = make(map[string][]any, len(entries))
	for _, e := range ascending(entries) {
		if e.Entry.Number <= 0 {
			return nil, nil, fmt.Errorf("append to the stream of %s: an entry without a number", e.User)
		}
		content, err := json.Marshal(e.Entry)
		if err != nil {
			return nil, nil, fmt.Errorf("append to the stream of %s: %w", e.User, err)
		}
		if args[e.User] == nil {
			users = append(users, e.User)
		}
		args[e.User] = append(args[e.User], e.Entry.Number, content)
	}
	return users, args, nil
}

// ascending are entries in such an order that each user's numbers rise; mostly they come so.
func ascending(entries []tidings.UserEntry) []tidings.UserEntry {
	last := make(map[string]int64, len(entries))
	for _, e := range entries {
		if e.Entry.Number < last[e.User] {
			return slices.SortedStableFunc(slices.Values(entries), func(a, b tidings.UserEntry) int { return cmp.Compare(a.Entry.Number, b.Entry.Number) })
		}
		last[e.User] = e.Entry.Number
	}
	return entries
}

// append runs append.lua for the users and returns those whose head in Redis is not to be believed, and how many were left out. With
// heads, which were read from SQL, there are none. A call that failed, as where a member of a cluster is away, keeps nobody of the others from
// being rung.
func (s *Streams) append(ctx context.Context, generation int64, users []string, args map[string][]any, heads map[string]int64) (stale []string, left int, err error) {
	calls := s.appendCalls(generation, users, args, heads)
	answers, _ := run(ctx, s.redis, appendScript, calls) // each answer carries its own error
	var failed error
	bells := rung{}
	for c, a := range answers {
		asked := len(calls[c].keys) / appendKeys
		some, err := a.Slice()
		if err == nil && len(some) != asked {
			err = fmt.Errorf("Redis answered %d values for %d users", len(some), asked)
		}
		if err != nil {
			failed, users = cmp.Or(failed, err), users[asked:]
			continue
		}
		for i, answer := range some {
			switch answer := answer.(type) {
			case int64:
				switch answer {
				case 0:
					stale = append(stale, users[i])
				case 2:
					left++
				}
			case []any: // the nodes to ring
				for _, node := range answer {
					name := fmt.Sprint(node)
					bells[name] = append(bells[name], entryBells(users[i], args[users[i]])...)
				}
			}
		}
		users = users[len(some):]
	}
	if err := errors.Join(failed, s.ring(ctx, bells)); err != nil {
		return stale, left, fmt.Errorf("append to streams: %w", err)
	}
	return stale, left, nil
}

// usersAtOnce is how many users one call of append.lua serves: more gain nothing, and Redis does nothing else meanwhile.
const usersAtOnce = 8

// appendKeys is how many keys of a user append.lua is given.
const appendKeys = 3

func (s *Streams) appendCalls(generation int64, users []string, args map[string][]any, heads map[string]int64) (calls []call) {
	budget, most := streamBytes, usersAtOnce
	if s.full.Load() {
		budget = 0
	}
	if s.sharded {
		most = 1 // the keys of a call lie in one slot
	}
	now := time.Now().Unix()
	for some := range slices.Chunk(users, most) {
		c := call{args: []any{generation, streamLength, streamKept, budget, bellBytes, now, s.callerRings()}}
		for _, user := range some {
			head := ""
			if heads != nil {
				head = strconv.FormatInt(heads[user], 10)
			}
			c.keys = append(c.keys, streamKey(user), headKey(user), leaseKey(user))
			c.args = append(append(c.args, head, user, len(args[user])/2), args[user]...)
		}
		calls = append(calls, c)
	}
	return calls
}
