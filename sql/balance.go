package sql

import (
	"context"
	"strconv"
	"strings"
	"time"

	"tidings"
)

// maxFaults bounds the faults that Balance names: who has a thousand needs no list but a restore.
const maxFaults = 1000

// Balance compares what each stage expected with the rows that exist (the view balance), and finds what should have moved
// more than settle ago. It reads the whole record: on PostgreSQL about a second for a million notifications.
func (db *DB) Balance(ctx context.Context, settle time.Duration) (b tidings.Balance, err error) {
	err = db.report(ctx, func(t *tx) error {
		b = tidings.Balance{Deliveries: map[tidings.State]int64{}, Faults: []tidings.BalanceFault{}}
		if err := t.balanceCounts(ctx, &b); err != nil {
			return err
		}
		var faults []struct {
			Rule, Place     string
			Expected, Found int64
		}
		if err := t.Select(ctx, &faults, "balance-faults", maxFaults); err != nil {
			return err
		}
		for _, f := range faults {
			b.Faults = append(b.Faults, tidings.BalanceFault{Rule: f.Rule, Where: where(f.Place), Expected: f.Expected, Found: f.Found})
		}
		var overdue []string
		if err := t.Select(ctx, &overdue, "balance-overdue", settle.Microseconds()); err != nil {
			return err
		}
		b.Overdue = int64(len(overdue))
		for _, place := range overdue[:min(len(overdue), maxFaults)] {
			b.Faults = append(b.Faults, tidings.BalanceFault{Rule: "overdue", Where: where(place), Expected: 0, Found: 1})
		}
		return nil
	})
	return b, err
}

func (t *tx) balanceCounts(ctx context.Context, b *tidings.Balance) error {
	var counts struct{ Messages, Notifications, Open int64 }
	if err := t.Get(ctx, &counts, "balance-counts"); err != nil {
		return err
	}
	b.Messages, b.Notifications, b.Open = counts.Messages, counts.Notifications, counts.Open
	var states []struct {
		State tidings.State
		N     int64
	}
	if err := t.Select(ctx, &states, "balance-states"); err != nil {
		return err
	}
	for _, s := range states {
		b.Deliveries[s.State] = s.N
	}
	return nil
}

// where writes the view's decimal ids as the API does: "message 13 u1 sms" becomes "message 000000000000d u1 sms".
func where(place string) string {
	kind, rest, _ := strings.Cut(place, " ")
	if kind == "user" { // its id is the company's own, whatever it looks like
		return place
	}
	number, rest, more := strings.Cut(rest, " ")
	id, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return place
	}
	if head, endpoint, ok := strings.Cut(rest, " to "); ok { // of an event
		if id, err := strconv.ParseInt(endpoint, 10, 64); err == nil {
			rest = head + " to " + tidings.ID(id).String()
		}
	}
	place = kind + " " + tidings.ID(id).String()
	if more {
		place += " " + rest
	}
	return place
}
