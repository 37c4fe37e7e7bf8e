// Command tidings is the whole product: the servers (up, api, worker, comet), the tools that open the stores (migrate,
// audit, doctor, config) and the client of /v1 (every other command).
package main

import (
	"context"
	"os"
)

func main() {
	ctx, stop := untilSignal(context.Background(), os.Exit)
	defer stop()
	err := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	os.Exit(report(os.Stderr, err))
}
