package comet

import (
	"encoding/binary"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"tidings"
)

// The limits of a node are looked at before anything else: who is over one is answered at the price of two small maps, with
// the time after which it may come back, and its connection is closed, so that it holds no descriptor of those who are served.

// ratePer is over what time the rate of a client address is counted: an office that comes back together after a cut is no flood.
const ratePer = 10 * time.Second

// A poll is asked again after each answer, so it counts a tenth of what a connection does that lasts.
const (
	lastingWeight = 10
	pollWeight    = 1
)

// peers counts connections by the addresses of their clients. A zero limit is none.
type peers struct {
	open int // at once
	rate int // new ones a second
	now  func() int64

	mu    sync.Mutex
	held  map[uint64]int32
	asked map[uint64]int32 // in this window, by weight
	ends  int64            // of the window, in ms
}

func newPeers(open, rate int, now func() int64) *peers {
	return &peers{open: open, rate: rate, now: now, held: make(map[uint64]int32), asked: make(map[uint64]int32)}
}

// peerOf is the key of a client's address: all of an IPv4 address, the network of an IPv6 one (a client has a /64 at
// least, RFC 6177), and 0 for what is not limited: no address, or a program on this machine. The keys of the two kinds
// differ, because ::/32 is given to nobody.
func peerOf(ip netip.Addr) uint64 {
	ip = ip.Unmap()
	switch {
	case !ip.IsValid() || ip.IsLoopback():
		return 0
	case ip.Is4():
		b := ip.As4()
		return uint64(binary.BigEndian.Uint32(b[:]))
	default:
		b := ip.As16()
		return binary.BigEndian.Uint64(b[:8])
	}
}

// enter counts a connection in, or tells which limit is in its way and for how long at least.
func (p *peers) enter(peer uint64, t transport) (limit string, after time.Duration) {
	if peer == 0 {
		return "", 0
	}
	weight := int32(lastingWeight)
	if t == poll {
		weight = pollWeight
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rate > 0 {
		now := p.now()
		if now >= p.ends {
			p.asked, p.ends = make(map[uint64]int32), now+ratePer.Milliseconds()
		}
		if int64(p.asked[peer])+int64(weight) > int64(p.rate)*int64(ratePer/time.Second)*lastingWeight {
			return limitRate, time.Duration(p.ends-now) * time.Millisecond
		}
		p.asked[peer] += weight
	}
	if p.open > 0 {
		if int(p.held[peer]) >= p.open {
			return limitIP, 0
		}
		p.held[peer]++
	}
	return "", 0
}

// leave counts a connection out.
func (p *peers) leave(peer uint64) {
	if peer == 0 || p.open == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held[peer]--; p.held[peer] <= 0 {
		delete(p.held, peer)
	}
}

// Limits, as metrics name them.
const (
	limitNode = "node"
	limitIP   = "ip"
	limitRate = "ip_rate"
)

// admit counts a connection in, or returns why it may not be: before its token, its parameters or any store is looked at.
func (n *Node) admit(w http.ResponseWriter, r *http.Request, t transport) (peer uint64, err error) {
	peer, err = n.admitted(r, t)
	if err != nil {
		w.Header().Set("Connection", "close")
	}
	return peer, err
}

func (n *Node) admitted(r *http.Request, t transport) (peer uint64, err error) {
	if n.Ready() != nil {
		return 0, unavailable(nil)
	}
	ip := n.ClientIP(r)
	peer = peerOf(ip)
	switch limit, after := n.peers.enter(peer, t); limit {
	case limitIP:
		n.warnOfPeer(r, ip)
		return 0, n.refuse(limit, tidings.TooMany, "your address holds as many connections to this node as it may", after)
	case limitRate:
		n.warnOfPeer(r, ip)
		return 0, n.refuse(limit, tidings.TooMany, "your address opens connections to this node faster than it may", after)
	}
	if !n.enter() {
		n.peers.leave(peer)
		return 0, n.refuse(limitNode, tidings.Unavailable, "this node holds as many connections as it may", 0)
	}
	return peer, nil
}

// warnOfPeer tells the operator whose connections are refused, once a minute: an address with very many clients may be a
// proxy that nobody told us of.
func (n *Node) warnOfPeer(r *http.Request, ip netip.Addr) {
	now := n.clock.now()
	last := n.warned.Load()
	if now-last < time.Minute.Milliseconds() || !n.warned.CompareAndSwap(last, now) {
		return
	}
	hint := ""
	if r.Header.Get("X-Forwarded-For") != "" {
		hint = "it forwards for others: if it is a proxy of yours, name it in TIDINGS_TRUSTED_PROXIES"
	}
	n.Logger.Warn("connections are refused: one address has as many as it may", "ip", ip.String(), "hint", hint)
}

// refuse is the answer to one who is over a limit: to come back after that time and a few seconds at random.
func (n *Node) refuse(limit string, code tidings.Code, detail string, after time.Duration) error {
	n.metrics.refused.WithLabelValues(limit).Inc()
	return &tidings.Error{Code: code, Detail: detail, After: after + retryAfter()}
}
