package comet

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"tidings"
)

// Who is connected is read from what there is anyway: a user's leases, and the key that each node renews. Nothing is
// written for it when a connection begins or ends.

// nodesKey is the names of all nodes by when they spoke last; those that live have a key of their own. A cluster's keys
// cannot be listed in one place, and a million leases lie among them.
const nodesKey = "nodes"

// nodesKept is how long a dead node's name is kept in the list at least: clocks may differ by so much.
const nodesKept = time.Hour

func nodeKey(name string) string { return "node:" + name }

// nodeOf is the id of a node and when it started, from its name.
func nodeOf(name string) (id string, started time.Time) {
	i := strings.LastIndexByte(name, ':')
	if i < 0 {
		return name, time.Time{}
	}
	us, err := strconv.ParseInt(name[i+1:], 36, 64)
	if err != nil {
		return name, time.Time{}
	}
	return name[:i], time.UnixMicro(us).UTC()
}

// renew says that the node lives, and how much it holds.
func (n *Node) renew(ctx context.Context) error {
	now := n.Now()
	said := tidings.CometNode{At: now.UTC().Truncate(time.Millisecond), Most: n.MaxConnections, Transports: map[string]int{}, Draining: n.draining.Load()}
	said.Node, said.StartedAt = nodeOf(n.name)
	for t := range transports {
		held := int(n.held[t].Load())
		said.Transports[t.String()] = held
		said.Connections += held
	}
	content, err := json.Marshal(said)
	if err != nil {
		return fmt.Errorf("renew the node's key: %w", err)
	}
	pipe := n.Streams.redis.Pipeline()
	pipe.Set(ctx, nodeKey(n.name), content, nodeKept)
	pipe.ZAdd(ctx, nodesKey, redis.Z{Score: float64(now.Unix()), Member: n.name})
	pipe.ZRemRangeByScore(ctx, nodesKey, "-inf", strconv.FormatInt(now.Add(-nodesKept).Unix(), 10))
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("renew the node's key: %w", err)
	}
	return nil
}

// unname takes the node out of the list of those that live.
func (n *Node) unname(ctx context.Context) error {
	pipe := n.Streams.redis.Pipeline()
	pipe.Del(ctx, nodeKey(n.name))
	pipe.ZRem(ctx, nodesKey, n.name)
	_, err := pipe.Exec(ctx)
	return err
}

// Presence is how many connections the nodes that live hold, as each of them said within the last seconds.
func (s *Streams) Presence(ctx context.Context) (tidings.Presence, error) {
	p := tidings.Presence{Transports: map[string]int{}, Nodes: []tidings.CometNode{}}
	for t := range transports {
		p.Transports[t.String()] = 0
	}
	names, err := s.redis.ZRange(ctx, nodesKey, 0, -1).Result()
	if err != nil || len(names) == 0 {
		return p, wrapped("list the nodes", err)
	}
	answers, err := s.nodes(ctx, names)
	if err != nil {
		return p, err
	}
	for _, text := range answers {
		var n tidings.CometNode
		if err := json.Unmarshal([]byte(text), &n); err != nil {
			return p, fmt.Errorf("list the nodes: %w", err)
		}
		p.Nodes = append(p.Nodes, n)
		p.Connections += n.Connections
		for t, held := range n.Transports {
			p.Transports[t] += held
		}
	}
	slices.SortFunc(p.Nodes, func(a, b tidings.CometNode) int {
		return cmp.Or(strings.Compare(a.Node, b.Node), a.StartedAt.Compare(b.StartedAt))
	})
	return p, nil
}

// nodes reads what those of the named nodes that live say of themselves.
func (s *Streams) nodes(ctx context.Context, names []string) (map[string]string, error) {
	pipe := s.redis.Pipeline()
	answers := make(map[string]*redis.StringCmd, len(names))
	for _, name := range names {
		answers[name] = pipe.Get(ctx, nodeKey(name))
	}
	_, _ = pipe.Exec(ctx) // each answer carries its own error
	live := make(map[string]string, len(names))
	for name, a := range answers {
		switch text, err := a.Result(); {
		case err == nil:
			live[name] = text
		case !errors.Is(err, redis.Nil):
			return nil, fmt.Errorf("list the nodes: %w", err)
		}
	}
	return live, nil
}

// Listeners are the connections of a user on nodes that live, the oldest first.
func (s *Streams) Listeners(ctx context.Context, user string) ([]tidings.Listener, error) {
	leases, err := s.redis.HGetAll(ctx, leaseKey(user)).Result()
	if err != nil || len(leases) == 0 {
		return []tidings.Listener{}, wrapped("find who holds a user", err)
	}
	names := map[string]bool{}
	for _, lease := range leases {
		name, _, _ := strings.Cut(lease, " ")
		names[name] = true
	}
	live, err := s.nodes(ctx, slices.Collect(maps.Keys(names)))
	if err != nil {
		return nil, err
	}
	listeners := []tidings.Listener{}
	for client, lease := range leases {
		parts := strings.Split(lease, " ") // see register.lua
		if _, ok := live[parts[0]]; !ok || len(parts) != 3 {
			continue
		}
		fence, _ := parseNumber(parts[1])
		l := tidings.Listener{Client: client, Transport: parts[2], Since: time.UnixMicro(fence).UTC().Truncate(time.Millisecond)}
		l.Node, _ = nodeOf(parts[0])
		listeners = append(listeners, l)
	}
	slices.SortFunc(listeners, func(a, b tidings.Listener) int {
		return cmp.Or(a.Since.Compare(b.Since), strings.Compare(a.Client, b.Client))
	})
	return listeners, nil
}
