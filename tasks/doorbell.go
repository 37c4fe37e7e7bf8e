package tasks

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// bellChannel carries the names of queues that something was put into, so that workers of other processes wake.
const bellChannel = "tidings:bell"

// Asynq polls: with its default interval a road of four stages takes two seconds, and with one of a millisecond it burns a
// third of a core at rest. A Doorbell is a go-redis hook beneath an unmodified asynq: it recognises the dequeue script by
// its keys, and when that finds the queue empty it holds the answer until the queue's bell rings, then asks once more.
//
// A lost bell costs at most the fallback. The hook depends on the key names of asynq v0.26.0; a contract test holds it to
// the version in go.mod, and a dequeue that it does not recognise is simply polled.
type Doorbell struct {
	fallback time.Duration
	log      *slog.Logger

	mu    sync.Mutex
	bells map[string]chan struct{}

	closed chan struct{}
	once   sync.Once
}

// pendingSuffix ends KEYS[1] of asynq's dequeue script: asynq:{<queue>}:pending (internal/rdb/rdb.go, dequeueCmd).
const pendingSuffix = "}:pending"

// NewDoorbell returns a doorbell that holds an empty dequeue for at most fallback.
func NewDoorbell(fallback time.Duration, log *slog.Logger) *Doorbell {
	return &Doorbell{fallback: fallback, log: log, bells: map[string]chan struct{}{}, closed: make(chan struct{})}
}

// Ring wakes this process's worker of the queue, if it waits, or keeps it from waiting the next time.
func (d *Doorbell) Ring(queue string) {
	select {
	case d.bell(queue) <- struct{}{}:
	default: // rung already
	}
}

func (d *Doorbell) bell(queue string) chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	b := d.bells[queue]
	if b == nil {
		b = make(chan struct{}, 1)
		d.bells[queue] = b
	}
	return b
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
			for _, queue := range strings.Split(m.Payload, ",") {
				d.Ring(queue)
			}
		}
	}
}

// dequeued is the queue that cmd dequeues from, or "" if it is another command.
func dequeued(cmd redis.Cmder) string {
	args := cmd.Args() // evalsha, sha, 4, pending, paused, active, lease, ...
	if len(args) < 7 || (cmd.Name() != "evalsha" && cmd.Name() != "eval") || args[2] != 4 {
		return ""
	}
	pending, _ := args[3].(string)
	paused, _ := args[4].(string)
	lease, _ := args[6].(string)
	name, ok := strings.CutSuffix(strings.TrimPrefix(pending, "asynq:{"), pendingSuffix)
	if !ok || paused != "asynq:{"+name+"}:paused" || lease != "asynq:{"+name+"}:lease" {
		return ""
	}
	return name
}

// ProcessHook holds an empty dequeue (see Doorbell).
func (d *Doorbell) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		queue := dequeued(cmd)
		err := next(ctx, cmd)
		switch {
		case queue == "" || err == nil || redis.HasErrorPrefix(err, "NOSCRIPT"):
			return err
		case !errors.Is(err, redis.Nil):
			// Asynq asks again at once after an error: without a pause here a Redis that is down costs a whole core.
			d.wait(ctx, make(chan struct{}), min(d.fallback, 200*time.Millisecond))
			return err
		case !d.wait(ctx, d.bell(queue), d.fallback):
			return err // asynq asks again by itself
		}
		cmd.SetErr(nil)
		return next(ctx, cmd)
	}
}

// wait returns true when the bell rang, false when the time is up or there is no more point in asking.
func (d *Doorbell) wait(ctx context.Context, bell <-chan struct{}, limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-bell:
		return true
	case <-timer.C:
		return false
	case <-ctx.Done():
		return false
	case <-d.closed:
		return false
	}
}

// DialHook and ProcessPipelineHook change nothing; go-redis wants all three.
func (d *Doorbell) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessPipelineHook changes nothing.
func (d *Doorbell) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
