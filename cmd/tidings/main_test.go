package main

import (
	"bytes"
	"context"
	"os"
	"regexp"
	"sync"
	"testing"
	"time"
)

// TestMain lets this test binary stand in for the program: 'tidings up' starts itself again for its simulators.
func TestMain(m *testing.M) {
	if os.Getenv(selfEnv) != "" {
		main()
	}
	os.Exit(m.Run())
}

// output gathers what a process prints and lets a test wait for a line of it.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
}

func newOutput() *output { return &output{changed: make(chan struct{}, 1)} }

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.changed <- struct{}{}:
	default:
	}
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// wait returns the first group of the first match in what is printed.
func (o *output) wait(t *testing.T, pattern string) string {
	t.Helper()
	re, limit := regexp.MustCompile(pattern), time.After(60*time.Second)
	for {
		if m := re.FindStringSubmatch(o.String()); m != nil {
			return m[len(m)-1]
		}
		select {
		case <-o.changed:
		case <-limit:
			t.Fatalf("%q was not printed within a minute:\n%s", pattern, o)
		}
	}
}

// environment is a getenv over a map.
func environment(env map[string]string) func(string) string {
	return func(name string) string { return env[name] }
}

// tidings runs a command to its end and returns what it printed.
func tidingsCommand(t *testing.T, env map[string]string, args ...string) (out, errout string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	var o, e bytes.Buffer
	err = run(ctx, args, environment(env), &o, &e)
	return o.String(), e.String(), err
}

// up is a 'tidings up --demo' of a test's own.
type up struct {
	url, data string
	out       *output
	env       map[string]string // as demo.env says, for client commands
	stop      func() error
}

// startDemoUp starts 'tidings up --demo' on free ports and stops it, in order, at the end of the test.
func startDemoUp(t *testing.T, env map[string]string) *up {
	t.Helper()
	u := &up{data: t.TempDir(), out: newOutput()}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	args := []string{"up", "--demo", "--data", u.data, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"}
	go func() { ended <- run(ctx, args, environment(env), u.out, u.out) }()
	stopped := false
	u.stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-ended
	}
	t.Cleanup(func() {
		if err := u.stop(); err != nil {
			t.Errorf("up ended with: %v", err)
		}
		if t.Failed() {
			t.Logf("up said:\n%s", u.out)
		}
	})
	u.url = u.out.wait(t, `page +(http://\S+)/demo`)
	u.out.wait(t, `Ctrl-C`)
	answers(t, u.url+"/readyz") // a page that comes before comet hears its bells would be told 503
	u.env = readDemoEnv(u.data)
	return u
}
