package kanneltest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// supervise runs a box and starts it again whenever it ends, until ctx ends. needs is a port that must be open first; 0:
// none.
func supervise(ctx context.Context, name, dir, config string, needs int) *box {
	b := &box{done: make(chan struct{})}
	go func() {
		defer close(b.done)
		runtime.LockOSThread() // Pdeathsig fires when the thread that forked ends, not the process
		defer runtime.UnlockOSThread()
		log, err := os.OpenFile(filepath.Join(dir, name+".log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return // the port never opens, and the start fails with that
		}
		defer log.Close()
		for ctx.Err() == nil {
			if needs == 0 || listening(needs) {
				if err := b.run(ctx, name, dir, config, log); err != nil {
					fmt.Fprintf(log, "kanneltest: %s: %v\n", name, err)
				}
			}
			pause(ctx, restartPause)
		}
	}()
	return b
}

// run starts the box and waits for its end. It is told to stop by TERM, and killed if that does not help.
func (b *box) run(ctx context.Context, name, dir, config string, log *os.File) error {
	path, err := programPath(name)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, path, "-v", "1", config)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = killAfter
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	b.set(cmd.Process)
	err = cmd.Wait()
	b.set(nil)
	return err
}

func (b *box) set(p *os.Process) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.process = p
}

func (b *box) kill() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.process != nil {
		b.process.Kill() // it may have ended meanwhile: that is what was wanted
	}
}

func (b *box) wait() {
	if b != nil {
		<-b.done
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
