// Package fleet runs a whole Tidings, as an operator would: api, worker and comet as processes of their own over a real
// PostgreSQL and a real Redis, for the programs that break it (chaos) and measure it (bench).
package fleet

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"tidings/internal/proctest"
)

// AdminToken lets the fleet's caller in as an admin.
const AdminToken = "fleet-admin-token-0123456789abcdef"

// Fleet is a set of processes with one configuration.
type Fleet struct {
	Dir    string
	Binary string
	env    []string
	member map[string]*Process
}

// Process is one process of the fleet.
type Process struct {
	Name   string
	URL    string // of its public door; "" if it has none
	Admin  string // of its admin door
	fleet  *Fleet
	args   []string
	listen []string
	*proctest.Process
}

// Build compiles the program into dir.
func Build(dir string) (string, error) {
	binary := filepath.Join(dir, "tidings")
	build := exec.Command("go", "build", "-o", binary, "tidings/cmd/tidings")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, out)
	}
	return binary, nil
}

// New returns a fleet without processes. env are further settings, "TIDINGS_X=y".
func New(dir, binary, database, redis string, env ...string) *Fleet {
	return &Fleet{Dir: dir, Binary: binary, member: map[string]*Process{}, env: append([]string{
		"TIDINGS_DATABASE_URL=" + database, "TIDINGS_REDIS_URL=" + redis, "TIDINGS_DATA=" + filepath.Join(dir, "data"),
		"TIDINGS_ADMIN_TOKEN=" + AdminToken, "TIDINGS_SECRET=fleet-master-secret-0123456789abcdef0123456789", "TIDINGS_LOG_LEVEL=warn"}, env...)}
}

// Port is a free TCP port on loopback.
func Port() (int, error) { return proctest.Port() }

// Start starts a process under a name and waits until it is ready. args is its command line: "api", "worker", "comet".
func (f *Fleet) Start(name string, args ...string) (*Process, error) {
	public, err := Port()
	if err != nil {
		return nil, err
	}
	return f.StartAt(public, name, args...)
}

// StartAt is Start with the port of the public door, for what must be known before.
func (f *Fleet) StartAt(public int, name string, args ...string) (*Process, error) {
	p := &Process{Name: name, fleet: f, args: args}
	admin, err := Port()
	if err != nil {
		return nil, err
	}
	p.Admin = "http://127.0.0.1:" + strconv.Itoa(admin)
	p.listen = []string{"--admin-listen", "127.0.0.1:" + strconv.Itoa(admin)}
	if args[0] != "worker" {
		p.URL = "http://127.0.0.1:" + strconv.Itoa(public)
		p.listen = append(p.listen, "--listen", "127.0.0.1:"+strconv.Itoa(public))
	}
	f.member[name] = p
	return p, p.run()
}

func (p *Process) run() error {
	dir := filepath.Join(p.fleet.Dir, p.Name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	command := append([]string{"env"}, p.fleet.env...)
	command = append(append(append(command, p.fleet.Binary), p.args...), p.listen...)
	process, err := proctest.Start(proctest.Spec{Command: command, Dir: dir})
	if err != nil {
		return err
	}
	p.Process = process
	if err := proctest.Until(30*time.Second, func() error { return Ready(p.Admin) }); err != nil {
		return fmt.Errorf("%s is not ready: %w; it said: %s", p.Name, err, tail(p.Log()))
	}
	return nil
}

// KillAndRestart kills the process with -9 and starts it again on the same ports. It returns when it is ready.
func (p *Process) KillAndRestart() error {
	if err := p.Kill(); err != nil {
		return err
	}
	return p.Restart()
}

// Restart starts a process that was killed again on the same ports. It returns when it is ready.
func (p *Process) Restart() error {
	if err := p.Process.Stop(); err != nil {
		if _, died := errors.AsType[*exec.ExitError](err); !died {
			return err
		}
	}
	return p.run()
}

// Ready asks a process's admin door whether it is.
func Ready(admin string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, admin+"/readyz", nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close() //nolint:errcheck // nothing is read
	if answer.StatusCode != http.StatusOK {
		return errors.New(answer.Status)
	}
	return nil
}

// Env are the settings that every process of the fleet has, for a command that works on it.
func (f *Fleet) Env() []string { return f.env }

// Logs are the last lines of every process, for a failure that wants explaining.
func (f *Fleet) Logs() string {
	var b strings.Builder
	for name, p := range f.member {
		fmt.Fprintf(&b, "--- %s\n%s\n", name, tail(p.Log()))
	}
	return b.String()
}

// Stop ends every process.
func (f *Fleet) Stop() error {
	var errs []error
	for _, p := range f.member {
		if err := p.Process.Stop(); err != nil {
			if _, died := errors.AsType[*exec.ExitError](err); !died {
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

func tail(s string) string { return s[max(0, len(s)-2000):] }

// CPU is the processor time in seconds that a process and those it started have used. Of a PostgreSQL that is all of it.
func CPU(pid int) (float64, error) {
	total, err := ticks(pid)
	if err != nil {
		return 0, err
	}
	children, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	for _, c := range children {
		child, err := strconv.Atoi(c.Name())
		if err != nil || child == pid {
			continue
		}
		if fields, err := stat(child); err == nil && fields[1] == strconv.Itoa(pid) {
			n, err := ticks(child)
			if err == nil {
				total += n
			}
		}
	}
	return total, nil
}

// stat are the fields of /proc/<pid>/stat from the third on (proc(5)): state, ppid, ...
func stat(pid int) ([]string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	return strings.Fields(rest), nil
}

// ticks are utime, stime and those of children waited for, in seconds; a tick is 10 ms on Linux.
func ticks(pid int) (float64, error) {
	fields, err := stat(pid)
	if err != nil {
		return 0, err
	}
	var sum float64
	for _, f := range fields[11:15] {
		n, err := strconv.ParseFloat(f, 64)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum / 100, nil
}
