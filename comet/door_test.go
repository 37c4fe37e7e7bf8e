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
		name, query, token string
		status             int
	}{
		{"no token", "?client=c", "", 401},
		{"a forged token", "?client=c", other, 401},
		{"an expired token", "?client=c", expired, 401},
		{"a token in the URL", "?client=c&token=" + good, "", 401},
		{"an unknown ticket", "?client=c&ticket=abc", "", 401},
		{"no client", "", good, 400},
		{"a client with spaces", "?client=a%20b", good, 400},
		{"a cursor that is none", "?client=c&cursor=abc", good, 400},
		{"a cursor below zero", "?client=c&cursor=e1.-1", good, 400},
		{"a wait that is too long", "?client=c&wait=2h", good, 400},
	}
	everyTransport(t, func(t *testing.T, transport string) {
		for _, c := range cases {
			p, status, body := s.tryOpen(http.DefaultClient, "/comet/"+transport+c.query, c.token)
			if p != nil || status != c.status || !strings.Contains(body, `"code"`) {
				t.Errorf("%s: %d %s", c.name, status, body)
			}
		}
	})
	if s.Connections() != 0 {
		t.Fatal("a refused request is still counted")
	}
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
