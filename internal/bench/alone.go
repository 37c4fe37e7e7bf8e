package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// rest measures what a fleet costs that has never done anything: idle without what the loads before it leave behind.
func rest(ctx context.Context, span time.Duration) error {
	return onSite(ctx, func(s *site) error {
		i, err := s.idle(ctx, span)
		i.print(os.Stdout)
		return err
	})
}

// paced measures latency alone, at rates from little to what keeps the machine busy.
func paced(ctx context.Context, span time.Duration) error {
	return onSite(ctx, func(s *site) error {
		if _, err := s.latency(ctx, 1000, 3*time.Second); err != nil { // warms up
			return err
		}
		ls, err := s.latencies(ctx, span, 30, 100, 300, 1000, 2000)
		ls.print(os.Stdout)
		return err
	})
}

// alone makes one load, so that a profiler can be held to the processes while they carry it.
func alone(ctx context.Context, span time.Duration, name string) error {
	return onSite(ctx, func(s *site) error {
		callers, size := singles, 1
		if name == "batch" {
			callers, size = batchers, batchSize
		}
		for range 2 { // the first warms up
			turn, err := s.load(ctx, span, callers, size)
			if err != nil {
				return err
			}
			var l load
			l.add(turn)
			fmt.Printf("%s  %.0f/s  %.0f us  %s\n", name, l.PerSecond, l.CPUMicros, byProcess(l.CPU, "%.1f"))
		}
		return nil
	})
}

// onSite starts everything, runs f and stops everything.
func onSite(ctx context.Context, f func(*site) error) error {
	dir, err := os.MkdirTemp("", "tidings-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	s, err := open(ctx, dir)
	if err != nil {
		return err
	}
	say("process ids %v", s.pids)
	return errors.Join(f(s), s.fleet.Stop())
}
