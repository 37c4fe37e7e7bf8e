package comet

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"tidings"
)

// How much of each list is kept in Redis.
const (
	streamLength = 1000      // entries: what a client misses in a day offline, mostly
	streamBytes  = 1 << 20   // of one user's entries
	streamKept   = 24 * 3600 // seconds since the last append
	bellBytes    = 32 << 10  // a larger entry is read by the node that is rung
	leaseKept    = 2 * 3600  // seconds: no connection outlives its token, which lives an hour at most
	memoryLimit  = 75        // per cent of Redis' maxmemory, above which streams are not fed
	nodeKept     = 15 * time.Second
)

// Streams caches the tail of each user's numbered list in Redis and rings the nodes that hold the user. Workers append
// through it, nodes read through it. Run must be running for it to notice that Redis lost what it held.
type Streams struct {
	redis   redis.UniversalClient
	sharded bool // Redis is a cluster: see bells.go
	history History
	logger  *slog.Logger
	watch   *watch
	away    atomic.Bool // of those to whom something was appended last most were not here: see ofThoseHere
	full    atomic.Bool // Redis has little memory left: heads and bells only
}

// NewStreams returns Streams over a Redis and the list in SQL.
func NewStreams(client redis.UniversalClient, history History, logger *slog.Logger) *Streams {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	s := &Streams{redis: client, history: history, logger: logger}
	_, s.sharded = client.(*redis.ClusterClient)
	s.watch = newWatch(s)
	return s
}

// Run watches Redis until ctx ends: about once a second it looks whether what Redis held was lost.
func (s *Streams) Run(ctx context.Context) error { return s.watch.run(ctx) }

// callerRings is what tells a script whether its caller rings.
func (s *Streams) callerRings() string {
	if s.sharded {
		return "1"
	}
	return ""
}

// Heads is the last number of each user: from Redis where it is of this generation, else from SQL in one query and
// written back. A user without an inbox has 0.
func (s *Streams) Heads(ctx context.Context, users []string) (map[string]int64, error) {
	if err := s.watch.ready(ctx); err != nil {
		return nil, err
	}
	cached, stale := s.cachedHeads(ctx, users)
	if len(stale) == 0 {
		return cached, nil
	}
	read, err := s.reloadHeads(ctx, stale)
	if err != nil {
		return nil, err
	}
	maps.Copy(cached, read)
	return cached, nil
}

// cachedHeads are the heads that Redis has and that are to be believed; the others are stale, as those of a member of a cluster that is away.
func (s *Streams) cachedHeads(ctx context.Context, users []string) (heads map[string]int64, stale []string) {
	pipe := s.redis.Pipeline()
	for _, user := range users {
		pipe.HMGet(ctx, headKey(user), "n", "g")
	}
	answers, _ := pipe.Exec(ctx) // each answer carries its own error
	heads = make(map[string]int64, len(users))
	for i, a := range answers {
		var n, g string
		if values := a.(*redis.SliceCmd).Val(); len(values) == 2 { //nolint:forcetypeassert // HMGet's
			n, _ = values[0].(string)
			g, _ = values[1].(string)
		}
		if head, ok := s.believe(n, g); ok {
			heads[users[i]] = head
		} else {
			stale = append(stale, users[i])
		}
	}
	return heads, stale
}

// believe tells whether a head that Redis gave may be believed: it is there and not of an older generation.
func (s *Streams) believe(number, generation string) (int64, bool) {
	n, ok := parseNumber(number)
	g, sound := parseNumber(generation)
	return n, ok && sound && g >= s.watch.generation.Load()
}

// reloadHeads reads heads from SQL and writes them back. One that could not be written is read again by the next who asks.
func (s *Streams) reloadHeads(ctx context.Context, users []string) (map[string]int64, error) {
	generation := s.watch.generation.Load() // before SQL is read: what happens meanwhile makes it stale
	heads, err := s.history.Heads(ctx, users)
	if err != nil {
		return nil, fmt.Errorf("read heads: %w", err)
	}
	calls := make([]call, len(users))
	for i, user := range users {
		calls[i] = call{
			keys: []string{streamKey(user), headKey(user), leaseKey(user)},
			args: []any{generation, heads[user], streamKept},
		}
	}
	answers, err := run(ctx, s.redis, headScript, calls)
	if err != nil {
		s.logger.Warn("heads were not written back to Redis", "error", err)
	}
	stands := make(map[string]int64, len(users))
	for i, a := range answers {
		text, _ := a.Text()
		n, _ := parseNumber(text)
		stands[users[i]] = max(n, heads[users[i]])
	}
	return stands, nil
}

// item is a number of the list with what stands there, as JSON.
type item struct {
	number int64
	entry  json.RawMessage
	gone   bool
}

// cached reads at most limit numbers of the user's stream, beginning with from, without holes. What is missing is not in
// the cache.
func (s *Streams) cached(ctx context.Context, user string, from int64, limit int) ([]item, error) {
	found, err := s.redis.XRangeN(ctx, streamKey(user), strconv.FormatInt(from, 10)+"-0", "+", int64(limit)).Result()
	if err != nil {
		return nil, fmt.Errorf("read a stream: %w", err)
	}
	return contiguous(found, from), nil
}

// contiguous takes entries as long as they are the next numbers and well formed.
func contiguous(found []redis.XMessage, from int64) []item {
	items := make([]item, 0, len(found))
	for _, x := range found {
		number, ok := parseStreamID(x.ID)
		entry, isText := x.Values["e"].(string)
		if !ok || !isText || number != from || !json.Valid([]byte(entry)) {
			break
		}
		items = append(items, item{number: number, entry: oneLine(json.RawMessage(entry))})
		from++
	}
	return items
}

// Forget drops the entries that are cached of the users, so that they are read from SQL again. The head stays: what the last number is does not
// depend on what the user may see, and an older one that somebody has just read from SQL must not take its place.
func (s *Streams) Forget(ctx context.Context, users []string) error {
	pipe := s.redis.Pipeline()
	for _, user := range users {
		pipe.Del(ctx, streamKey(user))
		pipe.HDel(ctx, headKey(user), "b", "x") // the bytes of the stream, and when it was given its time to live
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("forget streams: %w", err)
	}
	return nil
}

func marshalEntry(e tidings.Entry) (json.RawMessage, error) {
	content, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("write entry %d: %w", e.Number, err)
	}
	return content, nil
}
