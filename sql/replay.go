package sql

import (
	"context"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"time"

	"tidings"
)

const (
	// replayStretch is how many deliveries one step looks at, at the most: a bounded transaction however rare is what it looks for.
	replayStretch = 20000
	// replayPatience is how long a sweep works at replays before it sees to what is due again.
	replayPatience = 700 * time.Millisecond
)

type replayRow struct {
	ID          int64
	Application string
	Filter      string
	ExpiresAt   int64  `db:"expires_at"`
	AfterM      int64  `db:"after_message"`
	AfterU      string `db:"after_user"`
	AfterC      string `db:"after_channel"`
	State       string
	MadeBy      string `db:"made_by"`
	CreatedAt   int64  `db:"created_at"`
	EndedAt     int64  `db:"ended_at"`
	Replayed    int
	LeftOut     int `db:"left_out"`
	Parts       int
}

func (r replayRow) replay() (tidings.Replay, error) {
	p := tidings.Replay{ID: tidings.ID(r.ID), Application: r.Application, ExpiresAt: timeOf(r.ExpiresAt), State: tidings.ReplayState(r.State),
		MadeBy: r.MadeBy, MadeAt: timeOf(r.CreatedAt), EndedAt: timeOf(r.EndedAt), Replayed: r.Replayed, LeftOut: r.LeftOut, Parts: r.Parts}
	return p, json.Unmarshal([]byte(r.Filter), &p.Filter)
}

// CreateReplay records the decision to send again what a filter selects; the sweep carries it out. again tells that one was made under the same
// key before, which is the answer then. What ends after this moment is not in it.
func (db *DB) CreateReplay(ctx context.Context, r tidings.Replay) (made tidings.Replay, again bool, err error) {
	for range 2 { // the second time, when another had the same key at the same moment
		var before struct {
			ID   int64
			Hash string
		}
		err = db.Get(ctx, &before, "replay-by-key", r.Application, r.Key)
		switch {
		case err == nil && before.Hash != r.Hash:
			return r, false, tidings.FieldErrors{{Field: "Idempotency-Key", Code: "reused", Detail: "it stood for another replay"}}.Err(tidings.Unprocessable)
		case err == nil:
			made, err = db.Replay(ctx, r.Application, tidings.ID(before.ID))
			return made, true, err
		case !noRows(err):
			return r, false, err
		}
		if err = db.allThere(ctx, r); err != nil {
			return r, false, err
		}
		r.ID = db.ids.Next()
		detail := map[string]any{"application": r.Application, "filter": r.Filter, "expires_at": r.ExpiresAt}
		err = db.changed(ctx, "replay.create", "replay "+r.ID.String(), detail, func(t *tx) error {
			_, err := t.Exec(ctx, "insert-replay", int64(r.ID), r.Application, mustJSON(r.Filter), micros(r.ExpiresAt), r.Key, r.Hash, r.MadeBy)
			return err
		})
		if !duplicate(err) {
			break
		}
	}
	if err != nil {
		return r, false, err
	}
	made, err = db.Replay(ctx, r.Application, r.ID)
	return made, false, err
}

// allThere refuses deliveries, named one by one, that do not exist or are another application's.
func (db *DB) allThere(ctx context.Context, r tidings.Replay) error {
	if len(r.Filter.Deliveries) == 0 {
		return nil
	}
	all := tidings.ReplayFilter{Deliveries: r.Filter.Deliveries}
	found, err := selecting{application: r.Application, filter: all, until: math.MaxInt64}.named(ctx, db, deadKey{})
	if err != nil {
		return err
	}
	there := map[tidings.DeliveryKey]bool{}
	for _, k := range found {
		there[k.key()] = true
	}
	for _, k := range r.Filter.Deliveries {
		if !there[k] {
			return tidings.Errorf(tidings.NotFound, "there is no delivery of message %s to %s on %s", k.Message, k.User, k.Channel)
		}
	}
	return nil
}

// CancelReplay ends a replay that is under way. What it has put on the road stays there.
func (db *DB) CancelReplay(ctx context.Context, application string, id tidings.ID) error {
	return db.changed(ctx, "replay.cancel", "replay "+id.String(), nil, func(t *tx) error {
		var r replayRow
		if err := t.Get(ctx, &r, "replay", application, int64(id)); err != nil {
			return notFound(err, "replay", id)
		}
		n, err := t.Exec(ctx, "cancel-replay", int64(id))
		if err == nil && n == 0 {
			err = tidings.Errorf(tidings.Conflict, "the replay is %s already", r.State)
		}
		return err
	})
}

// replayAll goes on with the replays under way. What is wrong with one of them is told and does not keep the sweep from the rest of its work.
func (db *DB) replayAll(ctx context.Context, _ int) (segments []tidings.Segment, err error) {
	var ids []int64
	if err := db.Select(ctx, &ids, "running-replays"); err != nil {
		return nil, err
	}
	began := time.Now()
	for _, id := range ids {
		for done := false; !done && time.Since(began) < replayPatience; {
			var made []tidings.Segment
			if made, done, err = db.ReplayStep(ctx, tidings.ID(id)); err != nil {
				db.log.Warn("replay: tried again later", "replay", tidings.ID(id), "err", err)
				break
			}
			segments = append(segments, made...)
		}
	}
	return segments, nil
}

// ReplayStep puts the next deliveries of a replay on the road, at most a segment's size: what it selects, how it was, where it goes and how far
// the replay has come are one transaction. done tells that there is nothing more for the caller to do, because the replay is at its
// end or another process is at it.
//
// The deliveries are locked before anything is decided about them, so that a receipt or another replay has either been before, and is seen,
// or comes after, and finds them queued.
func (db *DB) ReplayStep(ctx context.Context, id tidings.ID) (segments []tidings.Segment, done bool, err error) {
	err = db.tx(ctx, func(t *tx) error {
		segments, done = nil, true
		var row replayRow
		if err := t.Get(ctx, &row, "lock-replay", int64(id)); err != nil {
			if noRows(err) {
				return nil
			}
			return err
		}
		r, err := row.replay()
		if err != nil {
			return err
		}
		from := deadKey{row.AfterM, row.AfterU, row.AfterC}
		// What ended after the replay was made is not in it; nor is what it has sent again itself.
		keys, to, end, err := selectingOf(r, row.CreatedAt).next(ctx, t, from, tidings.SegmentSize)
		if err != nil {
			return err
		}
		letters, err := t.lockedDead(ctx, r, keys)
		if err != nil {
			return err
		}
		rows, err := t.requeue(ctx, r, letters)
		if err != nil {
			return err
		}
		segments, done = segmentsOf(rows), end
		return t.went(ctx, r, letters, to, end)
	})
	return segments, done, err
}

// lockedDead locks deliveries and then reads and decides on them. One that has left the filter meanwhile is not among them.
func (t *tx) lockedDead(ctx context.Context, r tidings.Replay, keys []deadKey) ([]tidings.DeadLetter, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	var locked []deadKey
	if err := t.Select(ctx, &locked, "lock-dead", deadColumns(keys)); err != nil {
		return nil, err
	}
	letters, err := deadLetters(ctx, t, locked)
	if err != nil {
		return nil, err
	}
	if len(r.Filter.Deliveries) == 0 {
		letters = slices.DeleteFunc(letters, func(d tidings.DeadLetter) bool { return !slices.Contains(r.Filter.States, d.State) })
	}
	for i := range letters {
		letters[i].LeftOut = letters[i].Decide(r.Filter, r.ExpiresAt)
	}
	return letters, t.takeAgain(ctx, r.ID, letters)
}

// takeAgain counts what is sent again against the quotas, as the route stage did the first time, and leaves out what is beyond them. What a
// delivery has cost before stays counted.
func (t *tx) takeAgain(ctx context.Context, replay tidings.ID, letters []tidings.DeadLetter) error {
	of := map[string][]int{}
	for i, d := range letters {
		if d.LeftOut == "" {
			of[d.Application] = append(of[d.Application], i)
		}
	}
	for _, application := range slices.Sorted(maps.Keys(of)) {
		if err := t.closeReservations(ctx, replay, letters, of[application]); err != nil {
			return err
		}
		ds := make([]tidings.Delivery, len(of[application]))
		for j, i := range of[application] {
			ds[j] = letters[i].Requeued()
		}
		l, err := t.db.limits(ctx, application, ds)
		if err != nil {
			return err
		}
		if l == nil {
			continue
		}
		var used []usageRow
		for _, s := range l.look(&used) {
			if err := t.run(ctx, s); err != nil {
				return err
			}
		}
		ds = l.admit(ds, used)
		for j, i := range of[application] {
			letters[i].LeftOut = tidings.LeftOut(ds[j].Reason)
		}
		for _, s := range l.take(ds) {
			if err := t.run(ctx, s); err != nil {
				return err
			}
		}
	}
	return nil
}

// closeReservations settles what the SMS among letters have cost until now, and makes room for what they cost now.
func (t *tx) closeReservations(ctx context.Context, replay tidings.ID, letters []tidings.DeadLetter, which []int) error {
	var messages []int64
	var users []string
	for _, i := range which {
		if letters[i].Channel == tidings.SMS {
			messages, users = append(messages, int64(letters[i].Message)), append(users, letters[i].User)
		}
	}
	if len(messages) == 0 {
		return nil
	}
	var rows []reservationRow
	if err := t.Select(ctx, &rows, "dead-reservations", columns(messages, users)); err != nil || len(rows) == 0 {
		return err
	}
	if err := t.endReservations(ctx, rows); err != nil {
		return err
	}
	_, err := t.Exec(ctx, "close-reservations", columns(messages, users), replay.String())
	return err
}

// requeue moves what is not left out to queued, and writes the segments that carry it.
func (t *tx) requeue(ctx context.Context, r tidings.Replay, letters []tidings.DeadLetter) ([]segmentRow, error) {
	var keys []deadKey
	var due []dueRow
	for _, d := range letters {
		if d.LeftOut == "" {
			keys = append(keys, keyOf(d.DeliveryKey))
			due = append(due, dueRow{Message: int64(d.Message), User: d.User, Channel: string(d.Channel), Application: d.Application,
				Lane: string(d.Lane), State: string(tidings.Queued)})
		}
	}
	if len(keys) == 0 {
		return nil, nil
	}
	n, err := t.Exec(ctx, "requeue-dead", deadColumns(keys), micros(r.ExpiresAt))
	if err == nil && int(n) != len(keys) {
		err = tidings.ErrStale // they are locked: this cannot be, and must not be half of it
	}
	if err != nil {
		return nil, err
	}
	if err := t.db.knowBroadcasts(ctx, due); err != nil {
		return nil, err
	}
	if err := t.renew(ctx, letters); err != nil {
		return nil, err
	}
	rows := t.db.dueSegments(due)
	if _, err := t.Exec(ctx, "insert-batch", int64(rows[0].Batch), 0, len(rows)); err != nil {
		return nil, err
	}
	return rows, t.run(ctx, insertSegments(rows))
}

// went records what became of letters, and how far the replay has come.
func (t *tx) went(ctx context.Context, r tidings.Replay, letters []tidings.DeadLetter, to deadKey, end bool) error {
	replayed, left, parts := 0, 0, 0
	for _, d := range letters {
		if d.LeftOut == "" {
			replayed, parts = replayed+1, parts+d.Parts
		} else {
			left++
		}
	}
	if len(letters) > 0 {
		_, err := t.Exec(ctx, "insert-replayed", columns(
			ints(letters, func(d tidings.DeadLetter) int64 { return int64(d.Message) }), strs(letters, func(d tidings.DeadLetter) string { return d.User }),
			strs(letters, func(d tidings.DeadLetter) string { return string(d.Channel) }), strs(letters, func(d tidings.DeadLetter) string { return string(d.State) }),
			strs(letters, func(d tidings.DeadLetter) string { return string(d.Reason) }), ints(letters, func(d tidings.DeadLetter) int64 { return int64(d.Attempts) }),
			ints(letters, func(d tidings.DeadLetter) int64 { return int64(d.Parts) }), strs(letters, func(d tidings.DeadLetter) string { return string(d.LeftOut) })), int64(r.ID))
		if err != nil {
			return err
		}
	}
	if _, err := t.Exec(ctx, "replay-went", int64(r.ID), to.Message, to.User, to.Channel, replayed, left, parts, bit(end)); err != nil {
		return err
	}
	if !end {
		return nil
	}
	return t.append(ctx, "replay.end", "replay "+r.ID.String(), map[string]any{"made_by": r.MadeBy, "replayed": r.Replayed + replayed,
		"left_out": r.LeftOut + left, "sms_parts": r.Parts + parts})
}

// Replay reads a replay and how what it sent again fares.
func (db *DB) Replay(ctx context.Context, application string, id tidings.ID) (r tidings.Replay, err error) {
	var row replayRow
	if err := db.Get(ctx, &row, "replay", application, int64(id)); err != nil {
		return r, notFound(err, "replay", id)
	}
	if r, err = row.replay(); err != nil {
		return r, err
	}
	var why []struct {
		Why tidings.LeftOut
		N   int
	}
	if err := db.Select(ctx, &why, "replayed-why", int64(id)); err != nil {
		return r, err
	}
	r.Why, r.Now = map[tidings.LeftOut]int{}, map[tidings.State]int{}
	for _, w := range why {
		r.Why[w.Why] = w.N
	}
	var now []struct {
		State tidings.State
		N     int
	}
	err = db.Select(ctx, &now, "replayed-now", int64(id))
	for _, n := range now {
		r.Now[n.State] = n.N
	}
	return r, err
}

// Replays reads a page of replays, the newest first.
func (db *DB) Replays(ctx context.Context, application string, q tidings.PageQuery) (rs []tidings.Replay, more bool, err error) {
	p := pageOf(q)
	var rows []replayRow
	if err := db.Select(ctx, &rows, p.query("replays"), application, p.from, p.limit+1); err != nil {
		return nil, false, err
	}
	rows, more = cut(p, rows)
	rs, err = each(rows, replayRow.replay)
	return rs, more, err
}
