package tasks

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"tidings"
)

// bellChannel carries the names of queues that something was put into, so that workers of other processes wake.
const bellChannel = "tidings:bell"

// Asynq polls: with its default interval a road of four stages takes two seconds, and with one of a millisecond it burns a
// third of a core at rest. A Doorbell is a go-redis hook beneath an unmodified asynq: it recognises the dequeue script by
// its keys, asks along with it whether more waits, and once nothing is left it holds the next one until the queue's bell rings.
//
// A lost bell costs at most the fallback. The hook depends on the key names of asynq v0.26.0; a contract test holds it to
// the version in go.mod, and a dequeue that it does not recognise is simply polled.
type Doorbell struct {
	name     string // of this process among those that ring
	fallback time.Duration
	log      *slog.Logger
	rdb      redis.UniversalClient // that it is hooked into

	mu    sync.Mutex
	bells map[string]*bell

	closed chan struct{}
	once   sync.Once
}

// bell is a queue's.
type bell struct {
	rung    chan struct{}
	empty   atomic.Bool // the queue was, when it was last asked
	waiting atomic.Bool // somebody waits for it
}

// pending is asynq's list of a queue's tasks that wait, KEYS[1] of its dequeue script (internal/rdb/rdb.go, dequeueCmd).
func pending(queue string) string { return "asynq:{" + queue + pendingSuffix }

const pendingSuffix = "}:pending"

// NewDoorbell returns a doorbell that holds an empty dequeue for at most fallback.
func NewDoorbell(fallback time.Duration, log *slog.Logger) *Doorbell {
	return &Doorbell{name: rand.Text(), fallback: fallback, log: log, bells: map[string]*bell{}, closed: make(chan struct{})}
}

// Attach hooks the doorbell into the client that an asynq server is to be made from, and into no other.
func (d *Doorbell) Attach(rdb redis.UniversalClient) {
	d.rdb = rdb
	rdb.AddHook(d)
}

// Ring wakes this process's worker of the queue, or keeps it from waiting the next time, and tells whether it did wait: then the
// task is as good as taken, and other processes need not be rung out of their sleep to find nothing.
func (d *Doorbell) Ring(queue string) (taken bool) {
	b := d.bell(queue)
	taken = b.waiting.Load() // before he is woken: whatever it is that wakes him, he asks after this
	select {
	case b.rung <- struct{}{}:
	default: // rung already
	}
	return taken
}

func (d *Doorbell) bell(queue string) *bell {
	d.mu.Lock()
	defer d.mu.Unlock()
	b := d.bells[queue]
	if b == nil {
		b = &bell{rung: make(chan struct{}, 1)}
		d.bells[queue] = b
	}
	return b
}

// A message between processes names queues and, last, behind signed, who rang: he rang his own bells already.
const signed = "@"

func (d *Doorbell) message(queues []string) string {
	return strings.Join(append(queues, signed+d.name), ",")
}

// hear rings what a message names.
func (d *Doorbell) hear(message string) {
	if strings.HasSuffix(message, signed+d.name) {
		return
	}
	for _, queue := range strings.Split(message, ",") {
		if !strings.HasPrefix(queue, signed) {
			d.Ring(queue)
		}
	}
}

// Close lets go of every held dequeue and holds none from then on, so that asynq can shut down at once.
func (d *Doorbell) Close() { d.once.Do(func() { close(d.closed) }) }

// Listen rings the bells that other processes send, until ctx is done. It comes back by itself after a loss of Redis.
func (d *Doorbell) Listen(ctx context.Context, rdb redis.UniversalClient) {
	sub := rdb.Subscribe(ctx, bellChannel)
	defer func() {
		if err := sub.Close(); err != nil {
			d.log.Debug("doorbell", "error", err)
		}
	}()
	// A connection that is half open costs bells, which the fallback makes up for: it need not be asked every 3 s.
	messages := sub.Channel(redis.WithChannelHealthCheckInterval(30 * time.Second))
	for {
		select {
		case <-ctx.Done():
			return
		case m, ok := <-messages:
			if !ok {
				return
			}
			d.hear(m.Payload)
		}
	}
}

// dequeued is the queue that cmd dequeues from, or "" if it is another command.
func dequeued(cmd redis.Cmder) string {
	args := cmd.Args() // evalsha, sha, 4, pending, paused, active, lease, ...
	if len(args) < 7 || (cmd.Name() != "evalsha" && cmd.Name() != "eval") || args[2] != 4 {
		return ""
	}
	list, _ := args[3].(string)
	paused, _ := args[4].(string)
	lease, _ := args[6].(string)
	name, ok := strings.CutSuffix(strings.TrimPrefix(list, "asynq:{"), pendingSuffix)
	if !ok || paused != "asynq:{"+name+"}:paused" || lease != "asynq:{"+name+"}:lease" {
		return ""
	}
	return name
}

// ProcessHook holds the dequeue of a queue that is empty (see Doorbell).
func (d *Doorbell) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		queue := dequeued(cmd)
		if queue == "" {
			return next(ctx, cmd)
		}
		b := d.bell(queue)
		if b.empty.Load() {
			b.waiting.Store(true)
			d.wait(ctx, b.rung, tidings.UntilBeat(d.fallback)) // all queues are asked in the same moment
			b.waiting.Store(false)
		}
		err := d.ask(ctx, cmd, b, queue)
		if err != nil && !errors.Is(err, redis.Nil) && !redis.HasErrorPrefix(err, "NOSCRIPT") {
			// Asynq asks again at once after an error: without a pause here a Redis that is down costs a whole core.
			d.wait(ctx, nil, min(d.fallback, 200*time.Millisecond))
		}
		return err
	}
}

// ask dequeues, and learns in the same round trip whether more waits: else each task would cost a second dequeue, in vain.
func (d *Doorbell) ask(ctx context.Context, cmd redis.Cmder, b *bell, queue string) error {
	select {
	case <-b.rung: // for what is there already: it is about to be seen
	default:
	}
	both := d.rdb.Pipeline()
	_ = both.Process(ctx, cmd)
	left := both.LLen(ctx, pending(queue))
	_, _ = both.Exec(ctx) // each command has its own error
	err := cmd.Err()
	b.empty.Store(errors.Is(err, redis.Nil) || err == nil && left.Err() == nil && left.Val() == 0)
	return err
}

// wait ends when the bell rings, the time is up or there is no more point in waiting.
func (d *Doorbell) wait(ctx context.Context, bell <-chan struct{}, limit time.Duration) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-bell:
	case <-timer.C:
	case <-ctx.Done():
	case <-d.closed:
	}
}

// DialHook and ProcessPipelineHook change nothing; go-redis wants all three.
func (d *Doorbell) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessPipelineHook changes nothing.
func (d *Doorbell) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
