package comet

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// watchEvery is how often Redis is looked at: what was lost goes unnoticed for so long.
const watchEvery = time.Second

// memoryEvery is how many looks pass between two at the memory that is used.
const memoryEvery = 5

// clusterCanaries is how many canaries a cluster gets. They are spread over its slots, so that of up to twenty equal
// masters each holds one but with a probability of 3 %.
const clusterCanaries = 128

// A watch notices that Redis lost what it held, by two signs. The identity of its servers (run_id and replication id)
// changes with a restart and a failover. A canary, a key without expiry, vanishes with FLUSHALL. A canary says
// "<generation> <identity> <random>": a process that comes late tells by it whether another has dealt with the loss.
type watch struct {
	streams    *Streams
	generation atomic.Int64
	started    chan struct{} // closed when the generation is known

	looking sync.Mutex        // one look at a time
	seen    map[string]string // canary -> value. Under looking, like the next two
	looks   int
	lost    bool // what Redis holds is known not to be of this record

	mu      sync.Mutex
	changed []func()
}

func newWatch(s *Streams) *watch {
	return &watch{streams: s, started: make(chan struct{}), seen: make(map[string]string)}
}

// onChange has f called after each new generation. f must not block.
func (w *watch) onChange(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changed = append(w.changed, f)
}

// lose begins a new generation: what Redis holds is not of this record.
func (w *watch) lose(ctx context.Context) error {
	w.looking.Lock()
	w.lost = true
	w.looking.Unlock()
	return w.check(ctx)
}

// ready waits until the generation is known.
func (w *watch) ready(ctx context.Context) error {
	select {
	case <-w.started:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the generation: %w", context.Cause(ctx))
	}
}

func (w *watch) run(ctx context.Context) error {
	every(ctx, watchEvery, w.streams.logger, "watch Redis", w.check)
	return nil
}

// check looks once.
func (w *watch) check(ctx context.Context) error {
	w.looking.Lock()
	defer w.looking.Unlock()
	ctx, cancel := context.WithTimeoutCause(ctx, 5*time.Second, errors.New("Redis or SQL did not answer the watch in 5 s"))
	defer cancel()
	if w.generation.Load() == 0 {
		g, err := w.streams.history.Generation(ctx)
		if err != nil {
			return err
		}
		w.generation.Store(g)
	}
	identity, values, err := w.look(ctx)
	if err != nil {
		return err
	}
	if err := w.compare(ctx, identity, values); err != nil {
		return err
	}
	select {
	case <-w.started:
	default:
		close(w.started)
	}
	return nil
}

// canary is a canary's value.
type canary struct {
	generation int64
	identity   string
}

func parseCanary(s string) (canary, bool) {
	parts := strings.Split(s, " ")
	if len(parts) != 3 {
		return canary{}, false
	}
	g, ok := parseNumber(parts[0])
	return canary{generation: g, identity: parts[1]}, ok
}

// compare decides from what the canaries say whether a new generation must begin, or has begun without us.
func (w *watch) compare(ctx context.Context, identity string, values map[string]string) error {
	known := w.generation.Load()
	current, lost := known, w.lost
	for key, value := range values {
		c, ok := parseCanary(value)
		seen := w.seen[key]
		switch {
		case !ok || c.identity != identity || c.generation < known:
			lost = true
		case c.generation == known && seen != "" && seen != value:
			lost = true // lost, and dealt with by a process that took it for the loss before
		default:
			current = max(current, c.generation)
		}
	}
	if lost {
		next, err := w.streams.history.NextGeneration(ctx, known)
		if err != nil {
			return err
		}
		current = max(current, next)
	}
	err := w.adopt(ctx, identity, current, values, lost)
	w.lost = w.lost && err != nil
	return err
}

// adopt writes the canaries after a loss and tells everyone about a new generation.
func (w *watch) adopt(ctx context.Context, identity string, generation int64, values map[string]string, write bool) error {
	if write {
		var err error
		if values, err = w.write(ctx, identity, generation, values); err != nil {
			return err
		}
	}
	for key, value := range values {
		w.seen[key] = value
	}
	if w.generation.Swap(generation) == generation && !write {
		return nil
	}
	w.streams.logger.Info("a new generation of what Redis holds", "generation", generation)
	w.mu.Lock()
	changed := slices.Clone(w.changed)
	w.mu.Unlock()
	for _, f := range changed {
		f()
	}
	return nil
}

// write sets the canaries that still say what was seen, and returns what all say now.
func (w *watch) write(ctx context.Context, identity string, generation int64, seen map[string]string) (map[string]string, error) {
	value := fmt.Sprintf("%d %s %s", generation, identity, randomWord(8))
	keys := w.keys()
	calls := make([]call, len(keys))
	for i, key := range keys {
		calls[i] = call{keys: []string{key}, args: []any{seen[key], value}}
	}
	answers, err := run(ctx, w.streams.redis, canaryScript, calls)
	if err != nil {
		return nil, fmt.Errorf("set the canaries: %w", err)
	}
	values := make(map[string]string, len(keys))
	for i, a := range answers {
		values[keys[i]], _ = a.Text()
	}
	return values, nil
}

func (w *watch) keys() []string {
	n := 1
	if _, ok := w.streams.redis.(*redis.ClusterClient); ok {
		n = clusterCanaries
	}
	keys := make([]string, n)
	for i := range keys {
		keys[i] = "canary:{" + strconv.Itoa(i) + "}"
	}
	return keys
}

// look asks for a word that names the servers that hold our keys, which changes when one is restarted or replaced, and for
// what the canaries say; "" for one that is missing. miniredis has no run_id; it loses nothing without the process that we are
// in.
func (w *watch) look(ctx context.Context) (identity string, values map[string]string, err error) {
	memory := w.looks%memoryEvery == 0
	w.looks++
	pipe := w.streams.redis.Pipeline()
	said := askCanaries(ctx, pipe, w.keys())
	var infos [][]*redis.StringCmd
	switch c := w.streams.redis.(type) {
	case *redis.ClusterClient:
		var mu sync.Mutex
		err = c.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error {
			pipe := c.Pipeline()
			info := askInfo(ctx, pipe, memory)
			_, _ = pipe.Exec(ctx) // each answer carries its own error
			mu.Lock()
			defer mu.Unlock()
			infos = append(infos, info)
			return nil
		})
	case *redis.Client: // all in one round trip: every process asks once a second
		infos = append(infos, askInfo(ctx, pipe, memory))
	default:
		err = fmt.Errorf("a %T is no Redis that can be watched", c)
	}
	if err != nil {
		return "", nil, err
	}
	_, _ = pipe.Exec(ctx) // likewise
	if values, err = canariesOf(said); err != nil {
		return "", nil, err
	}
	identity, err = w.identity(infos, memory)
	return identity, values, err
}

// identity is the word for servers.
func (w *watch) identity(infos [][]*redis.StringCmd, memory bool) (string, error) {
	var names []string
	var full int64
	for _, answers := range infos {
		info, err := sectionsOf(answers)
		if err != nil {
			return "", err
		}
		names = append(names, info["run_id"]+info["master_replid"])
		full = max(full, fullness(info))
	}
	if memory {
		w.streams.full.Store(full >= memoryLimit)
	}
	slices.SortFunc(names, cmp.Compare[string])
	sum := sha256.Sum256([]byte(strings.Join(names, ",")))
	return hex.EncodeToString(sum[:8]), nil
}

// askCanaries asks what each canary says.
func askCanaries(ctx context.Context, pipe redis.Pipeliner, keys []string) map[string]*redis.StringCmd {
	said := make(map[string]*redis.StringCmd, len(keys))
	for _, key := range keys {
		said[key] = pipe.Get(ctx, key)
	}
	return said
}

func canariesOf(said map[string]*redis.StringCmd) (map[string]string, error) {
	values := make(map[string]string, len(said))
	for key, a := range said {
		if err := a.Err(); err != nil && !errors.Is(err, redis.Nil) {
			return nil, fmt.Errorf("read the canaries: %w", err)
		}
		values[key] = a.Val()
	}
	return values, nil
}

// askInfo asks for the sections of INFO that we need. What memory is used costs Redis the most to tell.
func askInfo(ctx context.Context, pipe redis.Pipeliner, memory bool) []*redis.StringCmd {
	answers := []*redis.StringCmd{pipe.Info(ctx, "server"), pipe.Info(ctx, "replication")}
	if memory {
		answers = append(answers, pipe.Info(ctx, "memory"))
	}
	return answers
}

func sectionsOf(answers []*redis.StringCmd) (map[string]string, error) {
	info := make(map[string]string)
	for _, a := range answers {
		text, err := a.Result()
		if err != nil {
			var refused redis.Error
			if errors.As(err, &refused) && strings.Contains(err.Error(), "section") {
				continue // miniredis knows only some
			}
			return nil, fmt.Errorf("read INFO: %w", err)
		}
		for line := range strings.Lines(text) {
			if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
				info[name] = value
			}
		}
	}
	return info, nil
}

// fullness is how many per cent of its memory Redis uses; 0 without a limit.
func fullness(info map[string]string) int64 {
	used, _ := strconv.ParseInt(info["used_memory"], 10, 64)
	limit, _ := strconv.ParseInt(info["maxmemory"], 10, 64)
	if limit <= 0 {
		return 0
	}
	return used * 100 / limit
}
