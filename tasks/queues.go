package tasks

import (
	"errors"
	"slices"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"tidings"
)

// QueueStatus is a queue as an operator sees it.
type QueueStatus struct {
	Queue     string `json:"queue"`
	Paused    bool   `json:"paused"`
	Pending   int    `json:"pending"`
	Active    int    `json:"active"`
	Retry     int    `json:"retry"`
	Archived  int    `json:"archived"`
	LatencyMS int64  `json:"latency_ms"` // age of the oldest pending task
	Processed int    `json:"processed"`  // today
	Failed    int    `json:"failed"`     // today
}

// Queues are an operator's hand on the queues.
type Queues struct{ inspector *asynq.Inspector }

// NewQueues returns the queues in rdb.
func NewQueues(rdb redis.UniversalClient) *Queues {
	return &Queues{asynq.NewInspectorFromRedisClient(rdb)}
}

// List returns every queue, the most urgent lane first. One that nothing was put into yet is there with zeros.
func (q *Queues) List() ([]QueueStatus, error) {
	var list []QueueStatus
	for _, name := range queues() {
		info, err := q.inspector.GetQueueInfo(name)
		if errors.Is(err, asynq.ErrQueueNotFound) {
			list = append(list, QueueStatus{Queue: name})
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, QueueStatus{Queue: name, Paused: info.Paused, Pending: info.Pending, Active: info.Active, Retry: info.Retry,
			Archived: info.Archived, LatencyMS: info.Latency.Milliseconds(), Processed: info.Processed, Failed: info.Failed})
	}
	return list, nil
}

// Pause stops the workers of a queue from taking tasks; what waits stays.
func (q *Queues) Pause(name string) error { return q.change(name, q.inspector.PauseQueue) }

// Resume lets the workers of a queue go on.
func (q *Queues) Resume(name string) error { return q.change(name, q.inspector.UnpauseQueue) }

func (q *Queues) change(name string, f func(string) error) error {
	if !slices.Contains(queues(), name) {
		return tidings.Errorf(tidings.NotFound, "there is no queue %s", name)
	}
	if err := f(name); err != nil && !errors.Is(err, asynq.ErrQueueNotFound) {
		return &tidings.Error{Code: tidings.Conflict, Detail: "the queue is in that state already", Err: err}
	}
	return nil
}

// Retry runs the tasks of a queue that wait for a retry or were given up, now, and returns how many they were.
func (q *Queues) Retry(name string) (n int, err error) {
	err = q.change(name, func(name string) error {
		retried, err := q.inspector.RunAllRetryTasks(name)
		if err != nil {
			return err
		}
		archived, err := q.inspector.RunAllArchivedTasks(name)
		n = retried + archived
		return err
	})
	return n, err
}
