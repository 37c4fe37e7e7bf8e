package tasks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"tidings"
)

// Store is the record from which the relay finds work that has no task.
type Store interface {
	// Untouched returns open segments that nobody has written, enqueued, claimed or looked at within grace.
	Untouched(ctx context.Context, grace time.Duration, limit int) ([]tidings.Segment, error)
	// RaiseTry makes earlier tasks of the segments void and returns the segments as they are to be enqueued now.
	RaiseTry(ctx context.Context, segments []tidings.Segment) ([]tidings.Segment, error)
	// Touch notes that the segments were looked at and are well.
	Touch(ctx context.Context, segments []tidings.Segment) error
	// Due puts deliveries whose time has come into new segments.
	Due(ctx context.Context, limit int) ([]tidings.Segment, error)
	// Tend ends broadcasts, and puts the reminders that are due into new segments. It may take long.
	Tend(ctx context.Context) ([]tidings.Segment, error)
}

// The relay's measures.
const (
	// Grace is the sweep's: see there.
	Grace = tidings.Grace
	// sweepEvery is cheap enough for every second: one look at a partial index that holds only what is open.
	sweepEvery = time.Second
	sweepLimit = 2000
	dueLimit   = 5000
	// LaneCap bounds the tasks of a lane in Redis. The rest waits in SQL, where it costs no memory and fairness can still
	// decide.
	LaneCap = 10000
	// fullAt is the share of Redis' maxmemory from which it is no longer fed: at 100 % asynq could not even dequeue.
	fullAt = 0.75
)

// Relay is the only code that enqueues: right after a commit for speed (Put), and by a sweep over SQL for all else (Run).
// Whatever Redis loses, the sweep enqueues again under a higher try.
type Relay struct {
	client *asynq.Client
	rdb    redis.UniversalClient
	bell   *Doorbell
	store  Store
	met    *Metrics
	log    *slog.Logger

	mu      sync.Mutex
	waiting map[tidings.Lane]int64 // tasks in Redis when they were last counted, plus those put since
	full    bool                   // Redis has no memory to spare
	put     bool                   // something was put, or wanted to be, since they were counted
	counted time.Time

	ring chan string
}

// NewRelay returns a relay over Redis. rdb must not have the doorbell's hook: the relay enqueues, it does not wait.
func NewRelay(rdb redis.UniversalClient, bell *Doorbell, store Store, met *Metrics, log *slog.Logger) *Relay {
	return &Relay{client: asynq.NewClientFromRedisClient(rdb), rdb: rdb, bell: bell, store: store, met: met, log: log,
		waiting: map[tidings.Lane]int64{}, ring: make(chan string, 1024)}
}

// Put enqueues segments whose rows are committed. It is best effort: what it leaves out, because Redis is away or full or
// the lane has enough, the sweep finds.
func (r *Relay) Put(segments []tidings.Segment) {
	if len(segments) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	for _, s := range segments {
		if !r.room(s.Lane) {
			r.met.relayed("waits")
			continue
		}
		if err := r.enqueue(ctx, s); err != nil {
			r.met.relayed("failed")
			r.log.Warn("relay", "task", s.TaskID(), "error", err)
			return // Redis is away: the others would only wait for the same time-out
		}
	}
}

// enqueue puts one task. An ID that is taken is success: the task is there.
func (r *Relay) enqueue(ctx context.Context, s tidings.Segment) error {
	t, err := task(s)
	if err != nil {
		return err
	}
	if _, err := r.client.EnqueueContext(ctx, t); err != nil && !errors.Is(err, asynq.ErrTaskIDConflict) {
		return err
	}
	r.met.relayed("enqueued")
	if r.bell.Ring(s.Queue()) {
		return nil
	}
	select {
	case r.ring <- s.Queue():
	default: // many bells are on their way; a worker that misses this one polls within the fallback
	}
	return nil
}

func (r *Relay) room(l tidings.Lane) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.put = true // also when there is no room: a full lane must be counted again, or nobody would see it drain
	if r.full || r.waiting[l] >= LaneCap {
		return false
	}
	r.waiting[l]++
	return true
}

// Ring sends the bells to the other processes until ctx is done: one PUBLISH for all that gathered meanwhile.
func (r *Relay) Ring(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case first := <-r.ring:
			queues := []string{first}
			for more := true; more && len(queues) < 64; {
				select {
				case q := <-r.ring:
					queues = append(queues, q)
				default:
					more = false
				}
			}
			if err := r.rdb.Publish(ctx, bellChannel, r.bell.message(distinct(queues))).Err(); err != nil && ctx.Err() == nil {
				r.log.Debug("doorbell", "error", err)
			}
		}
	}
}

func distinct(names []string) (out []string) {
	seen := map[string]bool{}
	for _, n := range names {
		if !seen[n] {
			seen[n] = true
			out = append(out, n)
		}
	}
	return out
}

// Run sweeps every second until ctx is done. Several processes may: each segment is raised by one of them.
func (r *Relay) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { // beside the sweep, which must not wait for it
		r.everySecond(ctx, func() error {
			made, err := r.store.Tend(ctx)
			r.Put(made)
			return err
		})
	})
	n := 0
	r.everySecond(ctx, func() error {
		if n++; n%60 == 1 {
			r.register(ctx)
		}
		return r.Sweep(ctx)
	})
	wg.Wait()
}

// Watch is for a process that puts and leaves the sweep to others: it keeps the lanes' counts right until ctx is done.
func (r *Relay) Watch(ctx context.Context) {
	r.everySecond(ctx, func() error { return r.measure(ctx) })
}

func (r *Relay) everySecond(ctx context.Context, f func() error) {
	tidings.Every(ctx, sweepEvery, func() {
		if err := f(); err != nil && ctx.Err() == nil {
			r.met.relayed("sweep_failed")
			r.log.Warn("sweep", "error", err)
		}
	})
}

// register writes the names of our queues where asynq's tools look for them: a client writes them once in its life, so that
// after a FLUSHALL the dashboard would not know them.
func (r *Relay) register(ctx context.Context) {
	for _, q := range queues() {
		if err := r.rdb.SAdd(ctx, "asynq:queues", q).Err(); err != nil {
			return // the sweep tells that Redis is away
		}
	}
}

// queues are the names of all queues of all lanes.
func queues() (names []string) {
	for _, l := range tidings.Lanes {
		for _, s := range tidings.Stages {
			if s != tidings.Deliver {
				names = append(names, tidings.Queue(l, s, ""))
			}
		}
		for _, c := range tidings.Channels {
			names = append(names, tidings.Queue(l, tidings.Deliver, c))
		}
	}
	return names
}

// Sweep looks once for deliveries that are due and for segments whose task was lost or never enqueued.
func (r *Relay) Sweep(ctx context.Context) error {
	due, err := r.store.Due(ctx, dueLimit)
	if err != nil {
		return fmt.Errorf("due deliveries: %w", err)
	}
	if err := r.measure(ctx); err != nil {
		return fmt.Errorf("queues: %w", err)
	}
	r.Put(due)
	lost, err := r.store.Untouched(ctx, Grace, sweepLimit)
	if err != nil || len(lost) == 0 {
		return err
	}
	well, gone, err := r.examine(ctx, lost)
	if err != nil {
		return fmt.Errorf("states: %w", err)
	}
	if err := r.store.Touch(ctx, well); err != nil {
		return err
	}
	var again []tidings.Segment
	for _, s := range gone {
		if r.room(s.Lane) {
			again = append(again, s)
		}
	}
	raised, err := r.store.RaiseTry(ctx, again)
	if err != nil {
		return err
	}
	for _, s := range raised {
		r.met.relayed("again")
		if err := r.enqueue(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// A worker extends the leases of its tasks to asynqLease from now at every heartbeat, which is every 5 s (asynq v0.26.0,
// rdb.go LeaseDuration, server.go). A lease that was not extended for longer than that is a dead worker's: so it is known
// after seconds, while asynq itself waits for a minute.
const (
	asynqLease = 30 * time.Second
	deadAfter  = 7 * time.Second
)

// examine asks Redis for the tasks of segments. Pending or to be retried, they are well and only wait. Active under a lease
// that is kept up, a worker is at it. Otherwise nobody can be relied on to finish them: a worker that still does loses
// nothing but its time.
func (r *Relay) examine(ctx context.Context, segments []tidings.Segment) (well, gone []tidings.Segment, err error) {
	states, leases := make([]*redis.StringCmd, len(segments)), make([]*redis.FloatCmd, len(segments))
	_, err = r.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, s := range segments {
			states[i] = p.HGet(ctx, "asynq:{"+s.Queue()+"}:t:"+s.TaskID(), "state")
			leases[i] = p.ZScore(ctx, "asynq:{"+s.Queue()+"}:lease", s.TaskID())
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, nil, err
	}
	alive := float64(time.Now().Add(asynqLease - deadAfter).Unix())
	for i, s := range segments {
		switch state := states[i].Val(); {
		case state == "pending" || state == "retry" || state == "scheduled":
			well = append(well, s)
		case state == "active" && leases[i].Val() >= alive: // looked at again a second later
		default:
			gone = append(gone, s)
		}
	}
	return well, gone, nil
}

// measureEvery is how often the lanes are counted while nothing is put: for the metrics alone.
const measureEvery = 10 * time.Second

// measure counts the tasks of each lane and looks at Redis' memory, if anything can have changed.
func (r *Relay) measure(ctx context.Context) error {
	r.mu.Lock()
	still := !r.put && !r.full && time.Since(r.counted) < measureEvery
	r.mu.Unlock()
	if still {
		return nil
	}
	counts := map[string]*redis.IntCmd{}
	memory := redis.NewStringResult("", nil)
	cluster, sharded := r.rdb.(*redis.ClusterClient)
	_, err := r.rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, q := range queues() {
			counts[q] = p.LLen(ctx, pending(q))
		}
		if !sharded {
			memory = p.Info(ctx, "memory")
		}
		return nil
	})
	if err != nil && memory.Err() == nil {
		return err
	}
	full := tight(memory.Val())
	if sharded {
		full = anyTight(ctx, cluster)
	}
	lanes := map[tidings.Lane]int64{}
	for q, n := range counts {
		if n.Err() != nil {
			return n.Err()
		}
		lane, _, _ := strings.Cut(q, "-")
		lanes[tidings.Lane(lane)] += n.Val()
		r.met.depth(q, n.Val())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting, r.full, r.counted, r.put = lanes, full, time.Now(), false
	return nil
}

// anyTight tells whether a master of a cluster is to be spared: queues lie on all of them.
func anyTight(ctx context.Context, c *redis.ClusterClient) bool {
	var full atomic.Bool
	_ = c.ForEachMaster(ctx, func(ctx context.Context, m *redis.Client) error {
		if tight(m.Info(ctx, "memory").Val()) {
			full.Store(true)
		}
		return nil
	})
	return full.Load()
}

// tight reads INFO memory: whether Redis has used so much of its maxmemory that it is to be spared.
func tight(info string) bool {
	var used, limit float64
	for _, line := range strings.Split(info, "\n") {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch n, err := strconv.ParseFloat(value, 64); {
		case err != nil:
		case name == "used_memory":
			used = n
		case name == "maxmemory":
			limit = n
		}
	}
	return limit > 0 && used > fullAt*limit
}
