// Command tidings is the whole product: the servers (up, api, worker, comet), the tools that open the stores (migrate,
// audit, doctor, config) and the client of /v1 (every other command).
package main

import (
	"context"
	"os"
	"runtime/debug"
)

// garbage is how much a process may allocate, in percent of what lives, before it collects: it lives on little and allocates
// much, so that the default of 100 costs a sixth of its time. GOGC in the environment overrides.
const garbage = 400

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
	ctx, stop := untilSignal(context.Background(), os.Exit)
	defer stop()
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	os.Exit(report(os.Stderr, err))
}
