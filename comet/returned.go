package comet

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// idleTimeout is how long an answered poll's connection waits for its next request, like net/http's IdleTimeout.
const idleTimeout = 60 * time.Second

// returned is the net.Listener over which answered polls' connections come back to the http.Server.
type returned struct {
	served atomic.Bool // somebody accepts
	mu     sync.Mutex
	more   *sync.Cond
	queue  []net.Conn
	closed bool
}

func newReturned() *returned {
	r := &returned{}
	r.more = sync.NewCond(&r.mu)
	return r
}

func (r *returned) put(c net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		_ = c.Close()
		return
	}
	r.queue = append(r.queue, c)
	r.more.Signal()
}

// Accept waits for a connection that comes back.
func (r *returned) Accept() (net.Conn, error) {
	r.served.Store(true)
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.queue) == 0 && !r.closed {
		r.more.Wait()
	}
	if r.closed {
		return nil, net.ErrClosed
	}
	c := r.queue[0]
	r.queue[0] = nil
	r.queue = r.queue[1:]
	return c, nil
}

// Close ends Accept and closes what nobody took.
func (r *returned) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for _, c := range r.queue {
		_ = c.Close()
	}
	r.queue = nil
	r.more.Broadcast()
	return nil
}

// Addr names the listener in logs.
func (r *returned) Addr() net.Addr { return returnedAddr{} }

type returnedAddr struct{}

func (returnedAddr) Network() string { return "comet" }
func (returnedAddr) String() string  { return "answered polls" }

// resumed is a connection with what the client had sent already.
type resumed struct {
	net.Conn
	prefix []byte
}

// Read gives the prefix first.
func (r *resumed) Read(b []byte) (int, error) {
	if len(r.prefix) == 0 {
		return r.Conn.Read(b)
	}
	n := copy(b, r.prefix)
	r.prefix = r.prefix[n:]
	if len(r.prefix) == 0 {
		r.prefix = nil
	}
	return n, nil
}
