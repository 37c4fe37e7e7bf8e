package comet

import (
	"errors"

	"golang.org/x/sys/unix"
)

// socketEvents are those of a parked WebSocket: its client is heard.
const socketEvents = parkedEvents | unix.EPOLLIN

// readsAtOnce bounds how much of one client is read before the others have their turn.
const readsAtOnce = 4

// listen begins to hear what the client of a parked WebSocket sends.
func (c *conn) listen() {
	c.mu.Lock()
	defer c.mu.Unlock()
	p, ok := c.wire.(*parking)
	if !ok || c.closed {
		return
	}
	c.socket.open = true
	c.socket.in, p.prefix = p.prefix, nil
	_ = p.control(unix.EPOLL_CTL_MOD, socketEvents) // tells at once what is there already, and that it is writable
}

// hearAll reads what is there of a client and tells whether it goes on. The lot's loop calls it.
func (p *parking) hearAll(c *conn) bool {
	for range readsAtOnce {
		c.mu.Lock() // so that the descriptor is not closed, and another connection's, meanwhile
		if c.closed {
			c.mu.Unlock()
			return false
		}
		n, err := unix.Read(int(p.fd), p.lot.heard[:])
		c.mu.Unlock()
		switch {
		case n > 0:
			c.hear(p.lot.heard[:n])
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			if len(c.socket.in) > 0 {
				c.hear(nil) // what came behind the request
			}
			return true
		default:
			c.hangUp()
			return false
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		_ = p.control(unix.EPOLL_CTL_MOD, socketEvents) // there may be more
	}
	return true
}

// linger waits, after our last word, for the client's: closed at once, with something unread, the connection would be reset
// and the word lost. A client that does not answer is cut like one that takes nothing. Under c.mu.
func (p *parking) linger(c *conn) bool {
	s := c.socket
	if s.said {
		return false
	}
	if s.lingers == 0 {
		s.lingers = c.node.clock.now()
		_ = unix.Shutdown(int(p.fd), unix.SHUT_WR)
		c.node.clock.within(c, s.lingers+c.node.Stall.Milliseconds())
	}
	c.stalled = s.lingers
	return true
}
