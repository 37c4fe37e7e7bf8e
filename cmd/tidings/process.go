package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"tidings/auth"
	"tidings/channels/guard"
	"tidings/channels/switchboard"
	"tidings/comet"
	"tidings/handlers"
	"tidings/sql"
	"tidings/tasks"
)

// stopTime is what a process has to finish what is under way: a little more than a stage is given.
const stopTime = 30 * time.Second

// doorbellFallback is how long a lost bell may delay a task. An idle worker asks Redis so often for each of its queues.
const doorbellFallback = 5 * time.Second

// process is a server while it runs: what its parts share, and in which order they end.
type process struct {
	*deps
	cfg      *config
	log      *slog.Logger
	registry *prometheus.Registry
	master   []byte
	old      [][]byte                               // master secrets whose seals and signatures are still taken
	ready    map[string]func(context.Context) error // written while the process starts, read once it is up
	up       atomic.Bool
	proxies  []netip.Prefix

	board    *switchboard.Board // nil until opened
	provider tasks.Stage        // delivers through the board

	db      *sql.DB
	options *redis.UniversalOptions
	redis   redis.UniversalClient
	bell    *tasks.Doorbell
	relay   *tasks.Relay
	taskMet *tasks.Metrics
	streams *comet.Streams
	tokens  *auth.Tokens
	auth    *auth.Authenticator

	tokenPlace string // of 'up': where its admin finds the token

	failed context.CancelCauseFunc // ends the process: a part of it cannot go on
	stops  []stop                  // run from the last to the first
}

// stop ends one part of the process.
type stop struct {
	name string
	run  func(context.Context) error
}

// newProcess reads the settings. Nothing is opened yet.
func newProcess(c *cobra.Command, d *deps) (*process, error) {
	cfg, _, err := load(c, d.getenv)
	if err != nil {
		return nil, err
	}
	log, err := newLogger(cfg, d.errout)
	if err != nil {
		return nil, err
	}
	if cfg.AdminToken != "" && len(cfg.AdminToken) < 16 {
		return nil, errors.New("TIDINGS_ADMIN_TOKEN needs 16 characters at least: openssl rand -hex 24")
	}
	proxies, err := guard.Networks(cfg.TrustedProxies)
	if err != nil {
		return nil, fmt.Errorf("TIDINGS_TRUSTED_PROXIES: %w", err)
	}
	p := &process{deps: d, cfg: cfg, proxies: proxies, log: log, registry: prometheus.NewRegistry(), ready: map[string]func(context.Context) error{}}
	p.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return p, nil
}

// run starts the parts, waits until ctx ends or a part fails, and stops them in the reverse order.
func (p *process) run(ctx context.Context, start func(context.Context) error) error {
	ctx, p.failed = context.WithCancelCause(ctx)
	defer p.failed(nil)
	err := start(ctx)
	if err == nil {
		p.up.Store(true)
		<-ctx.Done()
		if err = context.Cause(ctx); errors.Is(err, context.Canceled) {
			err = nil
		}
	}
	return errors.Join(err, p.stopAll(context.WithoutCancel(ctx)))
}

func (p *process) stopAll(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, stopTime, errors.New("it did not stop in time"))
	defer cancel()
	var errs []error
	for i := len(p.stops) - 1; i >= 0; i-- {
		if err := p.stops[i].run(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", p.stops[i].name, err))
		}
	}
	return errors.Join(errs...)
}

// onStop adds a step to the stop.
func (p *process) onStop(name string, run func(context.Context) error) {
	p.stops = append(p.stops, stop{name, run})
}

// background runs f until the process stops. When f ends before that, the process ends with its error.
func (p *process) background(name string, f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		err := f(ctx)
		if ctx.Err() == nil {
			p.failed(fmt.Errorf("%s ended: %w", name, err))
		}
		if errors.Is(err, context.Canceled) {
			err = nil
		}
		done <- err
	}()
	p.onStop(name, func(wait context.Context) error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-wait.Done():
			return context.Cause(wait)
		}
	})
}

// openStores opens the record and the conveyor, and what hangs on both: the relay, the streams, who is let in.
func (p *process) openStores(ctx context.Context, options *redis.UniversalOptions, checked bool) error {
	var err error
	if p.master, err = masterSecret(p.cfg); err != nil {
		return err
	}
	if p.old, err = oldSecrets(p.cfg); err != nil {
		return err
	}
	p.db, err = sql.Open(ctx, sql.Options{URL: databaseURL(p.cfg), Sealer: auth.NewSealer(p.master, p.old...), Log: p.log, Metrics: sql.NewMetrics(p.registry)})
	if err != nil {
		return err
	}
	p.db.RenderBy(handlers.Renderer(p.db, time.Now))
	p.onStop("database", func(context.Context) error { return p.db.Close() })
	p.ready["database"] = p.db.Ready
	p.options = options
	if p.redis, err = openRedis(ctx, options, checked); err != nil {
		return err
	}
	p.onStop("redis", func(context.Context) error { return p.redis.Close() })
	p.tokens = auth.NewTokens(p.master, p.old...)
	p.auth = auth.New(p.db, p.tokens, p.cfg.AdminToken, time.Now)
	p.streams = comet.NewStreams(p.redis, p.db, p.log)
	p.background("streams", p.streams.Run)
	p.startRelay()
	return nil
}

// startRelay starts what puts segments on the conveyor, right after a commit and by the sweep. Every process that accepts
// or works has one.
func (p *process) startRelay() {
	p.bell = tasks.NewDoorbell(doorbellFallback, p.log)
	p.taskMet = tasks.NewMetrics(p.registry)
	p.relay = tasks.NewRelay(p.redis, p.bell, p.db, p.taskMet, p.log)
	p.db.OnAccept(p.relay.Put)
}

// forever makes a background of a function that ends only with its context.
func forever(f func(context.Context)) func(context.Context) error {
	return func(ctx context.Context) error { f(ctx); return ctx.Err() }
}

// sharedStores opens the stores of a process that runs beside others.
func (p *process) sharedStores(ctx context.Context, name string) error {
	if err := requireShared(p.cfg, name); err != nil {
		return err
	}
	options, err := parseRedisURL(p.cfg.RedisURL)
	if err != nil {
		return err
	}
	return p.openStores(ctx, options, true)
}
