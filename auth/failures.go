package auth

import (
	"net/netip"
	"sync"
	"time"
)

const (
	failuresAllowed  = 10 // wrong passwords or tokens within failureTime
	failureTime      = time.Minute
	failuresRemember = 10_000 // names; bounds the memory that an attack can take
)

// failures counts wrong sign-ins by name: an account, a network.
type failures struct {
	mu   sync.Mutex
	seen map[string]failure
}

type failure struct {
	n     int
	until time.Time
}

// wait is how long name must wait before it may try again.
func (f *failures) wait(now time.Time, name string) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	seen := f.seen[name]
	if left := seen.until.Sub(now); seen.n >= failuresAllowed && left > 0 {
		return left
	}
	return 0
}

func (f *failures) add(now time.Time, name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.seen == nil || len(f.seen) >= failuresRemember {
		f.seen = map[string]failure{}
	}
	seen := f.seen[name]
	if now.After(seen.until) {
		seen = failure{until: now.Add(failureTime)}
	}
	seen.n++
	f.seen[name] = seen
}

// network is what one person holds at least: an address, or 64 bits of IPv6.
func network(ip netip.Addr) string {
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.Prefix(bits) // the zero address, of a unix socket, is a network of its own
	return p.String()
}
