// Package failover lets the first of two SMS providers die in the middle of a load and counts: how long critical, normal and bulk messages took
// before and after, and whether any was lost or doubled. See scripts/bench failover; its test is the short version.
package failover

import (
	"context"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"

	"tidings"
	"tidings/internal/fleet"
	"tidings/internal/proctest"
	"tidings/internal/sim/gateway"
)

// Ways are how a provider dies: it refuses connections, and those that stand are cut; or it takes requests and never answers.
var Ways = []string{"refuses", "hangs"}

// Load is what is sent: so many messages a second of each lane, for a while before the provider dies and after.
type Load struct {
	Rates         map[tidings.Lane]int
	Before, After time.Duration
}

// Site is a running Tidings: api and worker.
type Site struct {
	Admin *fleet.Client
	DB    *pgx.Conn
}

// Times are how long messages took from before their POST until a provider took them.
type Times struct {
	Messages int     `json:"messages"`
	P50      float64 `json:"p50_ms"`
	P99      float64 `json:"p99_ms"`
	Max      float64 `json:"max_ms"`
	// Unknown were under way at the provider that died: it may have taken them, so they go nowhere else, and no time is told of them.
	Unknown int `json:"unknown"`
}

// Report is what became of a load.
type Report struct {
	Way     string                 `json:"way"`
	Before  map[tidings.Lane]Times `json:"before"` // those sent before the provider died
	After   map[tidings.Lane]Times `json:"after"`
	Sent    int                    `json:"sent"`
	First   int                    `json:"first"` // taken by each provider
	Second  int                    `json:"second"`
	Unknown int                    `json:"unknown"`
	Lost    []string               `json:"lost"` // must be empty, as Doubled
	Doubled []string               `json:"doubled"`
}

type message struct {
	lane  tidings.Lane
	text  string
	began time.Time
	id    string
	after bool // sent after the provider's death
}

// Run sends a load over two providers and lets the first die in the given way.
func Run(ctx context.Context, s Site, way string, l Load) (*Report, error) {
	first, err := open(way)
	if err != nil {
		return nil, err
	}
	defer first.close()
	second, err := open("")
	if err != nil {
		return nil, err
	}
	defer second.close()
	app, err := s.setUp(ctx, way, first.url, second.url)
	if err != nil {
		return nil, err
	}
	var messages []*message
	for _, after := range []bool{false, true} {
		if after {
			first.die()
		}
		sent, err := send(ctx, app, fmt.Sprintf("%s-%v", way, after), l.Rates, map[bool]time.Duration{false: l.Before, true: l.After}[after])
		if err != nil {
			return nil, err
		}
		for _, m := range sent {
			m.after = after
		}
		messages = append(messages, sent...)
	}
	if err := s.settle(ctx); err != nil {
		return nil, err
	}
	states, err := s.states(ctx, way)
	if err != nil {
		return nil, err
	}
	return account(way, messages, first.Records(), second.Records(), states), nil
}

// provider is one behind a door that can die.
type provider struct {
	*gateway.Gateway
	url    string
	way    string
	server *http.Server
	hung   atomic.Bool
	closed chan struct{}
}

func open(way string) (*provider, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &provider{Gateway: gateway.New(gateway.Config{User: "u", Password: "p", ReportAfter: time.Hour}), url: "http://" + l.Addr().String() + "/cgi-bin/sendsms", way: way, closed: make(chan struct{})}
	p.server = &http.Server{Handler: p, ReadHeaderTimeout: 10 * time.Second}
	go p.server.Serve(l) //nolint:errcheck // it ends with die or close
	return p, nil
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p.hung.Load() {
		select {
		case <-p.closed:
		case <-r.Context().Done():
		}
		panic(http.ErrAbortHandler)
	}
	p.Gateway.ServeHTTP(w, r)
}

func (p *provider) die() {
	if p.way == "hangs" {
		p.hung.Store(true)
		return
	}
	p.server.Close() //nolint:errcheck // it is meant to break what it holds
}

func (p *provider) close() {
	close(p.closed)
	p.server.Close() //nolint:errcheck // it may be closed already
	p.Gateway.Close()
}

// setUp makes an application with three types, one a lane, and two integrations that serve it alone.
func (s Site) setUp(ctx context.Context, name, first, second string) (*fleet.Client, error) {
	app, err := s.Admin.Application(ctx, name)
	if err != nil {
		return nil, err
	}
	for i, url := range []string{first, second} {
		body := map[string]any{"provider": "kannel", "application": name, "order": i + 1, "settings": map[string]string{"user": "u", "password": "p", "url": url}}
		if _, err := s.Admin.Do(ctx, "PUT", fmt.Sprintf("/v1/integrations/%s-%d", name, i+1), body, nil); err != nil {
			return nil, err
		}
	}
	for _, lane := range tidings.Lanes {
		if err := app.Type(ctx, string(lane), string(lane), nil, "sms"); err != nil {
			return nil, err
		}
	}
	if err := app.Users(ctx, "m-"+name, name, users, true); err != nil {
		return nil, err
	}
	return app, proctest.Until(time.Minute, func() error { return s.heard(ctx, app, name) })
}

const users = 100

// heard tells whether the worker knows of both integrations: it takes a message then.
func (s Site) heard(ctx context.Context, app *fleet.Client, name string) error {
	var is struct {
		Data []struct {
			ID     string
			Health *struct{ Breaker string }
		}
	}
	if _, err := s.Admin.Do(ctx, "GET", "/v1/integrations", nil, &is); err != nil {
		return err
	}
	n := 0
	for _, i := range is.Data {
		if (i.ID == name+"-1" || i.ID == name+"-2") && i.Health != nil {
			n++
		}
	}
	if n < 2 {
		return fmt.Errorf("the worker has told of %d of 2 integrations", n)
	}
	return nil
}

// send sends at the lanes' rates for a while, each message until it is acknowledged.
func send(ctx context.Context, app *fleet.Client, name string, rates map[tidings.Lane]int, span time.Duration) (all []*message, err error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for lane, rate := range rates {
		wg.Go(func() {
			tick := time.NewTicker(time.Second / time.Duration(rate))
			defer tick.Stop()
			for i := range int(span.Seconds() * float64(rate)) {
				<-tick.C
				m := &message{lane: lane, text: fmt.Sprintf("%s %s %06d", name, lane, i), began: time.Now()}
				wg.Go(func() {
					e := m.post(ctx, app, i)
					mu.Lock()
					defer mu.Unlock()
					all = append(all, m)
					if e != nil {
						err = e
					}
				})
			}
		})
	}
	wg.Wait()
	return all, err
}

func (m *message) post(ctx context.Context, app *fleet.Client, i int) error {
	var answer struct{ ID string }
	_, err := app.Do(ctx, "POST", "/v1/messages", map[string]any{"type": m.lane, "audience": map[string]any{"users": []string{fmt.Sprintf("%s%d", m.user(), i%users)}},
		"data": map[string]any{"text": m.text}}, &answer, "Idempotency-Key", m.text)
	m.id = answer.ID
	return err
}

func (m *message) user() string {
	for _, way := range Ways {
		if len(m.text) > len(way) && m.text[:len(way)] == way {
			return way
		}
	}
	return ""
}

// settle waits until nothing is left to do.
func (s Site) settle(ctx context.Context) error {
	return proctest.Until(2*time.Minute, func() error {
		var open int
		err := s.DB.QueryRow(ctx, `SELECT (SELECT count(*) FROM segments WHERE finished_at IS NULL)
			+ (SELECT count(*) FROM deliveries WHERE due_at IS NOT NULL OR state IN ('held', 'queued', 'sending'))`).Scan(&open)
		if err == nil && open > 0 {
			err = fmt.Errorf("%d things are left to do", open)
		}
		return err
	})
}

func (s Site) states(ctx context.Context, application string) (map[string]tidings.State, error) {
	rows, err := s.DB.Query(ctx, "SELECT message_id, state FROM deliveries WHERE application = $1", application)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := map[string]tidings.State{}
	for rows.Next() {
		var id int64
		var state tidings.State
		if err := rows.Scan(&id, &state); err != nil {
			return nil, err
		}
		found[tidings.ID(id).String()] = state
	}
	return found, rows.Err()
}

func account(way string, messages []*message, first, second []gateway.Record, states map[string]tidings.State) *Report {
	r := &Report{Way: way, Sent: len(messages), First: len(first), Second: len(second)}
	taken := map[string][]time.Time{}
	for _, record := range slices.Concat(first, second) {
		taken[record.Text] = append(taken[record.Text], record.At)
	}
	before, after := seen{}, seen{}
	for _, m := range messages {
		in := before
		if m.after {
			in = after
		}
		at := taken[m.text]
		switch {
		case len(at) > 1:
			r.Doubled = append(r.Doubled, m.text)
		case states[m.id] == tidings.UnknownEnd:
			r.Unknown++
			in.add(m.lane, -1)
			continue
		case len(at) == 0:
			r.Lost = append(r.Lost, fmt.Sprintf("%s is %s", m.text, states[m.id]))
			continue
		}
		in.add(m.lane, at[0].Sub(m.began))
	}
	r.Before, r.After = before.times(), after.times()
	return r
}

// seen are how long the messages of each lane took; -1: nobody knows.
type seen map[tidings.Lane][]time.Duration

func (s seen) add(lane tidings.Lane, took time.Duration) { s[lane] = append(s[lane], took) }

func (s seen) times() map[tidings.Lane]Times {
	all := map[tidings.Lane]Times{}
	for lane, took := range s {
		slices.Sort(took)
		t := Times{Messages: len(took)}
		for len(took) > 0 && took[0] < 0 {
			t.Unknown, took = t.Unknown+1, took[1:]
		}
		if n := len(took); n > 0 {
			t.P50, t.P99, t.Max = ms(took[n/2]), ms(took[n*99/100]), ms(took[n-1])
		}
		all[lane] = t
	}
	return all
}

// Print writes the report as a table.
func (r *Report) Print(out io.Writer) {
	w := tabwriter.NewWriter(out, 2, 0, 2, ' ', 0)
	fmt.Fprintf(w, "the first %s\tBEFORE\tP50 ms\tP99\tMAX\tUNKNOWN\tAFTER\tP50 ms\tP99\tMAX\tUNKNOWN\n", r.Way)
	for _, lane := range tidings.Lanes {
		fmt.Fprintf(w, "%s", lane)
		for _, t := range []Times{r.Before[lane], r.After[lane]} {
			fmt.Fprintf(w, "\t%d\t%.0f\t%.0f\t%.0f\t%d", t.Messages, t.P50, t.P99, t.Max, t.Unknown)
		}
		fmt.Fprintln(w)
	}
	_ = w.Flush() // to a terminal or a pipe: nothing is left to do if it is gone
	fmt.Fprintf(out, "sent %d  taken by the first %d, by the second %d  unknown %d (under way when it died)  lost %d  doubled %d\n\n",
		r.Sent, r.First, r.Second, r.Unknown, len(r.Lost), len(r.Doubled))
}

func ms(d time.Duration) float64 { return math.Round(d.Seconds()*1e4) / 10 }
