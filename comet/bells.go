package comet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
)

// A subscription is silent for bellSilence at most: the server is pinged more often than that.
const (
	bellPing    = 3 * time.Second
	bellSilence = 10 * time.Second
)

// listen hears the node's bells until ctx ends. Bells are lost while the subscription is down: after each new one every
// connected user is compared with the head of his list.
func (n *Node) listen(ctx context.Context) {
	failing := false
	for ctx.Err() == nil {
		err := n.subscribe(ctx)
		if ctx.Err() != nil {
			return
		}
		if !failing {
			n.Logger.Warn("the bells' subscription broke; subscribing again", "error", err)
		}
		failing = true
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// subscribe hears bells over one subscription until it breaks.
func (n *Node) subscribe(ctx context.Context) error {
	sub := n.Streams.redis.Subscribe(ctx, "comet:"+n.name)
	defer sub.Close()
	stop := context.AfterFunc(ctx, func() { _ = sub.Close() })
	defer stop()
	pinged := time.Now()
	heard := pinged
	for {
		m, err := sub.ReceiveTimeout(ctx, bellPing)
		now := time.Now()
		if err != nil && !isTimeout(err) {
			return fmt.Errorf("hear bells: %w", err)
		}
		if err == nil {
			heard = now
			n.hear(m)
		}
		if now.Sub(heard) > bellSilence {
			return errors.New("hear bells: Redis is silent")
		}
		if now.Sub(pinged) > bellPing {
			pinged = now
			if err := sub.Ping(ctx); err != nil {
				return fmt.Errorf("hear bells: %w", err)
			}
		}
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func (n *Node) hear(message any) {
	switch m := message.(type) {
	case *redis.Subscription:
		n.subscribed.Store(true)
		n.recheck()
	case *redis.Message:
		b, err := parseBell(m.Payload)
		if err != nil {
			n.Logger.Warn("a bell was not understood", "error", err)
			return
		}
		if b.client != "" {
			n.replaced(b.user, b.client, b.fence, b.code)
			return
		}
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
