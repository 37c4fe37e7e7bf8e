package comet

import (
	"net/http"
	"strconv"
	"sync"
	"time"
)

// conn is a connection that waits. A million of them are held, so it has what it needs and no more.
type conn struct {
	node      *Node
	group     *group
	client    string
	peer      uint64   // whose address counts it; see peerOf
	types     []string // the message types it may see; none: all
	transport transport
	keepAlive bool // a poll's connection serves the next request
	deflates  bool // a WebSocket's client takes deflated messages and may send them

	// Guarded by the shard's lock.
	next    int64 // the number it waits for; 0: not started
	fence   int64
	below   int64 // a bell that came before the fence was known closes it if the fence is lower
	refused Code  // it was closed before it was started

	// Times of the node's clock in ms; written before it is started, then only by the clock.
	expires int64 // end of the token
	answer  int64 // polls: when an empty answer is due; after the answer, how long the next request is awaited
	beat    int64 // streams: when the next heartbeat is due
	beating int64 // between heartbeats
	wakeAt  int64 // when the clock looks at it again

	mu      sync.Mutex
	pending []byte // what waits to be written
	queued  bool   // a writer has it, or the socket is full, or its goroutine was signalled
	ending  bool   // nothing more is sent, and after pending it is over
	closed  bool
	stalled int64 // since when (ms) the socket takes nothing; 0: it does
	refill  bool  // it was full when there was more for it
	wire    wire
	socket  *socketState // of a WebSocket
}

// wire is what carries a connection's bytes.
type wire interface {
	// wake says that something waits to be written, or that the connection is ending. It does not block.
	wake(c *conn)
	// drop ends the connection at once. Under c.mu.
	drop(c *conn)
}

// cursor says what it has. Under the shard's lock.
func (c *conn) cursor() Cursor { return Cursor{Epoch: *c.group.epoch, Number: c.next - 1} }

// encoding is how messages are encoded for it.
func (c *conn) encoding() transport {
	if c.deflates {
		return packed
	}
	return c.transport
}

// full tells whether so much waits for a slow reader that it is brought no further for now.
func (c *conn) full() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pending) <= c.node.Buffer/2 {
		return false
	}
	c.refill = true
	return true
}

// send writes an encoded frame with n messages. A poll is answered by it and over. Under the shard's lock.
func (c *conn) send(encoded []byte, n int) {
	c.node.metrics.messages[c.transport].Add(float64(n))
	if c.transport == poll {
		c.end(encoded)
		return
	}
	if !c.put(encoded) {
		c.node.metrics.closes.WithLabelValues(TooSlow.text()).Inc()
		c.leave()
		c.abort()
	}
}

// close tells the connection why it is over. Under the shard's lock.
func (c *conn) close(code Code, after time.Duration) {
	c.node.metrics.closes.WithLabelValues(code.text()).Inc()
	if c.next == 0 {
		c.leave()
		c.refused = code
		return
	}
	c.end(frame{cursor: c.cursor(), close: code.closing(after)}.encode(c.transport))
}

// end sends the last bytes. Under the shard's lock.
func (c *conn) end(encoded []byte) {
	if c.leave() && !c.enqueue(encoded, true) {
		c.abort()
	}
}

// leave takes the connection out of its group: it gets no more numbers. Under the shard's lock.
func (c *conn) leave() bool {
	if !c.group.detach(c) {
		return false
	}
	c.node.releases.add(c)
	return true
}

// begin has the answer's head written first. The node may be hanging up meanwhile.
func (c *conn) begin(head []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending = head
}

// put writes bytes at once where nothing waits before them, and else adds them to what waits, unless it is too much.
func (c *conn) put(b []byte) bool { return c.writeNow(b) || c.enqueue(b, false) }

// enqueue adds bytes to what waits to be written, unless it is too much.
func (c *conn) enqueue(b []byte, ending bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.ending {
		return true
	}
	if len(c.pending) > 0 && len(c.pending)+len(b) > c.node.Buffer {
		return false
	}
	c.node.metrics.frames[c.transport].Inc()
	if c.transport == poll && c.raw() {
		c.pending = append(c.pending, contentLength(len(b))...)
	}
	if len(c.pending) == 0 {
		c.pending = b
	} else {
		c.pending = append(c.pending, b...)
	}
	c.ending = ending
	if !c.queued {
		c.queued = true
		c.wire.wake(c)
	}
	return true
}

// raw tells whether we write the answer's head ourselves.
func (c *conn) raw() bool { _, ok := c.wire.(*parking); return ok }

func contentLength(n int) string { return "Content-Length: " + strconv.Itoa(n) + "\r\n\r\n" }

// abort ends the connection without a word.
func (c *conn) abort() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shut()
}

// shut ends the connection. Under c.mu.
func (c *conn) shut() {
	if c.closed {
		return
	}
	c.closed = true
	c.pending = nil
	if c.wire != nil {
		c.wire.drop(c)
	}
	c.node.gone(c)
}

// hangUp is what follows when the client has gone.
func (c *conn) hangUp() {
	sh := c.group.shard
	sh.mu.Lock()
	c.leave()
	sh.mu.Unlock()
	c.abort()
}

// served answers through an http.ResponseWriter, from the handler's goroutine: where a connection cannot be parked.
type served struct {
	signal chan struct{}
}

func (s *served) wake(*conn) {
	select {
	case s.signal <- struct{}{}:
	default:
	}
}

func (s *served) drop(*conn) {
	select {
	case s.signal <- struct{}{}:
	default:
	}
}

// serve writes until the connection is over. The handler's goroutine is in it as long.
func (s *served) serve(c *conn, w http.ResponseWriter, gone <-chan struct{}) {
	control := http.NewResponseController(w)
	for {
		select {
		case <-gone:
			c.hangUp()
			return
		case <-c.node.stopped:
			c.hangUp()
			return
		case <-s.signal:
		}
		c.mu.Lock()
		b, ending, closed := c.pending, c.ending, c.closed
		c.pending, c.queued = nil, false
		refill := c.refill
		c.refill = false
		c.mu.Unlock()
		if closed {
			return
		}
		_ = control.SetWriteDeadline(time.Now().Add(c.node.Stall)) // not every writer has deadlines
		if _, err := w.Write(b); err != nil || control.Flush() != nil {
			c.hangUp()
			return
		}
		if ending {
			_ = control.SetWriteDeadline(time.Time{}) // the connection may serve another request
			c.abort()
			return
		}
		if refill {
			c.node.fill(c.group)
		}
	}
}
