package sql

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"tidings"
)

// leftBehind writes what a commit of the route stage leaves behind for later; mostly nothing.
func leftBehind(s tidings.Segment, ds []tidings.Delivery, w tidings.Waiting) (statements []statement) {
	if len(w.Types) == 0 {
		return nil
	}
	ids := slices.Sorted(maps.Keys(w.Routes))
	messages := ints(ids, func(id tidings.ID) int64 { return int64(id) })
	if len(ids) > 0 {
		statements = append(statements, do("insert-routes", columns(messages, strs(ids, func(id tidings.ID) string { return string(w.Routes[id]) }))))
	}
	if es := w.Escalations; len(es) > 0 {
		statements = append(statements, do("insert-escalations", columns(
			ints(es, func(e tidings.Escalation) int64 { return int64(e.Message) }), ints(es, func(e tidings.Escalation) int64 { return int64(e.Step) }),
			strs(es, func(e tidings.Escalation) string { return e.To }), strs(es, func(e tidings.Escalation) string { return joinChannels(e.Channels) }),
			ints(es, func(e tidings.Escalation) int64 {
				if e.State != tidings.Held {
					return 0
				}
				return micros(e.DueAt)
			}),
			strs(es, func(e tidings.Escalation) string { return string(e.State) }), strs(es, func(e tidings.Escalation) string { return string(e.Reason) }))),
			do("count-escalations", columns(messages)))
	}
	gathered := slices.DeleteFunc(slices.Clone(ds), func(d tidings.Delivery) bool { return !isGathered(d) })
	if len(gathered) == 0 {
		return statements
	}
	return append(statements, do("insert-digest-items", columns(
		ints(gathered, func(d tidings.Delivery) int64 { return int64(d.Message) }), strs(gathered, func(d tidings.Delivery) string { return d.User }),
		strs(gathered, func(d tidings.Delivery) string { return string(d.Channel) }), strs(gathered, func(tidings.Delivery) string { return s.Application }),
		strs(gathered, func(d tidings.Delivery) string { return w.Types[d.Message] }),
		ints(gathered, func(d tidings.Delivery) int64 { return micros(d.ReadyAt) }), ints(gathered, func(d tidings.Delivery) int64 { return micros(d.DueAt) }))))
}

// isGathered tells whether a rule said that the delivery goes out with others, whatever was said after it. It looks as the balance does, which
// counts what was stopped later as well.
func isGathered(d tidings.Delivery) bool { return strings.Contains(d.Decided, "digest held") }

// Families tells of messages to which message's route they belong; mostly of none.
func (db *DB) Families(ctx context.Context, ids []tidings.ID) (map[tidings.ID]tidings.ID, error) {
	var rows []familyRow
	if err := db.Select(ctx, &rows, "families", idColumn(ids)); err != nil {
		return nil, err
	}
	families := map[tidings.ID]tidings.ID{}
	for _, r := range rows {
		families[tidings.ID(r.Message)] = tidings.ID(r.Family)
	}
	return families, nil
}

type familyRow struct {
	Message int64 `db:"message_id"`
	Family  int64
	Until   tidings.Until
}

// StoreHours reads when stores are open: their time zones, hours and holidays.
func (db *DB) StoreHours(ctx context.Context, ids []string) (map[string]tidings.Store, error) {
	var rows []struct{ ID, Timezone, Hours, Holidays string }
	if err := db.Select(ctx, &rows, "store-hours", columns(unique(ids))); err != nil {
		return nil, err
	}
	stores := make(map[string]tidings.Store, len(rows))
	for _, r := range rows {
		s := tidings.Store{ID: r.ID, Timezone: r.Timezone}
		if err := readJSON(r.Hours, &s.Hours); err != nil {
			return nil, err
		}
		if err := readJSON(r.Holidays, &s.Holidays); err != nil {
			return nil, err
		}
		stores[r.ID] = s
	}
	return stores, nil
}

// mark notes a fact about notifications, and ends, in the same transaction, the routes that end by being read.
func (db *DB) mark(ctx context.Context, m tidings.Mark, query string, args ...any) (rows []markedRow, err error) {
	err = db.tx(ctx, func(t *tx) error {
		rows = nil // of a try before
		if err := t.Select(ctx, &rows, query, args...); err != nil {
			return err
		}
		if len(rows) == 0 || m != tidings.MarkRead {
			return nil
		}
		return t.endRoutes(ctx, rows)
	})
	return rows, err
}

type markedRow struct {
	Message int64  `db:"message_id"`
	User    string `db:"user_id"`
}

// endRoutes ends what was still to come of messages that users have read.
func (t *tx) endRoutes(ctx context.Context, read []markedRow) error {
	messages := unique(ints(read, func(r markedRow) int64 { return r.Message }))
	var families []familyRow
	if err := t.Select(ctx, &families, "lock-families", columns(messages)); err != nil || len(families) == 0 {
		return err
	}
	var anyone, own []int64
	for _, f := range families {
		if f.Until == tidings.UntilAnyone {
			anyone = append(anyone, f.Family)
		} else {
			own = append(own, f.Message)
		}
	}
	if len(own) > 0 {
		_, err := t.Exec(ctx, "end-read-steps", columns(ints(read, func(r markedRow) int64 { return r.Message }), strs(read, func(r markedRow) string { return r.User })))
		if err != nil {
			return err
		}
		if _, err := t.Exec(ctx, "end-read-escalations", columns(own), 0); err != nil {
			return err
		}
	}
	if len(anyone) == 0 {
		return nil
	}
	anyone = unique(anyone)
	if _, err := t.Exec(ctx, "read-families", columns(anyone)); err != nil {
		return err
	}
	if _, err := t.Exec(ctx, "end-read-families", columns(anyone)); err != nil {
		return err
	}
	_, err := t.Exec(ctx, "end-read-escalations", columns(anyone), 1)
	return err
}

type escalationRow struct {
	Message         int64 `db:"message_id"`
	Step            int
	Target          string
	Channels        string
	Until           tidings.Until
	ReadAt          int64 `db:"read_at"`
	Application     string
	Type            string
	Lane            tidings.Lane
	Data            []byte
	ExpiresAt       int64  `db:"expires_at"`
	CollapseKey     string `db:"collapse_key"`
	CancellationKey string `db:"cancellation_key"`
	CanceledAt      int64  `db:"canceled_at"`
	Now             int64

	Unread, Readers int64
	state           tidings.State
	reason          tidings.Reason
	child           int64
	pause           time.Duration
}

// escalate accepts the steps of routes to others whose time has come, as messages of their own, where still nobody has read: the
// rows of route and step are locked, so that a reading comes wholly before or wholly after, and two workers make one message.
func (db *DB) escalate(ctx context.Context, limit int) (segments []tidings.Segment, err error) {
	err = db.tx(ctx, func(t *tx) error {
		segments = nil
		suspended, err := t.suspended(ctx)
		if err != nil {
			return err
		}
		var due []escalationRow
		if err := t.Select(ctx, &due, "due-escalations", limit); err != nil || len(due) == 0 {
			return err
		}
		merchants, err := t.unread(ctx, due)
		if err != nil {
			return err
		}
		children, families := []tidings.Message{}, []familyRow{}
		batch := db.ids.Next()
		for i := range due {
			e := &due[i]
			e.decide(suspended)
			if e.state != tidings.Sent {
				continue
			}
			step := tidings.Escalation{To: e.Target}
			m := tidings.Message{ID: db.ids.Next(), Batch: batch, Application: e.Application, Type: e.Type, Lane: e.Lane, Data: e.Data,
				Audience: step.Audience(merchants[e.Message]), Channels: splitChannels(e.Channels), ExpiresAt: timeOf(e.ExpiresAt),
				CollapseKey: e.CollapseKey, CancellationKey: e.CancellationKey, AcceptedAt: timeOf(e.Now)}
			if m.Audience.Empty() {
				e.state, e.reason = tidings.Suppressed, tidings.NoRecipients
				continue
			}
			e.child = int64(m.ID)
			children, families = append(children, m), append(families, familyRow{e.child, e.Message, e.Until})
		}
		if err := t.endEscalations(ctx, due); err != nil || len(children) == 0 {
			return err
		}
		_, err = t.Exec(ctx, "insert-child-routes", columns(ints(families, func(f familyRow) int64 { return f.Message }),
			ints(families, func(f familyRow) int64 { return f.Family }), strs(families, func(f familyRow) string { return string(f.Until) })))
		if err != nil {
			return err
		}
		segments, err = t.acceptOwn(ctx, batch, children, db.acquireSegments(batch, children))
		return err
	})
	return segments, err
}

// unread counts who has read, and finds through which dimensions, with their merchants, the others were reached.
func (t *tx) unread(ctx context.Context, due []escalationRow) (map[int64]map[string]string, error) {
	ids := unique(ints(due, func(e escalationRow) int64 { return e.Message }))
	var counts []struct {
		Message         int64 `db:"message_id"`
		Unread, Readers int64
	}
	if err := t.Select(ctx, &counts, "read-counts", columns(ids)); err != nil {
		return nil, err
	}
	for _, c := range counts {
		for i := range due {
			if due[i].Message == c.Message {
				due[i].Unread, due[i].Readers = c.Unread, c.Readers
			}
		}
	}
	var rows []struct {
		Message   int64 `db:"message_id"`
		Dimension string
		Merchant  string `db:"merchant_id"`
	}
	if err := t.Select(ctx, &rows, "unread-dimensions", columns(ids)); err != nil {
		return nil, err
	}
	merchants := map[int64]map[string]string{}
	for _, r := range rows {
		if merchants[r.Message] == nil {
			merchants[r.Message] = map[string]string{}
		}
		merchants[r.Message][r.Dimension] = r.Merchant
	}
	return merchants, nil
}

// decide tells what becomes of a step whose time has come.
func (e *escalationRow) decide(suspended map[string]bool) {
	switch {
	case e.CanceledAt != 0:
		e.state, e.reason = tidings.Canceled, tidings.CanceledByApp
	case e.Now >= e.ExpiresAt:
		e.state, e.reason = tidings.Expired, tidings.TimeRanOut
	case e.Unread == 0 || e.Until == tidings.UntilAnyone && (e.ReadAt > 0 || e.Readers > 0):
		e.state, e.reason = tidings.Suppressed, tidings.WasRead
	case suspended[e.Application]:
		e.state, e.reason, e.pause = tidings.Held, tidings.AppSuspended, suspendedPause
	default:
		e.state = tidings.Sent
	}
}

func (t *tx) endEscalations(ctx context.Context, es []escalationRow) error {
	_, err := t.Exec(ctx, "end-escalations", columns(
		ints(es, func(e escalationRow) int64 { return e.Message }), ints(es, func(e escalationRow) int64 { return int64(e.Step) }),
		strs(es, func(e escalationRow) string { return string(e.state) }), strs(es, func(e escalationRow) string { return string(e.reason) }),
		ints(es, func(e escalationRow) int64 { return e.child }), ints(es, func(e escalationRow) int64 { return e.pause.Microseconds() })))
	return err
}

// CancelDelivery takes back one delivery that is still pending. It returns 0 if it was not.
func (db *DB) CancelDelivery(ctx context.Context, application string, id tidings.ID, user string, c tidings.Channel) (canceled int, err error) {
	detail := map[string]any{"user": user, "channel": c}
	err = db.changed(ctx, "message.cancel", "message "+id.String(), detail, func(t *tx) error {
		var r statusRow
		if err := t.Get(ctx, &r, "message", application, int64(id)); err != nil {
			return notFound(err, "message", id)
		}
		var rows []deliveryRow
		if err := t.Select(ctx, &rows, "deliveries-of", columns([]string{user}), int64(id)); err != nil {
			return err
		}
		if !slices.ContainsFunc(rows, func(d deliveryRow) bool { return d.Channel == c }) {
			return tidings.Errorf(tidings.NotFound, "there is no such delivery")
		}
		n, err := t.Exec(ctx, "cancel-delivery", int64(id), user, string(c))
		canceled = int(n)
		detail["deliveries"] = canceled
		return err
	})
	return canceled, err
}

func readJSON(text string, into any) error { return json.Unmarshal([]byte(text), into) }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
