// Command bench measures Tidings beside what a team would write itself, in one run on one machine: see scripts/bench.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("what to measure: road, latency, broadcast, failover, endpoints, comet, idle, single or batch")
	}
	switch args[0] { // with flags of their own
	case "comet":
		return cometBench(ctx, args[1:])
	case "broadcast":
		return broadcasts(ctx, args[1:])
	case "crowd": // a child process that holds clients
		return crowdChild(args[1:])
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	seconds := flags.Int("seconds", 4, "length of each measurement; loads are measured in four turns")
	out := flags.String("json", "", "file for the figures as JSON")
	address := flags.String("redis", "", "raw: address of Redis")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	span := time.Duration(*seconds) * time.Second
	switch args[0] {
	case "road":
		return road(ctx, span, *out)
	case "endpoints":
		return toldLoads(ctx, span, *out)
	case "failover":
		return providerDies(ctx, span, *out)
	case "latency":
		return paced(ctx, span)
	case "idle":
		return rest(ctx, span)
	case "batch", "single": // one load alone, to be looked into with a profiler
		return alone(ctx, span, args[0])
	case "raw": // the child process that road measures itself against
		return rawChild(ctx, *address, span)
	default:
		return fmt.Errorf("nothing called %q to measure: road, latency, broadcast, failover, endpoints, comet, idle, single or batch", args[0])
	}
}
