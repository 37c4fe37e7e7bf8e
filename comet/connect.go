package comet

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"tidings/middleware"
)

// connect serves a client that wants to listen.
func (n *Node) connect(w http.ResponseWriter, r *http.Request, t transport) error {
	peer, err := n.admit(w, r, t)
	if err != nil {
		return err
	}
	held := false
	defer func() {
		if !held {
			n.exit(peer)
		}
	}()
	if t == socket {
		if err := checkSocket(w, r); err != nil {
			return err
		}
	}
	q, err := n.parse(w, r)
	if err != nil {
		return err
	}
	c := n.newConn(q, t)
	c.peer = peer
	if t == socket {
		c.deflates = negotiateDeflate(w.Header(), r)
	}
	n.shards.join(c, strings.Clone(q.claims.User)) // not the whole request that it is a part of
	started := false
	defer func() {
		if !started {
			c.forget()
		}
	}()
	at, err := n.begin(r.Context(), c, q)
	if err != nil {
		return err
	}
	if t == poll {
		if answered, err := n.answerNow(w, r, c, q, at); answered || err != nil {
			return err
		}
	}
	held, started = true, true
	n.held[t].Add(1)
	return n.hold(w, r, c, at)
}

// forget takes a connection that was never started out of its group.
func (c *conn) forget() {
	sh := c.group.shard
	sh.mu.Lock()
	defer sh.mu.Unlock()
	c.leave()
}

func (n *Node) newConn(q request, t transport) *conn {
	now := n.clock.now()
	beating := n.Heartbeat * time.Duration(80+rand.N(21)) / 100 //nolint:gosec // not a secret
	return &conn{
		node: n, client: strings.Clone(q.client), types: slices.Clone(q.claims.Types), transport: t, keepAlive: t == poll,
		expires: now + q.claims.Expires.Sub(n.Now()).Milliseconds(),
		answer:  now + q.wait.Milliseconds(),
		beating: beating.Milliseconds(), beat: now + beating.Milliseconds(),
	}
}

// start is where a connection begins.
type start struct {
	epoch *string // of the list that the numbers are of
	next  int64
	head  int64
	reset bool
}

func (at start) cursor(number int64) Cursor { return Cursor{Epoch: *at.epoch, Number: number} }

// begin registers the connection and finds where in the list it begins.
func (n *Node) begin(ctx context.Context, c *conn, q request) (start, error) {
	var cursor Cursor
	if q.cursor != "" {
		var err error
		if cursor, err = ParseCursor(q.cursor); err != nil {
			return start{}, err
		}
	}
	epoch := c.listed()
	head, err := n.register(ctx, c)
	if err != nil {
		return start{}, unavailable(err)
	}
	if q.cursor == "" {
		return start{epoch: epoch, next: head + 1, head: head}, nil
	}
	// What the client has may be ahead of Redis: it can have been read from SQL before its append was done.
	if cursor.Number > head {
		if head, err = n.listed.get(ctx, q.claims.User); err != nil {
			return start{}, unavailable(err)
		}
	}
	if cursor.Epoch != *epoch || cursor.Number > head || head-cursor.Number > n.Behind {
		n.metrics.resets.Inc()
		return start{epoch: epoch, next: head + 1, head: head, reset: true}, nil
	}
	if c.transport == poll { // of the others it would be a statement for each that comes back in a storm, and mostly for what is acknowledged already
		n.received(q.claims.User, q.claims.Types, cursor)
	}
	return start{epoch: epoch, next: cursor.Number + 1, head: head}, nil
}

// listed is the epoch of the list that the connection is given.
func (c *conn) listed() *string {
	sh := c.group.shard
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return c.group.epoch
}

// answerNow answers a poll that need not wait.
func (n *Node) answerNow(w http.ResponseWriter, r *http.Request, c *conn, q request, at start) (answered bool, err error) {
	// Without a cursor the answer gives one at once: what comes while the client had none would be missed.
	if !at.reset && at.next > at.head && q.cursor != "" && q.wait > 0 {
		return false, nil
	}
	f := frame{cursor: at.cursor(at.next - 1), reset: at.reset}
	if !at.reset && at.next <= at.head {
		if f, err = n.catchUp(r.Context(), c, at); err != nil {
			return false, unavailable(err)
		}
	}
	n.metrics.frames[poll].Inc()
	n.metrics.messages[poll].Add(float64(len(f.items)))
	body := f.encode(poll)
	middleware.WriteBody(w, http.StatusOK, gzipped(w.Header(), r, body))
	return true, nil
}

// catchUp reads what a poll can be answered with at once.
func (n *Node) catchUp(ctx context.Context, c *conn, at start) (frame, error) {
	user := c.group.user
	sh := c.group.shard
	sh.mu.Lock()
	trusted := sh.changed[user] == 0
	sh.mu.Unlock()
	items, last, err := n.read(ctx, user, at.next, fillNumbers, trusted)
	if err != nil {
		return frame{}, err
	}
	if len(items) == 0 || items[0].number > at.next {
		n.metrics.resets.Inc()
		return frame{cursor: at.cursor(max(last, at.head)), reset: true}, nil
	}
	return frame{cursor: at.cursor(items[len(items)-1].number), items: visible(items, c.types)}, nil
}

// hold keeps the connection: parked where that is possible, else in this goroutine.
func (n *Node) hold(w http.ResponseWriter, r *http.Request, c *conn, at start) error {
	if c.transport == socket {
		return n.holdSocket(w, r, c, at)
	}
	h := w.Header()
	h.Set("Content-Type", c.transport.contentType())
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would hold small frames back
	if n.park(w, r, c) {
		c.start(at)
		return nil
	}
	s := &served{signal: make(chan struct{}, 1)}
	c.wire = s
	if c.transport != poll {
		w.WriteHeader(http.StatusOK)
	}
	c.start(at)
	s.serve(c, w, r.Context().Done())
	return nil
}

// park takes the connection from net/http, with the head of its answer before it.
func (n *Node) park(w http.ResponseWriter, r *http.Request, c *conn) bool {
	if !parks(r) {
		return false
	}
	c.keepAlive = c.transport == poll && !r.Close && n.returned.served.Load()
	head := responseHead(w.Header(), n.Now(), c)
	nc, prefix, err := hijack(w)
	if err != nil {
		return false
	}
	c.begin(head)
	n.putInLot(c, nc, prefix)
	return true
}

// parks tells whether the request's connection can be parked.
func parks(r *http.Request) bool {
	return parkable && r.ProtoMajor == 1 && r.ProtoMinor == 1 && r.TLS == nil
}

// hijack takes the connection from net/http, and what the client has sent already behind its request.
func hijack(w http.ResponseWriter) (nc net.Conn, prefix []byte, err error) {
	nc, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil, fmt.Errorf("take a connection from net/http: %w", err)
	}
	if ahead := buffered.Reader.Buffered(); ahead > 0 {
		prefix = make([]byte, ahead)
		_, _ = buffered.Reader.Read(prefix) // of what is buffered
	}
	return nc, prefix, nil
}

// putInLot parks a connection that is ours. When that fails nothing can be answered any more: the client comes back.
func (n *Node) putInLot(c *conn, nc net.Conn, prefix []byte) {
	if err := n.lot.park(c, nc, prefix); err != nil {
		n.Logger.Warn("a connection could not be parked", "error", err)
		_ = nc.Close()
		c.hangUp()
	}
}

// responseHead writes the head of a 200 answer: of a poll all but the length and what follows it. A stream ends with its
// connection, so it needs no chunks.
func responseHead(h http.Header, now time.Time, c *conn) []byte {
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 200 OK\r\nDate: " + now.UTC().Format(http.TimeFormat) + "\r\n")
	_ = h.WriteSubset(&b, map[string]bool{"Connection": true, "Content-Length": true, "Transfer-Encoding": true, "Date": true})
	if !c.keepAlive {
		b.WriteString("Connection: close\r\n")
	}
	if c.transport != poll {
		b.WriteString("\r\n")
	}
	return b.Bytes()
}

// start begins to deliver: the hello of a stream, and what the list has already.
func (c *conn) start(at start) {
	sh := c.group.shard
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if at.epoch != c.group.epoch { // the list became another one since: at's numbers say nothing in it
		c.node.metrics.resets.Inc()
		at = start{epoch: c.group.epoch, next: c.group.head + 1, head: c.group.head, reset: true}
	}
	c.next = at.next
	if c.refused != 0 {
		c.sayRefused()
		return
	}
	c.hello(at)
	c.mu.Lock()
	soonest := min(c.expires, c.beat)
	if c.transport == poll {
		soonest = min(c.expires, c.answer)
	}
	c.node.clock.within(c, soonest)
	c.mu.Unlock()
	c.group.head = max(c.group.head, at.head)
	c.node.fillLocked(c.group)
}

func (c *conn) hello(at start) {
	f := frame{cursor: c.cursor(), reset: at.reset}
	switch {
	case c.transport != poll:
		f.heartbeat = c.node.Heartbeat
		c.enqueue(f.encode(c.transport), false)
	case at.reset:
		c.send(f.encode(poll), 0)
	}
}

// sayRefused tells a connection why it was closed before it was started.
func (c *conn) sayRefused() {
	c.enqueue(frame{cursor: c.cursor(), close: c.refused.closing(0)}.encode(c.transport), true)
}
