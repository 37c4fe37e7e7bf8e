package sql

import (
	"context"
	"encoding/json"
	"time"

	"tidings"
)

type reminderRow struct {
	Broadcast   int64
	N           int
	Channels    string
	Rate        int
	CreatedBy   string `db:"created_by"`
	Application string
	Type        string
	Audience    string
	Data        []byte
	CollapseKey string `db:"collapse_key"`
	AcceptedAt  int64  `db:"accepted_at"`
	ExpiresAt   int64  `db:"expires_at"`
	Expired     int
}

// Tend ends broadcasts of which nothing is pending, and sends the reminders that are due, as often as is worth it. The segments that it returns are
// for the relay. To count who has not read of a million takes its time.
func (db *DB) Tend(ctx context.Context) (segments []tidings.Segment, err error) {
	r := &db.running
	r.mu.Lock()
	now := time.Now()
	if now.Before(r.tend) {
		r.mu.Unlock()
		return nil, nil
	}
	r.tend = now.Add(tendEvery)
	r.mu.Unlock()
	if segments, err = db.Remind(ctx); err != nil {
		return segments, err
	}
	known, err := db.broadcasts(ctx)
	if err != nil || len(known) == 0 {
		return segments, err
	}
	if _, err = db.Exec(ctx, "end-broadcasts"); err != nil {
		return segments, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tend = time.Now().Add(max(tendEvery, tendShare*time.Since(now)))
	return segments, nil
}

// Remind sends the reminders that are due: each once, because the move of its row and the message are one transaction.
func (db *DB) Remind(ctx context.Context) (segments []tidings.Segment, err error) {
	var due []reminderRow
	if err := db.Select(ctx, &due, "due-reminders"); err != nil {
		return nil, err
	}
	for _, r := range due {
		made, err := db.remind(ctx, r)
		if err != nil {
			return segments, err
		}
		segments = append(segments, made...)
	}
	return segments, nil
}

func (db *DB) remind(ctx context.Context, r reminderRow) (segments []tidings.Segment, err error) {
	m := tidings.Message{ID: db.ids.Next(), Batch: db.ids.Next(), Application: r.Application, Type: r.Type, Lane: tidings.Bulk, Data: r.Data,
		Channels: splitChannels(r.Channels), ExpiresAt: timeOf(r.ExpiresAt), CollapseKey: r.CollapseKey, AcceptedAt: time.Now()}
	if err := json.Unmarshal([]byte(r.Audience), &m.Audience); err != nil {
		return nil, err
	}
	err = db.tx(ctx, func(t *tx) error {
		segments = nil
		var waiting []int // of several workers one counts
		if err := t.Select(ctx, &waiting, "lock-reminder", r.Broadcast, r.N); err != nil || len(waiting) == 0 {
			return err
		}
		var unread int
		if err := t.Get(ctx, &unread, "count-unread", r.Broadcast, "", lastID); err != nil {
			return err
		}
		var state string // it may have been paused since the reminders were read
		if err := t.Get(ctx, &state, "lock-broadcast", r.Broadcast); err != nil || state == string(tidings.BroadcastPaused) {
			return err
		}
		next, child := tidings.ReminderSent, int64(m.ID)
		switch {
		case r.Expired == 1:
			next, child, unread = tidings.ReminderDropped, 0, 0
		case unread == 0:
			next, child = tidings.ReminderNeedless, 0
		}
		n, err := t.Exec(ctx, "take-reminder", r.Broadcast, r.N, string(next), child, unread)
		if err != nil || n == 0 || child == 0 {
			return err
		}
		m.Broadcast = &tidings.Broadcast{Rate: r.Rate, Parent: tidings.ID(r.Broadcast), Estimated: unread, CreatedBy: r.CreatedBy}
		ms := []tidings.Message{m}
		segments, err = t.acceptOwn(ctx, m.Batch, ms, db.acquireSegments(m.Batch, ms))
		return err
	})
	return segments, err
}

// unreaders resolves a page of the audience of a reminder: who has not read what it reminds of.
func (t *tx) unreaders(ctx context.Context, m tidings.Audienced, limit int) (found []tidings.Notification, size int, err error) {
	var rows []struct {
		User   string `db:"user_id"`
		Locale string
		Via    string
	}
	if err := t.Select(ctx, &rows, "resolve-unread", int64(m.Broadcast.Parent), m.After, limit); err != nil || len(rows) == 0 {
		return nil, 0, err
	}
	for _, r := range rows {
		found = append(found, tidings.Notification{Message: m.ID, User: r.User, Locale: r.Locale, Via: splitVia(r.Via)})
	}
	err = t.Get(ctx, &size, "count-unread", int64(m.Broadcast.Parent), m.After, rows[len(rows)-1].User)
	return found, size, err
}
