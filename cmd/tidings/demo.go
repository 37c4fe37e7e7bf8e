package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"tidings"
	"tidings/auth"
	"tidings/console"
)

// demoEnvFile lies in the data directory and is sourced by a shell.
const demoEnvFile = "demo.env"

// newSeed fills the stores with the demo, for processes that run apart (Procfile). 'up --demo' does it itself.
func newSeed(d *deps) *cobra.Command {
	c := &cobra.Command{
		Use: "seed", Short: "Fill the stores with the demo's application, directory and templates", Hidden: true, Args: noArgument,
		RunE: func(c *cobra.Command, _ []string) error {
			db, cfg, err := openRecord(c, d)
			if err != nil {
				return err
			}
			defer db.Close() //nolint:errcheck // what was written is committed
			master, err := masterSecret(cfg)
			if err != nil {
				return err
			}
			return seedDemo(c.Context(), demoSeed{db: db, tokens: auth.NewTokens(master), data: cfg.Data, url: cfg.URL,
				comet: cfg.CometURL, adminToken: cfg.AdminToken})
		},
	}
	return withSettings(c, forStores, forClients, forLogs)
}

// startDemo seeds the stores and starts the simulators of providers that are not set.
func (p *process) startDemo(ctx context.Context, self string) error {
	if p.cfg.Demo != "true" {
		return nil
	}
	if err := seedDemo(ctx, demoSeed{db: p.db, tokens: p.tokens, data: p.cfg.Data, url: self, adminToken: p.cfg.AdminToken}); err != nil {
		return err
	}
	if p.cfg.KannelUser == "" {
		url, err := p.simulator("gateway", "--user", "demo", "--password", "demo")
		if err != nil {
			return err
		}
		p.cfg.KannelURL, p.cfg.KannelUser, p.cfg.KannelPassword = url, "demo", "demo"
	}
	if p.cfg.BaiduKey == "" {
		url, err := p.simulator("baidu", "--key", "demo", "--secret", "demo")
		if err != nil {
			return err
		}
		p.cfg.BaiduURL, p.cfg.BaiduKey, p.cfg.BaiduSecret = url, "demo", "demo"
	}
	return nil
}

// simulator starts one of our simulators as a child, whose output becomes ours, and returns the URL that it prints first.
func (p *process) simulator(name string, args ...string) (url string, err error) {
	program, err := os.Executable()
	if err != nil {
		return "", err
	}
	cmd := exec.Command(program, append([]string{"simulate", name}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	cmd.Env = append(os.Environ(), selfEnv+"=1")
	output, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	cmd.Stderr = cmd.Stdout
	first, started, ended := make(chan string, 1), make(chan error, 1), make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread() // Pdeathsig fires when the thread that started the child ends
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		lines := bufio.NewScanner(output)
		if lines.Scan() {
			first <- lines.Text()
		}
		for lines.Scan() {
			fmt.Fprintf(p.out, "[%s] %s\n", name, plain(lines.Text()))
		}
		_ = cmd.Wait()
	}()
	if err := <-started; err != nil {
		return "", fmt.Errorf("start the simulator %s: %w", name, err)
	}
	p.onStop("simulator "+name, func(context.Context) error { _ = cmd.Process.Kill(); <-ended; return nil })
	select {
	case line := <-first:
		_, address, ok := strings.Cut(line, "http://")
		if !ok {
			return "", fmt.Errorf("the simulator %s said %q", name, line)
		}
		return "http://" + strings.TrimSpace(address), nil
	case <-ended:
		return "", fmt.Errorf("the simulator %s ended at once", name)
	case <-time.After(10 * time.Second):
		return "", fmt.Errorf("the simulator %s says nothing", name)
	}
}

// selfEnv tells a test binary that it is run as the program (see TestMain); the program itself does not look at it.
const selfEnv = "TIDINGS_RUN_SELF"

// demoEnv is what demo.env holds.
type demoEnv map[string]string

// readDemoEnv reads demo.env; it is empty when there is none.
func readDemoEnv(data string) demoEnv {
	text, err := os.ReadFile(filepath.Join(data, demoEnvFile))
	if err != nil {
		return demoEnv{}
	}
	env := demoEnv{}
	for line := range strings.Lines(string(text)) {
		if name, v, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			env[name] = strings.ReplaceAll(strings.Trim(v, "'"), `'\''`, "'")
		}
	}
	return env
}

// write writes demo.env for its owner alone: a key is in it. The file is replaced as a whole.
func (e demoEnv) write(data string) error {
	var b strings.Builder
	for _, name := range sortedKeys(e) {
		fmt.Fprintf(&b, "%s='%s'\n", name, strings.ReplaceAll(e[name], "'", `'\''`))
	}
	name := filepath.Join(data, demoEnvFile)
	if err := os.WriteFile(name+".new", []byte(b.String()), 0o600); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// curl is the line that sends a message to the demo's user on every channel.
func (e demoEnv) curl() string {
	body := demoBody("refund", e["TIDINGS_USER"], "zh-CN")
	text, _ := json.Marshal(body) // strings and lists only
	return fmt.Sprintf("  curl %s/v1/messages \\\n    -H 'Authorization: Bearer %s' -H 'Content-Type: application/json' \\\n    -d '%s'",
		e["TIDINGS_URL"], e["TIDINGS_KEY"], text)
}

// demoBody is one of the examples, addressed to a user.
func demoBody(example, user, locale string) sendBody {
	b := sendBody{Audience: tidings.Audience{Users: []string{user}}}
	switch example {
	case "refund":
		b.Type, b.Data = "order.refund_requested", json.RawMessage(`{"order":"A-1001","amount":"128.00","reason":"尺码不合适"}`)
		if strings.HasPrefix(locale, "en") {
			b.Data = json.RawMessage(`{"order":"A-1001","amount":"128.00","reason":"wrong size"}`)
		}
	case "code":
		b.Type, b.Data = "code.login", json.RawMessage(`{"code":"4711"}`)
	case "notice":
		b.Type, b.Data = "notice.upgrade", json.RawMessage(`{"from":"23:00","to":"23:30"}`)
	}
	return b
}

// demoPage is the page's part of the demo, when the demo is on.
func (p *process) demoPage(self string) (*console.Demo, error) {
	if p.cfg.Demo != "true" {
		return nil, nil
	}
	env := readDemoEnv(p.cfg.Data)
	if env["TIDINGS_KEY"] == "" {
		return nil, errors.New("TIDINGS_DEMO is on and the data directory has no demo.env: run 'tidings seed' first, or 'tidings up --demo'")
	}
	api, err := newClient(self, env["TIDINGS_KEY"], "the demo's key")
	if err != nil {
		return nil, err
	}
	return &console.Demo{
		Users: demoUsers(),
		Mint: func(user string) (string, time.Time, error) {
			return p.tokens.Mint(auth.Claims{Application: demoApplication, User: user})
		},
		Send: func(ctx context.Context, example, user, locale string) (tidings.ID, error) {
			var accepted struct{ ID tidings.ID }
			err := api.call(ctx, http.MethodPost, "/v1/messages", demoBody(example, user, locale), &accepted)
			return accepted.ID, err
		},
	}, nil
}
