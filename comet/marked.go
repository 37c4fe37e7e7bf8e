package comet

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"tidings"
)

// Marked tells the user's open connections, on whatever node, what he has marked. Nothing is kept: it costs nothing where
// nobody listens, and who misses it asks the inbox.
func (s *Streams) Marked(ctx context.Context, user string, m tidings.Marked) error {
	leases, err := s.redis.HVals(ctx, leaseKey(user)).Result()
	if err != nil || len(leases) == 0 {
		return wrapped("find who holds a user", err)
	}
	content, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("tell what a user marked: %w", err)
	}
	bells := rung{}
	for _, lease := range leases {
		node, _, _ := strings.Cut(lease, " ")
		bells[node] = []string{"m " + user + " " + string(content)}
	}
	return s.ring(ctx, bells)
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
