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
	backAfter = 10_000 // ms: clients of a node that died come back after up to so long, as the browser's client does
	allBack   = time.Minute
)

// killed holds connections on three nodes, kills one with -9 while messages go on, and counts how all come back.
func killed(ctx context.Context, o holdOptions, limit int) error {
	dir, err := os.MkdirTemp("", "tidings-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	s, err := openStores(ctx)
	if err != nil {
		return err
	}
	defer s.end()
	binary, err := fleet.Build(dir)
	if err != nil {
		return err
	}
	f := fleet.New(dir, binary, s.database, s.redis.URL, "TIDINGS_HEARTBEAT="+o.heartbeat, "TIDINGS_IP_RATE=0")
	h := &host{name: "tidings", path: "/comet/events?client=c%d", secret: fleetSecret, send: s.send}
	var nodes []*fleet.Process
	for i := range killNodes {
		node, err := f.Start("comet"+strconv.Itoa(i), "comet")
		if err != nil {
			return err
		}
		nodes, h.addresses = append(nodes, node), append(h.addresses, strings.TrimPrefix(node.URL, "http://"))
	}
	r, err := s.killOne(ctx, h, nodes[0], o, limit)
	if err = errors.Join(err, f.Stop()); err != nil {
		return err
	}
	fmt.Printf("KILL  held %d on %d nodes; killed one of them: %d connections ended, all back after %.1f s; "+
		"sent %d, lost %d, doubled %d, resets %d; SQL statements per reconnect %.3f\n",
		o.n, killNodes, r.ended, r.back.Seconds(), r.sent, r.lost, r.doubled, r.resets, r.queries)
	if r.back > allBack || r.lost+r.doubled+r.resets > 0 || r.queries > 0.1 {
		return errors.New("not reached: all back within a minute, nothing lost or doubled, 0.1 statements per reconnect")
	}
	return nil
}

type killResult struct {
	ended, sent, lost, doubled, resets int
	back                               time.Duration
	queries                            float64
}

func (s *stores) killOne(ctx context.Context, h *host, node *fleet.Process, o holdOptions, limit int) (r killResult, err error) {
	crowds, err := startCrowds(h, o.n, limit, backAfter)
	if err != nil {
		return r, err
	}
	defer crowds.close()
	stand, err := crowds.connected(ctx, o.n, o.connect)
	if err != nil {
		return r, err
	}
	if stand.Open < o.n {
		return r, fmt.Errorf("%d of %d are held: %s", stand.Open, o.n, stand.Error)
	}
	db, err := pgx.Connect(ctx, s.database)
	if err != nil {
		return r, err
	}
	defer db.Close(ctx) //nolint:errcheck // the program ends
	const calm = 5 * time.Second
	before, err := statements(ctx, db)
	if err != nil {
		return r, err
	}
	if err := pause(ctx, calm); err != nil {
		return r, err
	}
	after, err := statements(ctx, db)
	if err != nil {
		return r, err
	}
	counted := time.Now()
	perSecond := float64(after-before) / calm.Seconds() // of what is asked in any case
	numbers, sent := make([]int, o.n), make(chan error, 1)
	span := o.span + time.Duration(backAfter)*time.Millisecond
	go func() {
		var err error
		r.sent, err = sendAt(ctx, h, numbers, o.n, min(o.rate, 500), span)
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
	if stand, err = crowds.connected(ctx, o.n, o.connect); err != nil {
		return r, err
	}
	r.ended, r.back = stand.Ended, time.Unix(0, stand.LastOpen).Sub(at)
	if stand.Open < o.n {
		return r, fmt.Errorf("only %d of %d came back: %s", stand.Open, o.n, stand.Error)
	}
	if err := <-sent; err != nil {
		return r, err
	}
	if stand, err = crowds.received(ctx, r.sent); err != nil {
		return r, err
	}
	r.lost, r.doubled, r.resets = r.sent-stand.Received+stand.Lost, stand.Doubled, stand.Resets
	asked, err := statements(ctx, db)
	if err != nil {
		return r, err
	}
	r.queries = max(0, float64(asked-after)-perSecond*time.Since(counted).Seconds()) / float64(max(1, r.ended))
	return r, nil
}

// statements is how many transactions PostgreSQL has ended; comet's statements are one each. It counts within a second.
func statements(ctx context.Context, db *pgx.Conn) (n int64, err error) {
	if err := pause(ctx, 2*time.Second); err != nil {
		return 0, err
	}
	err = db.QueryRow(ctx, "SELECT sum(xact_commit + xact_rollback)::bigint FROM pg_stat_database").Scan(&n)
	return n, err
}
