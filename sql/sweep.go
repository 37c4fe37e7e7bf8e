package sql

import (
	"context"
	"slices"
	"time"

	"tidings"
)

type lostRow struct {
	ID, Parent, Batch int64
	Lane              string
	Application       string
	Stage             string
	Channel           string
	Part, Size, Try   int
	Broadcast         int64
	TouchedAt         int64 `db:"touched_at"`
}

func (r lostRow) segment() tidings.Segment {
	return tidings.Segment{ID: tidings.ID(r.ID), Parent: tidings.ID(r.Parent), Batch: tidings.ID(r.Batch), Lane: tidings.Lane(r.Lane),
		Application: r.Application, Stage: tidings.StageName(r.Stage), Channel: tidings.Channel(r.Channel), Part: r.Part, Size: r.Size, Broadcast: tidings.ID(r.Broadcast), Try: r.Try}
}

// Untouched returns open segments that were not written, enqueued, claimed or looked at within grace, taking the
// applications of a lane in turn.
func (db *DB) Untouched(ctx context.Context, grace time.Duration, limit int) ([]tidings.Segment, error) {
	var rows []lostRow
	if err := db.Select(ctx, &rows, "lost-segments", grace.Microseconds(), limit); err != nil {
		return nil, err
	}
	segments := make([]tidings.Segment, len(rows))
	for i, r := range rows {
		segments[i] = r.segment()
	}
	return segments, nil
}

// RaiseTry makes the tasks that were enqueued for the segments void and returns the segments as they are to be enqueued
// now. One that was finished, claimed or raised by another sweep meanwhile is left out.
func (db *DB) RaiseTry(ctx context.Context, segments []tidings.Segment) ([]tidings.Segment, error) {
	if len(segments) == 0 {
		return nil, nil
	}
	var ids []int64
	err := db.relaxed(ctx, func(t *tx) error {
		ids = nil
		return t.Select(ctx, &ids, "raise-try", tries(segments))
	})
	raised := make(map[tidings.ID]bool, len(ids))
	for _, id := range ids {
		raised[tidings.ID(id)] = true
	}
	var out []tidings.Segment
	for _, s := range segments {
		if raised[s.ID] {
			s.Try++
			out = append(out, s)
		}
	}
	return out, err
}

// Touch notes that the segments were looked at and are well.
func (db *DB) Touch(ctx context.Context, segments []tidings.Segment) error {
	if len(segments) == 0 {
		return nil
	}
	return db.relaxed(ctx, func(t *tx) error {
		_, err := t.Exec(ctx, "touch-segments", tries(segments))
		return err
	})
}

func tries(segments []tidings.Segment) bulk {
	return columns(ints(segments, func(s tidings.Segment) int64 { return int64(s.ID) }),
		ints(segments, func(s tidings.Segment) int64 { return int64(s.Try) }))
}

type dueRow struct {
	Message     int64  `db:"message_id"`
	User        string `db:"user_id"`
	Channel     string
	Application string
	Lane        string
	State       string
	Reason      string
	Expired     int
	Seen        int        // somebody has read it, and so its step is spared
	suspended   bool       // its application is
	broadcast   tidings.ID // its message is one
}

// next is the state in which a delivery goes on when its time has come.
func (d dueRow) next() (tidings.State, tidings.Reason) {
	switch {
	case d.Seen == 1:
		return tidings.Suppressed, tidings.WasRead
	case d.suspended && d.Expired == 0 && d.State == string(tidings.UnknownEnd):
		return tidings.UnknownEnd, tidings.Reason(d.Reason)
	case d.suspended && d.Expired == 0:
		return tidings.Held, tidings.AppSuspended
	case d.Expired == 1 && d.State == string(tidings.UnknownEnd):
		return tidings.UnknownEnd, tidings.Reason(d.Reason) // too late to send again, and still nobody knows
	case d.Expired == 1:
		return tidings.Expired, tidings.TimeRanOut
	}
	return tidings.Queued, tidings.NoReason
}

// pause is how long one of a suspended application is let lie.
func (d dueRow) pause() time.Duration {
	if d.State == string(tidings.UnknownEnd) {
		return unknownPause
	}
	return suspendedPause
}

// Due puts deliveries whose time has come back on the conveyor: in segments of a batch of their own that accepted no
// message, so that the balance can miss one of them.
//
// What belongs to a suspended application goes on being held. The steps of routes to others, and digests, follow in transactions
// of their own.
func (db *DB) Due(ctx context.Context, limit int) (segments []tidings.Segment, err error) {
	var n int
	if err := db.Get(ctx, &n, "anything-due"); err != nil || n == 0 { // one look a second, and no transaction, while nothing is
		return nil, err
	}
	var again []unknownRow
	err = db.tx(ctx, func(t *tx) error {
		segments, again = nil, nil
		suspended, err := t.suspended(ctx)
		if err != nil {
			return err
		}
		due, err := t.due(ctx, limit)
		if err != nil || len(due) == 0 {
			return err
		}
		states, reasons, pauses := make([]string, len(due)), make([]string, len(due)), make([]int64, len(due))
		for i := range due {
			if due[i].suspended = suspended[due[i].Application]; due[i].suspended && due[i].Expired == 0 && due[i].Seen == 0 {
				pauses[i] = due[i].pause().Microseconds()
			}
			state, reason := due[i].next()
			states[i], reasons[i] = string(state), string(reason)
		}
		_, err = t.Exec(ctx, "release-due", columns(
			ints(due, func(d dueRow) int64 { return d.Message }), strs(due, func(d dueRow) string { return d.User }),
			strs(due, func(d dueRow) string { return d.Channel }), states, reasons, pauses))
		if err != nil {
			return err
		}
		if again, err = t.unknownAgain(ctx, due); err != nil {
			return err
		}
		if err := db.knowBroadcasts(ctx, due); err != nil {
			return err
		}
		rows := db.dueSegments(due)
		if len(rows) == 0 {
			return nil
		}
		if _, err := t.Exec(ctx, "insert-batch", int64(rows[0].Batch), 0, len(rows)); err != nil {
			return err
		}
		segments = segmentsOf(rows)
		return t.run(ctx, insertSegments(rows))
	})
	if err == nil {
		for _, r := range again {
			db.metrics.settled(r.Channel, r.Provider, "policy", r.N)
		}
	}
	for _, more := range []func(context.Context, int) ([]tidings.Segment, error){db.escalate, db.summarise, db.replayAll} {
		if err == nil {
			var made []tidings.Segment
			made, err = more(ctx, limit)
			segments = append(segments, made...)
		}
	}
	return segments, err
}

// due are deliveries whose time has come, the most urgent lane's first.
func (t *tx) due(ctx context.Context, limit int) (due []dueRow, err error) {
	for _, lane := range tidings.Lanes {
		var some []dueRow
		if err := t.Select(ctx, &some, "due-deliveries", limit-len(due), string(lane)); err != nil {
			return nil, err
		}
		due = append(due, some...)
	}
	return due, nil
}

type unknownRow struct {
	Channel, Provider string
	N                 int
}

// unknownAgain counts the deliveries that go out again though nobody knows what became of them, as their policy allows.
func (t *tx) unknownAgain(ctx context.Context, due []dueRow) (rows []unknownRow, err error) {
	again := slices.DeleteFunc(slices.Clone(due), func(d dueRow) bool {
		state, _ := d.next()
		return d.State != string(tidings.UnknownEnd) || state != tidings.Queued
	})
	if len(again) == 0 {
		return nil, nil
	}
	return rows, t.Select(ctx, &rows, "providers-of-unknown", columns(ints(again, func(d dueRow) int64 { return d.Message }),
		strs(again, func(d dueRow) string { return d.User }), strs(again, func(d dueRow) string { return d.Channel })))
}

func (db *DB) dueSegments(due []dueRow) (rows []segmentRow) {
	type group struct {
		lane, application, channel string
		broadcast                  tidings.ID
	}
	groups := map[group][]tidings.Item{}
	var order []group
	for _, d := range due {
		if state, _ := d.next(); state != tidings.Queued {
			continue
		}
		g := group{d.Lane, d.Application, d.Channel, d.broadcast}
		if groups[g] == nil {
			order = append(order, g)
		}
		groups[g] = append(groups[g], tidings.Item{Message: tidings.ID(d.Message), User: d.User})
	}
	batch := tidings.Segment{Batch: db.ids.Next()}
	for _, g := range order {
		batch.Lane, batch.Application, batch.Broadcast = tidings.Lane(g.lane), g.application, g.broadcast
		for items := groups[g]; len(items) > 0; items = items[min(len(items), tidings.SegmentSize):] {
			part := items[:min(len(items), tidings.SegmentSize)]
			rows = append(rows, db.child(batch, tidings.Deliver, tidings.Channel(g.channel), len(rows), len(part), itemsText(part, false)))
		}
	}
	return rows
}

// OpenSegments counts, by lane, the segments that are not finished.
func (db *DB) OpenSegments(ctx context.Context) (map[tidings.Lane]int64, error) {
	var rows []struct {
		Lane string
		N    int64
	}
	if err := db.Select(ctx, &rows, "open-segments"); err != nil {
		return nil, err
	}
	n := map[tidings.Lane]int64{}
	for _, r := range rows {
		n[tidings.Lane(r.Lane)] = r.N
	}
	return n, nil
}
