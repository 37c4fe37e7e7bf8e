package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"tidings"
	"tidings/internal/failover"
	"tidings/internal/fleet"
)

// wantFailover is how many milliseconds a critical message may take at the 99th percentile when the first SMS provider is dead.
const wantFailover = 2000

// providerDies measures a load whose first SMS provider dies in its middle, once by refusing connections and once by hanging.
func providerDies(ctx context.Context, span time.Duration, out string) error {
	return onSite(ctx, func(s *site) error { return s.failovers(ctx, span, out) })
}

func (s *site) failovers(ctx context.Context, span time.Duration, out string) error {
	site := failover.Site{Admin: fleet.NewClient(s.api.URL, fleet.AdminToken, 256), DB: s.db}
	load := failover.Load{Rates: map[tidings.Lane]int{tidings.Critical: 50, tidings.Normal: 50, tidings.Bulk: 100}, Before: span, After: 2 * span}
	var reports []*failover.Report
	var failed []string
	for _, way := range failover.Ways {
		say("200 messages/s, a quarter of them critical: %s, then the first provider %s, and %s more", load.Before, way, load.After)
		r, err := failover.Run(ctx, site, way, load)
		if err != nil {
			return fmt.Errorf("%w\n%s", err, s.fleet.Logs())
		}
		r.Print(os.Stdout)
		reports = append(reports, r)
		if p99 := r.After[tidings.Critical].P99; p99 > wantFailover || len(r.Lost)+len(r.Doubled) > 0 {
			failed = append(failed, fmt.Sprintf("%s: critical p99 %.0f ms, lost %q, doubled %q", way, p99, r.Lost, r.Doubled))
		}
	}
	if len(failed) > 0 {
		fmt.Println("not reached:", strings.Join(failed, "; "))
	}
	return write(out, reports)
}
