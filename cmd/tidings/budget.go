package main

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tidings"
	"tidings/sql"
)

const (
	// budgetsEvery bounds how long the parts of an SMS that was canceled or expired stay reserved. What was sent or refused is
	// settled with its attempt.
	budgetsEvery    = time.Second
	reservationPage = 1000
)

// keepBudgets settles the reservations of deliveries that ended without an attempt, shows how the SMS budgets stand, and warns
// once a month of each that runs out, until ctx ends.
func (p *process) keepBudgets(ctx context.Context) {
	parts := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "tidings_sms_budget_parts", Help: "SMS parts of the month's budget, by application: limit, reserved, spent, refunded."},
		[]string{"application", "kind"})
	warnings := prometheus.NewCounter(prometheus.CounterOpts{Name: "tidings_sms_budget_warnings_total", Help: "SMS budgets of which 80 % or more were gone for the first time in a month."})
	p.registry.MustRegister(parts, warnings)
	var page sql.ReservationPage
	idle := 0
	tidings.Every(ctx, budgetsEvery, func() {
		budgets, err := p.db.Budgets(ctx, time.Now())
		p.warn(ctx, "read the SMS budgets", err)
		parts.Reset()
		for _, b := range budgets {
			for kind, n := range map[string]int{"limit": b.Limit, "reserved": b.Reserved, "spent": b.Spent, "refunded": b.Refunded} {
				parts.WithLabelValues(b.Application, kind).Set(float64(n))
			}
			if b.Low() && !b.Warned {
				p.warnBudget(ctx, b, warnings)
			}
		}
		// A budget that was taken away may have left reservations: they are looked for now and then.
		if idle++; len(budgets) == 0 && idle%60 != 0 {
			return
		}
		page, err = p.db.SettleReservations(ctx, page, reservationPage)
		p.warn(ctx, "settle reservations", err)
	})
}

func (p *process) warnBudget(ctx context.Context, b sql.ApplicationBudget, warnings prometheus.Counter) {
	first, err := p.db.WarnBudget(ctx, b)
	p.warn(ctx, "note that a budget runs out", err)
	if first {
		warnings.Inc()
		p.log.Warn("an SMS budget runs out", "application", b.Application, "month", b.Month, "limit", b.Limit, "reserved", b.Reserved, "spent", b.Spent)
	}
}
