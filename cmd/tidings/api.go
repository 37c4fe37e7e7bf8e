package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/hibiken/asynqmon"
	"github.com/spf13/cobra"

	"tidings"
	"tidings/api"
	"tidings/auth"
	"tidings/comet"
	"tidings/console"
	"tidings/platform"
	"tidings/tasks"
	"tidings/templates"
)

// apiInFlight is how many requests the API works on at once. More would only wait for the same group commits.
const apiInFlight = 2048

func newAPI(d *deps) *cobra.Command {
	c := &cobra.Command{
		Use: "api", Short: "Serve /v1, the console and the receipts of providers", Args: noArgument,
		RunE: func(c *cobra.Command, _ []string) error {
			p, err := newProcess(c, d)
			if err != nil {
				return err
			}
			return p.run(c.Context(), p.startAPI)
		},
	}
	return withSettings(c, forStores, forDoors, forLogs)
}

func (p *process) startAPI(ctx context.Context) error {
	if err := p.sharedStores(ctx, "api"); err != nil {
		return err
	}
	if err := p.serveAdmin("127.0.0.1:9080"); err != nil {
		return err
	}
	l, err := p.listen(or(p.cfg.Listen, ":8080"))
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	if err := p.apiRoutes(mux, browserURL(l.Addr())); err != nil {
		return err
	}
	p.background("integrations", forever(func(ctx context.Context) { p.board.Run(ctx, func() {}) }))
	p.background("relay", forever(p.relay.Watch)) // the workers sweep
	p.background("bells", forever(p.relay.Ring))
	p.serve("api", mux, l)
	p.log.Info("api open", "address", l.Addr().String())
	return nil
}

// apiRoutes puts the API and the console on mux. self is where they are reached from this machine.
func (p *process) apiRoutes(mux *http.ServeMux, self string) error {
	if _, err := p.switchboard(p.cfg.PublicURL); err != nil { // for the reports of providers
		return err
	}
	door := p.newDoor("api", apiInFlight)
	configuration := platform.New(platform.Config{Store: p.db, Check: templates.Check, NewKey: auth.NewKey, Hash: auth.HashPassword, Verify: auth.CheckPassword, Now: time.Now,
		Drivers: drivers, Environment: givenIntegrations(p.cfg), PlainEndpoints: p.cfg.EndpointNetworks != ""})
	a := api.New(api.Config{
		Store: p.db, Auth: p.auth, Tokens: p.tokens, Door: door, Now: time.Now, Ready: p.ready, OpenAPI: tidings.OpenAPI,
		Platform:    configuration,
		Marked:      p.streams.Marked,
		Presence:    p.streams,
		Reports:     reports{p},
		SignProof:   func(s tidings.ProofSeal) string { return auth.SignProof(p.master, s) },
		VerifyProof: func(s tidings.ProofSeal) bool { return auth.VerifyProof(p.master, s, p.old...) },
	})
	mux.Handle("/", a.Handler())
	p.background("key use", p.noteKeys)
	demo, err := p.demoPage(self)
	if err != nil {
		return err
	}
	c, err := console.New(console.Options{
		Door: door, Auth: p.auth, Platform: configuration, Record: p.db, Now: time.Now, Demo: demo, Modules: comet.Modules, CometURL: p.cfg.CometURL,
		Send: a.Send, Preview: a.Foretell, Broadcast: a.Broadcast, Proof: a.WriteProof, Health: p.health,
		Monitor:  asynqmon.Options{RedisConnOpt: redisConnection{p.options}},
		Queues:   queues{tasks.NewQueues(p.redis)},
		Describe: tasks.Describe,
		Link:     auth.NewLinks(p.master, p.old...).Open,
	})
	if err != nil {
		return err
	}
	p.onStop("console", func(context.Context) error { return c.Close() })
	c.Routes(mux)
	return nil
}

// noteKeys writes once a minute which keys were used, and a last time at the end.
func (p *process) noteKeys(ctx context.Context) error {
	tidings.Every(ctx, time.Minute, func() {
		p.warn(ctx, "note the use of keys", p.db.KeysUsed(ctx, p.auth.Used()))
	})
	return errors.Join(p.db.KeysUsed(context.WithoutCancel(ctx), p.auth.Used()), ctx.Err())
}

// queues gives the console the queues in its own words.
type queues struct{ *tasks.Queues }

// List returns every queue.
func (q queues) List() ([]console.Queue, error) {
	found, err := q.Queues.List()
	list := make([]console.Queue, len(found))
	for i, s := range found {
		list[i] = console.Queue(s)
	}
	return list, err
}
