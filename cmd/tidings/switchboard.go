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
	tidings.Every(ctx, 10*time.Second, func() {
		p.warn(ctx, "record the health of integrations", p.db.RecordHealth(ctx, p.board.Health(worker)))
	})
}

// reports are the integrations as their providers' reports reach them.
type reports struct{ *process }

// Reporter finds an integration that reads its provider's reports.
func (p reports) Reporter(integration, provider string) (tidings.Reporter, bool) {
	sender := p.board.Sender(integration)
	r, ok := sender.(tidings.Reporter)
	return r, ok && sender.Provider() == provider
}

// VerifyAttempt tells whether a report's URL was signed for its attempt.
func (p reports) VerifyAttempt(attempt tidings.ID, signature string) bool {
	return auth.VerifyReceipt(p.master, attempt, signature, p.old...)
}

// VerifyIntegration tells whether a report's URL was signed for all of an integration's attempts.
func (p reports) VerifyIntegration(integration, key string) bool {
	return auth.VerifyReports(p.master, integration, key, p.old...)
}
