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

// try counts a sign-in as wrong before it is known whether it is, so that of many at once no more are looked at than one after the other. wait is how long
// they must wait, if one of the names has had too many.
func (f *failures) try(now time.Time, names []string) (wait time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, name := range names {
		seen := f.seen[name]
		if left := seen.until.Sub(now); seen.n >= failuresAllowed && left > 0 {
			return left
		}
	}
	for _, name := range names {
		f.add(now, name)
	}
	return 0
}

// right takes back that a sign-in was counted as wrong.
func (f *failures) right(names []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, name := range names {
		if seen, ok := f.seen[name]; ok && seen.n > 0 {
			seen.n--
			f.seen[name] = seen
		}
	}
}

// add counts. Under the lock.
func (f *failures) add(now time.Time, name string) {
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
