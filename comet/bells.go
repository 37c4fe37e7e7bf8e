package comet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// A subscription is silent for bellSilence at most: the server is pinged more often than that. When it was silent and nothing
// else had happened, the machine is merely slow, and each new subscription makes it slower, since all users are looked at again: so
// more patience is had each time, up to bellPatience, until one has lived for bellCalm.
const (
	bellPing     = 800 * time.Millisecond
	bellSilence  = 2 * time.Second
	bellPatience = 16 * time.Second
	bellCalm     = time.Minute
	bellPause    = 100 * time.Millisecond // between two subscriptions
)

var errSilence = errors.New("hear bells: Redis is silent")

// bellsTogether is about how many bytes of bells go in one word to a node.
const bellsTogether = 256 << 10

// Bells go over Redis' PUBLISH from within the script that appends: nothing more is asked for. In a cluster they must not.
// PUBLISH there goes to every member over their own links, so that more members carry no more bells, and a link that is
// down loses them unseen. A script may not use SPUBLISH either, since a node's channel has its own slot. So there the
// scripts say who is to be rung, and their caller rings with SPUBLISH at the member that has the node's channel: the one to
// which the node has its subscription. One word to a node carries all bells of a batch.

func bellChannel(node string) string { return "comet:" + node }

// subscribe opens the subscription to a node's bells.
func (s *Streams) subscribe(ctx context.Context, node string) *redis.PubSub {
	if s.sharded {
		return s.redis.SSubscribe(ctx, bellChannel(node))
	}
	return s.redis.Subscribe(ctx, bellChannel(node))
}

// rung are bells that the scripts leave to their caller, by node.
type rung map[string][]string

// ring rings them.
func (s *Streams) ring(ctx context.Context, bells rung) error {
	if len(bells) == 0 {
		return nil
	}
	pipe := s.redis.Pipeline()
	for node, lines := range bells {
		for len(lines) > 0 {
			n, size := 0, 0
			for n < len(lines) && size < bellsTogether {
				size += len(lines[n])
				n++
			}
			if s.sharded {
				pipe.SPublish(ctx, bellChannel(node), strings.Join(lines[:n], "\n"))
			} else {
				pipe.Publish(ctx, bellChannel(node), strings.Join(lines[:n], "\n"))
			}
			lines = lines[n:]
		}
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return fmt.Errorf("ring: %w", err)
	}
	return nil
}

// listen hears the node's bells until ctx ends. Bells are lost while the subscription is down: after each new one every
// connected user is compared with the head of his list.
func (n *Node) listen(ctx context.Context) {
	quiet, patience := false, bellSilence
	for ctx.Err() == nil {
		generation, began := n.Streams.watch.generation.Load(), time.Now()
		heard, err := n.subscribe(ctx, patience)
		if ctx.Err() != nil {
			return
		}
		switch {
		case time.Since(began) > bellCalm:
			patience = bellSilence
		case heard && errors.Is(err, errSilence):
			patience = min(2*patience, bellPatience)
		}
		if n.Streams.watch.generation.Load() == generation && !(quiet && !heard) {
			n.Logger.Warn("the bells' subscription broke; subscribing again", "error", err)
		}
		quiet = !heard
		select {
		case <-ctx.Done():
		case <-time.After(bellPause):
		}
	}
}

// relisten begins a new subscription: the server that has the old one may have been replaced, without a word to us.
func (n *Node) relisten() {
	if sub := n.bells.Load(); sub != nil {
		_ = sub.Close() // its reader returns
	}
}

// subscribe hears bells over one subscription until it breaks or is silent for longer than patience, and tells whether it ever
// heard anything.
func (n *Node) subscribe(ctx context.Context, patience time.Duration) (subscribed bool, err error) {
	sub := n.Streams.subscribe(ctx, n.name)
	defer sub.Close()
	n.bells.Store(sub)
	stop := context.AfterFunc(ctx, func() { _ = sub.Close() })
	defer stop()
	pinged := time.Now()
	heard := pinged
	for {
		m, err := sub.ReceiveTimeout(ctx, bellPing)
		now := time.Now()
		if err != nil && !isTimeout(err) {
			return subscribed, fmt.Errorf("hear bells: %w", err)
		}
		if err == nil {
			heard = now
			if err := n.hear(m); err != nil {
				return subscribed, err
			}
			subscribed = true
		}
		if now.Sub(heard) > patience {
			return subscribed, errSilence
		}
		if now.Sub(pinged) > bellPing {
			pinged = now
			if err := sub.Ping(ctx); err != nil {
				return subscribed, fmt.Errorf("hear bells: %w", err)
			}
		}
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func (n *Node) hear(message any) error {
	switch m := message.(type) {
	case *redis.Subscription:
		if strings.HasSuffix(m.Kind, "unsubscribe") {
			return errors.New("hear bells: the channel has moved to another member of the cluster")
		}
		n.subscribed.Store(true)
		n.recheck()
	case *redis.Message:
		for line := range strings.SplitSeq(m.Payload, "\n") {
			n.hearBell(line)
		}
	}
	return nil
}

func (n *Node) hearBell(line string) {
	b, err := parseBell(line)
	switch {
	case err != nil:
		n.Logger.Warn("a bell was not understood", "error", err)
	case b.marked != nil:
		n.tell(b.user, b.marked)
	case b.client != "":
		n.replaced(b.user, b.client, b.fence, b.code)
	default:
		n.ring(b)
	}
}

// ring delivers the bell's entry to the user's connections that wait for it, and has the others' holes filled.
func (n *Node) ring(b bell) {
	sh := n.shards.of(b.user)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	g := sh.groups[b.user]
	if g == nil {
		return
	}
	g.head = max(g.head, b.number)
	if b.entry != nil && sh.changed[b.user] == 0 {
		g.deliver([]item{{number: b.number, entry: b.entry}})
	}
	n.fillLocked(g)
}
