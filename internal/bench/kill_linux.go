package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"tidings/internal/fleet"
)

const (
	killNodes = 3
	allBack   = time.Minute
)

// killing is what is done to a fleet of comet nodes.
type killing struct {
	n, rate   int
	heartbeat string
	calm      time.Duration // how long it is watched before, to know what it asks of SQL in any case
	span      time.Duration // how long messages flow, from a second before the kill on
	back      time.Duration // clients of a node that died come back after up to so long, as the browser's client does
}

// killed holds connections on three nodes, kills one with -9 while messages go on, and counts how all come back.
func killed(ctx context.Context, o holdOptions, limit int) error {
	const back = 10 * time.Second
	r, err := killing{n: o.n, rate: min(o.rate, 500), heartbeat: o.heartbeat, calm: 5 * time.Second, span: o.span + back, back: back}.run(ctx, limit)
	if err != nil {
		return err
	}
	fmt.Printf("KILL  held %d on %d nodes; killed one of them: %d connections ended, all back after %.1f s; "+
		"sent %d, lost %d, doubled %d, resets %d; SQL statements per reconnect %.3f\n",
		o.n, killNodes, r.ended, r.back.Seconds(), r.sent, r.lost, r.doubled, r.resets, r.queries)
	return r.judge()
}

func (k killing) run(ctx context.Context, limit int) (r killResult, err error) {
	dir, err := os.MkdirTemp("", "tidings-bench")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	s, err := openStores(ctx, "shared_preload_libraries=pg_stat_statements")
	if err != nil {
		return r, err
	}
	defer s.close() //nolint:errcheck // its server ends with us
	binary, err := fleet.Build(dir)
	if err != nil {
		return r, err
	}
	f := fleet.New(dir, binary, s.database, s.redis.URL, "TIDINGS_HEARTBEAT="+k.heartbeat)
	defer func() { err = errors.Join(err, f.Stop()) }()
	h := &host{name: "tidings", path: "/comet/events?client=c%d", secret: fleetSecret, send: s.send}
	var nodes []*fleet.Process
	for i := range killNodes {
		node, err := f.Start("comet"+strconv.Itoa(i), "comet")
		if err != nil {
			return r, err
		}
		nodes, h.addresses = append(nodes, node), append(h.addresses, strings.TrimPrefix(node.URL, "http://"))
	}
	crowds, err := startCrowds(h, k.n, limit, int(k.back.Milliseconds()))
	if err != nil {
		return r, err
	}
	defer crowds.close()
	return k.killOne(ctx, h, crowds, s.database, nodes[0])
}

type killResult struct {
	ended, sent, lost, doubled, resets int
	back                               time.Duration
	queries                            float64
}

// judge tells whether the fleet bore it.
func (r killResult) judge() error {
	if r.back > allBack || r.lost+r.doubled+r.resets > 0 || r.queries > 0.1 {
		return fmt.Errorf("not reached: all back within a minute, nothing lost or doubled, 0.1 statements per reconnect: %+v", r)
	}
	return nil
}

func (k killing) killOne(ctx context.Context, h *host, crowds *crowds, database string, node *fleet.Process) (r killResult, err error) {
	stand, err := crowds.connected(ctx, k.n, time.Hour)
	if err != nil {
		return r, err
	}
	if stand.Open < k.n {
		return r, fmt.Errorf("%d of %d are held: %s", stand.Open, k.n, stand.Error)
	}
	db, err := pgx.Connect(ctx, database)
	if err != nil {
		return r, err
	}
	defer db.Close(ctx) //nolint:errcheck // nothing is written
	if _, err := db.Exec(ctx, "CREATE EXTENSION pg_stat_statements"); err != nil {
		return r, err
	}
	before, err := countStatements(ctx, db)
	if err != nil {
		return r, err
	}
	if err := pause(ctx, k.calm); err != nil {
		return r, err
	}
	after, err := countStatements(ctx, db)
	if err != nil {
		return r, err
	}
	sent := make(chan error, 1)
	go func() {
		var err error
		r.sent, err = sendAt(ctx, h, make([]int, k.n), k.n, k.rate, k.span)
		sent <- err
	}()
	if err := pause(ctx, time.Second); err != nil {
		return r, err
	}
	say("killing a node with -9")
	at := time.Now()
	if err := node.Kill(); err != nil {
		return r, err
	}
	if err := pause(ctx, time.Second); err != nil {
		return r, err
	}
	if stand, err = crowds.connected(ctx, k.n, time.Hour); err != nil {
		return r, err
	}
	r.ended, r.back = stand.Ended, time.Unix(0, stand.LastOpen).Sub(at)
	if stand.Open < k.n {
		return r, fmt.Errorf("only %d of %d came back: %s", stand.Open, k.n, stand.Error)
	}
	if err := <-sent; err != nil {
		return r, err
	}
	if stand, err = crowds.received(ctx, r.sent); err != nil {
		return r, err
	}
	r.lost, r.doubled, r.resets = r.sent-stand.Received+stand.Lost, stand.Doubled, stand.Resets
	end, err := countStatements(ctx, db)
	if err != nil {
		return r, err
	}
	r.queries = end.beyond(before, after) / float64(max(1, r.ended))
	return r, nil
}

// statements is how often each statement was run in PostgreSQL so far.
type statements struct {
	at    time.Time
	calls map[int64]float64
}

func countStatements(ctx context.Context, db *pgx.Conn) (statements, error) {
	s := statements{at: time.Now(), calls: map[int64]float64{}}
	rows, err := db.Query(ctx, "SELECT queryid, sum(calls)::float8 FROM pg_stat_statements WHERE query NOT LIKE '%pg_stat_statements%' GROUP BY queryid")
	if err != nil {
		return s, err
	}
	var id int64
	var calls float64
	_, err = pgx.ForEachRow(rows, []any{&id, &calls}, func() error { s.calls[id] = calls; return nil })
	return s, err
}

// beyond is how many statements were run since the calm, from before to after, that are not what is run in any case. Each statement counts
// by itself: that a node less looks for changes does not hide what the others ask when clients come.
func (s statements) beyond(before, after statements) (n float64) {
	for id, calls := range s.calls {
		usual := (after.calls[id] - before.calls[id]) / after.at.Sub(before.at).Seconds()
		n += max(0, calls-after.calls[id]-usual*s.at.Sub(after.at).Seconds())
	}
	return n
}
