// Package tasks puts the road on asynq. It owns everything that knows asynq: payloads and their IDs, the servers that run
// the stages, the doorbell that wakes them and the relay, which alone enqueues.
//
// A task carries the name of a segment and no contents: SQL holds what the segment works on, and a task that is lost with
// Redis is found again there (see Relay).
package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/hibiken/asynq"

	"tidings"
)

// taskTimeout ends a stage that hangs. It is far above what 500 items need.
const taskTimeout = 60 * time.Second

// maxRetry is how often asynq runs a failing task again before the sweep takes over with a new one.
const maxRetry = 5

// kind is a task's type name in asynq: "acquire", "deliver-sms".
func kind(s tidings.Segment) string {
	if s.Stage == tidings.Deliver {
		return string(s.Stage) + "-" + string(s.Channel)
	}
	return string(s.Stage)
}

// task is the segment as asynq carries it.
func task(s tidings.Segment) (*asynq.Task, error) {
	payload, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	// No Retention: a finished ID is free at once. A late second enqueue of it runs a stage that finds its segment finished.
	return asynq.NewTask(kind(s), payload, asynq.TaskID(s.TaskID()), asynq.Queue(s.Queue()),
		asynq.MaxRetry(maxRetry), asynq.Timeout(taskTimeout)), nil
}

// Describe prints a task's payload for people: ids only, as the payload holds nothing else.
func Describe(kind string, payload []byte) string {
	var s tidings.Segment
	if err := json.Unmarshal(payload, &s); err != nil {
		return "not a segment"
	}
	return fmt.Sprintf("%s  batch %s  segment %s  part %d  try %d  application %s", kind, s.Batch, s.ID, s.Part, s.Try, s.Application)
}

// adapter is what all stages share: decode, run, measure, hand the following segments to the relay, and only then finish.
type adapter struct {
	relay   *Relay
	metrics *Metrics
	log     *slog.Logger
}

func (a adapter) handle(name tidings.StageName, stage Stage, t *turns) asynq.HandlerFunc {
	gathered := &group{stage: stage, name: name, turns: t, follow: a.relay.Put}
	return func(ctx context.Context, t *asynq.Task) error {
		var s tidings.Segment
		if err := json.Unmarshal(t.Payload(), &s); err != nil {
			return fmt.Errorf("not a segment: %w: %w", err, asynq.SkipRetry)
		}
		started := time.Now()
		var err error
		if stage.alone {
			var next []tidings.Segment
			if next, err = stage.Run(ctx, s); err == nil {
				a.relay.Put(next)
			}
		} else {
			err = gathered.join(ctx, s)
		}
		if errors.Is(err, tidings.ErrStale) {
			a.metrics.ran(s, "stale", started)
			return nil
		}
		if err != nil {
			a.metrics.ran(s, "failed", started)
			a.log.Error("stage", "task", s.TaskID(), "queue", s.Queue(), "error", err)
			return err
		}
		a.metrics.ran(s, "done", started)
		return nil
	}
}

// retryDelay is asynq's wait before it runs a failed task again: short, since most failures are a Redis or a database that
// is coming back, and every run is harmless.
func retryDelay(n int, _ error, _ *asynq.Task) time.Duration {
	delays := []time.Duration{time.Second, 2 * time.Second, 5 * time.Second, 15 * time.Second}
	return delays[min(n, len(delays)-1)]
}

// logger writes asynq's log with ours.
type logger struct{ log *slog.Logger }

func (l logger) Debug(args ...any) { l.log.Debug(fmt.Sprint(args...), "from", "asynq") }
func (l logger) Info(args ...any)  { l.log.Debug(fmt.Sprint(args...), "from", "asynq") }
func (l logger) Warn(args ...any)  { l.log.Warn(fmt.Sprint(args...), "from", "asynq") }
func (l logger) Error(args ...any) { l.log.Error(fmt.Sprint(args...), "from", "asynq") }

// Fatal is called by asynq when it cannot start; its caller gets an error and ends the process in order.
func (l logger) Fatal(args ...any) { l.log.Error(fmt.Sprint(args...), "from", "asynq", "fatal", true) }
