package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"

	"tidings/auth"
	"tidings/comet"
	"tidings/internal/fleet"
	"tidings/internal/redistest"
	"tidings/internal/sqltest"
	"tidings/sql"
)

const (
	users     = 1000
	singles   = 256 // callers that POST one message at a time: as many in flight as the raw chain has
	batchers  = 4   // callers that POST batches
	batchSize = 100
	idleSpan  = 20 * time.Second
	listeners = 50 // open streams while latency is measured
	// turns is how often raw chain and road take turns: these machines are shared, and their speed changes within a run.
	turns       = 4
	application = "bench"
	fleetSecret = "fleet-master-secret-0123456789abcdef0123456789" // of internal/fleet
)

// report is what road prints and writes as JSON.
type report struct {
	Raw     load      `json:"raw"`
	Single  load      `json:"single"`
	Batch   load      `json:"batch"`
	Latency latencies `json:"latency"`
	Idle    idle      `json:"idle"`
	Failed  []string  `json:"failed"` // lines that were not reached
}

type load struct {
	Messages  int64              `json:"messages"`
	Seconds   float64            `json:"seconds"`
	PerSecond float64            `json:"per_second"`
	CPUMicros float64            `json:"cpu_us_per_message"` // of the servers, the load client left out
	CPU       map[string]float64 `json:"cpu_us_by_process"`
	P50       float64            `json:"post_p50_ms"`
	P99       float64            `json:"post_p99_ms"`
	times     []float64
}

type latencies []latency

type latency struct {
	Rate     int                `json:"rate"`
	Messages int                `json:"messages"`
	P50      float64            `json:"p50_ms"`
	P99      float64            `json:"p99_ms"`
	CPU      map[string]float64 `json:"cpu_us_by_process"` // of each message
}

type idle struct {
	Tidings float64            `json:"tidings_percent"` // of one core, all our processes
	By      map[string]float64 `json:"percent_by_process"`
}

// site is everything that runs.
type site struct {
	fleet   *fleet.Fleet
	api     *fleet.Process
	comet   *fleet.Process
	app     *fleet.Client
	redis   *redistest.Server
	store   string   // of PostgreSQL
	here    []string // users who were here lately: what is sent to them goes into their streams
	address string   // of Redis by TCP
	db      *pgx.Conn
	pids    map[string]int
}

func road(ctx context.Context, span time.Duration, out string) (err error) {
	dir, err := os.MkdirTemp("", "tidings-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	say("starting PostgreSQL (fsync on), Redis (AOF everysec), api, worker, comet")
	s, err := open(ctx, dir)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			fmt.Fprintln(os.Stderr, s.fleet.Logs())
		}
		err = errors.Join(err, s.fleet.Stop())
	}()
	var r report
	for turn := range turns {
		say("turn %d of %d: the raw chain, single POSTs of %d callers, batch POSTs of %d by %d callers, %s each",
			turn+1, turns, singles, batchSize, batchers, span)
		if err := s.turn(ctx, span, &r); err != nil {
			return err
		}
	}
	if r.Latency, err = s.latencies(ctx, span, 100, 1000); err != nil {
		return err
	}
	say("idle, %s", idleSpan)
	if r.Idle, err = s.idle(ctx, idleSpan); err != nil {
		return err
	}
	r.judge()
	r.print(os.Stdout)
	if len(r.Failed) > 0 {
		fmt.Println("not reached:", strings.Join(r.Failed, "; "))
	}
	return write(out, r)
}

// write keeps the figures as JSON; out is empty: nowhere.
func write(out string, figures any) error {
	if out == "" {
		return nil
	}
	text, err := json.MarshalIndent(figures, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(out, append(text, '\n'), 0o644)
}

// turn measures the three loads one after another.
func (s *site) turn(ctx context.Context, span time.Duration, r *report) error {
	raw, err := s.raw(ctx, span)
	if err != nil {
		return err
	}
	r.Raw.add(raw)
	single, err := s.load(ctx, span, singles, 1)
	if err != nil {
		return err
	}
	r.Single.add(single)
	batch, err := s.load(ctx, span, batchers, batchSize)
	r.Batch.add(batch)
	return err
}

func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s  %s\n", time.Now().Format("15:04:05"), fmt.Sprintf(format, args...))
}

func open(ctx context.Context, dir string) (*site, error) {
	// As on a machine of this size in production; fsync and synchronous_commit are on.
	server, err := sqltest.Start("shared_buffers=1GB", "max_wal_size=4GB", "min_wal_size=2GB", "autovacuum_naptime=60s")
	if err != nil {
		return nil, err
	}
	port, err := fleet.Port()
	if err != nil {
		return nil, err
	}
	// TCP for the raw chain, as it is laid down; ours goes by the socket, as the manual tells who has Redis on the same machine.
	// AOF as in production, for both.
	rds, err := redistest.Run("--port", strconv.Itoa(port), "--appendonly", "yes", "--appendfsync", "everysec", "--stream-node-max-bytes", "512")
	if err != nil {
		return nil, err
	}
	s := &site{redis: rds, store: server, address: "127.0.0.1:" + strconv.Itoa(port), pids: map[string]int{"redis": rds.PID()}}
	if s.db, err = pgx.Connect(ctx, server); err != nil {
		return nil, err
	}
	if err := worn(ctx, s.db); err != nil {
		return nil, err
	}
	if s.pids["postgres"], err = postmaster(ctx, s.db); err != nil {
		return nil, err
	}
	binary, err := fleet.Build(dir)
	if err != nil {
		return nil, err
	}
	s.fleet = fleet.New(dir, binary, server, rds.URL,
		"TIDINGS_KANNEL_USER=u", "TIDINGS_KANNEL_PASSWORD=p", "TIDINGS_BAIDU_KEY=k", "TIDINGS_BAIDU_SECRET=s", // all channels have queues
		"TIDINGS_ENDPOINT_NETWORKS=127.0.0.0/8")
	if s.api, err = s.fleet.Start("api", "api"); err != nil {
		return nil, err
	}
	worker, err := s.fleet.Start("worker", "worker")
	if err != nil {
		return nil, err
	}
	if s.comet, err = s.fleet.Start("comet", "comet"); err != nil {
		return nil, err
	}
	s.pids["api"], s.pids["worker"], s.pids["comet"] = s.api.PID(), worker.PID(), s.comet.PID()
	return s, s.seed(ctx)
}

// worn gives PostgreSQL the log files and the memory of a server that has run for a while: it writes over old ones. A new server
// would have each of them made first, with zeros, in the middle of the measurement.
func worn(ctx context.Context, db *pgx.Conn) error {
	for range 100 {
		if _, err := db.Exec(ctx, "SELECT txid_current(), pg_switch_wal()"); err != nil {
			return err
		}
	}
	for _, statement := range []string{"CREATE UNLOGGED TABLE worn AS SELECT repeat('x', 1900) FROM generate_series(1, 480000)", "DROP TABLE worn", "CHECKPOINT"} {
		if _, err := db.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// postmaster is the process id of the server: the first line of postmaster.pid.
func postmaster(ctx context.Context, db *pgx.Conn) (int, error) {
	var dir string
	if err := db.QueryRow(ctx, "SHOW data_directory").Scan(&dir); err != nil {
		return 0, err
	}
	text, err := os.ReadFile(dir + "/postmaster.pid")
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(strings.SplitN(string(text), "\n", 2)[0]))
}

func (s *site) seed(ctx context.Context) error {
	admin := fleet.NewClient(s.api.URL, fleet.AdminToken, 256)
	app, err := admin.Application(ctx, application)
	if err != nil {
		return err
	}
	s.app = app
	if err := app.Type(ctx, "note", "normal", nil, "web"); err != nil {
		return err
	}
	if err := app.Users(ctx, "m", "u", users, false); err != nil {
		return err
	}
	ids := make([]string, users)
	for i := range ids {
		ids[i] = "u" + strconv.Itoa(i)
	}
	if err := s.believed(ctx); err != nil {
		return err
	}
	return s.hereLately(ctx, ids)
}

// believed waits until comet no longer forgets what Redis has of users who were just made: 10 s they are named as changed
// (sql/comet.go), and 5 s longer not believed (comet/recheck.go).
func (s *site) believed(ctx context.Context) error {
	const wait = 17 * time.Second
	say("%s, until comet believes what Redis has of new users", wait)
	return pause(ctx, wait)
}

// hereLately has Redis know users, as it does for a day after they had a page open: only then are their streams fed.
func (s *site) hereLately(ctx context.Context, ids []string) error {
	db, err := sql.Open(ctx, sql.Options{URL: s.store, Sealer: auth.NewSealer([]byte(fleetSecret))})
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // nothing was written
	ctx, cancel := context.WithCancel(ctx)
	streams := comet.NewStreams(s.redis.Client, db, nil)
	var wg sync.WaitGroup
	wg.Go(func() { _ = streams.Run(ctx) })
	defer wg.Wait()
	defer cancel()
	for some := range slices.Chunk(ids, 5000) {
		open, gone := s.redis.Client.Pipeline(), s.redis.Client.Pipeline()
		for _, user := range some {
			open.HSet(ctx, "lease:{"+user+"}", "lately", "bench:0 1 stream")
			gone.HDel(ctx, "lease:{"+user+"}", "lately")
		}
		if _, err := open.Exec(ctx); err != nil {
			return err
		}
		if _, err := streams.Heads(ctx, some); err != nil {
			return err
		}
		if _, err := gone.Exec(ctx); err != nil {
			return err
		}
	}
	s.here = append(s.here, ids...)
	return nil
}

// streamed fails unless the last numbers of those who were here lately are in Redis as they are in SQL.
func (s *site) streamed(ctx context.Context) error {
	var inRedis, inSQL int64
	for some := range slices.Chunk(s.here, 5000) {
		pipe := s.redis.Client.Pipeline()
		for _, user := range some {
			pipe.HGet(ctx, "head:{"+user+"}", "n")
		}
		heads, err := pipe.Exec(ctx)
		if err != nil {
			return err
		}
		for _, h := range heads {
			n, err := h.(*redis.StringCmd).Int64()
			if err != nil {
				return err
			}
			inRedis += n
		}
	}
	err := s.db.QueryRow(ctx, "SELECT coalesce(sum(head), 0)::bigint FROM inboxes WHERE user_id = ANY($1)", s.here).Scan(&inSQL)
	if err == nil && inRedis != inSQL {
		err = fmt.Errorf("%d messages are in streams, %d in inboxes", inRedis, inSQL)
	}
	return err
}

// cpu reads what every process has used so far.
func (s *site) cpu() (map[string]float64, error) {
	used := map[string]float64{}
	for name, pid := range s.pids {
		n, err := fleet.CPU(pid)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		used[name] = n
	}
	return used, nil
}

// used is what every process has used since before, each second of it counted as worth.
func (s *site) used(before map[string]float64, worth float64) (map[string]float64, error) {
	now, err := s.cpu()
	for name := range now {
		now[name] = (now[name] - before[name]) * worth
	}
	return now, err
}

func (s *site) raw(ctx context.Context, span time.Duration) (l load, err error) {
	before, err := s.cpu()
	if err != nil {
		return l, err
	}
	r, err := raw(ctx, s.address, span)
	if err != nil {
		return l, err
	}
	after, err := s.cpu()
	if err != nil {
		return l, err
	}
	l = load{Messages: r.Messages, Seconds: r.Seconds, CPU: map[string]float64{
		"chain": r.CPU, "redis": after["redis"] - before["redis"]}}
	c := s.redis.Client.Conn()
	return l, errors.Join(c.Select(ctx, rawDB).Err(), c.FlushDB(ctx).Err(), c.Close())
}

// add takes in another turn of the same load, whose CPU is in seconds.
func (l *load) add(turn load) {
	before := float64(l.Messages)
	l.Messages, l.Seconds, l.times = l.Messages+turn.Messages, l.Seconds+turn.Seconds, append(l.times, turn.times...)
	if l.CPU == nil {
		l.CPU = map[string]float64{}
	}
	l.CPUMicros = 0
	for name, seconds := range turn.CPU {
		l.CPU[name] = (l.CPU[name]*before + seconds*1e6) / float64(l.Messages)
		l.CPUMicros += l.CPU[name]
	}
	l.PerSecond = float64(l.Messages) / l.Seconds
	l.P50, l.P99 = quantile(l.times, 0.5), quantile(l.times, 0.99)
}

// text is 200 bytes, what the raw chain carries.
var text = strings.Repeat("Ein Satz. ", 20)

func message(user int) string {
	return `{"type":"note","audience":{"users":["u` + strconv.Itoa(user) + `"]},"data":{"text":"` + text + `"}}`
}

// load has callers POST for span, and waits until the last message is numbered and in its stream.
func (s *site) load(ctx context.Context, span time.Duration, callers, size int) (l load, err error) {
	before, err := s.cpu()
	if err != nil {
		return l, err
	}
	heads, err := s.heads(ctx)
	if err != nil {
		return l, err
	}
	started := time.Now()
	sent, times, err := s.post(ctx, started.Add(span), callers, size)
	if err != nil {
		return l, err
	}
	for {
		now, err := s.heads(ctx)
		if err != nil {
			return l, err
		}
		if now-heads >= sent && s.finished(ctx) {
			break
		}
		if time.Since(started) > span+time.Minute {
			return l, fmt.Errorf("%d of %d messages arrived; %s", now-heads, sent, s.standing(ctx))
		}
		time.Sleep(20 * time.Millisecond)
	}
	l = load{Messages: sent, Seconds: time.Since(started).Seconds(), times: times}
	if l.CPU, err = s.used(before, 1); err != nil {
		return l, err
	}
	return l, s.streamed(ctx)
}

func (s *site) heads(ctx context.Context) (n int64, err error) {
	err = s.db.QueryRow(ctx, "SELECT coalesce(sum(head), 0)::bigint FROM inboxes").Scan(&n)
	return n, err
}

// standing says where the messages are, for a run that did not come to its end.
func (s *site) standing(ctx context.Context) (text string) {
	err := s.db.QueryRow(ctx, `SELECT coalesce(string_agg(line, ', '), '') FROM (
		SELECT 'segments ' || stage || channel || CASE WHEN finished_at IS NULL THEN ' open ' ELSE ' finished ' END || count(*) AS line
			FROM segments GROUP BY stage, channel, finished_at IS NULL
		UNION ALL SELECT 'deliveries ' || state || reason || count(*) FROM deliveries GROUP BY state, reason
		UNION ALL SELECT 'audiences ' || reason || ' ' || count(*) FROM audiences GROUP BY reason) l`).Scan(&text)
	if err != nil {
		return err.Error()
	}
	return text
}

// finished tells whether every append is done: the segments are open until then.
func (s *site) finished(ctx context.Context) bool {
	var open int
	err := s.db.QueryRow(ctx, "SELECT count(*) FROM segments WHERE finished_at IS NULL").Scan(&open)
	return err == nil && open == 0
}

// post has callers send until stop. times are the answers' in milliseconds.
func (s *site) post(ctx context.Context, stop time.Time, callers, size int) (sent int64, times []float64, err error) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range callers {
		wg.Go(func() {
			var mine []float64
			var n int64
			var failure error
			for time.Now().Before(stop) && failure == nil {
				path, body := "/v1/messages", message(rand.IntN(users))
				if size > 1 {
					parts := make([]string, size)
					for i := range parts {
						parts[i] = message(rand.IntN(users))
					}
					path, body = "/v1/messages/batch", `{"messages":[`+strings.Join(parts, ",")+`]}`
				}
				began := time.Now()
				_, failure = s.app.Do(ctx, "POST", path, []byte(body), nil)
				mine = append(mine, time.Since(began).Seconds()*1000)
				n += int64(size)
			}
			mu.Lock()
			defer mu.Unlock()
			sent, times = sent+n, append(times, mine...)
			if failure != nil {
				err = failure
			}
		})
	}
	wg.Wait()
	return sent, times, err
}

func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[min(len(values)-1, int(q*float64(len(values))))]
}
