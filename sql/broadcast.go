package sql

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"tidings"
)

// insertBroadcasts stores what is a broadcast among messages.
func insertBroadcasts(ms []tidings.Message) []statement {
	var casts []tidings.Broadcast
	var of, ns, dues []int64
	var channels []string
	for _, m := range ms {
		if m.Broadcast == nil {
			continue
		}
		b := *m.Broadcast
		b.ID, b.Application, b.State = m.ID, m.Application, tidings.BroadcastRunning
		casts = append(casts, b)
		for _, r := range b.Reminders {
			of, ns, dues, channels = append(of, int64(m.ID)), append(ns, int64(r.N)), append(dues, micros(r.DueAt)), append(channels, joinChannels(r.Channels))
		}
	}
	if len(casts) == 0 {
		return nil
	}
	statements := []statement{do("insert-broadcasts", columns(
		ints(casts, func(b tidings.Broadcast) int64 { return int64(b.ID) }),
		strs(casts, func(b tidings.Broadcast) string { return b.Application }),
		strs(casts, func(b tidings.Broadcast) string { return string(b.State) }),
		ints(casts, func(b tidings.Broadcast) int64 { return int64(b.Rate) }),
		ints(casts, func(b tidings.Broadcast) int64 { return int64(b.Estimated) }),
		ints(casts, func(b tidings.Broadcast) int64 { return int64(bit(b.MustRead)) }),
		ints(casts, func(b tidings.Broadcast) int64 { return int64(len(b.Reminders)) }),
		ints(casts, func(b tidings.Broadcast) int64 { return int64(b.Parent) }),
		strs(casts, func(b tidings.Broadcast) string { return b.CreatedBy })))}
	if len(of) > 0 {
		statements = append(statements, do("insert-reminders", columns(of, ns, dues, channels)))
	}
	return statements
}

// running keeps which broadcasts are under way, so that the road asks once in runningAge; and only for a segment of one.
type running struct {
	mu    sync.Mutex
	known map[tidings.ID]runningRow
	until time.Time
	tend  time.Time // when to look again after ends and reminders
}

type runningRow struct {
	ID        int64
	State     string
	ExpiresAt int64 `db:"expires_at"`
}

const (
	// runningAge is how old this process's list of broadcasts may be. The promise is that a pause holds after 2 s.
	runningAge = time.Second
	// asideFor is after what time a segment that was put aside is looked at again; a resume does not wait for that.
	asideFor = time.Hour
	// tendEvery is how often ends and reminders are looked for; an eager look at a large broadcast is not to fill the database.
	tendEvery = 5 * time.Second
	tendShare = 20
)

// broadcasts are those under way, at most runningAge old. The map is not to be changed.
func (db *DB) broadcasts(ctx context.Context) (map[tidings.ID]runningRow, error) {
	r := &db.running
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if now.Before(r.until) {
		return r.known, nil
	}
	var rows []runningRow
	if err := db.Select(ctx, &rows, "running-broadcasts"); err != nil {
		return nil, err
	}
	r.known, r.until = make(map[tidings.ID]runningRow, len(rows)), now.Add(runningAge)
	for _, row := range rows {
		r.known[tidings.ID(row.ID)] = row
	}
	return r.known, nil
}

// forget makes this process look again at once; others do within runningAge.
func (r *running) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.until = time.Time{}
}

// Aside puts segments of a paused broadcast aside, with all that is in them, and tells whether it did. They stay open, and go on when the
// broadcast is resumed or canceled or has expired. Segments of no broadcast cost nothing.
func (db *DB) Aside(ctx context.Context, ss ...tidings.Segment) (bool, error) {
	// What the route stage has numbered is in the inbox: held back from the stream it would be a hole there. When others stand beside it, those
	// are put aside, and it is run again alone.
	ss = slices.DeleteFunc(slices.Clone(ss), func(s tidings.Segment) bool {
		return s.Broadcast == 0 || s.Stage == tidings.Deliver && s.Channel == tidings.Web && s.Parent != 0
	})
	if len(ss) == 0 {
		return false, nil
	}
	s := ss[0]
	known, err := db.broadcasts(ctx)
	if err != nil {
		return false, err
	}
	b := known[s.Broadcast]
	wait := min(asideFor, time.Until(timeOf(b.ExpiresAt)))
	if b.State != string(tidings.BroadcastPaused) || wait <= 0 {
		return false, nil
	}
	paused := false
	err = db.tx(ctx, func(t *tx) error {
		var state string
		if err := t.Get(ctx, &state, "lock-broadcast", int64(s.Broadcast)); err != nil {
			return err
		}
		if paused = state == string(tidings.BroadcastPaused); !paused {
			return nil
		}
		for _, s := range ss {
			if _, err := t.Exec(ctx, "set-aside", int64(s.ID), s.Try, wait.Microseconds()); err != nil {
				return err
			}
		}
		return nil
	})
	return paused, err
}

// knowBroadcasts notes which of the due deliveries belong to broadcasts.
func (db *DB) knowBroadcasts(ctx context.Context, due []dueRow) error {
	for i, d := range due {
		if d.Lane != string(tidings.Bulk) {
			continue
		}
		known, err := db.broadcasts(ctx)
		if err != nil {
			return err
		}
		if _, ok := known[tidings.ID(d.Message)]; ok {
			due[i].broadcast = tidings.ID(d.Message)
		}
	}
	return nil
}

// acquireBroadcast gives the message of a broadcast its pace.
func (db *DB) acquireBroadcast(ctx context.Context, id tidings.ID, ms []tidings.Audienced, now time.Time) error {
	var row struct {
		ID, Rate, Paced, Parent int64
		PacedFrom               int64 `db:"paced_from"`
		MustRead                int64 `db:"must_read"`
	}
	if err := db.Get(ctx, &row, "acquire-broadcast", int64(id)); err != nil {
		return notFound(err, "broadcast", id)
	}
	for i, m := range ms {
		if m.ID == id {
			ms[i].Broadcast = &tidings.Broadcast{ID: id, MustRead: row.MustRead == 1, Parent: tidings.ID(row.Parent),
				Pace: tidings.Pace{Now: now, Rate: int(row.Rate), From: timeOf(row.PacedFrom), Released: int(row.Paced)}}
		}
	}
	return nil
}

// pacing counts the notifications of a broadcast's page, and notes where their users belong.
func pacing(p tidings.AcquirePage) (effect []statement) {
	b := p.Broadcast
	if b == nil {
		return nil
	}
	n := len(p.Notifications)
	if b.MustRead && n > 0 {
		effect = append(effect, do("insert-places", columns(
			ints(p.Notifications, func(n tidings.Notification) int64 { return int64(n.Message) }),
			strs(p.Notifications, func(n tidings.Notification) string { return n.User }),
			strs(p.Notifications, func(n tidings.Notification) string { return "," + strings.Join(n.Via, ",") + "," }))))
	}
	return append(effect, do("pace-broadcast", int64(b.ID), n, micros(b.Pace.From), micros(p.Pace.From), p.Pace.Released))
}

// delaying makes the rest of a page, the last of its segments, wait until at.
func delaying(rows []segmentRow, at time.Time) []statement {
	if at.IsZero() {
		return nil
	}
	return []statement{do("delay-segment", int64(rows[len(rows)-1].ID), micros(at.Add(-tidings.Grace)))}
}

type castRow struct {
	ID          int64
	Application string
	State       tidings.BroadcastState
	Rate        int
	Frozen      int
	Estimated   int
	MustRead    int `db:"must_read"`
	Parent      int64
	CreatedBy   string `db:"created_by"`
	EndedAt     int64  `db:"ended_at"`
	ChangedAt   int64  `db:"changed_at"`
	Type        string
	Audience    string
	Channels    string
	SendAt      int64 `db:"send_at"`
	ExpiresAt   int64 `db:"expires_at"`
	AcceptedAt  int64 `db:"accepted_at"`
	Size        int
}

func (r castRow) broadcast() (tidings.Broadcast, error) {
	b := tidings.Broadcast{ID: tidings.ID(r.ID), Application: r.Application, Type: r.Type, State: r.State, Rate: r.Rate, MustRead: r.MustRead == 1,
		Parent: tidings.ID(r.Parent), CreatedBy: r.CreatedBy, AcceptedAt: timeOf(r.AcceptedAt), SendAt: timeOf(r.SendAt), ExpiresAt: timeOf(r.ExpiresAt),
		Channels: splitChannels(r.Channels)}
	p := tidings.Progress{Audience: r.Size, Frozen: r.Frozen, Counts: map[tidings.Channel]map[tidings.State]int{}}
	if r.Size < 0 {
		p.Audience, p.Estimated = max(r.Estimated, r.Frozen), true
	}
	b.Progress = &p
	return b, json.Unmarshal([]byte(r.Audience), &b.Audience)
}

// Broadcast reads a broadcast with its progress. application "" means any.
func (db *DB) Broadcast(ctx context.Context, application string, id tidings.ID) (tidings.Broadcast, error) {
	var r castRow
	if err := db.Get(ctx, &r, "broadcast", application, int64(id)); err != nil {
		return tidings.Broadcast{}, notFound(err, "broadcast", id)
	}
	b, err := r.broadcast()
	if err != nil {
		return b, err
	}
	err = db.report(ctx, func(t *tx) error { return t.progress(ctx, &b) })
	b.Estimate(time.Now(), timeOf(r.EndedAt))
	return b, err
}

// progress counts what a broadcast has come to.
func (t *tx) progress(ctx context.Context, b *tidings.Broadcast) error {
	var stages []struct {
		Stage tidings.StageName
		N     int
	}
	if err := t.Select(ctx, &stages, "broadcast-stages", int64(b.ID)); err != nil {
		return err
	}
	for _, s := range stages {
		if s.Stage == tidings.Render {
			b.Progress.Rendered = s.N
		} else {
			b.Progress.Routed = s.N
		}
	}
	var counts []countRow
	if err := t.Select(ctx, &counts, "message-counts", columns([]int64{int64(b.ID)})); err != nil {
		return err
	}
	for _, c := range counts {
		if b.Progress.Counts[c.Channel] == nil {
			b.Progress.Counts[c.Channel] = map[tidings.State]int{}
		}
		b.Progress.Counts[c.Channel][c.State] = c.N
	}
	if err := t.Get(ctx, &b.Progress.Read, "broadcast-readers", int64(b.ID)); err != nil {
		return err
	}
	var reminders []struct {
		N, Users int
		DueAt    int64 `db:"due_at"`
		Channels string
		State    tidings.ReminderState
		Message  int64 `db:"message_id"`
	}
	if err := t.Select(ctx, &reminders, "broadcast-reminders", int64(b.ID)); err != nil {
		return err
	}
	for _, r := range reminders {
		b.Reminders = append(b.Reminders, tidings.Reminder{N: r.N, DueAt: timeOf(r.DueAt), Channels: splitChannels(r.Channels), State: r.State,
			Message: tidings.ID(r.Message), Users: r.Users})
	}
	return nil
}

// Broadcasts reads a page of broadcasts without their reminders, the newest first, with that of their progress that costs no counting.
func (db *DB) Broadcasts(ctx context.Context, application string, q tidings.PageQuery) (bs []tidings.Broadcast, more bool, err error) {
	p := pageOf(q)
	var rows []castRow
	if err := db.Select(ctx, &rows, p.query("broadcasts"), application, p.from, p.limit+1); err != nil {
		return nil, false, err
	}
	rows, more = cut(p, rows)
	bs, err = each(rows, castRow.broadcast)
	return bs, more, err
}

// SteerBroadcast pauses, resumes or cancels a broadcast with its reminders. What is so already stays so; Conflict: it has ended.
func (db *DB) SteerBroadcast(ctx context.Context, application string, id tidings.ID, to tidings.BroadcastState) error {
	verbs := map[tidings.BroadcastState]string{tidings.BroadcastPaused: "pause", tidings.BroadcastRunning: "resume", tidings.BroadcastCanceled: "cancel"}
	return db.steer(ctx, application, id, verbs[to], nil, func(t *tx) error {
		switch to {
		case tidings.BroadcastCanceled:
			_, err := t.cancel(ctx, []int64{int64(id)})
			return err
		case tidings.BroadcastPaused:
			_, err := t.Exec(ctx, "pause-broadcast", int64(id))
			return err
		}
		if _, err := t.Exec(ctx, "resume-broadcast", int64(id)); err != nil {
			return err
		}
		_, err := t.Exec(ctx, "release-aside", int64(id))
		return err
	})
}

// SetBroadcastRate sets how many notifications a second a broadcast and its reminders become, from now on.
func (db *DB) SetBroadcastRate(ctx context.Context, application string, id tidings.ID, rate int) error {
	return db.steer(ctx, application, id, "rate", map[string]int{"rate": rate}, func(t *tx) error {
		_, err := t.Exec(ctx, "rate-broadcast", int64(id), rate)
		return err
	})
}

func (db *DB) steer(ctx context.Context, application string, id tidings.ID, verb string, detail any, f func(*tx) error) error {
	defer db.running.forget()
	return db.changed(ctx, "broadcast."+verb, "broadcast "+id.String(), detail, func(t *tx) error {
		var r castRow
		if err := t.Get(ctx, &r, "broadcast", application, int64(id)); err != nil {
			return notFound(err, "broadcast", id)
		}
		if err := t.Get(ctx, &r.State, "lock-broadcast", int64(id)); err != nil {
			return err
		}
		if r.State == tidings.BroadcastCanceled && verb != "cancel" || r.State == tidings.BroadcastDone && verb != "cancel" {
			return tidings.Errorf(tidings.Conflict, "the broadcast is %s", r.State)
		}
		return f(t)
	})
}

// cancelBroadcasts ends what is a broadcast among canceled messages, with its reminders. Its open segments run to their end, where
// all that is left is planned as canceled.
func (t *tx) cancelBroadcasts(ctx context.Context, ids []int64) error {
	n, err := t.Exec(ctx, "cancel-broadcasts", columns(ids))
	if err != nil || n == 0 {
		return err
	}
	if _, err := t.Exec(ctx, "drop-reminders", columns(ids)); err != nil {
		return err
	}
	for _, id := range ids {
		if _, err := t.Exec(ctx, "release-aside", id); err != nil {
			return err
		}
	}
	var children []int64
	if err := t.Select(ctx, &children, "reminders-of", columns(ids)); err != nil || len(children) == 0 {
		return err
	}
	_, err = t.cancel(ctx, children)
	return err
}
