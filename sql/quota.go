package sql

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"tidings"
)

// quotasTime is how long a process may go on with quotas that were changed elsewhere.
const quotasTime = 2 * time.Second

func newQuotas() *tidings.Cache[struct{}, map[string]tidings.Quota] {
	return tidings.NewCache[struct{}, map[string]tidings.Quota](quotasTime, 1)
}

type quotaRow struct{ Application, Spec string }

func (r quotaRow) quota() (q tidings.Quota, err error) {
	if r.Spec != "" {
		err = json.Unmarshal([]byte(r.Spec), &q)
	}
	q.Application = r.Application
	return q, err
}

// Quotas are those of all applications that have one, at most quotasTime old: the road asks for each segment, and most have none. The map is not to
// be changed.
func (db *DB) Quotas(ctx context.Context) (map[string]tidings.Quota, error) {
	return db.quotas.Get(time.Now(), struct{}{}, func(map[string]tidings.Quota) (map[string]tidings.Quota, error) {
		var rows []quotaRow
		if err := db.Select(ctx, &rows, "quotas"); err != nil {
			return nil, err
		}
		known := make(map[string]tidings.Quota, len(rows))
		for _, r := range rows {
			q, err := r.quota()
			if err != nil {
				return nil, err
			}
			known[r.Application] = q
		}
		return known, nil
	})
}

// Quota reads the quota of an application as it stands; one without limits is all zero.
func (db *DB) Quota(ctx context.Context, application string) (tidings.Quota, error) {
	var r quotaRow
	if err := db.Get(ctx, &r, "quota", application); err != nil {
		return tidings.Quota{}, notFound(err, "application", application)
	}
	return r.quota()
}

// PutQuota sets the quota of an application. Running processes act on it within quotasTime, this one at once.
func (db *DB) PutQuota(ctx context.Context, q tidings.Quota) error {
	application := q.Application
	err := db.changed(ctx, "quota.put", "application "+application, q, func(t *tx) error {
		var there quotaRow
		if err := t.Get(ctx, &there, "quota", application); err != nil {
			return notFound(err, "application", application)
		}
		if !q.Counts() && q.Rate == 0 && len(q.Caps) == 0 {
			_, err := t.Exec(ctx, "drop-quota", application)
			return err
		}
		_, err := t.Exec(ctx, "put-quota", application, mustJSON(q))
		return err
	})
	db.quotas.Forget(struct{}{})
	return err
}

type usageRow struct {
	Period, Channel                       string
	Deliveries, Reserved, Spent, Refunded int
}

// Allowance reads what an application has used of its quota, in the day and the month in which a time lies.
func (db *DB) Allowance(ctx context.Context, q tidings.Quota, at time.Time) (tidings.Allowance, tidings.Budget, error) {
	var rows []usageRow
	if err := db.Select(ctx, &rows, "usage", q.Application, q.Day(at), q.Month(at)); err != nil {
		return tidings.Allowance{}, tidings.Budget{}, err
	}
	a, b := allowanceOf(q, q.Day(at), rows)
	return a, b, nil
}

// allowanceOf adds up the rows of a day and its month.
func allowanceOf(q tidings.Quota, day string, rows []usageRow) (tidings.Allowance, tidings.Budget) {
	a, b := tidings.Allowance{Quota: q, Used: map[tidings.Channel]int{}}, tidings.Budget{Limit: q.SMSBudget}
	for _, r := range rows {
		if r.Period == day {
			a.Used[tidings.Channel(r.Channel)] = r.Deliveries
			continue
		}
		b.Reserved, b.Spent, b.Refunded = r.Reserved, r.Spent, r.Refunded
		a.Parts = r.Reserved + r.Spent
	}
	return a, b
}

// Usage reads what an application sent in the last days, today included, and how its quota stands.
func (db *DB) Usage(ctx context.Context, application string, days int, now time.Time) (tidings.Usage, error) {
	q, err := db.Quota(ctx, application)
	if err != nil {
		return tidings.Usage{}, err
	}
	a, b, err := db.Allowance(ctx, q, now)
	if err != nil {
		return tidings.Usage{}, err
	}
	u := tidings.Usage{Application: application, Today: q.Day(now), Month: q.Month(now), Used: map[tidings.Channel]int{}, Budget: b}
	if q.Counts() || q.Rate > 0 || len(q.Caps) > 0 {
		u.Quota = &q
	}
	for _, c := range tidings.Channels {
		if q.Daily[c] > 0 {
			u.Used[c] = a.Used[c]
		}
	}
	u.Days, err = db.usageDays(ctx, q, days, now)
	return u, err
}

// quarter is the step in which usage is counted before it is put into days: the offset of every time zone is a number of them.
type quarter struct {
	At      int64
	Channel tidings.Channel
	State   tidings.State
	N       int
}

func (db *DB) usageDays(ctx context.Context, q tidings.Quota, days int, now time.Time) ([]tidings.UsageDay, error) {
	counts := make(map[string]map[tidings.Channel]map[tidings.State]int, days)
	for i := range days {
		counts[q.Day(now.AddDate(0, 0, -i))] = map[tidings.Channel]map[tidings.State]int{}
	}
	since := now.AddDate(0, 0, -days)
	var quarters []quarter
	err := db.report(ctx, func(t *tx) error {
		// The id says when a message came, but for the skew between the clocks of processes.
		return t.Select(ctx, &quarters, "days", q.Application, int64(tidings.IDAt(since.Add(-time.Hour))), micros(since))
	})
	for _, r := range quarters {
		day := counts[q.Day(timeOf(r.At))]
		if day == nil {
			continue // before the first of the days, or come meanwhile
		}
		if day[r.Channel] == nil {
			day[r.Channel] = map[tidings.State]int{}
		}
		day[r.Channel][r.State] += r.N
	}
	out := make([]tidings.UsageDay, 0, days)
	for _, day := range slices.Sorted(maps.Keys(counts)) {
		out = append(out, tidings.UsageDay{Day: day, Counts: counts[day]})
	}
	return out, err
}
