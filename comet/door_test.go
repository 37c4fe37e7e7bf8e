package comet

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"tidings/auth"
)

func claims(user string, expires time.Time) auth.Claims {
	return auth.Claims{Application: "shop", User: user, Expires: expires}
}

// readStream reads the head and so many numbers of a raw stream.
func readStream(t *testing.T, c net.Conn, n int) []int64 {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	p := &page{t: t, response: response, lines: bufio.NewReader(response.Body)}
	return p.numbers(n)
}

type responses struct{ r *bufio.Reader }

func newResponses(c net.Conn) *responses {
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	return &responses{r: bufio.NewReader(c)}
}

func (r *responses) next(t *testing.T) string {
	t.Helper()
	response, err := http.ReadResponse(r.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestBadRequestsAreRefusedByName(t *testing.T) {
	g := newRig(t)
	s := g.node(nil)
	good := g.token("ann")
	other, _, err := auth.NewTokens([]byte("another secret of 32 bytes or more, here")).Mint(claims("ann", time.Now().Add(time.Hour-time.Minute)))
	if err != nil {
		t.Fatal(err)
	}
	past := auth.NewTokens(secret)
	past.Now = func() time.Time { return time.Now().Add(-time.Hour) }
	expired, _, err := past.Mint(claims("ann", time.Now().Add(-time.Minute)))
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name, path, token string
		status            int
	}{
		{"no token", "/comet/poll?client=c", "", 401},
		{"a forged token", "/comet/poll?client=c", other, 401},
		{"an expired token", "/comet/poll?client=c", expired, 401},
		{"a token in the URL", "/comet/stream?client=c&token=" + good, "", 401},
		{"an unknown ticket", "/comet/events?client=c&ticket=abc", "", 401},
		{"no client", "/comet/poll", good, 400},
		{"a client with spaces", "/comet/poll?client=a%20b", good, 400},
		{"a cursor that is none", "/comet/poll?client=c&cursor=abc", good, 400},
		{"a cursor below zero", "/comet/poll?client=c&cursor=e1.-1", good, 400},
		{"a wait that is too long", "/comet/poll?client=c&wait=2h", good, 400},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			status, body := s.ask("GET", c.path, c.token, "")
			if status != c.status || !strings.Contains(body, `"code"`) {
				t.Fatalf("%d %s", status, body)
			}
		})
	}
	if s.Connections() != 0 {
		t.Fatal("a refused request is still counted")
	}
}

func TestACursorThatCannotBeResumedIsReset(t *testing.T) {
	g := newRig(t)
	s := g.node(func(o *Options) { o.Behind = 3 })
	for range 5 {
		g.send(s.Streams, "ann", "x")
	}
	for name, cursor := range map[string]string{"another epoch": "e0.2", "above the head": "e1.9", "too far behind": "e1.1"} {
		t.Run(name, func(t *testing.T) {
			if h := s.poll(g.token("ann"), "cursor="+cursor); !h.Reset || h.Cursor != "e1.5" {
				t.Fatalf("%+v", h)
			}
			p := s.open("/comet/stream?client=c2&cursor="+cursor, g.token("ann"))
			if h := p.frame(); !h.Reset || h.Cursor != "e1.5" {
				t.Fatalf("%+v", h)
			}
		})
	}
	t.Run("below retention", func(t *testing.T) {
		g.list.mu.Lock()
		g.list.kept["ann"] = 4
		g.list.mu.Unlock()
		if err := s.Streams.Forget(t.Context(), []string{"ann"}); err != nil {
			t.Fatal(err)
		}
		if h := s.poll(g.token("ann"), "cursor=e1.3"); !h.Reset || h.Cursor != "e1.5" {
			t.Fatalf("%+v", h)
		}
	})
}

func TestANumberThatSQLHasBeforeRedisIsNoReset(t *testing.T) {
	g := newRig(t)
	s := g.node(nil)
	g.send(s.Streams, "ann", "one")
	g.list.commit("ann", "its append is under way")
	if h := s.poll(g.token("ann"), "cursor=e1.2&wait=20ms"); h.Reset || h.Cursor != "e1.2" {
		t.Fatalf("%+v", h)
	}
}

func TestAcknowledgementsAreCumulativeAndNeverAboveWhatWasSent(t *testing.T) {
	g := newRig(t)
	s := g.node(nil)
	token := g.token("ann")
	p := s.open("/comet/stream?client=c1", token)
	p.frame()
	g.send(s.Streams, "ann", "one")
	g.send(s.Streams, "ann", "two")
	p.numbers(2)
	cases := []struct {
		cursor string
		status int
	}{{"e1.2", 204}, {"e1.1", 204}, {"e1.3", 400}, {"e0.1", 400}, {"x", 400}}
	for _, c := range cases {
		status, body := s.ask("POST", "/comet/ack", token, `{"client":"c1","cursor":"`+c.cursor+`"}`)
		if status != c.status {
			t.Fatalf("%s: %d %s", c.cursor, status, body)
		}
	}
	g.until("it is written", func() bool { return g.list.ackedOf("ann") == 2 })
}

func TestATicketOpensOneStreamAndNoSecond(t *testing.T) {
	g := newRig(t)
	s := g.node(nil)
	status, body := s.ask("POST", "/comet/ticket", g.token("ann"), "")
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	var ticket struct{ Ticket string }
	if err := json.Unmarshal([]byte(body), &ticket); err != nil {
		t.Fatal(err)
	}
	p := s.open("/comet/events?client=c1&ticket="+ticket.Ticket, "")
	p.frame()
	g.send(s.Streams, "ann", "x")
	consecutive(t, p.numbers(1), 1)
	if status, _ := s.ask("GET", "/comet/events?client=c1&ticket="+ticket.Ticket, "", ""); status != 401 {
		t.Fatalf("used twice: %d", status)
	}
}

func TestOneConnectionTooManyIsAnswered503BeforeAnyWork(t *testing.T) {
	g := newRig(t)
	s := g.node(func(o *Options) { o.MaxConnections = 1 })
	s.open("/comet/stream?client=c1", g.token("ann")).frame()
	response, err := http.DefaultClient.Do(s.request("GET", "/comet/stream?client=c2", "no token is looked at", ""))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != 503 || response.Header.Get("Retry-After") == "" {
		t.Fatalf("%d %v", response.StatusCode, response.Header)
	}
}
