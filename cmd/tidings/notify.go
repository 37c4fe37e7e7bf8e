package main

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tidings/channels/webhook"
	"tidings/handlers"
)

// startNotifier tells endpoints of applications what becomes of their deliveries.
func (p *process) startNotifier() error {
	caller, err := webhook.NewCaller(p.cfg.EndpointNetworks, time.Now)
	if err != nil {
		return fmt.Errorf("TIDINGS_ENDPOINT_NETWORKS: %w", err)
	}
	p.onStop("endpoints' connections", func(context.Context) error { caller.Close(); return nil })
	calls := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tidings_endpoint_calls_total", Help: "Calls to endpoints of applications, by outcome."}, []string{"outcome"})
	p.registry.MustRegister(calls)
	n := handlers.NewNotifier(p.db, caller, p.log, func(outcome string) { calls.WithLabelValues(outcome).Inc() })
	p.background("notifier", forever(n.Run))
	return nil
}
