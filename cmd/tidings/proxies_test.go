package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/redis/go-redis/v9"

	"tidings"
	"tidings/auth"
	"tidings/comet"
	"tidings/internal/proctest"
	"tidings/internal/redistest"
	"tidings/internal/sqltest"
)

// twoComets are two nodes over one PostgreSQL and one Redis, to be put behind a proxy.
type twoComets struct {
	addresses []string
	stop      []func()
	streams   *comet.Streams
	tokens    *auth.Tokens
}

func startTwoComets(t *testing.T) *twoComets {
	t.Helper()
	database, rds := sqltest.Postgres(t), redistest.Start(t)
	db := sqltest.Open(t, database)
	c := &twoComets{tokens: auth.NewTokens([]byte(processesSecret)), streams: comet.NewStreams(redis.UniversalClient(rds.Client), db, nil)}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = c.streams.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	env := environment(map[string]string{"TIDINGS_DATABASE_URL": database, "TIDINGS_REDIS_URL": "unix://" + rds.Client.Options().Addr,
		"TIDINGS_SECRET": processesSecret, "TIDINGS_HEARTBEAT": "1s", "TIDINGS_TRUSTED_PROXIES": "127.0.0.1", "TIDINGS_IP_RATE": "1"})
	for range 2 {
		out := newOutput()
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() {
			ended <- run(ctx, []string{"comet", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"}, env, out, out)
		}()
		stop := sync.OnceFunc(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
		t.Cleanup(stop)
		address := out.wait(t, `comet open" address=(\S+)`)
		c.addresses, c.stop = append(c.addresses, address), append(c.stop, stop)
		answers(t, "http://"+address+"/readyz")
	}
	return c
}

// answers waits until a URL is answered with 200.
func answers(t *testing.T, url string) {
	t.Helper()
	err := proctest.Until(20*time.Second, func() error {
		answer, err := http.Get(url)
		if err != nil {
			return err
		}
		defer answer.Body.Close() //nolint:errcheck // nothing is read
		if answer.StatusCode != http.StatusOK {
			return errors.New(answer.Status)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// behind starts a proxy with the configuration that we ship, its addresses exchanged, and returns its URL.
func (c *twoComets) behind(t *testing.T, name string, command ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	port, err := proctest.Port()
	if err != nil {
		t.Fatal(err)
	}
	at := "127.0.0.1:" + strconv.Itoa(port)
	replaced := strings.NewReplacer("10.0.0.11:8081", c.addresses[0], "10.0.0.12:8081", c.addresses[1], "bind :8080", "bind "+at,
		"listen 8080", "listen "+at, "maxconn 100000", "maxconn 1000", "worker_connections 20000", "worker_connections 1000").Replace(string(text))
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(replaced), 0o644); err != nil {
		t.Fatal(err)
	}
	for i, word := range command {
		command[i] = strings.ReplaceAll(word, "DIR", dir)
	}
	const terminate = 15 // SIGTERM: killed, nginx would leave its workers behind
	p, err := proctest.Start(proctest.Spec{Command: command, Dir: dir, End: terminate})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(p.Log())
		}
		_ = p.Stop() // it was killed
	})
	err = proctest.Until(20*time.Second, func() error {
		answer, err := http.Get("http://" + at + "/comet/tidings.js")
		if err != nil {
			return err
		}
		defer answer.Body.Close() //nolint:errcheck // nothing is read
		if answer.StatusCode != http.StatusOK {
			return errors.New(answer.Status)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("%s: %v: %s", name, err, p.Log())
	}
	return "http://" + at
}

// listener is a client that comes back whenever its connection ends, and keeps the numbers it hears.
type listener struct {
	base, transport, token string
	mu                     sync.Mutex
	cursor                 string
	numbers                []int64
	opened                 int
}

func (l *listener) heard() (numbers []int64, opened int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append(numbers, l.numbers...), l.opened
}

// take notes a frame.
func (l *listener) take(text []byte) error {
	var f struct {
		Cursor   string
		Reset    bool
		Messages []struct{ Number int64 }
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return fmt.Errorf("%q: %w", text, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cursor = f.Cursor; f.Reset {
		l.numbers = append(l.numbers, -1) // nothing may be lost
	}
	for _, m := range f.Messages {
		l.numbers = append(l.numbers, m.Number)
	}
	return nil
}

func (l *listener) run(ctx context.Context) {
	for tick := time.Tick(50 * time.Millisecond); ctx.Err() == nil; <-tick {
		_ = l.listen(ctx) // it comes back
	}
}

// listen opens one connection and reads it to its end.
func (l *listener) listen(ctx context.Context) error {
	l.mu.Lock()
	path := l.base + "/comet/" + l.transport + "?wait=2s&client=" + l.transport + "&cursor=" + url.QueryEscape(l.cursor)
	l.opened++
	l.mu.Unlock()
	header := http.Header{"Authorization": {"Bearer " + l.token}}
	if l.transport == "ws" {
		c, _, err := websocket.Dial(ctx, path, &websocket.DialOptions{HTTPHeader: header, Subprotocols: []string{"tidings.v1"}})
		if err != nil {
			return err
		}
		defer c.CloseNow() //nolint:errcheck // it has ended
		for {
			_, text, err := c.Read(ctx)
			if err != nil {
				return err
			}
			if err := l.take(text); err != nil {
				return err
			}
		}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	r.Header = header
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close() //nolint:errcheck // it has ended
	if answer.StatusCode != http.StatusOK {
		_, err := io.ReadAll(answer.Body)
		return errors.Join(errors.New(answer.Status), err)
	}
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		line := strings.TrimPrefix(lines.Text(), "data: ")
		if strings.HasPrefix(line, "{") {
			if err := l.take([]byte(line)); err != nil {
				return err
			}
		}
	}
	return nil
}

// limitsByClient sees that connections are counted for the client that the proxy names, and for no other that a client names.
func limitsByClient(t *testing.T, base string) {
	t.Helper()
	const asked = 40 // twice what two nodes let one address open in ten seconds
	refused := func(from string) (n int) {
		dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		transport := &http.Transport{DialContext: dialer.DialContext}
		defer transport.CloseIdleConnections()
		for range asked {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/comet/stream?client=c", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("X-Forwarded-For", "198.51.100.7")
			answer, err := transport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
			switch answer.StatusCode {
			case http.StatusTooManyRequests:
				n++
			case http.StatusUnauthorized:
			default:
				t.Fatalf("from %s: %s", from, answer.Status)
			}
		}
		return n
	}
	if n := refused("127.0.0.1"); n == 0 || n == asked { // as another proxy of ours
		t.Errorf("of %d connections of one client %d were refused", asked, n)
	}
	if n := refused("127.0.0.2"); n != 0 { // as a client that claims to be another
		t.Errorf("what a client writes was believed: %d were refused", n)
	}
}

// behindAProxy holds a client of each transport, drains one of two nodes meanwhile, and wants every number once.
func behindAProxy(t *testing.T, name string, command ...string) {
	c := startTwoComets(t)
	base := c.behind(t, name, command...)
	limitsByClient(t, base)
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	var all []*listener
	for _, transport := range []string{"poll", "stream", "events", "ws", "stream", "events"} {
		user := "u" + strconv.Itoa(len(all))
		token, _, err := c.tokens.Mint(auth.Claims{Application: "shop", User: user, Expires: time.Now().Add(50 * time.Minute)})
		if err != nil {
			t.Fatal(err)
		}
		l := &listener{base: base, transport: transport, token: token}
		all = append(all, l)
		wg.Go(func() { l.run(ctx) })
	}
	for _, l := range all {
		waits(t, l, "a cursor", func() bool { return l.cursor != "" })
	}
	sent := int64(0)
	send := func() {
		sent++
		var entries []tidings.UserEntry
		for i := range all {
			entries = append(entries, tidings.UserEntry{User: "u" + strconv.Itoa(i), Entry: tidings.Entry{Number: sent, ID: tidings.ID(sent), Title: "x"}})
		}
		if err := c.streams.Append(t.Context(), entries); err != nil {
			t.Fatal(err)
		}
		for _, l := range all {
			waits(t, l, "number "+strconv.FormatInt(sent, 10), func() bool { return int64(len(l.numbers)) >= sent })
		}
	}
	send()
	drained := make(chan struct{})
	go func() { defer close(drained); c.stop[0]() }()
	for draining := true; draining; {
		select {
		case <-drained:
			draining = false
		default:
		}
		send()
	}
	send()
	for _, l := range all {
		numbers, opened := l.heard()
		for i, n := range numbers {
			if n != int64(i+1) {
				t.Errorf("%s: place %d holds %d: %v", l.transport, i, n, numbers)
				break
			}
		}
		t.Logf("%s: %d numbers over %d connections", l.transport, len(numbers), opened)
	}
}

func waits(t *testing.T, l *listener, what string, ok func() bool) {
	t.Helper()
	err := proctest.Until(20*time.Second, func() error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if !ok() {
			return fmt.Errorf("%s waits for %s, and has %v", l.transport, what, l.numbers)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestBehindHAProxyANodeIsDrainedAndNobodyMissesANumber(t *testing.T) {
	behindAProxy(t, "haproxy.cfg", "haproxy", "-db", "-f", "DIR/haproxy.cfg")
}

func TestBehindNginxANodeIsDrainedAndNobodyMissesANumber(t *testing.T) {
	behindAProxy(t, "nginx.conf", "nginx", "-p", "DIR", "-e", "stderr", "-c", "DIR/nginx.conf", "-g", "daemon off; pid DIR/nginx.pid;")
}
