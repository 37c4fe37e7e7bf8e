package tasks

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"tidings"
)

// Work says what a worker process does.
type Work struct {
	Lanes []tidings.Lane
	// Stages are acquire, render and route. Nil: not run here.
	Stages map[tidings.StageName]Stage
	// Deliver are the channels served, each with its stage. A channel without an integration is not among them.
	Deliver map[tidings.Channel]Stage
	// Concurrency is how many segments of a lane and channel are handed to a provider at once; 0: 4.
	Concurrency int
}

const defaultConcurrency = 4

// shutdownTimeout is what a stage under way is given when the process stops. A claim that is cut off lapses by itself.
const shutdownTimeout = 25 * time.Second

// Workers are the asynq servers of a process: one for each queue, so that a held dequeue of one never keeps another
// waiting and lanes have workers of their own.
type Workers struct {
	servers []*asynq.Server
	bell    *Doorbell
}

// Start runs the stages until Stop. rdb must be a client of its own: the doorbell hooks into it.
func Start(rdb redis.UniversalClient, w Work, bell *Doorbell, relay *Relay, met *Metrics, log *slog.Logger) (*Workers, error) {
	rdb.AddHook(bell)
	workers := &Workers{bell: bell}
	a := adapter{relay: relay, metrics: met, log: log}
	for _, lane := range w.Lanes {
		t := &turns{}
		for name, stage := range w.Stages {
			if err := workers.serve(rdb, tidings.Segment{Lane: lane, Stage: name}, a.handle(name, stage, t), log, stage, w); err != nil {
				return nil, err
			}
		}
		for channel, stage := range w.Deliver {
			if err := workers.serve(rdb, tidings.Segment{Lane: lane, Stage: tidings.Deliver, Channel: channel}, a.handle(tidings.Deliver, stage, t), log, stage, w); err != nil {
				return nil, err
			}
		}
	}
	return workers, nil
}

func (ws *Workers) serve(rdb redis.UniversalClient, s tidings.Segment, handler asynq.HandlerFunc, log *slog.Logger, stage Stage, w Work) error {
	n := groupSegments // so many tasks can gather for the next run
	if stage.alone {
		n = cmp.Or(w.Concurrency, defaultConcurrency)
	}
	server := asynq.NewServerFromRedisClient(rdb, asynq.Config{
		Concurrency: n,
		Queues:      map[string]int{s.Queue(): 1},
		// The doorbell does the waiting; asynq's own sleep between two dequeues only adds to it.
		TaskCheckInterval: time.Millisecond,
		RetryDelayFunc:    retryDelay,
		ShutdownTimeout:   shutdownTimeout,
		JanitorInterval:   time.Minute, // nothing is retained, so there is nothing to clean
		LogLevel:          asynq.WarnLevel,
		Logger:            logger{log},
	})
	mux := asynq.NewServeMux()
	mux.Handle(kind(s), handler)
	if err := server.Start(mux); err != nil {
		ws.Stop(context.Background())
		return fmt.Errorf("queue %s: %w", s.Queue(), err)
	}
	ws.servers = append(ws.servers, server)
	return nil
}

// Stop takes no more tasks and waits for those under way.
func (ws *Workers) Stop(context.Context) {
	ws.bell.Close()
	done := make(chan struct{}, len(ws.servers))
	for _, s := range ws.servers {
		go func() { s.Shutdown(); done <- struct{}{} }()
	}
	for range ws.servers {
		<-done
	}
}
