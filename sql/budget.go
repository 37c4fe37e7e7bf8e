package sql

import (
	"context"
	"maps"
	"slices"
	"time"

	"tidings"
)

// limits is what a commit of the route stage counts against an application's quota. Nil: nothing.
type limits struct {
	quota      tidings.Quota
	day, month string
}

// limits are those of the application that has deliveries to go out on a channel that its quota limits.
func (db *DB) limits(ctx context.Context, application string, ds []tidings.Delivery) (*limits, error) {
	all, err := db.Quotas(ctx)
	q, ok := all[application]
	if err != nil || !ok || !slices.ContainsFunc(ds, func(d tidings.Delivery) bool { return d.Pending() && q.Limited(d.Channel) }) {
		return nil, err
	}
	now := time.Now()
	return &limits{quota: q, day: q.Day(now), month: q.Month(now)}, nil
}

// rows are the keys of what is counted.
func (l *limits) rows() (applications, periods, channels []string) {
	add := func(period string, c tidings.Channel) {
		applications, periods, channels = append(applications, l.quota.Application), append(periods, period), append(channels, string(c))
	}
	if l.quota.SMSBudget > 0 {
		add(l.month, tidings.SMS)
	}
	for _, c := range tidings.Channels {
		if l.quota.Daily[c] > 0 {
			add(l.day, c)
		}
	}
	return applications, periods, channels
}

// look locks what was counted so far, and reads it into used: whoever counts for the same application waits for the end of
// this transaction.
func (l *limits) look(used *[]usageRow) []statement {
	if l == nil {
		return nil
	}
	applications, periods, channels := l.rows()
	keys := columns(applications, periods, channels)
	return []statement{do("open-usage", keys), into(used, "lock-usage", keys)}
}

// admit stops, in a copy, those for which nothing is left.
func (l *limits) admit(ds []tidings.Delivery, used []usageRow) []tidings.Delivery {
	if l == nil {
		return ds
	}
	allowance, _ := allowanceOf(l.quota, l.day, used)
	admitted := slices.Clone(ds)
	for i := range admitted {
		allowance.Admit(&admitted[i])
	}
	return admitted
}

// take counts what goes out, and reserves the parts of each SMS.
func (l *limits) take(ds []tidings.Delivery) []statement {
	if l == nil {
		return nil
	}
	deliveries, parts := map[tidings.Channel]int64{}, int64(0)
	var reserved []tidings.Delivery
	for _, d := range ds {
		if !d.Pending() {
			continue
		}
		deliveries[d.Channel]++
		if d.Channel == tidings.SMS && l.quota.SMSBudget > 0 {
			reserved, parts = append(reserved, d), parts+int64(d.Parts)
		}
	}
	applications, periods, channels := l.rows()
	counted, taken := make([]int64, len(periods)), make([]int64, len(periods))
	for i, period := range periods {
		if period == l.month {
			taken[i] = parts
		} else {
			counted[i] = deliveries[tidings.Channel(channels[i])]
		}
	}
	statements := []statement{do("add-usage", columns(applications, periods, channels, counted, taken))}
	if len(reserved) == 0 {
		return statements
	}
	return append(statements, do("insert-reservations", columns(
		ints(reserved, func(d tidings.Delivery) int64 { return int64(d.Message) }), strs(reserved, func(d tidings.Delivery) string { return d.User }),
		strs(reserved, func(tidings.Delivery) string { return l.quota.Application }), strs(reserved, func(tidings.Delivery) string { return l.month }),
		ints(reserved, func(d tidings.Delivery) int64 { return int64(d.Parts) }))))
}

// reservationRow is a reservation with what became of its delivery.
type reservationRow struct {
	Message             int64  `db:"message_id"`
	User                string `db:"user_id"`
	Application, Period string
	Parts               int64
	Was                 string
	State               tidings.State
	Reason              tidings.Reason
	Due                 int64
}

// next is the state of the reservation: what the provider took, or may have taken, is spent. A report that an SMS did not
// arrive gives nothing back, and one that the operator refused it does.
func (r reservationRow) next() string {
	switch {
	case !r.State.Final() || r.State == tidings.UnknownEnd && r.Due > 0:
		return r.Was
	case r.State == tidings.Sent || r.State == tidings.Delivered || r.State == tidings.UnknownEnd || r.Reason == tidings.NotDelivered:
		return "spent"
	}
	return "refunded"
}

// endReservations spends or refunds the reservations of deliveries of which it is known what became. One that another
// transaction ended meanwhile is left alone.
func (t *tx) endReservations(ctx context.Context, rows []reservationRow) error {
	type key struct {
		message int64
		user    string
	}
	moved := map[key]reservationRow{}
	var list []reservationRow
	for _, r := range rows {
		if r.next() != r.Was && r.Was != "refunded" {
			moved[key{r.Message, r.User}], list = r, append(list, r)
		}
	}
	if len(list) == 0 {
		return nil
	}
	var ended []struct {
		Message int64  `db:"message_id"`
		User    string `db:"user_id"`
	}
	err := t.Select(ctx, &ended, "end-reservations", columns(ints(list, func(r reservationRow) int64 { return r.Message }),
		strs(list, func(r reservationRow) string { return r.User }), strs(list, func(r reservationRow) string { return r.Was }),
		strs(list, reservationRow.next)))
	if err != nil || len(ended) == 0 {
		return err
	}
	sums := map[[2]string]map[string]int64{}
	for _, e := range ended {
		r := moved[key{e.Message, e.User}]
		of := [2]string{r.Application, r.Period}
		if sums[of] == nil {
			sums[of] = map[string]int64{}
		}
		sums[of][r.Was] -= r.Parts
		sums[of][r.next()] += r.Parts
	}
	keys := slices.SortedFunc(maps.Keys(sums), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	sum := func(state string) []int64 {
		return ints(keys, func(k [2]string) int64 { return sums[k][state] })
	}
	_, err = t.Exec(ctx, "move-usage", columns(strs(keys, func(k [2]string) string { return k[0] }), strs(keys, func(k [2]string) string { return k[1] }),
		strs(keys, func([2]string) string { return string(tidings.SMS) }), sum("reserved"), sum("spent"), sum("refunded")))
	return err
}

// settleBudget settles the reservations of attempts whose deliveries have just moved. Where this process knows of no budget
// nothing is asked; what it should have known SettleReservations finds.
func (t *tx) settleBudget(ctx context.Context, budgets bool, attempts []int64) error {
	if !budgets || len(attempts) == 0 {
		return nil
	}
	var rows []reservationRow
	if err := t.Select(ctx, &rows, "attempted-reservations", columns(attempts)); err != nil {
		return err
	}
	return t.endReservations(ctx, rows)
}

// budgets tells whether any application has an SMS budget.
func (db *DB) budgets(ctx context.Context) bool {
	all, err := db.Quotas(ctx)
	if err != nil {
		return true // ask then
	}
	for _, q := range all {
		if q.SMSBudget > 0 {
			return true
		}
	}
	return false
}

// ReservationPage is where SettleReservations goes on.
type ReservationPage struct {
	message int64
	user    string
}

// SettleReservations looks at the next page of open reservations and settles those whose delivery ended in any way: canceled,
// expired, discarded, or after an attempt whose end went by. At the end it begins anew.
func (db *DB) SettleReservations(ctx context.Context, from ReservationPage, limit int) (next ReservationPage, err error) {
	var rows []reservationRow
	if err := db.Select(ctx, &rows, "open-reservations", from.message, from.user, limit); err != nil {
		return next, err
	}
	if len(rows) == limit {
		next = ReservationPage{rows[limit-1].Message, rows[limit-1].User}
	}
	rows = slices.DeleteFunc(rows, func(r reservationRow) bool { return r.next() == r.Was })
	if len(rows) == 0 {
		return next, nil
	}
	// What was read may be settled by now: each reservation is ended only from the state in which it was read.
	return next, db.tx(ctx, func(t *tx) error { return t.endReservations(ctx, rows) })
}

// ApplicationBudget is how the SMS budget of an application stands this month.
type ApplicationBudget struct {
	Application string
	Month       string
	tidings.Budget
	Warned bool // of it, by somebody, this month
}

// Budgets reads how all SMS budgets stand.
func (db *DB) Budgets(ctx context.Context, now time.Time) ([]ApplicationBudget, error) {
	all, err := db.Quotas(ctx)
	if err != nil {
		return nil, err
	}
	var out []ApplicationBudget
	for _, application := range slices.Sorted(maps.Keys(all)) {
		if q := all[application]; q.SMSBudget > 0 {
			out = append(out, ApplicationBudget{Application: application, Month: q.Month(now), Budget: tidings.Budget{Limit: q.SMSBudget}})
		}
	}
	if len(out) == 0 {
		return nil, nil
	}
	var rows []struct {
		Application, Period               string
		Reserved, Spent, Refunded, Warned int
	}
	err = db.Select(ctx, &rows, "budgets", columns(strs(out, func(b ApplicationBudget) string { return b.Application }),
		strs(out, func(b ApplicationBudget) string { return b.Month })))
	for _, r := range rows {
		i := slices.IndexFunc(out, func(b ApplicationBudget) bool { return b.Application == r.Application })
		out[i].Reserved, out[i].Spent, out[i].Refunded, out[i].Warned = r.Reserved, r.Spent, r.Refunded, r.Warned == 1
	}
	return out, err
}

// WarnBudget notes in the audit log, once a month, that most of a budget is gone. first tells that it was not noted before.
func (db *DB) WarnBudget(ctx context.Context, b ApplicationBudget) (first bool, err error) {
	err = db.tx(ctx, func(t *tx) error {
		n, err := t.Exec(ctx, "warn-budget", b.Application, b.Month)
		if first = n > 0; err != nil || !first {
			return err
		}
		return t.append(ctx, "budget.warning", "application "+b.Application, map[string]any{"month": b.Month, "limit": b.Limit,
			"reserved": b.Reserved, "spent": b.Spent})
	})
	return first && err == nil, err
}
