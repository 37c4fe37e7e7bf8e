package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"
)

// One process holds no more connections than it may have descriptors. So several of them, the children of one parent,
// share a port: each has a listening socket of its own (SO_REUSEPORT), over which the kernel spreads new connections.
//
// The sockets belong to the parent, and a child that takes another's place inherits the same one: what waits in it to be
// accepted is not reset when a process ends, as it would be with a socket of the process's own, and is served by the next.

// Descriptors that a child inherits, in this order, from 3 on.
const (
	inheritPublic = 3 + iota
	inheritAdmin
	inheritReady // it says there that it is ready
	inheritAlive // it ends with its parent
)

// inheritEnv tells a process that it has these descriptors.
const inheritEnv = "TIDINGS_INHERITED"

const (
	childReady  = time.Minute // a child that is not ready by then has failed
	restartMin  = 200 * time.Millisecond
	restartMax  = 10 * time.Second
	restartWell = 30 * time.Second // one that lived so long is restarted soon again
)

// processes is a parent and its children.
type processes struct {
	log     *slog.Logger
	program string
	args    []string // of every child
	node    string
	errout  io.Writer
	slots   []*slot
}

// slot is the place of one child.
type slot struct {
	of            *processes
	number        int
	public, admin *os.File
	at            string // the admin door
	renew         chan chan error
}

// runProcesses keeps n children until ctx ends; a SIGHUP replaces them one by one.
func (p *process) runProcesses(ctx context.Context, c *cobra.Command, n int) error {
	if err := requireShared(p.cfg, "comet"); err != nil {
		return err
	}
	program, err := os.Executable() // by name: the file may be a newer program by the time of a SIGHUP
	if err != nil {
		return err
	}
	f := &processes{log: p.log, program: program, args: childArgs(c), node: p.cfg.Node, errout: p.errout}
	defer f.close()
	if err := f.listen(or(p.cfg.Listen, ":8081"), or(p.cfg.AdminListen, "127.0.0.1:9081"), n); err != nil {
		return err
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	var all sync.WaitGroup
	for _, s := range f.slots {
		all.Go(func() { s.keep(ctx) })
	}
	for {
		select {
		case <-ctx.Done():
			all.Wait()
			return nil
		case <-hup:
			f.replace(ctx)
		}
	}
}

// childArgs are the parent's own flags, without those that each child is given differently.
func childArgs(c *cobra.Command) []string {
	args := []string{"comet", "--processes=0"}
	c.Flags().Visit(func(f *pflag.Flag) {
		switch f.Name {
		case "processes", "listen", "admin-listen", "node":
		default:
			args = append(args, "--"+f.Name+"="+f.Value.String())
		}
	})
	return args
}

// listen opens the sockets: one public for each child, all on one port, and an admin door for each on ports that follow
// one another.
func (f *processes) listen(public, admin string, n int) error {
	host, text, err := net.SplitHostPort(admin)
	if err != nil {
		return fmt.Errorf("--admin-listen: %w", err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return fmt.Errorf("--admin-listen: the port of the first process must be a number: %w", err)
	}
	for i := range n {
		s := &slot{of: f, number: i, renew: make(chan chan error)}
		f.slots = append(f.slots, s)
		if s.public, public, err = socket(public, true); err != nil {
			return err
		}
		at := admin
		if port != 0 {
			at = net.JoinHostPort(host, strconv.Itoa(port+i))
		}
		if s.admin, s.at, err = socket(at, false); err != nil {
			return err
		}
	}
	f.log.Info("comet open", "address", public, "processes", n)
	return nil
}

// socket listens and returns the socket for children to inherit, and the address with the port that was found free for
// port 0. It blocks as far as this process knows: os.File would else make it so each time it is handed on, for the children
// that hold it already too.
func socket(address string, shared bool) (*os.File, string, error) {
	var config net.ListenConfig
	if shared {
		config.Control = func(_, _ string, raw syscall.RawConn) (err error) {
			return errors.Join(raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) }), err)
		}
	}
	l, err := config.Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, "", err
	}
	defer l.Close() //nolint:errcheck // its copy lives on
	raw, err := l.(*net.TCPListener).SyscallConn()
	if err != nil {
		return nil, "", err
	}
	fd := -1
	if controlErr := raw.Control(func(own uintptr) { fd, err = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0) }); controlErr != nil || err != nil {
		return nil, "", errors.Join(controlErr, err)
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		return nil, "", errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), address), l.Addr().String(), nil
}

func (f *processes) close() {
	for _, s := range f.slots {
		for _, file := range []*os.File{s.public, s.admin} {
			if file != nil {
				_ = file.Close()
			}
		}
	}
}

// replace puts a new child into each slot, one after another: the new one serves before the old one hands its clients over.
func (f *processes) replace(ctx context.Context) {
	f.log.Info("replacing the comet processes", "program", f.program)
	for _, s := range f.slots {
		done := make(chan error)
		select {
		case s.renew <- done:
		case <-ctx.Done():
			return
		}
		if err := <-done; err != nil {
			f.log.Error("a comet process was not replaced, and the others are not tried", "process", s.number, "err", err)
			return
		}
	}
	f.log.Info("comet processes replaced")
}

// keep has a child in the slot until ctx ends.
func (s *slot) keep(ctx context.Context) {
	pause := restartMin
	for ctx.Err() == nil {
		began := time.Now()
		child, err := s.start(ctx)
		if err == nil {
			err = s.attend(ctx, child)
		}
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > restartWell {
			pause = restartMin
		}
		s.of.log.Error("comet process ended; it is started again", "process", s.number, "err", err, "in", pause)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, restartMax)
	}
}

// attend waits until the child in the slot, or one that took its place, ends by itself.
func (s *slot) attend(ctx context.Context, c *member) error {
	for {
		select {
		case <-ctx.Done():
			c.stop()
			return nil
		case <-c.ended:
			return c.err
		case done := <-s.renew:
			next, err := s.start(ctx)
			if err == nil {
				c.stop()
				c = next
			}
			done <- err
		}
	}
}

// member is a running process.
type member struct {
	command *exec.Cmd
	alive   *os.File
	ended   chan struct{}
	err     error // after ended
}

// environment is a child's: the cores are shared out among the children. Many processes that each run on all cores spend most of
// their time waking threads: 55 on two cores took 6 ms for a new connection, and 0.8 ms so. GOMAXPROCS overrides.
func (f *processes) environment() []string {
	if os.Getenv("GOMAXPROCS") != "" {
		return os.Environ()
	}
	n := len(f.slots)
	return append(os.Environ(), "GOMAXPROCS="+strconv.Itoa((runtime.GOMAXPROCS(0)+n-1)/n))
}

// start starts a child and waits until it is ready.
func (s *slot) start(ctx context.Context) (*member, error) {
	ready, readyEnd, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer ready.Close() //nolint:errcheck // read to its end
	aliveEnd, alive, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, readyEnd.Close())
	}
	args := s.of.args
	if s.of.node != "" {
		args = append(args[:len(args):len(args)], "--node="+s.of.node+"-"+strconv.Itoa(s.number))
	}
	cmd := exec.Command(s.of.program, args...)
	cmd.Env = append(s.of.environment(), inheritEnv+"=1", selfEnv+"=1")
	cmd.Stdout, cmd.Stderr = s.of.errout, s.of.errout
	cmd.ExtraFiles = []*os.File{s.public, s.admin, readyEnd, aliveEnd}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C reaches the parent, and the children by way of it
	err = cmd.Start()
	err = errors.Join(err, readyEnd.Close(), aliveEnd.Close())
	if err != nil {
		return nil, errors.Join(err, alive.Close())
	}
	c := &member{command: cmd, alive: alive, ended: make(chan struct{})}
	go func() {
		c.err = cmd.Wait()
		_ = alive.Close()
		close(c.ended)
	}()
	s.of.log.Info("comet process started", "process", s.number, "pid", cmd.Process.Pid, "admin", s.at)
	stop := context.AfterFunc(ctx, func() { _ = ready.SetReadDeadline(time.Now()) })
	defer stop()
	_ = ready.SetReadDeadline(time.Now().Add(childReady))
	if _, err := bufio.NewReader(ready).ReadString('\n'); err != nil {
		c.stop()
		return nil, fmt.Errorf("it did not become ready: %w", errors.Join(err, c.err))
	}
	s.of.log.Info("comet process ready", "process", s.number, "pid", cmd.Process.Pid)
	return c, nil
}

// stop has the child hand its clients over and end, and ends it if it does not.
func (c *member) stop() {
	_ = c.command.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-c.ended:
	case <-time.After(stopTime + 5*time.Second):
		_ = c.command.Process.Kill()
		<-c.ended
	}
}

// inherited are the doors of a process that is a child.
type inherited struct {
	public, admin net.Listener
	ready         *os.File
	alive         *os.File
}

// inherit returns what the parent gave us, or nil if we are nobody's child.
func inherit() (*inherited, error) {
	if os.Getenv(inheritEnv) == "" {
		return nil, nil
	}
	for fd := inheritPublic; fd <= inheritAlive; fd++ {
		unix.CloseOnExec(fd)
	}
	var err error
	i := &inherited{ready: os.NewFile(inheritReady, "ready"), alive: os.NewFile(inheritAlive, "alive")}
	if i.public, err = inheritListener(inheritPublic); err != nil {
		return nil, err
	}
	i.admin, err = inheritListener(inheritAdmin)
	return i, err
}

func inheritListener(fd uintptr) (net.Listener, error) {
	f := os.NewFile(fd, "inherited door")
	defer f.Close() //nolint:errcheck // the listener has its own copy
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("take the parent's door: %w", err)
	}
	return l, nil
}

// attach opens the door when the process is ready, says so to the parent, and ends the process with its parent.
func (p *process) attach(ctx context.Context, i *inherited, ready func() error, open func()) {
	go func() {
		_, _ = i.alive.Read(make([]byte, 1)) // nothing comes but the end
		p.failed(context.Canceled)
	}()
	go func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for ready() != nil {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
		open()
		_, _ = i.ready.WriteString("ready\n")
		_ = i.ready.Close()
	}()
}
