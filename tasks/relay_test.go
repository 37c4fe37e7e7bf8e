package tasks_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"tidings"
	"tidings/internal/redistest"
	"tidings/tasks"
)

// store is a record in which every row is open and was touched long ago, until it is finished, touched or raised.
type store struct {
	mu      sync.Mutex
	open    []tidings.Segment
	due     []tidings.Segment
	touched []tidings.Segment
}

func (s *store) Untouched(context.Context, time.Duration, int) ([]tidings.Segment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]tidings.Segment(nil), s.open...), nil
}

func (s *store) RaiseTry(_ context.Context, segments []tidings.Segment) (raised []tidings.Segment, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range segments {
		for i := range s.open {
			if s.open[i] == g {
				s.open[i].Try++
				raised = append(raised, s.open[i])
			}
		}
	}
	return raised, nil
}

func (s *store) Touch(_ context.Context, segments []tidings.Segment) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.touched = append(s.touched, segments...)
	return nil
}

func (s *store) Due(context.Context, int) ([]tidings.Segment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	due := s.due
	s.due, s.open = nil, append(s.open, due...)
	return due, nil
}

func (s *store) Tend(context.Context) ([]tidings.Segment, error) { return nil, nil }

// segment makes n acquire segments of one batch.
func segment(n int) (ss []tidings.Segment) {
	for i := range n {
		ss = append(ss, tidings.Segment{ID: tidings.ID(100 + i), Batch: 7, Lane: tidings.Normal, Application: "orders", Stage: tidings.Acquire, Part: i})
	}
	return ss
}

// relayed is a relay over a Redis, with what it said.
type relayed struct {
	*tasks.Relay
	t         testing.TB
	rdb       *redis.Client
	inspector *asynq.Inspector
	met       *tasks.Metrics
	log       *log
}

// log keeps what was logged as a warning or worse.
type log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) { l.mu.Lock(); defer l.mu.Unlock(); return l.b.Write(p) }
func (l *log) String() string              { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }
func (l *log) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

func newRelay(t testing.TB, url string, s tasks.Store) *relayed {
	t.Helper()
	r := &relayed{t: t, rdb: connect(t, url), met: tasks.NewMetrics(prometheus.NewRegistry()), log: &log{}}
	r.inspector = asynq.NewInspectorFromRedisClient(r.rdb)
	r.Relay = tasks.NewRelay(r.rdb, tasks.NewDoorbell(never, r.log.logger()), s, r.met, r.log.logger())
	return r
}

// ring sends the relay's bells to other processes until the test ends.
func (r *relayed) ring(t testing.TB) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { r.Relay.Ring(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
}

func (r *relayed) sweep() {
	r.t.Helper()
	must(r.t, r.Sweep(context.Background()))
}

// state is the state of a segment's task: "pending", ... or "none".
func (r *relayed) state(s tidings.Segment) string {
	r.t.Helper()
	// Not by the inspector: it does not know a queue whose registry was flushed.
	state, err := r.rdb.HGet(context.Background(), "asynq:{"+s.Queue()+"}:t:"+s.TaskID(), "state").Result()
	if errors.Is(err, redis.Nil) {
		return "none"
	}
	must(r.t, err)
	return state
}

func (r *relayed) want(state string, segments ...tidings.Segment) {
	r.t.Helper()
	for _, s := range segments {
		if got := r.state(s); got != state {
			r.t.Errorf("task %s is %s, want %s", s.TaskID(), got, state)
		}
	}
}

func again(s tidings.Segment) tidings.Segment { s.Try++; return s }

func TestASegmentBecomesATaskOfItsName(t *testing.T) {
	r := newRelay(t, redistest.New(t).URL, &store{})
	for queue, s := range map[string]tidings.Segment{
		"normal-acquire":       {ID: 1, Batch: 7, Lane: tidings.Normal, Application: "orders", Stage: tidings.Acquire},
		"critical-deliver-sms": {ID: 2, Batch: 7, Lane: tidings.Critical, Application: "orders", Stage: tidings.Deliver, Channel: tidings.SMS, Try: 3},
		"bulk-deliver-web":     {ID: 3, Batch: 7, Lane: tidings.Bulk, Application: "orders", Stage: tidings.Deliver, Channel: tidings.Web},
	} {
		r.Put([]tidings.Segment{s})
		info, err := r.inspector.GetTaskInfo(queue, s.TaskID())
		must(t, err)
		if kind, _, _ := strings.Cut(s.TaskID(), ":"); info.Type != kind || info.State != asynq.TaskStatePending {
			t.Errorf("%+v", info)
		}
		if text := tasks.Describe(info.Type, info.Payload); !strings.Contains(text, s.ID.String()) || !strings.Contains(text, s.Batch.String()) {
			t.Errorf("an operator reads %q", text)
		}
		if info.Retention != 0 {
			t.Errorf("a finished task keeps its id for %s", info.Retention)
		}
	}
}

func TestATaskThatIsThereAlreadyIsSuccess(t *testing.T) {
	r := newRelay(t, redistest.New(t).URL, &store{})
	ss := segment(2)
	r.Put(ss[:1])
	r.Put(ss)
	r.Put(ss)
	r.want("pending", ss...)
	if said := r.log.String(); said != "" {
		t.Errorf("it complains: %s", said)
	}
	if info, err := r.inspector.GetQueueInfo(queue); err != nil || info.Pending != 2 {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestWhatAFlushTookIsEnqueuedAgainUnderAHigherTry(t *testing.T) {
	s := &store{open: segment(3)}
	r := newRelay(t, redistest.New(t).URL, s)
	before := segment(3)
	r.Put(before)
	r.want("pending", before...)
	must(t, r.rdb.FlushDB(context.Background()).Err())
	r.sweep()
	for _, b := range before {
		r.want("none", b)
		r.want("pending", again(b))
	}
	r.sweep() // they wait now, and are left alone
	if len(s.touched) != 3 || s.open[0].Try != 1 {
		t.Errorf("touched %v, open %v", s.touched, s.open)
	}
}

func TestATaskThatWaitsIsLeftAloneAndOneThatNobodyWillFinishIsNot(t *testing.T) {
	ctx := context.Background()
	s := &store{open: segment(6)}
	r := newRelay(t, redistest.New(t).URL, s)
	r.Put(s.open[:5])
	key := func(i int) string { return "asynq:{" + queue + "}:t:" + s.open[i].TaskID() }
	// As asynq has them: 0 pending, 1 in retry, 2 active, 3 archived, 4 completed and retained, 5 never enqueued.
	for i, state := range map[int]string{1: "retry", 2: "active", 3: "archived", 4: "completed"} {
		must(t, r.rdb.HSet(ctx, key(i), "state", state).Err())
	}
	rows := segment(6)
	r.sweep()
	if len(s.touched) != 2 || s.touched[0] != rows[0] || s.touched[1] != rows[1] {
		t.Errorf("touched %v", s.touched)
	}
	for i, row := range rows {
		if want := min(i/2, 1); s.open[i].Try != want {
			t.Errorf("%d: try %d, want %d", i, s.open[i].Try, want)
		} else if want == 1 {
			r.want("pending", again(row))
		}
	}
}

func TestDueDeliveriesGoOnTheConveyor(t *testing.T) {
	s := &store{due: []tidings.Segment{{ID: 1, Batch: 9, Lane: tidings.Normal, Stage: tidings.Deliver, Channel: tidings.SMS}}}
	due := s.due[0]
	r := newRelay(t, redistest.New(t).URL, s)
	r.sweep()
	r.want("pending", due)
	if s.open[0].Try != 0 {
		t.Errorf("what was just enqueued was raised to try %d", s.open[0].Try)
	}
}

// junk fills a queue with n tasks that nobody runs.
func (r *relayed) junk(queue string, n int) {
	r.t.Helper()
	ids := make([]any, n)
	for i := range ids {
		ids[i] = fmt.Sprint("junk", i)
	}
	must(r.t, r.rdb.LPush(context.Background(), "asynq:{"+queue+"}:pending", ids...).Err())
}

func TestALaneThatHasEnoughLeavesTheRestInSQL(t *testing.T) {
	s := &store{}
	r := newRelay(t, redistest.New(t).URL, s)
	r.junk("normal-render", tasks.LaneCap-2) // the cap is of the lane, whatever the stage
	r.sweep()
	ss := segment(4)
	r.Put(ss)
	r.want("pending", ss[:2]...)
	r.want("none", ss[2:]...)
	critical := tidings.Segment{ID: 5, Batch: 7, Lane: tidings.Critical, Stage: tidings.Acquire}
	r.Put([]tidings.Segment{critical})
	r.want("pending", critical)

	s.open = []tidings.Segment{ss[2], ss[3]}
	r.sweep()
	if s.open[0].Try != 0 || s.open[1].Try != 0 {
		t.Errorf("raised without room: %v", s.open)
	}
	must(t, r.rdb.LTrim(context.Background(), "asynq:{normal-render}:pending", 1, 0).Err())
	r.sweep()
	r.want("pending", again(ss[2]), again(ss[3]))
}

func TestARedisThatFillsUpIsSpared(t *testing.T) {
	ctx := context.Background()
	server := redistest.Start(t)
	s := &store{open: segment(1)}
	r := newRelay(t, server.URL, s)
	limit := func(share float64) {
		t.Helper()
		used, err := server.Client.InfoMap(ctx, "memory").Result()
		must(t, err)
		var n float64
		_, err = fmt.Sscan(used["Memory"]["used_memory"], &n)
		must(t, err)
		must(t, server.Client.ConfigSet(ctx, "maxmemory", fmt.Sprint(int64(n/share))).Err())
	}
	limit(tasks.FullAt + 0.1)
	r.sweep()
	r.Put(segment(1))
	r.want("none", segment(1)[0], again(segment(1)[0]))
	if s.open[0].Try != 0 {
		t.Error("the try was raised, though nothing was enqueued")
	}
	limit(tasks.FullAt - 0.25)
	r.sweep()
	r.want("pending", again(segment(1)[0]))
}

func TestPutLeavesToTheSweepWhatADeadRedisDidNotTake(t *testing.T) {
	server := redistest.Start(t)
	s := &store{open: segment(2)}
	r := newRelay(t, server.URL, s)
	server.Kill(t)
	started := time.Now()
	r.Put(segment(2))
	if took := time.Since(started); took > 5*time.Second {
		t.Errorf("a commit's hand-over took %s", took)
	}
	if err := r.Sweep(context.Background()); err == nil {
		t.Error("a sweep without Redis passed for one")
	}
	if s.open[0].Try != 0 {
		t.Error("raised, though nobody could look")
	}
	server.Restart(t)
	r.sweep()
	r.want("pending", again(segment(1)[0]))
}

func TestQueuesAreKnownToTheDashboardAgainAfterAFlush(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	s := &store{open: segment(1)}
	r := newRelay(t, redistest.New(t).URL, s)
	r.Put(s.open) // the client has written its queue's name and never does again
	must(t, r.rdb.FlushDB(ctx).Err())
	done := make(chan struct{})
	go func() { r.Run(ctx); close(done) }()
	want := len(tidings.Lanes) * (len(tidings.Stages) - 1 + len(tidings.Channels))
	until(t, "all queues in asynq's registry", func() bool {
		names, err := r.rdb.SMembers(ctx, "asynq:queues").Result()
		must(t, err)
		return len(names) == want
	})
	until(t, "the task under its next try", func() bool { return r.state(again(segment(1)[0])) == "pending" })
	cancel()
	within(t, "the end of the sweeps", done)
	list, err := tasks.NewQueues(r.rdb).List()
	must(t, err)
	if len(list) != want {
		t.Errorf("%d queues", len(list))
	}
}

// work starts a stage of one segment over the relay's Redis; its workers end with the test.
func (r *relayed) work(run func(context.Context, tidings.Segment) ([]tidings.Segment, error)) {
	r.t.Helper()
	r.serve(tasks.Each(run))
}

func (r *relayed) serve(stage tasks.Stage) {
	r.t.Helper()
	bell := tasks.NewDoorbell(10*time.Millisecond, r.log.logger())
	rdb := connect(r.t, r.rdb.Options().Network+"://"+r.rdb.Options().Addr+fmt.Sprint("?db=", r.rdb.Options().DB))
	ws, err := tasks.Start(rdb, tasks.Work{Lanes: []tidings.Lane{tidings.Normal},
		Stages: map[tidings.StageName]tasks.Stage{tidings.Acquire: stage}}, bell, r.Relay, r.met, r.log.logger())
	must(r.t, err)
	r.t.Cleanup(func() { ws.Stop(context.Background()) })
}

func TestAStageThatFailsIsTriedAgainAndThenItsFollowersAreOnTheConveyor(t *testing.T) {
	r := newRelay(t, redistest.New(t).URL, &store{})
	s, next := segment(1)[0], tidings.Segment{ID: 200, Parent: 100, Batch: 7, Lane: tidings.Normal, Application: "orders", Stage: tidings.Render}
	var runs, wrong atomic.Int64
	r.work(func(_ context.Context, got tidings.Segment) ([]tidings.Segment, error) {
		if got != s {
			wrong.Add(1)
		}
		if runs.Add(1) == 1 {
			return nil, errors.New("the database is away")
		}
		return []tidings.Segment{next}, nil
	})
	r.Put([]tidings.Segment{s})
	until(t, "the task in the retry set", func() bool { return r.state(s) == "retry" })
	if said := r.log.String(); !strings.Contains(said, "the database is away") || !strings.Contains(said, s.TaskID()) {
		t.Errorf("the log has %q", said)
	}
	r.want("none", next)
	until(t, "a retry on demand", func() bool {
		_, err := tasks.NewQueues(r.rdb).Retry(queue)
		must(t, err)
		return r.state(s) == "none"
	})
	r.want("pending", next)
	if runs.Load() != 2 || wrong.Load() != 0 {
		t.Errorf("%d runs, %d of another segment", runs.Load(), wrong.Load())
	}
}

func TestAStageThatFindsNothingLeftToDoIsDone(t *testing.T) {
	r := newRelay(t, redistest.New(t).URL, &store{})
	ran := make(chan struct{}, 10)
	r.work(func(context.Context, tidings.Segment) ([]tidings.Segment, error) {
		ran <- struct{}{}
		return nil, fmt.Errorf("finish: %w", tidings.ErrStale)
	})
	s := segment(1)[0]
	r.Put([]tidings.Segment{s})
	within(t, "a run", ran)
	until(t, "the end of the task", func() bool { return r.state(s) == "none" })
	if said := r.log.String(); said != "" {
		t.Errorf("it complains: %s", said)
	}
}

func TestATaskThatIsNoSegmentIsArchivedAndNotTriedAgain(t *testing.T) {
	r := newRelay(t, redistest.New(t).URL, &store{})
	r.work(func(context.Context, tidings.Segment) ([]tidings.Segment, error) {
		t.Error("a stage ran for it")
		return nil, nil
	})
	_, err := asynq.NewClientFromRedisClient(r.rdb).Enqueue(asynq.NewTask("acquire", []byte("not JSON")), asynq.Queue(queue), asynq.TaskID("junk"))
	must(t, err)
	until(t, "the task in the archive", func() bool {
		info, err := r.inspector.GetTaskInfo(queue, "junk")
		must(t, err)
		if info.State == asynq.TaskStateRetry {
			t.Fatal("it is to be tried again")
		}
		return info.State == asynq.TaskStateArchived
	})
	if text := tasks.Describe("acquire", []byte("not JSON")); text != "not a segment" {
		t.Errorf("an operator reads %q", text)
	}
}

func TestAPausedQueueKeepsItsTasksUntilItIsResumed(t *testing.T) {
	r := newRelay(t, redistest.New(t).URL, &store{})
	queues, s := tasks.NewQueues(r.rdb), segment(1)[0]
	ran := make(chan struct{}, 10)
	must(t, queues.Pause(queue))
	if err := queues.Pause(queue); tidings.CodeOf(err) != tidings.Conflict {
		t.Errorf("paused twice: %v", err)
	}
	if err := queues.Pause("normal-nothing"); tidings.CodeOf(err) != tidings.NotFound {
		t.Errorf("an unknown queue: %v", err)
	}
	r.work(func(context.Context, tidings.Segment) ([]tidings.Segment, error) { ran <- struct{}{}; return nil, nil })
	r.Put([]tidings.Segment{s})
	r.want("pending", s)
	must(t, queues.Resume(queue))
	within(t, "the task of a resumed queue", ran)
}

func TestWorkersStopAfterTheStageThatIsUnderWay(t *testing.T) {
	r := newRelay(t, redistest.New(t).URL, &store{})
	bell := tasks.NewDoorbell(never, r.log.logger())
	begun, end := make(chan struct{}), make(chan struct{})
	next := tidings.Segment{ID: 200, Batch: 7, Lane: tidings.Normal, Stage: tidings.Render}
	url := r.rdb.Options().Network + "://" + r.rdb.Options().Addr + fmt.Sprint("?db=", r.rdb.Options().DB)
	ws, err := tasks.Start(connect(t, url), tasks.Work{Lanes: []tidings.Lane{tidings.Normal}, Stages: map[tidings.StageName]tasks.Stage{
		tidings.Acquire: tasks.Each(func(context.Context, tidings.Segment) ([]tidings.Segment, error) {
			close(begun)
			<-end
			return []tidings.Segment{next}, nil
		})}}, bell, r.Relay, r.met, r.log.logger())
	must(t, err)
	r.Put(segment(1))
	bell.Ring(queue)
	within(t, "the stage", begun)
	stopped := make(chan struct{})
	go func() { ws.Stop(context.Background()); close(stopped) }()
	select {
	case <-stopped:
		t.Error("stopped while a stage was under way")
	default:
	}
	close(end)
	within(t, "the end of the workers", stopped)
	r.want("pending", next)
	r.want("none", segment(1)[0])
}
