// Package kanneltest runs a real Kannel (bearerbox and smsbox of Debian's package kannel) with a simulated operator
// behind it, for tests and for scripts that break things.
package kanneltest

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"text/template"
	"time"

	"tidings/internal/sim/operator"
)

//go:embed kannel.conf
var configText string

var configTemplate = template.Must(template.New("kannel.conf").Parse(configText))

const (
	startTimeout = 20 * time.Second
	killAfter    = 3 * time.Second // a bearerbox that holds a report for an absent smsbox can hang for minutes after TERM
	restartPause = 200 * time.Millisecond
	pollEvery    = 20 * time.Millisecond
	startTries   = 3 // another process may take a port between its choice and its use
)

// Options says what a Kannel is started with. The zero value starts one with an operator in this process.
type Options struct {
	// OperatorURL is the base URL of an operator simulator that runs elsewhere; its -report must then be ReportURL of a
	// Kannel with fixed Ports. Empty: one in this process.
	OperatorURL string
	ReportAfter time.Duration // of the operator in this process: between taking an SMS and reporting on it
	Ports       Ports         // zero: free ones
}

// Ports are the TCP ports of one Kannel, on 127.0.0.1.
type Ports struct {
	Admin    int // bearerbox's HTTP administration
	Boxes    int // where smsbox meets bearerbox
	Operator int // where the operator reports
	Send     int // sendsms
}

// Kannel is a running gateway.
type Kannel struct {
	SendURL  string
	User     string
	Password string
	Admin    string             // base URL of the administration; every call takes password=admin
	Operator *operator.Operator // nil if it runs elsewhere
	Dir      string             // configuration, spool and logs

	bearerbox, smsbox *box
	done              chan struct{}
}

type configuration struct {
	Ports
	Dir, OperatorURL, User, Password string
}

// Start runs a Kannel for one test and stops it at the test's end.
func Start(t testing.TB, o Options) *Kannel {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	k, err := Run(ctx, t.TempDir(), o)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		k.Wait()
		if t.Failed() {
			t.Log(k.logTail())
		}
	})
	return k
}

// Run starts a Kannel that keeps its files in dir, returns when it takes messages, and stops it when ctx ends (see Wait).
// Boxes that die are started again.
func Run(ctx context.Context, dir string, o Options) (k *Kannel, err error) {
	for range startTries {
		if k, err = run(ctx, dir, o); err == nil || ctx.Err() != nil {
			return k, err
		}
	}
	return nil, err
}

func run(ctx context.Context, dir string, o Options) (*Kannel, error) {
	ctx, cancel := context.WithCancel(ctx)
	ports, err := o.Ports.fill()
	if err != nil {
		cancel()
		return nil, err
	}
	k := &Kannel{SendURL: fmt.Sprintf("http://127.0.0.1:%d/cgi-bin/sendsms", ports.Send), User: "tidings", Password: "tidings-sms",
		Admin: fmt.Sprintf("http://127.0.0.1:%d", ports.Admin), Dir: dir, done: make(chan struct{})}
	closeOperator := func() {}
	if o.OperatorURL == "" {
		k.Operator = operator.New(operator.Config{ReportURL: ReportURL(ports), ReportAfter: o.ReportAfter})
		server := httptest.NewServer(k.Operator)
		o.OperatorURL = server.URL
		closeOperator = func() {
			k.Operator.Close() // first, so that no held answer keeps the server open
			server.Close()
		}
	}
	path, err := writeConfig(configuration{Ports: ports, Dir: dir, OperatorURL: o.OperatorURL, User: k.User, Password: k.Password})
	if err == nil {
		err = k.startBoxes(ctx, ports, path)
	}
	stopped := func() {
		cancel()
		k.smsbox.wait()
		k.bearerbox.wait()
		closeOperator()
		close(k.done)
	}
	if err != nil {
		stopped()
		return nil, fmt.Errorf("start Kannel: %w\n%s", err, k.logTail())
	}
	go func() {
		<-ctx.Done()
		stopped()
	}()
	return k, nil
}

// startBoxes starts bearerbox, then smsbox, which panics when it finds no bearerbox.
func (k *Kannel) startBoxes(ctx context.Context, ports Ports, config string) error {
	k.bearerbox = supervise(ctx, "bearerbox", k.Dir, config, 0)
	if err := waitForPort(ctx, ports.Boxes); err != nil {
		return err
	}
	k.smsbox = supervise(ctx, "smsbox", k.Dir, config, ports.Boxes)
	if err := waitForPort(ctx, ports.Send); err != nil {
		return err
	}
	if err := waitForPort(ctx, ports.Operator); err != nil {
		return err
	}
	return k.Ready(ctx) // the port could be another process's
}

// Wait returns when every process has ended. Call it after ending the context of Run.
func (k *Kannel) Wait() { <-k.done }

// KillBearerbox kills bearerbox with SIGKILL, and smsbox with it, which would take 10 s to quit by itself and no message
// meanwhile. Both are started again.
func (k *Kannel) KillBearerbox() {
	k.bearerbox.kill()
	k.smsbox.kill()
}

// Ready waits until sendsms answers, after a kill.
func (k *Kannel) Ready(ctx context.Context) error {
	return poll(ctx, func() bool {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, k.SendURL, nil) // no user: 403
		if err != nil {
			return false
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusForbidden
	})
}

// ReportURL is where the operator behind a Kannel with these ports reports.
func ReportURL(p Ports) string {
	return fmt.Sprintf("http://127.0.0.1:%d/sms?username=operator&password=operator", p.Operator)
}

// fill picks ports that nobody listens on for those that are 0.
func (p Ports) fill() (Ports, error) {
	for _, port := range []*int{&p.Admin, &p.Boxes, &p.Operator, &p.Send} {
		if *port != 0 {
			continue
		}
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return p, err
		}
		defer listener.Close() // all are held until the last is chosen, so that no two are the same
		*port = listener.Addr().(*net.TCPAddr).Port
	}
	return p, nil
}

func writeConfig(c configuration) (path string, err error) {
	if err := os.MkdirAll(filepath.Join(c.Dir, "spool"), 0o700); err != nil { // bearerbox panics without it
		return "", err
	}
	var b bytes.Buffer
	if err := configTemplate.Execute(&b, c); err != nil {
		return "", err
	}
	path = filepath.Join(c.Dir, "kannel.conf")
	return path, os.WriteFile(path, b.Bytes(), 0o600)
}

func waitForPort(ctx context.Context, port int) error {
	err := poll(ctx, func() bool { return listening(port) })
	if err != nil {
		return fmt.Errorf("nobody listens on port %d: %w", port, err)
	}
	return nil
}

func listening(port int) bool {
	conn, err := net.DialTimeout("tcp", "127.0.0.1:"+strconv.Itoa(port), time.Second)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// poll asks until the answer is yes, within startTimeout.
func poll(ctx context.Context, done func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
	return nil
}

func (k *Kannel) logTail() string {
	var all []string
	for _, name := range []string{"bearerbox", "smsbox"} {
		b, err := os.ReadFile(filepath.Join(k.Dir, name+".log"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err.Error()
		}
		lines := strings.Split(string(b), "\n")
		all = append(all, lines[max(0, len(lines)-15):]...)
	}
	return strings.Join(all, "\n")
}

// programPath finds a box. Debian puts them where only root's PATH looks.
func programPath(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	path, err := exec.LookPath(filepath.Join("/usr/sbin", name))
	if err != nil {
		return "", fmt.Errorf("%s is missing: install Debian's package kannel: %w", name, err)
	}
	return path, nil
}

// box is one supervised process.
type box struct {
	mu      sync.Mutex
	process *os.Process
	done    chan struct{}
}
