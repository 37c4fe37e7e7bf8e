package main

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"slices"
	"sync"

	"tidings"
	"tidings/console"
)

// health tells how the stores, comet and the providers stand, all asked at once.
func (p *process) health(ctx context.Context) []console.Check {
	checks := []console.Check{{Name: "database"}, {Name: "redis"}, {Name: "comet"}, {Name: "kannel", Channel: tidings.SMS}, {Name: "baidu", Channel: tidings.App}}
	ask := []func() (state, detail string){
		func() (string, string) { return standing(p.db.Ready(ctx), "answers") },
		func() (string, string) { return standing(p.redis.Ping(ctx).Err(), "answers") },
		func() (string, string) { return p.connected(ctx) },
		func() (string, string) { return reach(ctx, p.cfg.KannelURL, p.cfg.KannelUser != "") },
		func() (string, string) { return reach(ctx, p.cfg.BaiduURL, p.cfg.BaiduKey != "") },
	}
	var wait sync.WaitGroup
	for i := range checks {
		wait.Go(func() { checks[i].State, checks[i].Detail = ask[i]() })
	}
	wait.Wait()
	return slices.Clip(checks)
}

// standing puts a check's outcome into words; what is wrong stands in the log of whoever uses the part.
func standing(err error, well string) (state, detail string) {
	if err != nil {
		return "down", "does not answer"
	}
	return "ok", well
}

// connected tells how many pages are connected to how many nodes.
func (p *process) connected(ctx context.Context) (state, detail string) {
	found, err := p.streams.Presence(ctx)
	if err == nil && len(found.Nodes) == 0 {
		return "down", "no node runs"
	}
	return standing(err, fmt.Sprintf("holds %d connections on %d nodes", found.Connections, len(found.Nodes)))
}

// reach tells whether a provider takes connections. That it takes messages too, the attempts show.
func reach(ctx context.Context, address string, set bool) (state, detail string) {
	u, err := url.Parse(address)
	if !set || err != nil {
		return "off", "no account is set for this process"
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err == nil {
		err = c.Close()
	}
	return standing(err, "takes connections at "+u.Host)
}
