package sql

import (
	"context"
	"maps"
	"slices"

	"tidings"
)

// RenderBy sets what makes contents by the templates in force. Without it what ended for want of a content cannot be sent again.
func (db *DB) RenderBy(render func(context.Context, tidings.RenderWork) ([]tidings.Rendered, error)) {
	db.renderer = render
}

func (t *tx) rerender(ctx context.Context, letters []tidings.DeadLetter, rows []deadRow) error {
	return t.db.rerender(ctx, letters, rows)
}

// rerender tries to make contents, by the templates in force, for those of the letters that have none. Nothing is written.
func (db *DB) rerender(ctx context.Context, letters []tidings.DeadLetter, rows []deadRow) error {
	var messages []int64
	var users []string
	channels := map[tidings.ID]map[tidings.Channel]bool{}
	for i, d := range letters {
		if d.Facts.HasContent || rows[i].Segment == 0 {
			continue
		}
		messages, users = append(messages, int64(d.Message)), append(users, d.User)
		if channels[d.Message] == nil {
			channels[d.Message] = map[tidings.Channel]bool{}
		}
		channels[d.Message][d.Channel] = true
	}
	if len(messages) == 0 || db.renderer == nil {
		return nil
	}
	recipients, made, err := db.renderAgain(ctx, messages, users, channels)
	if err != nil {
		return err
	}
	for i := range letters {
		d := &letters[i]
		to, there := recipients[tidings.Item{Message: d.Message, User: d.User}]
		if d.Facts.HasContent || !there {
			continue
		}
		chosen := tidings.ChooseContents(d.User, to.locale, to.via, made[d.Message])[d.Channel]
		at := slices.IndexFunc(made[d.Message], func(r tidings.Rendered) bool { return r.Channel == d.Channel && r.Locale == chosen.Locale })
		if at < 0 {
			continue
		}
		r := made[d.Message][at]
		if r.Reason != tidings.NoReason {
			d.Detail = r.Detail
			continue
		}
		r.Segment = rows[i].Segment
		d.Fresh, d.Facts.HasContent, d.Parts = &r, true, r.Parts
	}
	return nil
}

// recipient is what of a user decides which content he gets.
type recipient struct {
	locale string
	via    []string
}

// renderAgain makes the contents that the users of messages get on some channels now, in order of channel and locale.
func (db *DB) renderAgain(ctx context.Context, messages []int64, users []string, channels map[tidings.ID]map[tidings.Channel]bool) (map[tidings.Item]recipient, map[tidings.ID][]tidings.Rendered, error) {
	var rows []messageRow
	if err := db.Select(ctx, &rows, "again-messages", columns(unique(messages))); err != nil {
		return nil, nil, err
	}
	ms, err := messagesOf(rows)
	if err != nil {
		return nil, nil, err
	}
	var found []struct {
		Message     int64  `db:"message_id"`
		User        string `db:"user_id"`
		Via, Locale string
	}
	if err := db.Select(ctx, &found, "again-users", columns(messages, users)); err != nil {
		return nil, nil, err
	}
	w := tidings.RenderWork{Messages: map[tidings.ID]tidings.Message{}}
	for _, m := range ms {
		m.Channels = slices.Sorted(maps.Keys(channels[m.ID]))
		w.Messages[m.ID] = m.Message
	}
	recipients := map[tidings.Item]recipient{}
	for _, f := range found {
		recipients[tidings.Item{Message: tidings.ID(f.Message), User: f.User}] = recipient{f.Locale, splitVia(f.Via)}
		w.Items = append(w.Items, tidings.Item{Message: tidings.ID(f.Message), User: f.User, Locale: f.Locale})
	}
	rs, err := db.renderer(ctx, w)
	if err != nil {
		return nil, nil, err
	}
	made := map[tidings.ID][]tidings.Rendered{}
	for _, r := range rs {
		made[r.Message] = append(made[r.Message], r)
	}
	for _, of := range made {
		slices.SortFunc(of, byChannel)
	}
	return recipients, made, nil
}

// renew writes the contents that were made for letters which are sent again.
func (t *tx) renew(ctx context.Context, letters []tidings.DeadLetter) error {
	type key struct {
		message tidings.ID
		channel tidings.Channel
		locale  string
	}
	seen := map[key]bool{}
	var rs []tidings.Rendered
	var chosen []tidings.DeadLetter
	for _, d := range letters {
		if d.LeftOut != "" || d.Fresh == nil {
			continue
		}
		chosen = append(chosen, d)
		if k := (key{d.Message, d.Channel, d.Fresh.Locale}); !seen[k] {
			seen[k] = true
			rs = append(rs, *d.Fresh)
		}
	}
	if len(rs) == 0 {
		return nil
	}
	contents := columns(
		ints(rs, func(r tidings.Rendered) int64 { return int64(r.Message) }), strs(rs, func(r tidings.Rendered) string { return string(r.Channel) }),
		strs(rs, func(r tidings.Rendered) string { return r.Locale }), ints(rs, func(r tidings.Rendered) int64 { return int64(r.Version) }),
		strs(rs, func(r tidings.Rendered) string { return r.Content.Title }), strs(rs, func(r tidings.Rendered) string { return r.Content.Body }),
		strs(rs, func(r tidings.Rendered) string { return r.Content.URL }), ints(rs, func(r tidings.Rendered) int64 { return r.Segment }))
	if _, err := t.Exec(ctx, "renew-contents", contents); err != nil {
		return err
	}
	// A new row is counted where the note was made, so that the balance misses it when it is lost.
	var added []int64
	if err := t.Select(ctx, &added, "add-contents", contents); err != nil {
		return err
	}
	counts := map[int64]int64{}
	for _, segment := range added {
		counts[segment]++
	}
	if len(counts) > 0 {
		ids := slices.Sorted(maps.Keys(counts))
		if _, err := t.Exec(ctx, "raise-planned", columns(ids, ints(ids, func(id int64) int64 { return counts[id] }))); err != nil {
			return err
		}
	}
	_, err := t.Exec(ctx, "choose-locales", columns(
		ints(chosen, func(d tidings.DeadLetter) int64 { return int64(d.Message) }), strs(chosen, func(d tidings.DeadLetter) string { return d.User }),
		strs(chosen, func(d tidings.DeadLetter) string { return string(d.Channel) }), strs(chosen, func(d tidings.DeadLetter) string { return d.Fresh.Locale })))
	return err
}
