package comet

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tidings/middleware"
)

func TestOverHTTP2AStreamAndAPollAreServedByTheirGoroutines(t *testing.T) {
	g := newRig(t)
	s := g.node(nil)
	mux := http.NewServeMux()
	door := middleware.NewDoor(middleware.Config{})
	s.Routes(mux, door.Serve)
	server := httptest.NewUnstartedServer(door.Wrap(mux))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	client := server.Client()
	ask := func(path string) *http.Response {
		r, err := http.NewRequestWithContext(g.ctx, "GET", server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+g.token("ann"))
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = response.Body.Close() })
		if response.ProtoMajor != 2 || response.StatusCode != http.StatusOK {
			t.Fatalf("%s %s", response.Proto, response.Status)
		}
		return response
	}
	stream := ask("/comet/stream?client=c1")
	p := pageOf(t, stream)
	p.frame()
	polled := make(chan heard)
	go func() {
		defer close(polled)
		var h heard
		_ = json.NewDecoder(ask("/comet/poll?client=c2&cursor=e1.0&wait=20s").Body).Decode(&h)
		polled <- h
	}()
	s.holds(2)
	g.send(s.Streams, "ann", "x")
	consecutive(t, p.numbers(1), 1)
	if h := <-polled; len(h.Messages) != 1 || h.Messages[0].Number != 1 {
		t.Fatalf("the poll heard %+v", h)
	}
	_ = stream.Body.Close()
	g.until("the hang-up is noticed", func() bool { return s.Connections() == 0 })
}

func TestAPageOfAForeignOriginNeedsTheApplicationsLeave(t *testing.T) {
	g := newRig(t)
	s := g.node(func(o *Options) {
		o.AllowOrigin = func(_ context.Context, origin, application string) bool {
			return origin == "https://shop.example" && (application == "shop" || application == "")
		}
	})
	for origin, status := range map[string]int{"https://shop.example": 200, "https://evil.example": 403, s.url: 200} {
		r := s.request("GET", "/comet/poll?client=c1&wait=0s", g.token("ann"), "")
		r.Header.Set("Origin", origin)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		allowed := response.Header.Get("Access-Control-Allow-Origin")
		if response.StatusCode != status || (allowed != "") != strings.HasPrefix(origin, "https://shop") {
			t.Errorf("%s: %d, allows %q", origin, response.StatusCode, allowed)
		}
	}
}

func TestAClosedPollConnectionIsNotKeptLongerThanItsIdleTime(t *testing.T) {
	g := newRig(t)
	s := g.node(nil)
	transport := &http.Transport{}
	client := &http.Client{Transport: transport, Timeout: 5 * time.Second}
	for range 3 { // the same connection each time
		response, err := client.Do(s.request("GET", "/comet/poll?client=c1&cursor=e1.0&wait=20ms", g.token("ann"), ""))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.NewDecoder(response.Body).Decode(&heard{}); err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
	}
	transport.CloseIdleConnections()
	g.until("nothing is parked", func() bool {
		s.lot.mu.Lock()
		defer s.lot.mu.Unlock()
		return len(s.lot.parked) == 0
	})
}

func TestAParkedConnectionIsKeptAliveByItsHeartbeatsAlone(t *testing.T) {
	g := newRig(t)
	s := g.node(nil)
	s.open("/comet/stream?client=c1", g.token("ann")).frame()
	s.lot.mu.Lock()
	defer s.lot.mu.Unlock()
	if len(s.lot.parked) != 1 {
		t.Fatalf("%d are parked", len(s.lot.parked))
	}
	for fd := range s.lot.parked {
		probes, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE)
		if err != nil || probes != 0 {
			t.Errorf("probed between heartbeats: %d %v", probes, err)
		}
		patience, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
		if err != nil || patience != int(unheard.Milliseconds()) {
			t.Errorf("a heartbeat that nobody confirms ends it after %d ms, %v", patience, err)
		}
	}
}
