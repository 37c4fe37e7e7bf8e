package comet

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"tidings"
)

// Node holds the connections of one process. Its handlers take connections once Run runs and Ready says so.
type Node struct {
	Options
	name    string // "<id>:<start>": names this node in leases and the channel of its bells
	metrics *metrics

	shards   *shards
	lot      *lot
	clock    *clock
	writers  *queue[*conn]
	fills    *queue[*group]
	heads    *gather[string, int64]              // from Redis if it has them
	listed   *gather[string, int64]              // heads from SQL
	tails    *gather[tidings.Span, tidings.Tail] // from SQL
	acks     acks
	releases releases
	returned *returned
	peers    *peers
	rechecks chan struct{}

	open       atomic.Int64 // connections counted in
	held       holding      // of them those that are started
	warned     atomic.Int64 // of a client's address, when last, in ms
	epoch      atomic.Pointer[string]
	epochs     sync.Mutex // one looks at the epoch at a time
	unreset    bool       // it changed, and some have not been told. Under epochs
	bells      atomic.Pointer[redis.PubSub]
	subscribed atomic.Bool
	draining   atomic.Bool
	empty      chan struct{} // the last connection is over
	stopped    chan struct{} // closed when Run ends
}

// NewNode returns a Node.
func NewNode(o Options) (*Node, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	n := &Node{
		Options: o, name: o.ID + ":" + strconv.FormatInt(o.Now().UnixMicro(), 36),
		shards: newShards(), writers: newQueue[*conn](), fills: newQueue[*group](), returned: newReturned(),
		heads:    &gather[string, int64]{read: o.Streams.Heads, most: recheckUsers},
		listed:   &gather[string, int64]{read: o.History.Heads, most: recheckUsers},
		tails:    &gather[tidings.Span, tidings.Tail]{read: o.History.Tails, most: fillSpans},
		rechecks: make(chan struct{}, 1), empty: make(chan struct{}, 1), stopped: make(chan struct{}),
	}
	n.metrics = newMetrics(o.Registry, &n.held)
	n.acks = acks{node: n, held: make(map[string]int64), asked: make(chan struct{}, 1)}
	n.releases = releases{node: n}
	n.clock = newClock(n)
	n.peers = newPeers(o.PerIP, o.IPRate, n.clock.now)
	if n.lot, err = newLot(o.Logger); err != nil {
		return nil, err
	}
	o.Streams.watch.onChange(n.relisten)
	return n, nil
}

// Returned is the listener over which answered polls' connections come back: serve it with the http.Server that serves
// the node's handlers. Without that a poll's connection is closed after its answer.
func (n *Node) Returned() net.Listener { return n.returned }

// Ready is nil when the node takes connections, else why it does not.
func (n *Node) Ready() error {
	switch {
	case n.draining.Load():
		return fmt.Errorf("comet: draining")
	case !n.subscribed.Load():
		return fmt.Errorf("comet: not yet subscribed to its bells")
	case n.epoch.Load() == nil:
		return fmt.Errorf("comet: the epoch is not yet known")
	}
	return nil
}

// Connections is how many connections the node holds.
func (n *Node) Connections() int { return int(n.open.Load()) }

// Run serves until ctx ends, then closes what is still open; Drain before that asks the clients to come back elsewhere.
func (n *Node) Run(ctx context.Context) error {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	for range max(2, runtime.GOMAXPROCS(0)) {
		wg.Go(n.runWriter)
	}
	for range fillers {
		wg.Go(func() { n.runFiller(inner) })
	}
	if parkable {
		wg.Go(n.lot.wait)
	}
	wg.Go(func() { n.clock.run(inner) })
	wg.Go(func() { n.listen(inner) })
	wg.Go(func() { n.runRechecks(inner) })
	wg.Go(func() { n.watchChanges(inner) })
	wg.Go(func() { every(inner, nodeKept/3, n.Logger, "renew the node's key", n.renew) })
	wg.Go(func() { n.acks.run(inner) })
	wg.Go(func() { every(inner, time.Second, n.Logger, "give up leases", n.releases.flush) })
	<-ctx.Done()
	n.stop()
	cancel()
	wg.Wait()
	n.lot.close()
	return n.leave()
}

// stop ends what waits without a context.
func (n *Node) stop() {
	n.draining.Store(true)
	n.subscribed.Store(false)
	close(n.stopped)
	n.writers.close()
	n.fills.close()
	n.lot.stop()
	_ = n.returned.Close()
	for _, c := range n.shards.conns(nil) {
		c.hangUp()
	}
}

// leave writes what is left to write: bounded, since the stores may be what fails.
func (n *Node) leave() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	failed := n.acks.flush(ctx)
	if err := n.releases.flush(ctx); err != nil {
		n.Logger.Warn("leases were not given up; they expire", "error", err)
	}
	if err := n.unname(ctx); err != nil {
		n.Logger.Warn("the node's key was not removed; it expires", "error", err)
	}
	return failed
}

func (n *Node) runWriter() {
	for {
		c, ok := n.writers.next()
		if !ok {
			return
		}
		c.flush()
	}
}

// every runs f now and at each interval until ctx ends. Of failures in a row the first is logged.
func every(ctx context.Context, interval time.Duration, log *slog.Logger, what string, f func(context.Context) error) {
	failing := false
	run := func() {
		bounded, cancel := context.WithTimeout(ctx, readTimeout)
		err := f(bounded)
		cancel()
		if err != nil && !failing && ctx.Err() == nil {
			log.Warn("could not "+what+"; trying again", "error", err)
		}
		failing = err != nil
	}
	run()
	tidings.Every(ctx, interval, run)
}

// enter counts a connection, unless the node holds as many as it may.
func (n *Node) enter() bool {
	if n.open.Add(1) > int64(n.MaxConnections) {
		n.open.Add(-1)
		return false
	}
	return true
}

// gone counts a started connection out.
func (n *Node) gone(c *conn) {
	n.exit(c.peer)
	n.held[c.transport].Add(-1)
}

// exit counts a connection out and says when it was the last one.
func (n *Node) exit(peer uint64) {
	n.peers.leave(peer)
	if n.open.Add(-1) == 0 {
		select {
		case n.empty <- struct{}{}:
		default: // said already
		}
	}
}

// retryAfter is 1 to 5 s: those who were refused together do not come back together.
func retryAfter() time.Duration { return time.Second + rand.N(4*time.Second) } //nolint:gosec // not a secret

// Drain takes no more connections and asks the clients to come back, spread over the window, so that the other nodes are
// not stormed; whoever is not asked yet is served. When ctx ends the rest is asked at once, each with a delay of its own.
func (n *Node) Drain(ctx context.Context, window time.Duration) {
	n.draining.Store(true)
	conns := n.shards.conns(nil)
	rand.Shuffle(len(conns), func(i, j int) { conns[i], conns[j] = conns[j], conns[i] })
	const steps = 50
	size := max(1, (len(conns)+steps-1)/steps)
	pause := window / steps
	for len(conns) > 0 {
		now := conns[:min(size, len(conns))]
		conns = conns[len(now):]
		spread := pause
		if ctx.Err() != nil {
			spread = window
		}
		for _, c := range now {
			c.comeBack(rand.N(spread + time.Millisecond)) //nolint:gosec // not a secret
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	n.emptied(time.Second)
}

// emptied waits until the last words are written, a while at most.
func (n *Node) emptied(atMost time.Duration) {
	end := time.After(atMost)
	for n.open.Load() > 0 {
		select {
		case <-n.empty:
		case <-end:
			return
		}
	}
}

// comeBack asks the client to connect again after a delay.
func (c *conn) comeBack(after time.Duration) {
	sh := c.group.shard
	sh.mu.Lock()
	defer sh.mu.Unlock()
	c.close(GoingAway, after)
}
