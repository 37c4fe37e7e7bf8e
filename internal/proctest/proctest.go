// Package proctest starts the servers that tests talk to and makes sure that none outlives the tests.
//
// A server runs below a small shell that holds the read end of a pipe. When the test binary ends, in whatever way (a
// panic, a time-out, kill -9), the kernel closes the other end; the shell then ends the server and removes its directory.
// A parent-death signal would be bound to the thread that started the child and needs a goroutine to keep it; the pipe
// needs neither, so goleak finds nothing.
package proctest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Spec says what to run.
type Spec struct {
	Command []string // the program and its arguments; a relative name is looked up on PATH
	Dir     string   // its working directory, where its output goes; removed at the end if Remove is set
	Remove  bool
	End     syscall.Signal      // what ends it; 0: SIGKILL
	As      *syscall.Credential // nil: as ourselves
}

// Process is a running server.
type Process struct {
	pid   int
	log   string
	shell *exec.Cmd
	alive *os.File // closing it ends the server
}

// running keeps every process reachable: the garbage collector closes the pipe of one whose caller forgot it, and so would
// end a server that is meant to stay until the tests end.
var running sync.Map

// script runs "$@" with its output in ./log until standard input ends. $1 is the signal and $2 the directory to remove. The
// server hears the signals that the shell ignores: HAProxy, for one, would keep ignoring them, and could not be ended so.
const script = `trap '' INT TERM HUP
signal=$1 remove=$2
shift 2
(trap - INT TERM HUP; exec "$@") >>log 2>&1 </dev/null &
pid=$!
echo $pid >"pid.$$.new" && mv "pid.$$.new" "pid.$$"
cat >/dev/null
kill -"$signal" $pid 2>/dev/null
wait $pid
cd /
[ -z "$remove" ] || rm -rf "$remove"
`

// Start runs the server. It does not wait until the server answers: the caller knows how to ask.
func Start(s Spec) (*Process, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close() //nolint:errcheck // the shell has its own copy
	end := s.End
	if end == 0 {
		end = syscall.SIGKILL
	}
	remove := ""
	if s.Remove {
		remove = s.Dir
	}
	args := append([]string{"-c", script, "sh", strconv.Itoa(int(end)), remove}, s.Command...)
	shell := exec.Command("/bin/sh", args...)
	shell.Dir, shell.Stdin = s.Dir, r
	// A process group of its own: Ctrl-C on the tests must reach us, and the server by way of the pipe.
	shell.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: s.As}
	if err := shell.Start(); err != nil {
		w.Close()
		return nil, err
	}
	p := &Process{log: filepath.Join(s.Dir, "log"), shell: shell, alive: w}
	running.Store(p, nil)
	file := filepath.Join(s.Dir, fmt.Sprintf("pid.%d", shell.Process.Pid))
	err = Until(10*time.Second, func() error {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		p.pid, err = strconv.Atoi(string(bytes.TrimSpace(b)))
		return err
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", s.Command[0], err), p.Stop())
	}
	return p, nil
}

// PID is the server's process id.
func (p *Process) PID() int { return p.pid }

// Kill ends the server with SIGKILL and leaves its directory as it is.
func (p *Process) Kill() error { return p.Signal(syscall.SIGKILL) }

// Signal sends the server a signal.
func (p *Process) Signal(s syscall.Signal) error { return syscall.Kill(p.pid, s) }

// Stop ends the server and returns when it is gone, and its directory if it was to be removed.
func (p *Process) Stop() error {
	running.Delete(p)
	if err := p.alive.Close(); err != nil {
		return err
	}
	return p.shell.Wait()
}

// Log is what the server has written so far.
func (p *Process) Log() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// Until calls ready every few milliseconds until it returns nil, and gives its last error when within has passed. It is
// how tests wait for another process, of which there is nothing else to wait on.
func Until(within time.Duration, ready func() error) error {
	deadline := time.After(within)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-deadline:
			return fmt.Errorf("not within %s: %w", within, err)
		case <-tick.C:
		}
	}
}
