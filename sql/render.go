package sql

import (
	"context"

	"tidings"
)

// RenderWork reads the notifications of render segments and their messages.
func (db *DB) RenderWork(ctx context.Context, ss []tidings.Segment) (w tidings.RenderWork, err error) {
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
		return db.step(ctx, ss, next)
	}
	return db.step(ctx, ss, next, making(ss[0].ID, "insert-contents", columns(
		ints(rs, func(r tidings.Rendered) int64 { return int64(r.Message) }),
		strs(rs, func(r tidings.Rendered) string { return string(r.Channel) }),
		strs(rs, func(r tidings.Rendered) string { return r.Locale }),
		ints(rs, func(r tidings.Rendered) int64 { return int64(r.Version) }),
		strs(rs, func(r tidings.Rendered) string { return r.Content.Title }),
		strs(rs, func(r tidings.Rendered) string { return r.Content.Body }),
		strs(rs, func(r tidings.Rendered) string { return r.Content.URL }),
		strs(rs, func(r tidings.Rendered) string { return string(r.Reason) }),
		strs(rs, func(r tidings.Rendered) string { return r.Detail }),
		ints(rs, func(tidings.Rendered) int64 { return int64(ss[0].ID) }))))
}
