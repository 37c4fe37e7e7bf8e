package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
)

// Exit codes of the command.
const (
	exitOK      = 0
	exitFailure = 1 // it was tried and did not work, or an audit found a fault
	exitUsage   = 2 // the command line is wrong: nothing was tried
)

// run does what args ask for. It is the whole program but for signals and the exit code, so that tests call it.
func run(ctx context.Context, args []string, getenv func(string) string, out, errout io.Writer) error {
	root := newRoot(&deps{getenv: getenv, out: out, errout: errout})
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errout)
	return root.ExecuteContext(ctx)
}

// usageError is a mistake in the command line, answered with the exit code 2 and a pointer to the help.
type usageError struct {
	command string
	err     error
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// errQuiet ends a command that has already said what is wrong.
var errQuiet = errors.New("failed")

// report prints err for a person and returns the exit code.
func report(w io.Writer, err error) int {
	if err == nil || errors.Is(err, context.Canceled) {
		return exitOK
	}
	if usage, ok := errors.AsType[*usageError](err); ok {
		fmt.Fprintf(w, "%s: %s\nRun '%s --help' for usage.\n", usage.command, plain(usage.err.Error()), usage.command)
		return exitUsage
	}
	if !errors.Is(err, errQuiet) {
		fmt.Fprintf(w, "tidings: %s\n", plainLines(err.Error()))
	}
	return exitFailure
}

// untilSignal returns a context that ends at the first SIGINT or SIGTERM, so that what is under way is finished; the
// second one ends the process at once.
func untilSignal(parent context.Context, exit func(int)) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	var stopped atomic.Bool
	go func() {
		for range signals {
			if stopped.Swap(true) {
				exit(exitFailure)
			}
			cancel()
		}
	}()
	return ctx, func() { signal.Stop(signals); cancel() }
}
