package comet

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"tidings"
	"tidings/auth"
	"tidings/internal/proctest"
	"tidings/internal/redistest"
	"tidings/middleware"
)

func TestMain(m *testing.M) {
	// The server that redistest shares lives as long as the test binary.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("os/exec.(*Cmd).Wait"), goleak.IgnoreAnyFunction("tidings/internal/proctest.Start.func1"))
}

// list is the record in SQL of these tests: the numbered lists, in memory.
type list struct {
	mu         sync.Mutex
	epoch      string
	generation int64
	entries    map[string][]tidings.Entry
	gone       map[string]map[int64]bool
	kept       map[string]int64 // what retention took: numbers up to it
	acked      map[string]int64
	changed    []string
	heads      int // queries
	tails      int
	takes      time.Duration // a statement for entries
}

func newList() *list {
	return &list{
		epoch: "e1", generation: 1, entries: map[string][]tidings.Entry{}, gone: map[string]map[int64]bool{}, kept: map[string]int64{},
		acked: map[string]int64{},
	}
}

// commit gives the next number to an entry, as the deliver stage does.
func (l *list) commit(user, title string) tidings.UserEntry {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := int64(len(l.entries[user]) + 1)
	e := tidings.Entry{Number: n, ID: tidings.ID(n), Application: "shop", Type: "order", Title: title}
	l.entries[user] = append(l.entries[user], e)
	return tidings.UserEntry{User: user, Entry: e}
}

func (l *list) Epoch(context.Context) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.epoch, nil
}

func (l *list) Generation(context.Context) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.generation, nil
}

func (l *list) NextGeneration(_ context.Context, old int64) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.generation = max(l.generation, old+1)
	return l.generation, nil
}

func (l *list) Heads(_ context.Context, users []string) (map[string]int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heads++
	heads := map[string]int64{}
	for _, u := range users {
		heads[u] = int64(len(l.entries[u]))
	}
	return heads, nil
}

func (l *list) Tails(_ context.Context, spans []tidings.Span) (map[tidings.Span]tidings.Tail, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tails++
	if l.takes > 0 {
		<-time.After(l.takes)
	}
	tails := map[tidings.Span]tidings.Tail{}
	for _, s := range spans {
		tails[s] = l.tail(s.User, s.After, s.Limit)
	}
	return tails, nil
}

func (l *list) tail(user string, after int64, limit int) tidings.Tail {
	var entries []tidings.Entry
	var gone []int64
	for _, e := range l.entries[user] {
		switch {
		case e.Number <= max(after, l.kept[user]) || len(entries)+len(gone) == limit:
		case l.gone[user][e.Number]:
			gone = append(gone, e.Number)
		default:
			entries = append(entries, e)
		}
	}
	return tidings.Tail{Entries: entries, Gone: gone, Head: int64(len(l.entries[user]))}
}

func (l *list) Acknowledge(_ context.Context, acks []tidings.Ack) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range acks {
		l.acked[a.User] = max(l.acked[a.User], a.Number)
	}
	return nil
}

func (l *list) ChangedUsers(context.Context, int64) ([]string, int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	changed := l.changed
	l.changed = nil
	return changed, 1, nil
}

func (l *list) ackedOf(user string) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acked[user]
}

var secret = []byte("a secret of the tests, 32 bytes or more")

// patience is how long a test waits for an answer or a frame: one that never comes is a failure that has a name.
const patience = 3 * time.Minute

// rig is nodes over one Redis and one list.
type rig struct {
	t      testing.TB
	ctx    context.Context // of what the test asks the nodes for
	redis  redis.UniversalClient
	list   *list
	tokens *auth.Tokens
	store  History      // what stands behind nodes and streams; nil: list
	listen string       // where nodes listen; "": a port of their own
	pages  http.Handler // what nodes serve beside the connections
}

func newRig(t testing.TB) *rig {
	return rigOver(t, redistest.Start(t).Client)
}

func rigOver(t testing.TB, client redis.UniversalClient) *rig {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return &rig{t: t, ctx: ctx, redis: client, list: newList(), tokens: auth.NewTokens(secret)}
}

// site is a node behind its http.Server.
type site struct {
	*Node
	rig  *rig
	url  string
	stop func()
}

func (g *rig) history() History {
	if g.store != nil {
		return g.store
	}
	return g.list
}

func (g *rig) streams() (*Streams, func()) {
	s := NewStreams(g.redis, g.history(), nil)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Run(ctx) })
	return s, func() { cancel(); wg.Wait() }
}

// known has users' heads in Redis, as they are when a user was here lately.
func (g *rig) known(s *Streams, users ...string) {
	g.t.Helper()
	for _, user := range users {
		must(g.t, g.redis.HSet(g.t.Context(), leaseKey(user), "lately", "gone:0 1 stream").Err())
	}
	_, err := s.Heads(g.t.Context(), users)
	must(g.t, err)
	for _, user := range users {
		must(g.t, g.redis.HDel(g.t.Context(), leaseKey(user), "lately").Err())
	}
}

func (g *rig) node(change func(*Options)) *site {
	g.t.Helper()
	streams, stopStreams := g.streams()
	o := Options{
		Streams: streams, History: g.history(), Tokens: g.tokens, Tick: 5 * time.Millisecond, Changes: 20 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(g.t.Output(), nil)),
	}
	if change != nil {
		change(&o)
	}
	n, err := NewNode(o)
	if err != nil {
		g.t.Fatal(err)
	}
	door := middleware.NewDoor(middleware.Config{Origins: func(context.Context, string) bool { return true }})
	mux := http.NewServeMux()
	n.Routes(mux, door.Serve)
	all := http.NewServeMux()
	all.Handle("/comet/", door.Wrap(mux))
	if g.pages != nil {
		all.Handle("/", g.pages)
	}
	server := &http.Server{Handler: all, ReadHeaderTimeout: 5 * time.Second}
	listener, err := net.Listen("tcp", cmp.Or(g.listen, "127.0.0.1:0"))
	if err != nil {
		g.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(listener) })
	wg.Go(func() { _ = server.Serve(n.Returned()) })
	wg.Go(func() {
		if err := n.Run(ctx); err != nil {
			g.t.Error(err)
		}
	})
	s := &site{Node: n, rig: g, url: "http://" + listener.Addr().String()}
	s.stop = sync.OnceFunc(func() {
		cancel()
		_ = server.Close()
		wg.Wait()
		stopStreams()
	})
	g.t.Cleanup(s.stop)
	g.until("the node is ready", func() bool { return n.Ready() == nil })
	return s
}

func (g *rig) until(what string, ok func() bool) {
	g.t.Helper()
	err := proctest.Until(10*time.Second, func() error {
		if !ok() {
			return errors.New(what)
		}
		return nil
	})
	if err != nil {
		g.t.Fatal(err)
	}
}

// holds waits until the node has n connections that have their leases and wait, and no other.
func (s *site) holds(n int64) {
	s.rig.t.Helper()
	s.rig.until("connections are held", func() bool {
		var held int64
		for i := range s.Node.held {
			held += s.Node.held[i].Load()
		}
		return held == n && int64(s.Connections()) == n
	})
}

func (g *rig) token(user string, types ...string) string {
	g.t.Helper()
	token, _, err := g.tokens.Mint(auth.Claims{Application: "shop", User: user, Types: types, Expires: time.Now().Add(time.Hour - time.Minute)})
	if err != nil {
		g.t.Fatal(err)
	}
	return token
}

func (g *rig) send(s *Streams, user, title string) {
	g.t.Helper()
	if err := s.Append(g.t.Context(), []tidings.UserEntry{g.list.commit(user, title)}); err != nil {
		g.t.Fatal(err)
	}
}

// heard is what a page receives.
type heard struct {
	Cursor   string
	Reset    bool
	Messages []struct {
		Number int64
		Title  string
		Gone   bool
	}
	HeartbeatMS int64 `json:"heartbeat_ms"`
	Marked      *tidings.Marked
	Close       *Close
}

func (h heard) numbers() (n []int64) {
	for _, m := range h.Messages {
		n = append(n, m.Number)
	}
	return n
}

func (s *site) request(method, path, token, body string) *http.Request {
	s.rig.t.Helper()
	r, err := http.NewRequestWithContext(s.rig.ctx, method, s.url+onWire(path), strings.NewReader(body))
	if err != nil {
		s.rig.t.Fatal(err)
	}
	if body == "" {
		r.Body, r.ContentLength = nil, 0
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return r
}

// ask makes a request and returns its status and body.
func (s *site) ask(method, path, token, body string) (int, string) {
	s.rig.t.Helper()
	status, answer, err := do(s.request(method, path, token, body))
	if err != nil {
		s.rig.t.Fatal(err)
	}
	return status, answer
}

func do(r *http.Request) (int, string, error) {
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	return response.StatusCode, string(b), err
}

func (s *site) poll(token, query string) heard {
	s.rig.t.Helper()
	status, body := s.ask("GET", "/comet/poll?client=c1&"+query, token, "")
	if status != http.StatusOK {
		s.rig.t.Fatalf("poll: %d %s", status, body)
	}
	var h heard
	if err := json.Unmarshal([]byte(body), &h); err != nil {
		s.rig.t.Fatal(err)
	}
	return h
}
