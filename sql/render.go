package sql

import (
	"context"

	"tidings"
)

// RenderWork reads the notifications of render segments and their messages.
func (db *DB) RenderWork(ctx context.Context, ss []tidings.Segment) (w tidings.RenderWork, err error) {
	if w, ok := db.recent.renderWork(ss); ok {
		return w, nil
	}
	var segments []open
	var rows []messageRow
	if err := db.look(ctx, into(&segments, "segments", tries(ss)), into(&rows, "render-messages", tries(ss))); err != nil {
		return w, err
	}
	var items notificationItems
	if _, err := opened(ss, segments, items.add); err != nil {
		return w, err
	}
	ms, err := messagesOf(rows)
	if err != nil {
		return w, err
	}
	w.Items, w.Messages = items.items(), make(map[tidings.ID]tidings.Message, len(ms))
	for _, m := range ms {
		w.Messages[m.ID] = m.Message
	}
	return w, nil
}

// Rendered commits contents. What an earlier segment of the same message rendered stays as it is.
func (db *DB) Rendered(ctx context.Context, ss []tidings.Segment, items []tidings.Item, rs []tidings.Rendered) ([]tidings.Segment, error) {
	next := db.follow(ss[0], tidings.Route, "", 0, items)
	if len(rs) == 0 {
		return db.step(ctx, ss, next, 0)
	}
	contents := columns(
		ints(rs, func(r tidings.Rendered) int64 { return int64(r.Message) }),
		strs(rs, func(r tidings.Rendered) string { return string(r.Channel) }),
		strs(rs, func(r tidings.Rendered) string { return r.Locale }),
		ints(rs, func(r tidings.Rendered) int64 { return int64(r.Version) }),
		strs(rs, func(r tidings.Rendered) string { return r.Content.Title }),
		strs(rs, func(r tidings.Rendered) string { return r.Content.Body }),
		strs(rs, func(r tidings.Rendered) string { return r.Content.URL }),
		strs(rs, func(r tidings.Rendered) string { return string(r.Reason) }),
		strs(rs, func(r tidings.Rendered) string { return r.Detail }),
		ints(rs, func(tidings.Rendered) int64 { return int64(ss[0].ID) }))
	// Most messages have one segment. To look for each content before it is written costs half as much again, so that is done
	// only where some are there, as far as this process knows or as the database says.
	if db.recent.fresh(rs) {
		made, err := db.step(ctx, ss, next, len(rs), do("insert-contents", contents))
		if !duplicate(err) {
			if err == nil {
				db.recent.rendered(rs)
			}
			return made, err
		}
	}
	var stand []standingRow
	made, err := db.step(ctx, ss, next, 0, making(ss[0].ID, "insert-missing-contents", contents), into(&stand, "standing-contents", columns(
		ints(rs, func(r tidings.Rendered) int64 { return int64(r.Message) }),
		strs(rs, func(r tidings.Rendered) string { return string(r.Channel) }),
		strs(rs, func(r tidings.Rendered) string { return r.Locale }))))
	if err == nil {
		db.recent.rendered(standing(stand))
	}
	return made, err
}

// standingRow is a content as it stands in the record.
type standingRow struct {
	Message          int64 `db:"message_id"`
	Channel, Locale  string
	Version          int64
	Title, Body, URL string
	Reason, Detail   string
}

func standing(rows []standingRow) []tidings.Rendered {
	rs := make([]tidings.Rendered, len(rows))
	for i, r := range rows {
		rs[i] = tidings.Rendered{Message: tidings.ID(r.Message), Channel: tidings.Channel(r.Channel), Locale: r.Locale, Version: int(r.Version),
			Content: tidings.Content{Title: r.Title, Body: r.Body, URL: r.URL}, Reason: tidings.Reason(r.Reason), Detail: r.Detail}
		if rs[i].Channel == tidings.SMS && r.Body != "" {
			rs[i].Parts, _ = rs[i].Content.SMS()
		}
	}
	return rs
}
