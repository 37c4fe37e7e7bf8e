package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"tidings"
	"tidings/auth"
	"tidings/channels/switchboard"
)

// switchboard opens the integrations, once in a process. Providers call public with reports.
func (p *process) switchboard(public string) (*switchboard.Board, error) {
	if p.board != nil {
		return p.board, nil
	}
	b := switchboard.New(switchboard.Config{Drivers: drivers, Source: p.accounts, Log: p.log, Metrics: switchboard.NewMetrics(p.registry),
		Setup: func(i tidings.Integration) tidings.Setup {
			return tidings.Setup{ReportURL: func(attempt tidings.ID) string {
				return strings.TrimSuffix(public, "/") + "/v1/receipts/" + url.PathEscape(i.Provider) +
					"?attempt=" + attempt.String() + "&sig=" + auth.SignReceipt(p.master, attempt)
			}}
		}})
	if err := b.Reload(context.Background()); err != nil {
		return nil, err
	}
	p.registry.MustRegister(b)
	p.board = b
	p.onStop("integrations", func(context.Context) error { b.Close(); return nil })
	return b, nil
}

// accounts are the integrations that are configured, and those that stand in the environment.
func (p *process) accounts(ctx context.Context, known int64) (int64, []tidings.Configured, error) {
	version, all, err := p.db.Configured(ctx, known)
	if all != nil {
		all = append(all, givenIntegrations(p.cfg)...)
	}
	return version, all, err
}

// recordHealth writes every ten seconds how the integrations fare, for console and CLI.
func (p *process) recordHealth(ctx context.Context) {
	host, _ := os.Hostname() // "" names it as well, with the process id
	worker := or(p.cfg.Node, fmt.Sprintf("%s-%d", host, os.Getpid()))
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			p.warn(ctx, "record the health of integrations", p.db.RecordHealth(ctx, p.board.Health(worker)))
		}
	}
}
