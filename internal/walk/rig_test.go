package walk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidings/internal/fleet"
	"tidings/internal/proctest"
)

// up is the one Tidings that all tests of this package walk through: one process over SQLite, as 'tidings up' runs it.
var up struct {
	*fleet.Fleet
	*fleet.Process
	database string
}

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "tidings-walk-")
	if err == nil {
		defer os.RemoveAll(dir) //nolint:errcheck // of the temporary directory
		err = start(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer up.Fleet.Stop() //nolint:errcheck // it dies with us in any case
	exit := m.Run()
	if log := up.Log(); strings.Contains(log, "panic") {
		fmt.Fprintln(os.Stderr, "the process panicked:\n"+log)
		return 1
	}
	return exit
}

func start(dir string) error {
	binary, err := fleet.Build(dir)
	if err != nil {
		return err
	}
	up.database = filepath.Join(dir, "data", "tidings.db")
	if err := os.MkdirAll(filepath.Dir(up.database), 0o700); err != nil {
		return err
	}
	up.Fleet = fleet.New(dir, binary, "sqlite:"+up.database, "")
	up.Process, err = up.Fleet.Start("up", "up")
	return err
}

// caller speaks to the API with one credential; "" is nobody.
type caller struct {
	t     *testing.T
	token string
}

func as(t *testing.T, token string) caller { return caller{t, token} }

func root(t *testing.T) caller { return as(t, fleet.AdminToken) }

// plain follows no redirect: that a form was taken is an answer.
var plain = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// ask makes one request and returns its status and answer.
func (c caller) ask(method, path, body string, header ...string) (int, string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, up.URL+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := plain.Do(r)
	if err != nil {
		c.t.Fatalf("%s %s: %v\n%s", method, path, err, up.Logs())
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// must asks and wants a status; body is JSON text, or a value to be written as such.
func (c caller) must(status int, method, path string, body any) string {
	c.t.Helper()
	got, text := c.ask(method, path, written(c.t, body))
	if got != status {
		c.t.Fatalf("%s %s answers %d and not %d: %s", method, path, got, status, text)
	}
	return text
}

// get reads an answer of 200 into a value.
func get[T any](c caller, path string) (v T) {
	c.t.Helper()
	return read[T](c.t, c.must(200, "GET", path, nil))
}

func read[T any](t *testing.T, text string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}

func written(t *testing.T, body any) string {
	t.Helper()
	switch b := body.(type) {
	case nil:
		return ""
	case string:
		return b
	}
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// object is a JSON object in the making.
type object map[string]any

// list is a list's answer.
type list[T any] struct {
	Data []T `json:"data"`
}

// password is that of every account here.
const password = "a password of enough length"

// person makes an account and returns who calls with a key of it.
func person(t *testing.T, id, role, application string) caller {
	t.Helper()
	root(t).must(201, "POST", "/v1/accounts", object{"id": id, "name": id, "role": role, "application": application, "password": password, "locale": "en"})
	made := read[struct{ Key string }](t, root(t).must(201, "POST", "/v1/keys", object{"kind": "admin", "account": id}))
	return as(t, made.Key)
}

// until waits for another process.
func until(t *testing.T, what string, ready func() bool) {
	t.Helper()
	err := proctest.Until(20*time.Second, func() error {
		if !ready() {
			return errors.New(what)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, up.Logs())
	}
}

// command runs the program as a person does at a shell, with settings such as "TIDINGS_KEY=tdk_...".
func command(t *testing.T, settings []string, args ...string) (out, errout string, exit int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c := exec.CommandContext(ctx, up.Binary, args...)
	c.Dir = t.TempDir()
	c.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.Dir, "TIDINGS_URL=" + up.URL}, settings...)
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	err := c.Run()
	if died, ok := errors.AsType[*exec.ExitError](err); ok {
		exit = died.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return stdout.String(), stderr.String(), exit
}
