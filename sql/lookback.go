package sql

import (
	"context"
	"slices"
	"time"

	"tidings"
)

// lookback is what a commit of the route stage looks back on and remembers. Nil: none of its deliveries asks for that.
type lookback struct {
	users, whats []string // pairs
	rows         []rememberedRow
	older        []tidings.Remembered // that newer deliveries take the place of
	now          time.Time
}

type rememberedRow struct {
	User    string `db:"user_id"`
	What    string
	Message int64 `db:"message_id"`
	Channel string
	At      int64
	State   string
	Now     int64
}

// lookbackOf is what deliveries look back on.
func lookbackOf(ds []tidings.Delivery, now time.Time) *lookback {
	var l *lookback
	seen := map[[2]string]bool{}
	for _, d := range ds {
		if d.Back == nil || !d.Pending() {
			continue
		}
		if l == nil {
			l = &lookback{now: now}
		}
		for _, r := range d.Remembered(now) {
			if key := [2]string{r.User, r.What}; !seen[key] {
				seen[key] = true
				l.users, l.whats = append(l.users, r.User), append(l.whats, r.What)
			}
		}
	}
	return l
}

// locked are the users whose row is to be locked, beside others: whoever decides on a delivery to one of them waits for the end
// of this transaction.
func (l *lookback) locked(users []string) []string {
	if l == nil {
		return users
	}
	return unique(append(slices.Clone(users), l.users...))
}

// look reads what is remembered, after the lock.
func (l *lookback) look() []statement {
	if l == nil {
		return nil
	}
	return []statement{into(&l.rows, "remembered", columns(l.users, l.whats))}
}

func (l *lookback) past() *tidings.Past {
	rs := make([]tidings.Remembered, len(l.rows))
	for i, r := range l.rows {
		rs[i] = tidings.Remembered{User: r.User, What: r.What, Message: tidings.ID(r.Message), Channel: tidings.Channel(r.Channel), At: timeOf(r.At), State: tidings.State(r.State)}
	}
	return tidings.NewPast(l.now, rs)
}

// decide asks what is looked back on, and the quota, of deliveries; in a copy.
func decide(ds []tidings.Delivery, l *lookback, q *limits, used []usageRow) []tidings.Delivery {
	if l == nil {
		return q.admit(ds, used)
	}
	decided := slices.Clone(ds)
	if q == nil {
		l.older = l.past().Decide(decided, nil)
		return decided
	}
	allowance, _ := allowanceOf(q.quota, q.day, used)
	l.older = l.past().Decide(decided, &allowance)
	return decided
}

// keep remembers deliveries that are under way, and takes back those that they replace.
func (l *lookback) keep(ds []tidings.Delivery) (statements []statement) {
	if l == nil {
		return nil
	}
	var rs []tidings.Remembered
	for _, d := range ds {
		rs = append(rs, d.Remembered(l.now)...)
	}
	if len(rs) > 0 {
		statements = append(statements, do("insert-remembered", columns(
			strs(rs, func(r tidings.Remembered) string { return r.User }), strs(rs, func(r tidings.Remembered) string { return r.What }),
			ints(rs, func(r tidings.Remembered) int64 { return int64(r.Message) }), strs(rs, func(r tidings.Remembered) string { return string(r.Channel) }),
			ints(rs, func(r tidings.Remembered) int64 { return micros(r.At) }), ints(rs, func(r tidings.Remembered) int64 { return micros(r.Until) }))))
	}
	var waiting, entries []tidings.Remembered
	for _, r := range l.older {
		if r.State == tidings.Held || r.State == tidings.Queued {
			waiting = append(waiting, r)
		} else {
			entries = append(entries, r)
		}
	}
	messages := func(rs []tidings.Remembered) []int64 {
		return ints(rs, func(r tidings.Remembered) int64 { return int64(r.Message) })
	}
	users := func(rs []tidings.Remembered) []string {
		return strs(rs, func(r tidings.Remembered) string { return r.User })
	}
	if len(entries) > 0 { // users before deliveries, as where preferences change
		statements = append(statements, do("distrust-users", columns(unique(users(entries)))), do("replace-entries", columns(messages(entries), users(entries))))
	}
	if len(waiting) > 0 {
		statements = append(statements, do("collapse-waiting", columns(messages(waiting), users(waiting),
			strs(waiting, func(r tidings.Remembered) string { return string(r.Channel) })), "\n"))
	}
	return statements
}

// Remembered reads what deliveries would look back on: for a preview.
func (db *DB) Remembered(ctx context.Context, ds []tidings.Delivery, now time.Time) (*tidings.Past, error) {
	l := lookbackOf(ds, now)
	if l == nil {
		return tidings.NewPast(now, nil), nil
	}
	if err := db.Select(ctx, &l.rows, "remembered", columns(l.users, l.whats)); err != nil {
		return nil, err
	}
	return l.past(), nil
}

// ForgetRemembered deletes what nobody looks back on any more, and returns how much there was.
func (db *DB) ForgetRemembered(ctx context.Context) (int64, error) {
	return db.Exec(ctx, "forget-remembered")
}

// MessageData reads the data of messages.
func (db *DB) MessageData(ctx context.Context, ids []tidings.ID) (map[tidings.ID][]byte, error) {
	var rows []messageRow
	if err := db.Select(ctx, &rows, "message-data", idColumn(ids)); err != nil {
		return nil, err
	}
	data := make(map[tidings.ID][]byte, len(rows))
	for _, r := range rows {
		data[tidings.ID(r.ID)] = r.Data
	}
	return data, nil
}
