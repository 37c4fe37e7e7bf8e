package comet

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// parkable tells whether connections can be parked on this system.
const parkable = true

// parking is a parked connection: a descriptor that the lot's epoll watches, without a goroutine. It is taken out of Go's
// runtime, whose objects for it take 1 KB.
type parking struct {
	lot    *lot
	prefix []byte // what the client has sent already behind its request
	fd     int32
	serial int32
	idle   bool // a poll was answered, the next request is awaited. Under the connection's mu
}

// lot is where connections are parked. It uses edge-triggered events (epoll(7)): an EPOLLOUT comes after a write that
// found the socket full, and once at the start; hang-ups come as EPOLLRDHUP.
type lot struct {
	epoll  int
	wakeup int // an eventfd that ends wait
	logger *slog.Logger
	heard  [16 << 10]byte // what WebSockets' clients say is read into it, by wait alone

	mu     sync.Mutex
	parked map[int32]*conn
	serial int32
	closed bool // its descriptors may be somebody else's by now
}

func newLot(logger *slog.Logger) (*lot, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("park connections: %w", err)
	}
	wakeup, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("park connections: %w", err), unix.Close(epoll))
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(wakeup)} //nolint:gosec // descriptors are small
	if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, wakeup, &event); err != nil {
		return nil, errors.Join(fmt.Errorf("park connections: %w", err), unix.Close(epoll), unix.Close(wakeup))
	}
	return &lot{epoll: epoll, wakeup: wakeup, logger: logger, parked: make(map[int32]*conn)}, nil
}

const parkedEvents = unix.EPOLLRDHUP | unix.EPOLLOUT | unix.EPOLLET

// park watches a hijacked connection for c. It fails for what has no descriptor of its own, TLS for one.
func (l *lot) park(c *conn, nc net.Conn, prefix []byte) error {
	if r, ok := nc.(*resumed); ok {
		nc, prefix = r.Conn, append(prefix, r.prefix...)
	}
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return fmt.Errorf("park: a %T has no descriptor", nc)
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return fmt.Errorf("park: %w", err)
	}
	fd := -1
	var failed error
	if err := raw.Control(func(own uintptr) { fd, failed = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0) }); err != nil || failed != nil {
		return fmt.Errorf("park: %w", errors.Join(err, failed))
	}
	if _, ok := nc.(*net.TCPConn); ok {
		if err := relyOnHeartbeats(fd); err != nil {
			return errors.Join(err, unix.Close(fd))
		}
	}
	if err := l.add(c, &parking{lot: l, fd: int32(fd), prefix: prefix}); err != nil { //nolint:gosec // descriptors are small
		return errors.Join(err, unix.Close(fd))
	}
	_ = nc.Close() // the socket lives by our descriptor
	return nil
}

// unheard is how long bytes may wait for the far kernel to confirm them: then its machine or the way to it is gone. With a heartbeat every
// 25 s a dead client is noticed after 55 s.
const unheard = 30 * time.Second

// relyOnHeartbeats has a heartbeat that nobody confirms end the connection (tcp(7), TCP_USER_TIMEOUT). Go's probes, one for each 15 s
// of silence, are not needed then: for a million connections they are 54,000 packets a second and their answers, and wake sleeping
// phones.
func relyOnHeartbeats(fd int) error {
	err := errors.Join(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 0),
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(unheard.Milliseconds())))
	if err != nil {
		return fmt.Errorf("park: %w", err)
	}
	return nil
}

// add watches p's descriptor for c.
func (l *lot) add(c *conn, p *parking) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errors.New("park: the node has stopped")
	}
	if c.closed { // nobody would take it out again
		return errors.New("park: it was hung up")
	}
	l.serial++
	p.serial = l.serial
	if err := p.control(unix.EPOLL_CTL_ADD, parkedEvents); err != nil {
		return fmt.Errorf("park: %w", err)
	}
	l.parked[p.fd] = c
	c.wire = p
	return nil
}

func (p *parking) control(op int, events uint32) error {
	return unix.EpollCtl(p.lot.epoll, op, int(p.fd), &unix.EpollEvent{Events: events, Fd: p.fd, Pad: p.serial})
}

func (p *parking) wake(c *conn) { c.node.writers.add(c) }

// drop closes the connection. Under c.mu, so that nobody writes to a descriptor that is another connection's already.
func (p *parking) drop(*conn) {
	p.unpark()
	_ = unix.Close(int(p.fd))
}

func (p *parking) unpark() {
	p.lot.mu.Lock()
	defer p.lot.mu.Unlock()
	delete(p.lot.parked, p.fd)
	if !p.lot.closed {
		_ = p.control(unix.EPOLL_CTL_DEL, 0)
	}
}

// flush writes what waits, as far as the socket takes it. A writer calls it.
func (c *conn) flush() {
	c.mu.Lock()
	p, ok := c.wire.(*parking)
	if !ok || c.closed || p.idle {
		c.mu.Unlock()
		return
	}
	if err := p.write(c); err != nil {
		c.mu.Unlock()
		c.hangUp()
		return
	}
	refill := false
	if len(c.pending) == 0 {
		c.pending, c.queued, c.stalled = nil, false, 0
		refill, c.refill = c.refill, false
		if c.ending {
			p.finish(c)
		}
	}
	c.mu.Unlock()
	if refill {
		c.node.fill(c.group)
	}
}

// writeNow writes bytes of a parked connection for which nothing waits, past the writers and what they have before them. False: somebody
// else is to write, or to find out why nobody can.
func (c *conn) writeNow(b []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, ok := c.wire.(*parking)
	if !ok || c.closed || c.ending || c.queued || p.idle || len(c.pending) > 0 {
		return false
	}
	c.pending = b
	if err := p.write(c); err != nil {
		c.pending = nil
		return false
	}
	c.queued = len(c.pending) > 0 // the socket is full
	if !c.queued {
		c.pending = nil
	}
	c.node.metrics.frames[c.transport].Inc()
	return true
}

// write writes until the socket is full; its EPOLLOUT goes on then. Under c.mu.
func (p *parking) write(c *conn) error {
	for len(c.pending) > 0 {
		n, err := unix.Write(int(p.fd), c.pending)
		switch {
		case n > 0:
			c.pending = c.pending[n:]
			c.stalled = 0
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			if c.stalled == 0 {
				c.stalled = c.node.clock.now()
				c.node.clock.within(c, c.stalled+c.node.Stall.Milliseconds())
			}
			return nil
		default:
			return err
		}
	}
	return nil
}

// finish ends a connection whose last bytes are written, or has it wait for the next request. Under c.mu.
func (p *parking) finish(c *conn) {
	if c.socket != nil && p.linger(c) {
		return
	}
	if !c.keepAlive || c.node.draining.Load() { // the next request belongs to another node
		c.shut()
		return
	}
	c.node.gone(c)
	if len(p.prefix) > 0 {
		p.handBack(c)
		return
	}
	p.idle = true
	c.answer = c.node.clock.now() + idleTimeout.Milliseconds()
	c.node.clock.within(c, c.answer)
	if err := p.control(unix.EPOLL_CTL_MOD, unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLONESHOT); err != nil {
		c.closed = true
		p.drop(c)
	}
}

// handBack gives the connection to the http.Server for its next request. Under c.mu.
func (p *parking) handBack(c *conn) {
	c.closed = true
	p.unpark()
	f := os.NewFile(uintptr(p.fd), "parked")
	defer f.Close() //nolint:errcheck // the connection has its own copy
	back, err := net.FileConn(f)
	if err != nil {
		p.lot.logger.Warn("a connection could not be handed back", "error", err)
		return
	}
	if len(p.prefix) > 0 {
		back = &resumed{Conn: back, prefix: p.prefix}
	}
	c.node.returned.put(back)
}

// expire tells whether the connection waits for its next request, and closes it when it has for too long. Under c.mu.
func (c *conn) expire(now int64) (idle bool) {
	p, ok := c.wire.(*parking)
	if !ok || !p.idle {
		return false
	}
	if now >= c.answer {
		c.closed = true
		p.drop(c)
	}
	return true
}

// wait handles events until stop.
func (l *lot) wait() {
	events := make([]unix.EpollEvent, 256)
	for {
		n, err := unix.EpollWait(l.epoll, events, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			l.logger.Error("parked connections cannot be watched", "error", err)
			return
		}
		for _, e := range events[:max(n, 0)] {
			if int(e.Fd) == l.wakeup {
				return
			}
			if c := l.find(e.Fd, e.Pad); c != nil {
				c.event(e.Events)
			}
		}
	}
}

// find is the connection an event is about. The serial tells it from a later one with the same descriptor.
func (l *lot) find(fd, serial int32) *conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.parked[fd]
	if c == nil || c.wire.(*parking).serial != serial { //nolint:forcetypeassert // only such are parked
		return nil
	}
	return c
}

func (c *conn) event(events uint32) {
	c.mu.Lock()
	p, ok := c.wire.(*parking)
	if !ok || c.closed {
		c.mu.Unlock()
		return
	}
	if p.idle { // the next request, or its absence: the http.Server reads which
		p.handBack(c)
		c.mu.Unlock()
		return
	}
	stalled := c.stalled != 0
	reads := c.socket != nil && c.socket.open
	c.mu.Unlock()
	if reads && !p.hearAll(c) {
		return
	}
	switch {
	case events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0:
		c.hangUp()
	case stalled:
		c.node.writers.add(c)
	}
}

// stop ends wait.
func (l *lot) stop() {
	_, _ = unix.Write(l.wakeup, []byte{1, 0, 0, 0, 0, 0, 0, 0})
}

// close closes what is still parked, after stop.
func (l *lot) close() {
	l.mu.Lock()
	var left []*conn
	for _, c := range l.parked {
		left = append(left, c)
	}
	l.mu.Unlock()
	for _, c := range left {
		c.mu.Lock()
		if !c.expire(math.MaxInt64) {
			c.shut()
		}
		c.mu.Unlock()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	_ = unix.Close(l.epoll)
	_ = unix.Close(l.wakeup)
}

// descriptors is how many descriptors the process may have.
func descriptors() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 1024
	}
	return int(min(limit.Cur, 1<<24)) //nolint:gosec // bounded
}
