package sql

import (
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"tidings"
)

// deadKey is a delivery as a row of the primary key, in whose order dead letters are looked for.
type deadKey struct {
	Message int64  `db:"message_id"`
	User    string `db:"user_id"`
	Channel string
}

// lastKey is behind every delivery: ids of users are ASCII.
var lastKey = deadKey{math.MaxInt64, "~", "~"}

func keyOf(k tidings.DeliveryKey) deadKey {
	return deadKey{int64(k.Message), k.User, string(k.Channel)}
}

func (k deadKey) key() tidings.DeliveryKey {
	return tidings.DeliveryKey{Message: tidings.ID(k.Message), User: k.User, Channel: tidings.Channel(k.Channel)}
}

func deadColumns(keys []deadKey) bulk {
	return columns(ints(keys, func(k deadKey) int64 { return k.Message }), strs(keys, func(k deadKey) string { return k.User }),
		strs(keys, func(k deadKey) string { return k.Channel }))
}

// selector is a DB or a transaction.
type selector interface {
	Select(ctx context.Context, dest any, name string, args ...any) error
	rerender(ctx context.Context, letters []tidings.DeadLetter, rows []deadRow) error
}

// selecting is a filter on its way through the deliveries.
type selecting struct {
	application string
	filter      tidings.ReplayFilter
	until       int64
}

// selectingOf is what a replay selects, of all that ended at latest then.
func selectingOf(r tidings.Replay, latest int64) selecting {
	s := selecting{r.Application, r.Filter, latest}
	if u := micros(r.Filter.Until); u != 0 {
		s.until = min(s.until, u)
	}
	return s
}

// words joins a list for instr: ",a,b,", and ",," for none.
func words[T ~string](list []T) string {
	return "," + strings.ReplaceAll(tidings.Names(list), ", ", ",") + ","
}

func (s selecting) args() []any {
	return []any{words(s.filter.States), words(s.filter.Reasons), words(s.filter.Channels), s.application, micros(s.filter.Since), s.until, s.filter.Type}
}

// span is between which messages is looked.
func (s selecting) span() (from, to int64) {
	if s.filter.Message != 0 {
		return int64(s.filter.Message), int64(s.filter.Message)
	}
	return 0, math.MaxInt64
}

// next are the first keys behind from that the filter selects, at most limit, of a stretch of deliveries; to is where to go on, and end tells
// that there is nothing behind it.
func (s selecting) next(ctx context.Context, x selector, from deadKey, limit int) (keys []deadKey, to deadKey, end bool, err error) {
	if len(s.filter.Deliveries) > 0 {
		keys, err = s.named(ctx, x, from)
		if len(keys) <= limit {
			return keys, lastKey, true, err
		}
		return keys[:limit], keys[limit-1], false, err
	}
	first, last := s.span()
	if from.Message < first {
		from = deadKey{first - 1, "~", "~"}
	}
	var bound []deadKey
	if err := x.Select(ctx, &bound, "stretch-up", from.Message, from.User, from.Channel, last, replayStretch-1); err != nil {
		return nil, from, false, err
	}
	if to, end = lastKey, len(bound) == 0; !end {
		to = bound[0]
	} else {
		to.Message = last
	}
	args := append([]any{from.Message, from.User, from.Channel, to.Message, to.User, to.Channel}, s.args()...)
	if err := x.Select(ctx, &keys, "dead-up", append(args, limit+1)...); err != nil {
		return nil, from, false, err
	}
	if len(keys) > limit {
		keys = keys[:limit]
		return keys, keys[limit-1], false, nil
	}
	return keys, to, end, nil
}

// down is next in the other direction: the newest messages first.
func (s selecting) down(ctx context.Context, x selector, before deadKey, limit int) (keys []deadKey, to deadKey, end bool, err error) {
	first, last := s.span()
	if before.Message > last {
		before = deadKey{last, "~", "~"}
	}
	var bound []deadKey
	if err := x.Select(ctx, &bound, "stretch-down", before.Message, before.User, before.Channel, first, replayStretch-1); err != nil {
		return nil, before, false, err
	}
	if to, end = (deadKey{Message: first}), len(bound) == 0; !end {
		to = bound[0]
	}
	args := append([]any{before.Message, before.User, before.Channel, to.Message, to.User, to.Channel}, s.args()...)
	if err := x.Select(ctx, &keys, "dead-down", append(args, limit+1)...); err != nil {
		return nil, before, false, err
	}
	if len(keys) > limit {
		keys = keys[:limit]
		return keys, keys[limit-1], false, nil
	}
	return keys, to, end, nil
}

// named are those of the deliveries that the filter names one by one, behind from.
func (s selecting) named(ctx context.Context, x selector, from deadKey) (keys []deadKey, err error) {
	names := make([]deadKey, len(s.filter.Deliveries))
	for i, k := range s.filter.Deliveries {
		names[i] = keyOf(k)
	}
	if err := x.Select(ctx, &keys, "dead-named", append([]any{deadColumns(names)}, s.args()...)...); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Compact(keys), func(k deadKey) bool { return compareKeys(k, from) <= 0 }), nil
}

func compareKeys(a, b deadKey) int {
	switch {
	case a.Message != b.Message:
		return map[bool]int{true: -1, false: 1}[a.Message < b.Message]
	case a.User != b.User:
		return strings.Compare(a.User, b.User)
	}
	return strings.Compare(a.Channel, b.Channel)
}

type deadRow struct {
	deadKey
	Application, Type, Lane, State, Reason string
	Attempts                               int
	ChangedAt                              int64 `db:"changed_at"`
	ExpiresAt                              int64 `db:"expires_at"`
	Now                                    int64
	Integration, Provider, Detail          string
	Content                                int
	Text                                   string
	Taken, Waits, Canceled, Seen           int
	Collapsed, Digest, Gone, Address       int
	Segment                                int64 // that made its content, or the note why there is none
}

func (r deadRow) letter() tidings.DeadLetter {
	d := tidings.DeadLetter{DeliveryKey: r.key(), Application: r.Application, Type: r.Type, Lane: tidings.Lane(r.Lane), State: tidings.State(r.State),
		Reason: tidings.Reason(r.Reason), Detail: r.Detail, Attempts: r.Attempts, Integration: r.Integration, Provider: r.Provider,
		EndedAt: timeOf(r.ChangedAt), ExpiresAt: timeOf(r.ExpiresAt),
		Facts: tidings.DeadFacts{Now: timeOf(r.Now), Taken: r.Taken == 1, Waits: r.Waits == 1, Canceled: r.Canceled == 1, Read: r.Seen == 1,
			Collapsed: r.Collapsed == 1, Digest: r.Digest == 1, UserGone: r.Gone == 1, HasContent: r.Content == 1, HasAddress: r.Address == 1}}
	if d.Channel == tidings.SMS && r.Content == 1 {
		d.Parts, _ = tidings.Content{Body: r.Text}.SMS()
	}
	return d
}

// deadLetters reads what is to be known of deliveries, in order of their keys.
func deadLetters(ctx context.Context, x selector, keys []deadKey) ([]tidings.DeadLetter, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	var rows []deadRow
	if err := x.Select(ctx, &rows, "dead-facts", deadColumns(keys)); err != nil {
		return nil, err
	}
	letters := make([]tidings.DeadLetter, len(rows))
	for i, r := range rows {
		letters[i] = r.letter()
	}
	return letters, x.rerender(ctx, letters, rows)
}

// DeadLetters reads a page of deliveries that ended without a success, those of the newest messages first. It looks at a bounded number of
// deliveries, so that a page may be short of its limit; next is where to go on, and more whether there may be any.
func (db *DB) DeadLetters(ctx context.Context, q tidings.DeadLetterQuery) (letters []tidings.DeadLetter, next tidings.DeliveryKey, more bool, err error) {
	s := selectingOf(tidings.Replay{Application: q.Application, Filter: q.ReplayFilter}, math.MaxInt64)
	from := lastKey
	if q.Before.Message != 0 {
		from = keyOf(q.Before)
	}
	var all []deadKey
	for began := time.Now(); ; {
		keys, to, end, err := s.down(ctx, db, from, q.Limit-len(all))
		if err != nil {
			return nil, next, false, err
		}
		all, from, more = append(all, keys...), to, !end
		if end || len(all) == q.Limit || time.Since(began) > replayPatience {
			break
		}
	}
	if letters, err = deadLetters(ctx, db, all); err != nil {
		return nil, next, false, err
	}
	slices.Reverse(letters)
	named := tidings.ReplayFilter{States: tidings.DeadStates}
	for i := range letters {
		letters[i].LeftOut = letters[i].Decide(named, time.Time{})
	}
	return letters, from.key(), more, nil
}

// PlanReplay says what a replay would do, with the first limit of its deliveries, and changes nothing.
func (db *DB) PlanReplay(ctx context.Context, r tidings.Replay, limit int) (tidings.ReplayPlan, error) {
	return db.planReplay(ctx, r, limit, func(tidings.DeadLetter) error { return nil })
}

// PlanReplayAll is PlanReplay that hands over each delivery instead of keeping the first.
func (db *DB) PlanReplayAll(ctx context.Context, r tidings.Replay, each func(tidings.DeadLetter) error) (tidings.ReplayPlan, error) {
	return db.planReplay(ctx, r, 0, each)
}

func (db *DB) planReplay(ctx context.Context, r tidings.Replay, limit int, each func(tidings.DeadLetter) error) (p tidings.ReplayPlan, err error) {
	if err := db.allThere(ctx, r); err != nil {
		return p, err
	}
	p = tidings.NewReplayPlan()
	quotas, err := db.Quotas(ctx)
	if err != nil {
		return p, err
	}
	left := allowances{}
	s, from := selectingOf(r, math.MaxInt64), deadKey{}
	for end := false; !end; {
		var keys []deadKey
		if keys, from, end, err = s.next(ctx, db, from, replayStretch/10); err != nil {
			return p, err
		}
		letters, err := deadLetters(ctx, db, keys)
		if err != nil {
			return p, err
		}
		for _, d := range letters {
			if d.LeftOut = d.Decide(r.Filter, r.ExpiresAt); d.LeftOut == "" {
				if d.LeftOut, err = left.admit(ctx, db, quotas, d); err != nil {
					return p, err
				}
			}
			p.Add(d, limit)
			if err := each(d); err != nil {
				return p, err
			}
		}
	}
	return p, nil
}

// allowances are what applications have left while a plan is made.
type allowances map[string]*tidings.Allowance

func (a allowances) admit(ctx context.Context, db *DB, quotas map[string]tidings.Quota, d tidings.DeadLetter) (tidings.LeftOut, error) {
	q, limited := quotas[d.Application]
	if !limited {
		return "", nil
	}
	if a[d.Application] == nil {
		left, _, err := db.Allowance(ctx, q, time.Now())
		if err != nil {
			return "", err
		}
		a[d.Application] = &left
	}
	out := d.Requeued()
	a[d.Application].Admit(&out)
	return tidings.LeftOut(out.Reason), nil
}

// Replayed reads a page of what a replay selected, in order of messages, users and channels: as it was, why it was left out, and as it is now.
func (db *DB) Replayed(ctx context.Context, application string, id tidings.ID, after tidings.DeliveryKey, limit int) (items []tidings.ReplayedDelivery, more bool, err error) {
	var row replayRow
	if err := db.Get(ctx, &row, "replay", application, int64(id)); err != nil {
		return nil, false, notFound(err, "replay", id)
	}
	var rows []struct {
		deadKey
		State, Reason   string
		Attempts, Parts int
		Why             string
		StateNow        string `db:"state_now"`
		ReasonNow       string `db:"reason_now"`
	}
	if err := db.Select(ctx, &rows, "replayed-page", int64(id), int64(after.Message), after.User, string(after.Channel), limit+1); err != nil {
		return nil, false, err
	}
	if more = len(rows) > limit; more {
		rows = rows[:limit]
	}
	items = make([]tidings.ReplayedDelivery, len(rows))
	for i, r := range rows {
		items[i] = tidings.ReplayedDelivery{DeliveryKey: r.key(), State: tidings.State(r.State), Reason: tidings.Reason(r.Reason), Attempts: r.Attempts, Parts: r.Parts,
			LeftOut: tidings.LeftOut(r.Why), Now: tidings.State(r.StateNow), ReasonNow: tidings.Reason(r.ReasonNow)}
	}
	return items, more, nil
}
