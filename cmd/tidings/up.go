package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"tidings/comet"
)

const upLong = `Run everything in one process: API, console, workers and comet.

With nothing set it keeps its record in SQLite under the data directory and runs a Redis of its own. With --demo it also
brings an application, a merchant with two stores and users, and simulators of the SMS gateway and of Baidu Push.`

func newUp(d *deps) *cobra.Command {
	c := &cobra.Command{
		Use: "up", Short: "Run everything in one process", Long: upLong, Args: noArgument,
		Example: "  tidings up --demo\n  tidings up --data /var/lib/tidings --listen :80",
		RunE: func(c *cobra.Command, _ []string) error {
			p, err := newProcess(c, d)
			if err != nil {
				return err
			}
			return p.run(c.Context(), p.startUp)
		},
	}
	return withSettings(c, forStores, forDoors, forWorkers, forLogs)
}

func (p *process) startUp(ctx context.Context) error {
	unlock, err := lockData(p.cfg.Data)
	if err != nil {
		return err
	}
	p.onStop("data directory", func(context.Context) error { unlock(); return nil })
	p.tokenPlace = "sign in with TIDINGS_ADMIN_TOKEN"
	if p.cfg.AdminToken == "" {
		name := filepath.Join(p.cfg.Data, "admin-token")
		p.tokenPlace = "sign in with the token in " + name
		if p.cfg.AdminToken, err = keptSecret(name); err != nil {
			return err
		}
	}
	conveyor, err := p.openConveyor(ctx)
	if err != nil {
		return err
	}
	l, err := p.listen(or(p.cfg.Listen, ":8080"))
	if err != nil {
		return err
	}
	self := browserURL(l.Addr())
	if err := p.startDemo(ctx, self); err != nil {
		return err
	}
	if err := p.serveUp(l, self); err != nil {
		return err
	}
	p.greet(self, conveyor)
	return nil
}

// openConveyor opens the stores on the Redis that is set, or on the one that we bring, and tells which.
func (p *process) openConveyor(ctx context.Context) (line string, err error) {
	if p.cfg.RedisURL != "" {
		options, err := parseRedisURL(p.cfg.RedisURL)
		if err != nil {
			return "", err
		}
		return mask("redis-url", p.cfg.RedisURL), p.openStores(ctx, options, true)
	}
	e, err := startEmbedded(ctx, p.cfg.Data, p.log, exec.LookPath)
	if err != nil {
		return "", err
	}
	p.onStop("embedded Redis", func(context.Context) error { e.stop(); return nil })
	return e.line, p.openStores(ctx, e.options, e.real)
}

// serveUp opens the doors of all parts on one address.
func (p *process) serveUp(l net.Listener, self string) error {
	if err := p.serveAdmin("127.0.0.1:9080"); err != nil {
		return err
	}
	public := p.cfg.PublicURL
	if public == defaultOf("public-url") {
		public = self // the port may be another one
	}
	mux := http.NewServeMux()
	if err := p.apiRoutes(mux, self); err != nil {
		return err
	}
	var node *comet.Node
	node, err := p.cometRoutes(mux)
	if err != nil {
		return err
	}
	if err := p.startWorkers(public); err != nil {
		return err
	}
	p.serveComet(mux, node, time.Second, l) // they can only come back to the next start of this process
	return nil
}

// browserURL is where a browser on this machine reaches the address that we listen on.
func browserURL(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return "http://" + a.String()
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

func defaultOf(name string) string {
	for _, s := range settings {
		if s.name == name {
			return s.fallback
		}
	}
	panic("no setting " + name)
}

// greet tells the operator what runs, on what, and what to do next.
func (p *process) greet(self, conveyor string) {
	say := func(format string, args ...any) { fmt.Fprintf(p.out, format+"\n", args...) }
	say("Tidings is up.")
	say("  record     %s", mask("database-url", databaseURL(p.cfg)))
	say("  conveyor   %s", conveyor)
	say("  API        %s/v1", self)
	say("  console    %s/console   (%s)", self, p.tokenPlace)
	say("  dashboard  %s/queues", self)
	if p.cfg.Demo == "true" {
		demo := readDemoEnv(p.cfg.Data)
		say("  page       %s/demo", self)
		say("\nSend a message to %s on the page, the app and the phone:\n", demo["TIDINGS_USER"])
		say("%s\n", demo.curl())
		say("Or with the command line:\n\n  set -a; . %s; set +a\n  bin/tidings tail &\n  bin/tidings send code.login --user %s --data '{\"code\":\"4711\"}' --wait",
			filepath.Join(p.cfg.Data, demoEnvFile), demo["TIDINGS_USER"])
	}
	say("\nCtrl-C stops it.")
}
