package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// embedded is the Redis that 'tidings up' brings along.
type embedded struct {
	options *redis.UniversalOptions
	line    string // what it runs on, for the operator
	real    bool   // a redis-server, whose settings can be checked
	stop    func()
}

// startEmbedded runs redis-server from PATH as a child, else miniredis in this process. lookPath is exec.LookPath.
func startEmbedded(ctx context.Context, data string, log *slog.Logger, lookPath func(string) (string, error)) (*embedded, error) {
	program, err := lookPath("redis-server")
	if err != nil {
		return startMiniredis()
	}
	return startChild(ctx, program, data, log)
}

// startMiniredis serves an evaluation: nothing in it outlives the process, and SQL brings back what was under way.
func startMiniredis() (*embedded, error) {
	m := miniredis.NewMiniRedis()
	if err := m.Start(); err != nil {
		return nil, fmt.Errorf("start miniredis: %w", err)
	}
	ended, done := make(chan struct{}), make(chan struct{})
	go func() { // miniredis expires keys only when it is told that time has passed
		defer close(done)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				m.FastForward(time.Second)
			case <-ended:
				return
			}
		}
	}()
	return &embedded{options: &redis.UniversalOptions{Addrs: []string{m.Addr()}},
		line: "an in-process Redis (miniredis) that forgets everything at the end: fit to try things out; install redis-server for more",
		stop: func() { close(ended); <-done; m.Close() }}, nil
}

// child is a redis-server that is started again whenever it ends.
type child struct {
	program string
	args    []string
	options *redis.UniversalOptions
	lock    *os.File // is the server's as well, until it has ended
	log     *slog.Logger
}

// startChild starts redis-server on a unix socket with its append-only file in the data directory, and waits until it
// answers.
func startChild(ctx context.Context, program, data string, log *slog.Logger) (*embedded, error) {
	dir, err := filepath.Abs(filepath.Join(data, "redis"))
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := soleServer(ctx, dir)
	if err != nil {
		return nil, err
	}
	socket, remove, err := socketPath(dir)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	c := &child{program: program, lock: lock, log: log, options: &redis.UniversalOptions{Addrs: []string{socket}},
		args: []string{"--port", "0", "--unixsocket", socket, "--unixsocketperm", "700", "--dir", dir, "--daemonize", "no",
			"--logfile", filepath.Join(dir, "redis.log"), "--save", "", "--appendonly", "yes", "--appendfsync", "everysec",
			"--maxmemory-policy", "noeviction",
			"--stream-node-max-bytes", "512"}} // many short streams: nodes of 4 KB would be mostly empty
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	ended, failed := make(chan struct{}), make(chan error, 1)
	go func() { defer close(ended); c.keepRunning(life, failed) }()
	stop := func() { end(); <-ended; remove(); _ = lock.Close() }
	if err := c.ready(ctx, failed); err != nil {
		stop()
		return nil, fmt.Errorf("start %s: %w (see %s)", program, err, filepath.Join(dir, "redis.log"))
	}
	return &embedded{options: c.options, real: true, stop: stop,
		line: "a Redis of its own (" + program + ", append-only file in " + dir + ")"}, nil
}

// soleServer waits until no server of an earlier process works in dir, and returns the lock that the next one inherits. After a kill -9 of
// ours the old server still answers for a moment, writes its file, and at its end removes the socket: that of a server which was
// started meanwhile.
func soleServer(ctx context.Context, dir string) (*os.File, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		select {
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("the redis-server of an earlier process still works in %s: stop it", dir), lock.Close())
		case <-tick.C:
		}
	}
	return lock, nil
}

// socketPath is in dir, or in a new directory when the path would exceed the 107 bytes of sockaddr_un.
func socketPath(dir string) (path string, remove func(), err error) {
	path = filepath.Join(dir, "socket")
	if len(path) <= 107 {
		return path, func() {}, nil
	}
	short, err := os.MkdirTemp("", "tidings-redis-")
	return filepath.Join(short, "socket"), func() { _ = os.RemoveAll(short) }, err
}

// keepRunning starts the server and starts it again when it ends, until ctx does. The first failure is reported.
func (c *child) keepRunning(ctx context.Context, failed chan<- error) {
	runtime.LockOSThread() // Pdeathsig fires when the thread that started the child ends, not the process
	defer runtime.UnlockOSThread()
	for wait := 100 * time.Millisecond; ctx.Err() == nil; wait = min(2*wait, 5*time.Second) {
		started := time.Now()
		err := c.runOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		select {
		case failed <- err:
		default:
		}
		c.log.Error("the embedded Redis ended and is started again", "err", err)
		if time.Since(started) > time.Minute {
			wait = 100 * time.Millisecond
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// runOnce runs the server to its end. At ctx's end it is told to write its file and go, and killed after 10 s.
func (c *child) runOnce(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, c.program, c.args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Pdeathsig: syscall.SIGTERM, // kill -9 of ours must not leave it behind
		Setpgid:   true,            // Ctrl-C goes to the terminal's group: Redis must outlive our drain
	}
	cmd.ExtraFiles = []*os.File{c.lock}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Run(); err != nil {
		return err
	}
	return errors.New("it ended by itself")
}

// ready waits until the server answers; while it loads its file it says so, for which it has 2 minutes.
func (c *child) ready(ctx context.Context, failed <-chan error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*time.Minute, errors.New("it did not answer within 2 minutes"))
	defer cancel()
	r := redis.NewUniversalClient(c.options)
	defer r.Close() //nolint:errcheck // nothing was written
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if r.Ping(ctx).Err() == nil {
			return nil
		}
		select {
		case err := <-failed:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}
