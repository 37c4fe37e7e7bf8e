package console

import (
	"net/netip"
	"sync"
	"time"
)

const (
	failuresAllowed   = 10 // wrong tokens from one address within failureTime
	failureTime       = time.Minute
	failuresRemember  = 10_000 // addresses; bounds the memory that an attack can take
	failureNetworkV6  = 64     // one person holds at least this network
	failureNetworkAll = 32
)

// failures counts wrong tokens by address.
type failures struct {
	now  func() time.Time
	mu   sync.Mutex
	seen map[netip.Prefix]failure
}

type failure struct {
	n     int
	until time.Time
}

// wait is how long the address must wait before it may try again.
func (f *failures) wait(ip netip.Addr) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	seen := f.seen[network(ip)]
	if left := seen.until.Sub(f.now()); seen.n >= failuresAllowed && left > 0 {
		return left
	}
	return 0
}

func (f *failures) add(ip netip.Addr) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	if f.seen == nil || len(f.seen) >= failuresRemember {
		f.seen = map[netip.Prefix]failure{}
	}
	seen := f.seen[network(ip)]
	if now.After(seen.until) {
		seen = failure{until: now.Add(failureTime)}
	}
	seen.n++
	f.seen[network(ip)] = seen
}

func network(ip netip.Addr) netip.Prefix {
	bits := failureNetworkAll
	if ip.Is6() {
		bits = failureNetworkV6
	}
	p, _ := ip.Prefix(bits) // the zero address, of a unix socket, is a network of its own
	return p
}
