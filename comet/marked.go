package comet

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"tidings"
)

// Marked tells users' open connections, on whatever node, what was marked. unread counts what those of them who listen have
// not read now: where nobody listens it is not asked. Nothing is kept: who misses it asks the inbox.
func (s *Streams) Marked(ctx context.Context, marks []tidings.UserMarked, unread func(ctx context.Context, users []string) (map[string]int, error)) error {
	nodes, err := s.nodesOf(ctx, marks)
	if err != nil || len(nodes) == 0 {
		return err
	}
	counts, err := unread(ctx, slices.Collect(maps.Keys(nodes)))
	if err != nil {
		return err
	}
	bells := rung{}
	for _, m := range marks {
		m.Unread = counts[m.User]
		content, err := json.Marshal(m.Marked)
		if err != nil {
			return fmt.Errorf("tell what a user marked: %w", err)
		}
		for _, node := range nodes[m.User] {
			bells[node] = append(bells[node], "m "+m.User+" "+string(content))
		}
	}
	return s.ring(ctx, bells)
}

// nodesOf are the nodes that hold those of the users who listen.
func (s *Streams) nodesOf(ctx context.Context, marks []tidings.UserMarked) (map[string][]string, error) {
	nodes := map[string][]string{}
	for chunk := range slices.Chunk(marks, pipelined) {
		pipe := s.redis.Pipeline()
		answers := make([]*redis.StringSliceCmd, len(chunk))
		for i, m := range chunk {
			answers[i] = pipe.HVals(ctx, leaseKey(m.User))
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return nil, fmt.Errorf("find who holds a user: %w", err)
		}
		for i, m := range chunk {
			for _, lease := range answers[i].Val() {
				node, _, _ := strings.Cut(lease, " ")
				if !slices.Contains(nodes[m.User], node) {
					nodes[m.User] = append(nodes[m.User], node)
				}
			}
		}
	}
	return nodes, nil
}

func wrapped(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// parseMarkBell reads what a user marked: one line of JSON, which goes to the page as it is.
func parseMarkBell(b *bell, s string) bool {
	b.marked = json.RawMessage(s)
	var m tidings.Marked
	return json.Unmarshal(b.marked, &m) == nil && m.Mark != "" && !strings.ContainsAny(s, "\r\n")
}

// tell gives each of the user's connections what he marked. A slow reader is left out. A token that shows only some types
// hears no more than that something was marked.
func (n *Node) tell(user string, marked json.RawMessage) {
	sh := n.shards.of(user)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	g := sh.groups[user]
	if g == nil {
		return
	}
	var m tidings.Marked
	if json.Unmarshal(marked, &m) != nil {
		return
	}
	some := json.RawMessage(`{"mark":"` + string(m.Mark) + `"}`)
	for _, c := range slices.Clone(g.conns) { // a poll that is answered leaves the group
		if c.next == 0 || c.full() {
			continue
		}
		f := frame{cursor: c.cursor(), marked: marked}
		if len(c.types) > 0 {
			f.marked = some
		}
		c.send(f.encode(c.transport), 0)
	}
}
