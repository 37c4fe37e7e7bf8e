package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hibiken/asynq"
)

// The raw chain is what a team would write itself: four no-op asynq stages, one task for each message at each stage, as
// DESIGN 6 fixes it: a server a stage, concurrency 16, poll 5 ms, TCP, 256 messages in flight, no HTTP, no SQL.
const (
	rawConcurrency = 16
	rawPoll        = 5 * time.Millisecond
	rawInFlight    = 256
	rawDB          = 1 // of Redis: it is emptied after each run, while ours lies in 0
)

type rawResult struct {
	Messages int64   `json:"messages"`
	Seconds  float64 `json:"seconds"`
	CPU      float64 `json:"cpu"` // of the child, in seconds
}

// rawChild runs the chain for span and prints a rawResult.
func rawChild(ctx context.Context, address string, span time.Duration) error {
	connection := asynq.RedisClientOpt{Addr: address, DB: rawDB}
	client := asynq.NewClient(connection)
	defer client.Close() //nolint:errcheck // the process ends
	var done atomic.Int64
	slots := make(chan struct{}, rawInFlight)
	for stage := range 4 {
		server := asynq.NewServer(connection, asynq.Config{Concurrency: rawConcurrency, TaskCheckInterval: rawPoll,
			Queues: map[string]int{"raw" + strconv.Itoa(stage): 1}, LogLevel: asynq.FatalLevel})
		handler := asynq.HandlerFunc(func(ctx context.Context, t *asynq.Task) error {
			if stage == 3 {
				done.Add(1)
				<-slots
				return nil
			}
			return put(ctx, client, stage+1, t.Payload())
		})
		if err := server.Start(handler); err != nil {
			return err
		}
		defer server.Shutdown()
	}
	started, stop := time.Now(), time.Now().Add(span)
	payload := []byte(fmt.Sprintf("%09d", 0) + strings.Repeat("x", 199))
	var next atomic.Int64
	errs := make(chan error, 16)
	for range 16 {
		go func() {
			for time.Now().Before(stop) && ctx.Err() == nil {
				slots <- struct{}{}
				p := append([]byte(fmt.Sprintf("%09d", next.Add(1))), payload[9:]...)
				if err := put(ctx, client, 0, p); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range 16 {
		if err := <-errs; err != nil {
			return err
		}
	}
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return err
	}
	cpu := time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds()
	return json.NewEncoder(os.Stdout).Encode(rawResult{done.Load(), time.Since(started).Seconds(), cpu})
}

func put(ctx context.Context, client *asynq.Client, stage int, payload []byte) error {
	name := "raw" + strconv.Itoa(stage)
	_, err := client.EnqueueContext(ctx, asynq.NewTask(name, payload), asynq.Queue(name),
		asynq.TaskID(name+":"+string(payload[:9])), asynq.MaxRetry(5))
	return err
}

// raw runs the chain in a process of its own.
func raw(ctx context.Context, address string, span time.Duration) (r rawResult, err error) {
	self, err := os.Executable()
	if err != nil {
		return r, err
	}
	child := exec.CommandContext(ctx, self, "raw", "-redis", address, "-seconds", strconv.Itoa(int(span.Seconds())))
	child.Stderr = os.Stderr
	out, err := child.Output()
	if err != nil {
		return r, fmt.Errorf("the raw chain: %w", err)
	}
	return r, json.Unmarshal(out, &r)
}
