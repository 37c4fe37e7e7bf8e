package tasks

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
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
	// Concurrency is how many segments of a lane and channel are handed to providers at once; 0: 64. What a provider bears is its
	// integration's to say (tidings.DefaultParallel): these are more, so that calls which hang do not keep others from another provider.
	Concurrency int
}

const defaultConcurrency = 2 * tidings.DefaultParallel

// shutdownTimeout is what a stage under way is given when the process stops. A claim that is cut off lapses by itself.
const shutdownTimeout = 25 * time.Second

// Workers are the asynq servers of a process: one for each queue, so that a held dequeue of one never keeps another
// waiting and lanes have workers of their own.
type Workers struct {
	rdb  redis.UniversalClient
	work Work
	bell *Doorbell
	adapter
	turns map[tidings.Lane]*turns

	mu       sync.Mutex
	stopped  bool
	channels map[tidings.Channel]bool
	servers  []*asynq.Server
}

// Start runs the stages until Stop. rdb must be a client of its own: the doorbell hooks into it.
func Start(rdb redis.UniversalClient, w Work, bell *Doorbell, relay *Relay, met *Metrics, log *slog.Logger) (*Workers, error) {
	bell.Attach(rdb)
	ws := &Workers{rdb: rdb, work: w, bell: bell, adapter: adapter{relay: relay, metrics: met, log: log},
		turns: map[tidings.Lane]*turns{}, channels: map[tidings.Channel]bool{}}
	for _, lane := range w.Lanes {
		ws.turns[lane] = &turns{most: runsOf(lane)}
		for name, stage := range w.Stages {
			if err := ws.serve(tidings.Segment{Lane: lane, Stage: name}, stage); err != nil {
				ws.Stop(context.Background())
				return nil, err
			}
		}
	}
	for channel, stage := range w.Deliver {
		if _, err := ws.Serve(channel, stage); err != nil {
			ws.Stop(context.Background())
			return nil, err
		}
	}
	return ws, nil
}

// Serve begins to serve a channel in every lane, and tells whether it was not served before.
func (ws *Workers) Serve(c tidings.Channel, stage Stage) (begun bool, err error) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.stopped || ws.channels[c] {
		return false, nil
	}
	ws.channels[c] = true
	for _, lane := range ws.work.Lanes {
		if err := ws.serve(tidings.Segment{Lane: lane, Stage: tidings.Deliver, Channel: c}, stage); err != nil {
			return true, err
		}
	}
	return true, nil
}

func (ws *Workers) serve(s tidings.Segment, stage Stage) error {
	n := groupSegments // so many tasks can gather for the next run
	if stage.alone {
		n = cmp.Or(ws.work.Concurrency, defaultConcurrency)
	}
	server := asynq.NewServerFromRedisClient(ws.rdb, asynq.Config{
		Concurrency: n,
		Queues:      map[string]int{s.Queue(): 1},
		// The doorbell does the waiting; asynq's own sleep between two dequeues only adds to it.
		TaskCheckInterval: time.Millisecond,
		RetryDelayFunc:    retryDelay,
		ShutdownTimeout:   shutdownTimeout,
		JanitorInterval:   time.Minute, // nothing is retained, so there is nothing to clean
		LogLevel:          asynq.WarnLevel,
		Logger:            logger{ws.log},
	})
	mux := asynq.NewServeMux()
	mux.Handle(kind(s), ws.handle(s.Stage, stage, ws.turns[s.Lane]))
	if err := server.Start(mux); err != nil {
		return fmt.Errorf("queue %s: %w", s.Queue(), err)
	}
	ws.servers = append(ws.servers, server)
	return nil
}

// Stop takes no more tasks and waits for those under way.
func (ws *Workers) Stop(context.Context) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.stopped = true
	ws.bell.Close()
	done := make(chan struct{}, len(ws.servers))
	for _, s := range ws.servers {
		go func() { s.Shutdown(); done <- struct{}{} }()
	}
	for range ws.servers {
		<-done
	}
}
