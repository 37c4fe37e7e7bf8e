package sql

import (
	"context"

	"tidings"
)

// RouteWork reads what the route stage decides on.
func (db *DB) RouteWork(ctx context.Context, ss []tidings.Segment) (w tidings.RouteWork, err error) {
	w, ok := db.recent.routeWork(ss)
	if !ok {
		w, err = db.readRouteWork(ctx, ss)
	}
	if err == nil && w.Outside() {
		w.Addresses, err = db.addressChannels(ctx, strs(w.Items, func(i tidings.Item) string { return i.User }))
	}
	return w, err
}

func (db *DB) readRouteWork(ctx context.Context, ss []tidings.Segment) (w tidings.RouteWork, err error) {
	var segments []open
	var messages []messageRow
	var contents []madeRow
	err = db.look(ctx, into(&segments, "segments", tries(ss)), into(&messages, "route-messages", tries(ss)),
		into(&contents, "route-contents", tries(ss)))
	if err != nil {
		return w, err
	}
	var items notificationItems
	if w.Now, err = opened(ss, segments, items.add); err != nil {
		return w, err
	}
	ms, err := messagesOf(messages)
	if err != nil {
		return w, err
	}
	w.Items, w.Messages, w.Contents = items.items(), make(map[tidings.ID]tidings.Audienced, len(ms)), contentsOf(contents)
	for _, m := range ms {
		w.Messages[m.ID] = m
	}
	return w, nil
}

type madeRow struct {
	Message int64 `db:"message_id"`
	Channel string
	Locale  string
	Reason  string
}

func contentsOf(rows []madeRow) map[tidings.ID][]tidings.Rendered {
	contents := map[tidings.ID][]tidings.Rendered{}
	for _, r := range rows {
		id := tidings.ID(r.Message)
		contents[id] = append(contents[id], tidings.Rendered{Message: id, Channel: tidings.Channel(r.Channel), Locale: r.Locale, Reason: tidings.Reason(r.Reason)})
	}
	return contents
}

func (db *DB) addressChannels(ctx context.Context, users []string) (map[string]map[tidings.Channel]bool, error) {
	var rows []struct {
		User    string `db:"user_id"`
		Channel string
	}
	if err := db.Select(ctx, &rows, "address-channels", columns(unique(users))); err != nil {
		return nil, err
	}
	addresses := map[string]map[tidings.Channel]bool{}
	for _, r := range rows {
		if addresses[r.User] == nil {
			addresses[r.User] = map[tidings.Channel]bool{}
		}
		addresses[r.User][tidings.Channel(r.Channel)] = true
	}
	return addresses, nil
}

// Routed commits deliveries, and deliver segments for the queued ones of each channel.
func (db *DB) Routed(ctx context.Context, ss []tidings.Segment, ds []tidings.Delivery) ([]tidings.Segment, error) {
	s := ss[0]
	next := db.afterRoute(s, ds)
	if len(ds) == 0 {
		return db.step(ctx, ss, next, 0)
	}
	return db.step(ctx, ss, next, len(ds), do("insert-deliveries", columns(
		ints(ds, func(d tidings.Delivery) int64 { return int64(d.Message) }),
		strs(ds, func(d tidings.Delivery) string { return d.User }),
		strs(ds, func(d tidings.Delivery) string { return string(d.Channel) }),
		strs(ds, func(tidings.Delivery) string { return s.Application }),
		strs(ds, func(tidings.Delivery) string { return string(s.Lane) }),
		strs(ds, func(d tidings.Delivery) string { return string(d.State) }),
		strs(ds, func(d tidings.Delivery) string { return string(d.Reason) }),
		strs(ds, func(d tidings.Delivery) string { return d.Locale }),
		ints(ds, func(d tidings.Delivery) int64 { return micros(d.DueAt) }),
		ints(ds, func(d tidings.Delivery) int64 { return micros(d.ExpiresAt) }),
		ints(ds, func(tidings.Delivery) int64 { return int64(s.ID) }))))
}

func (db *DB) afterRoute(s tidings.Segment, ds []tidings.Delivery) (next []segmentRow) {
	for _, c := range tidings.Channels {
		var items []tidings.Item
		for _, d := range ds {
			if d.Channel == c && d.State == tidings.Queued {
				items = append(items, tidings.Item{Message: d.Message, User: d.User, Locale: d.Locale})
			}
		}
		next = append(next, db.follow(s, tidings.Deliver, c, len(next), items)...)
	}
	return next
}
