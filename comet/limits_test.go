package comet

import (
	"net/http"
	"net/netip"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"tidings/middleware"
)

// behindProxy has nodes believe what this machine says of its clients.
func behindProxy(o *Options) {
	o.ClientIP = middleware.NewDoor(middleware.Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}).ClientIP
}

// tryFrom asks for a connection as the proxy of a client at an address would, with no token: what is refused for a limit is
// refused before that is looked at. A 401 (or a 400 of a WebSocket, which this is none of) tells that no limit was in the way.
func (s *site) tryFrom(ip, transport string) *http.Response {
	s.rig.t.Helper()
	r := s.request("GET", "/comet/"+transport+"?client=c", "no token is looked at", "")
	r.Header.Set("X-Forwarded-For", ip)
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		s.rig.t.Fatal(err)
	}
	_ = response.Body.Close()
	return response
}

// openFrom opens a connection of a client at an address and holds it.
func (s *site) openFrom(ip, transport, client string) *page {
	s.rig.t.Helper()
	before := int64(s.Connections())
	p, status, body := s.tryOpen(&http.Client{Transport: forwarded(ip)}, "/comet/"+transport+"?client="+client, s.rig.token(client))
	if p == nil {
		s.rig.t.Fatalf("%s from %s: %d %s", transport, ip, status, body)
	}
	p.frame()
	s.holds(before + 1)
	return p
}

// forwarded speaks for a client at an address.
type forwarded string

func (f forwarded) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("X-Forwarded-For", string(f))
	return http.DefaultTransport.RoundTrip(r)
}

func isRefused(t *testing.T, what string, response *http.Response, atLeast time.Duration) {
	t.Helper()
	after, err := strconv.Atoi(response.Header.Get("Retry-After"))
	if response.StatusCode != http.StatusTooManyRequests || err != nil || time.Duration(after)*time.Second < atLeast || after > 20 || !response.Close {
		t.Fatalf("%s: %d %v %v", what, response.StatusCode, response.Header, response.Close)
	}
}

func TestOneConnectionTooManyOfAnAddressIsAnswered429BeforeAnyWork(t *testing.T) {
	everyTransport(t, func(t *testing.T, transport string) {
		g := newRig(t)
		s := g.node(func(o *Options) { behindProxy(o); o.PerIP = 2 })
		p := s.openFrom("203.0.113.7", transport, "c1")
		s.openFrom("203.0.113.7", "stream", "c2")
		isRefused(t, "the third", s.tryFrom("203.0.113.7", transport), time.Second)
		for _, other := range []string{"203.0.113.8", "127.0.0.1"} {
			if status := s.tryFrom(other, transport).StatusCode; status == http.StatusTooManyRequests {
				t.Fatalf("%s was refused", other)
			}
		}
		p.gone()
		g.until("its place is free", func() bool { return s.Connections() == 1 })
		s.openFrom("203.0.113.7", transport, "c3")
		isRefused(t, "the third again", s.tryFrom("203.0.113.7", transport), time.Second)
	})
}

func TestConnectionsTooFastOfAnAddressAreAnswered429BeforeAnyWork(t *testing.T) {
	everyTransport(t, func(t *testing.T, transport string) {
		g := newRig(t)
		now := time.Now()
		s := g.node(func(o *Options) {
			behindProxy(o)
			o.IPRate, o.Now = 1, func() time.Time { return now }
		})
		most := 10
		if transport == "poll" {
			most = 100
		}
		for i := range most {
			if status := s.tryFrom("203.0.113.7", transport).StatusCode; status == http.StatusTooManyRequests {
				t.Fatalf("number %d was refused", i+1)
			}
		}
		isRefused(t, "one more", s.tryFrom("203.0.113.7", transport), 10*time.Second)
		if status := s.tryFrom("203.0.113.8", transport).StatusCode; status == http.StatusTooManyRequests {
			t.Fatal("another address was refused")
		}
	})
}

func TestAnAddressMayComeAgainWhenTheWindowEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPeers(0, 1, func() int64 { return time.Now().UnixMilli() })
		refused := 0
		for range 25 {
			if limit, after := p.enter(7, stream); limit == limitRate {
				refused++
				<-time.After(after)
			}
		}
		if refused != 2 {
			t.Fatalf("refused %d times", refused)
		}
	})
}

func TestWhatIsRefusedIsCountedOutAgain(t *testing.T) {
	g := newRig(t)
	s := g.node(func(o *Options) { behindProxy(o); o.PerIP, o.MaxConnections = 5, 1 })
	s.openFrom("203.0.113.7", "stream", "c1")
	for range 10 { // the node is full
		if status := s.tryFrom("203.0.113.9", "stream").StatusCode; status != http.StatusServiceUnavailable {
			t.Fatal(status)
		}
	}
	s.peers.mu.Lock()
	defer s.peers.mu.Unlock()
	if s.Connections() != 1 || len(s.peers.held) != 1 {
		t.Fatalf("%d are held, by address %v", s.Connections(), s.peers.held)
	}
}

func TestAddressesAreCountedByTheirNetwork(t *testing.T) {
	key := func(s string) uint64 { return peerOf(netip.MustParseAddr(s)) }
	same := [][2]string{{"2001:db8:1:2::1", "2001:db8:1:2:ffff::9"}, {"::ffff:203.0.113.7", "203.0.113.7"}}
	other := [][2]string{{"2001:db8:1:2::1", "2001:db8:1:3::1"}, {"203.0.113.7", "203.0.113.8"}}
	for _, p := range same {
		if key(p[0]) != key(p[1]) {
			t.Errorf("%v are two", p)
		}
	}
	for _, p := range other {
		if key(p[0]) == key(p[1]) {
			t.Errorf("%v are one", p)
		}
	}
	if key("127.0.0.1") != 0 || key("::1") != 0 || peerOf(netip.Addr{}) != 0 || key("10.0.0.1") == 0 {
		t.Error("only this machine has no limit")
	}
}
