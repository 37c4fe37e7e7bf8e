package tasks_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"go.uber.org/goleak"

	"tidings"
	"tidings/internal/proctest"
	"tidings/internal/redistest"
	"tidings/tasks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// knownAsynq is the version whose dequeue the doorbell recognises. Whoever raises it in go.mod runs these tests against it,
// reads internal/rdb/rdb.go (dequeueCmd) and then writes the new version here.
const knownAsynq = "v0.26.0"

// never is a fallback that no test lives to see: what wakes a dequeue in these tests is the bell.
const never = time.Hour

// soon is how long a test waits for what ought to happen at once.
const soon = 20 * time.Second

const queue = "normal-acquire"

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// until waits for a condition that nothing signals.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	err := proctest.Until(soon, func() error {
		if !ok() {
			return errors.New("never: " + what)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// within fails the test if nothing comes out of c soon.
func within[T any](t testing.TB, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(soon):
		t.Fatalf("never: %s", what)
	}
	return v
}

// connect makes a client of its own, as another process has one. It does not try again by itself, so that every failure
// reaches asynq.
func connect(t testing.TB, url string) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(url)
	must(t, err)
	options.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	options.MaxRetries, options.DialerRetries, options.ReadTimeout = -1, 1, soon
	c := redis.NewClient(options)
	t.Cleanup(func() { must(t, c.Close()) })
	return c
}

// watch stands beneath the doorbell and sees every dequeue that goes out to Redis.
type watch struct {
	dequeues atomic.Int64
	queue    atomic.Value  // of the last one
	empty    chan struct{} // one token while a dequeue left nothing and nobody looked
	failed   chan error
}

func newWatch() *watch { return &watch{empty: make(chan struct{}, 1), failed: make(chan error, 1000)} }

func (w *watch) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (w *watch) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

// ProcessPipelineHook sees the doorbell's questions: a dequeue, and how many tasks are left.
func (w *watch) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		dequeue := cmds[0].Err()
		q := tasks.Dequeued(cmds[0])
		if q == "" || redis.HasErrorPrefix(dequeue, "NOSCRIPT") {
			return err
		}
		w.dequeues.Add(1)
		w.queue.Store(q)
		switch left := cmds[1].(*redis.IntCmd); {
		case dequeue != nil && dequeue != redis.Nil:
			w.failed <- dequeue
		case dequeue == redis.Nil || left.Val() == 0:
			select {
			case w.empty <- struct{}{}:
			default:
			}
		}
		return err
	}
}

// worker is an unmodified asynq server of one queue over a client that has the doorbell's hook.
type worker struct {
	bell   *tasks.Doorbell
	watch  *watch
	ran    chan string // ids of tasks
	server *asynq.Server
}

func newWorker(t testing.TB, url string, fallback time.Duration) *worker {
	t.Helper()
	w := &worker{bell: tasks.NewDoorbell(fallback, slog.New(slog.DiscardHandler)), watch: newWatch(), ran: make(chan string, 100)}
	rdb := connect(t, url)
	w.bell.Attach(rdb)
	rdb.AddHook(w.watch)
	w.server = asynq.NewServerFromRedisClient(rdb, asynq.Config{Concurrency: 2, Queues: map[string]int{queue: 1},
		TaskCheckInterval: time.Millisecond, LogLevel: asynq.FatalLevel})
	must(t, w.server.Start(asynq.HandlerFunc(func(ctx context.Context, _ *asynq.Task) error {
		id, _ := asynq.GetTaskID(ctx)
		w.ran <- id
		return nil
	})))
	t.Cleanup(func() { w.bell.Close(); w.server.Shutdown() })
	return w
}

// held waits until asynq's dequeue has left nothing: the doorbell holds the next one.
func (w *worker) held(t testing.TB) {
	t.Helper()
	within(t, "a dequeue that the doorbell recognises and that leaves nothing", w.watch.empty)
}

func enqueue(t testing.TB, rdb *redis.Client, id string) {
	t.Helper()
	_, err := asynq.NewClientFromRedisClient(rdb).Enqueue(asynq.NewTask("acquire", nil), asynq.Queue(queue), asynq.TaskID(id))
	must(t, err)
}

func TestTheDoorbellKnowsTheAsynqOfGoMod(t *testing.T) {
	text, err := os.ReadFile("../go.mod")
	must(t, err)
	if !strings.Contains(string(text), "github.com/hibiken/asynq "+knownAsynq+"\n") &&
		!strings.Contains(string(text), "github.com/hibiken/asynq "+knownAsynq+" ") {
		t.Fatalf("go.mod asks for another asynq than %s: see whether its dequeue is still recognised", knownAsynq)
	}
}

func TestEveryDequeueOfAsynqIsRecognised(t *testing.T) {
	r := redistest.New(t)
	w := newWorker(t, r.URL, never)
	w.held(t) // never, if the keys of asynq's script were others
	if got := w.watch.queue.Load(); got != queue {
		t.Fatalf("recognised as a dequeue of %v", got)
	}
	enqueue(t, r.Client, "one")
	w.bell.Ring(queue)
	within(t, "the task", w.ran)
}

func TestCommandsThatAreNoDequeueAreLeftAlone(t *testing.T) {
	ctx := context.Background()
	keys := []any{"asynq:{q}:pending", "asynq:{q}:paused", "asynq:{q}:active", "asynq:{q}:lease"}
	for what, args := range map[string][]any{
		"another number of keys": append([]any{"evalsha", "sha", 3}, keys...),
		"another command":        append([]any{"eval_ro", "sha", 4}, keys...),
		"keys of two queues":     {"evalsha", "sha", 4, keys[0], "asynq:{p}:paused", keys[2], keys[3], 1},
		"a done script":          {"evalsha", "sha", 4, keys[2], keys[3], "asynq:{q}:t:1", "asynq:{q}:processed", 1},
		"few arguments":          {"evalsha", "sha", 4},
	} {
		if q := tasks.Dequeued(redis.NewCmd(ctx, args...)); q != "" {
			t.Errorf("%s passes for a dequeue of %q", what, q)
		}
	}
	if q := tasks.Dequeued(redis.NewCmd(ctx, append([]any{"evalsha", "sha", 4}, keys...)...)); q != "q" {
		t.Errorf("a dequeue of q is taken for %q", q)
	}
}

func TestABellWakesAHeldDequeueAndNothingElseAsksRedis(t *testing.T) {
	r := redistest.New(t)
	w := newWorker(t, r.URL, never)
	for _, id := range []string{"one", "two", "three"} {
		w.held(t)
		before := w.watch.dequeues.Load()
		enqueue(t, r.Client, id)
		w.bell.Ring(queue)
		if got := within(t, "the task", w.ran); got != id {
			t.Fatalf("task %s ran instead of %s", got, id)
		}
		if n := w.watch.dequeues.Load() - before; n != 1 {
			t.Fatalf("%d dequeues for one task: the next one was not held", n)
		}
	}
}

// dequeue asks as asynq does, for a client with the doorbell's hook: once for what it answers.
func dequeue(rdb *redis.Client) <-chan error {
	script := redis.NewScript(`return redis.call("LPOP", KEYS[1])`)
	keys := []string{"asynq:{" + queue + "}:pending", "asynq:{" + queue + "}:paused", "asynq:{" + queue + "}:active", "asynq:{" + queue + "}:lease"}
	got := make(chan error, 1)
	go func() { got <- script.Run(context.Background(), rdb, keys, 0).Err() }()
	return got
}

func TestABellThatRingsWhileNobodyWaitsIsNotLost(t *testing.T) {
	r := redistest.New(t)
	bell := tasks.NewDoorbell(never, slog.New(slog.DiscardHandler))
	rdb := connect(t, r.URL)
	bell.Attach(rdb)
	if err := within(t, "the first dequeue, which is never held", dequeue(rdb)); err != redis.Nil {
		t.Fatal(err)
	}
	must(t, r.Client.LPush(context.Background(), "asynq:{"+queue+"}:pending", "one", "two").Err())
	if bell.Ring(queue) || bell.Ring(queue) {
		t.Error("nobody waits, and it is said that somebody took it")
	}
	for _, what := range []string{"a dequeue after a bell", "another, since more was there"} {
		if err := within(t, what, dequeue(rdb)); err != nil {
			t.Fatal(err)
		}
	}
	held := dequeue(rdb)
	until(t, "somebody who waits", func() bool { return bell.Waits(queue) })
	if !bell.Ring(queue) {
		t.Error("somebody waits, and it is said that nobody took it")
	}
	if err := within(t, "a dequeue that was held", held); err != redis.Nil {
		t.Fatal(err)
	}
}

func TestWhoRangHearsNoEcho(t *testing.T) {
	ours, theirs := tasks.NewDoorbell(never, slog.New(slog.DiscardHandler)), tasks.NewDoorbell(never, slog.New(slog.DiscardHandler))
	heard := func(message string) bool {
		ours.Hear(message)
		return ours.Rung(queue)
	}
	if heard(ours.Message("bulk-acquire", queue)) {
		t.Error("a process hears what it rang itself")
	}
	if !heard(theirs.Message("bulk-acquire", queue)) {
		t.Error("a process does not hear another")
	}
	if !heard(queue + ",bulk-acquire") {
		t.Error("a process does not hear one of an earlier version, which does not sign")
	}
}

func TestALostBellCostsNoMoreThanTheFallback(t *testing.T) {
	r := redistest.New(t)
	w := newWorker(t, r.URL, 20*time.Millisecond)
	w.held(t)
	enqueue(t, r.Client, "one") // and nobody rings
	within(t, "the task by the fallback", w.ran)
}

func TestCloseLetsGoOfAHeldDequeueAtOnce(t *testing.T) {
	r := redistest.New(t)
	w := newWorker(t, r.URL, never)
	w.held(t)
	w.bell.Close()
	done := make(chan struct{})
	go func() { w.server.Shutdown(); close(done) }()
	within(t, "the end of a server whose dequeue was held", done)
}

func TestARedisThatIsDownIsNotAskedInALoop(t *testing.T) {
	r := redistest.Start(t)
	w := newWorker(t, r.URL, never)
	w.held(t)
	r.Kill(t)
	w.bell.Ring(queue) // the held dequeue asks again, and fails from then on
	within(t, "a failed dequeue", w.watch.failed)
	const calls = 5
	started := time.Now()
	for range calls {
		within(t, "another failed dequeue", w.watch.failed)
	}
	if took := time.Since(started); took < calls*100*time.Millisecond {
		t.Fatalf("%d dequeues of a dead Redis within %s", calls, took)
	}
	r.Restart(t)
	enqueue(t, r.Client, "after the crash")
	w.bell.Ring(queue)
	within(t, "the task after the crash", w.ran)
}

// listening waits until a process hears the bells that others send.
func listening(t testing.TB, rdb *redis.Client) {
	t.Helper()
	until(t, "a listener of the bells", func() bool {
		n, err := rdb.PubSubNumSub(context.Background(), "tidings:bell").Result()
		return err == nil && n["tidings:bell"] > 0
	})
}

// listen lets the worker hear the bells of other processes until the test ends.
func (w *worker) listen(t testing.TB, url string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	rdb := connect(t, url)
	go func() { w.bell.Listen(ctx, rdb); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	listening(t, rdb)
}

func TestABellIsHeardInAnotherProcess(t *testing.T) {
	r := redistest.Start(t)
	w := newWorker(t, r.URL, never) // one process
	w.listen(t, r.URL)
	w.held(t)
	relay := newRelay(t, r.URL, &store{}) // another
	relay.ring(t)
	s := segment(1)
	relay.Put(s)
	if got := within(t, "the task in the other process", w.ran); got != s[0].TaskID() {
		t.Fatalf("task %s", got)
	}
}

func TestBellsAreHeardAgainAfterALossOfRedis(t *testing.T) {
	r := redistest.Start(t)
	w := newWorker(t, r.URL, never)
	w.listen(t, r.URL)
	w.held(t)
	r.Kill(t)
	r.Restart(t)
	listening(t, r.Client)
	relay := newRelay(t, r.URL, &store{})
	relay.ring(t)
	relay.Put(segment(1))
	within(t, "the task after the loss", w.ran)
}

func TestOtherProcessesAreRungOnlyForWhatNobodyHereWaitsFor(t *testing.T) {
	r := redistest.New(t)
	ctx := context.Background()
	sub := connect(t, r.URL).Subscribe(ctx, "tidings:bell")
	t.Cleanup(func() { must(t, sub.Close()) })
	_, err := sub.Receive(ctx)
	must(t, err)
	w := newWorker(t, r.URL, never)
	relay := newRelay(t, r.URL, &store{})
	relay.Relay = tasks.NewRelay(relay.rdb, w.bell, &store{}, relay.met, relay.log.logger())
	relay.ring(t)
	until(t, "a worker that waits", func() bool { return w.bell.Waits(queue) })
	ours, other := segment(1)[0], segment(1)[0]
	other.Lane = tidings.Bulk // nobody here serves it
	relay.Put([]tidings.Segment{ours})
	within(t, "the task in this process", w.ran)
	relay.Put([]tidings.Segment{other})
	if m := within(t, "a bell for others", sub.Channel()); !strings.HasPrefix(m.Payload, other.Queue()+",") {
		t.Errorf("others hear %q", m.Payload)
	}
}
