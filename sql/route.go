package sql

import (
	"context"
	"slices"
	"time"

	"tidings"
)

// RouteWork reads what the route stage decides on.
func (db *DB) RouteWork(ctx context.Context, ss []tidings.Segment) (w tidings.RouteWork, err error) {
	w, ok := db.recent.routeWork(ss)
	if !ok {
		w, err = db.readRouteWork(ctx, ss)
	}
	if err == nil && w.Outside() {
		w.Addresses, err = db.AddressChannels(ctx, strs(w.Items, func(i tidings.Item) string { return i.User }))
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
	Text    string // of an SMS
}

func contentsOf(rows []madeRow) map[tidings.ID][]tidings.Rendered {
	contents := map[tidings.ID][]tidings.Rendered{}
	for _, r := range rows {
		id := tidings.ID(r.Message)
		made := tidings.Rendered{Message: id, Channel: tidings.Channel(r.Channel), Locale: r.Locale, Reason: tidings.Reason(r.Reason)}
		if r.Text != "" {
			made.Parts, _ = tidings.Content{Body: r.Text}.SMS()
		}
		contents[id] = append(contents[id], made)
	}
	return contents
}

// Via reads through which dimensions users were reached.
func (db *DB) Via(ctx context.Context, items []tidings.Item) (map[tidings.Item][]string, error) {
	var rows []struct {
		Message int64  `db:"message_id"`
		User    string `db:"user_id"`
		Via     string
	}
	if err := db.Select(ctx, &rows, "vias", itemColumns(items)); err != nil {
		return nil, err
	}
	of := make(map[tidings.Item][]string, len(rows))
	for _, r := range rows {
		of[tidings.Item{Message: tidings.ID(r.Message), User: r.User}] = splitVia(r.Via)
	}
	via := make(map[tidings.Item][]string, len(items))
	for _, i := range items {
		via[i] = of[tidings.Item{Message: i.Message, User: i.User}]
	}
	return via, nil
}

// AddressChannels reads on which channels users have an address.
func (db *DB) AddressChannels(ctx context.Context, users []string) (map[string]map[tidings.Channel]bool, error) {
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

// Routed commits deliveries, and deliver segments for those of each channel that go out now. A web delivery that waits for
// nothing leaves at once: it is numbered in its user's inbox in the same commit, and its segment stands for the append to the
// stream alone.
func (db *DB) Routed(ctx context.Context, ss []tidings.Segment, ds []tidings.Delivery, w tidings.Waiting) ([]tidings.Segment, error) {
	limits, err := db.limits(ctx, ss[0].Application, ds)
	if err != nil {
		return nil, err
	}
	users, messages := leaving(ds)
	back := lookbackOf(ds, time.Now())
	if len(users) == 0 && limits == nil && back == nil {
		next := db.afterRoute(ss[0], ds)
		return db.step(ctx, ss, next, len(ds), append(insertDeliveries(ss[0], ds), leftBehind(ss[0], ds, w)...)...)
	}
	var next []segmentRow
	// Not the lazy pool: pages are told of these numbers, so a crash must not take them back.
	err = db.rounds(ctx, db.write, nil, func(s *session) error {
		var inboxes []headRow
		var canceled []struct{ ID int64 }
		var used []usageRow
		locks := append([]statement{into(&inboxes, "lock-inboxes", columns(back.locked(users))), into(&canceled, "canceled-messages", columns(messages))}, limits.look(&used)...)
		locks = append(locks, back.look()...)
		if err := s.round(ctx, locks...); err != nil {
			return err
		}
		taken := make(map[tidings.ID]bool, len(canceled))
		for _, c := range canceled {
			taken[tidings.ID(c.ID)] = true
		}
		heads := headsOf(inboxes)
		placed := place(decide(ds, back, limits, used), heads, taken)
		next = db.afterRoute(ss[0], placed)
		effect := append(insertDeliveries(ss[0], placed), inboxOf(placed, heads)...)
		effect = append(append(effect, limits.take(placed)...), back.keep(placed)...)
		effect = append(effect, leftBehind(ss[0], placed, w)...)
		return s.last(ctx, stepStatements(ss, next, len(ds), effect)...)
	})
	if err != nil {
		return nil, err
	}
	db.recent.wrote(next)
	return segmentsOf(next), nil
}

// leaving are the users and messages of web deliveries that wait for nothing.
func leaving(ds []tidings.Delivery) (users []string, messages []int64) {
	for _, d := range ds {
		if d.Channel == tidings.Web && d.State == tidings.Queued {
			users, messages = append(users, d.User), append(messages, int64(d.Message))
		}
	}
	return unique(users), unique(messages)
}

// place numbers the web deliveries that wait for nothing, in a copy. heads are the last numbers, and are raised; canceled are
// messages that were taken back since they were read.
func place(ds []tidings.Delivery, heads map[string]int64, canceled map[tidings.ID]bool) []tidings.Delivery {
	placed := slices.Clone(ds)
	for i, d := range placed {
		if d.Channel != tidings.Web || d.State != tidings.Queued {
			continue
		}
		head, there := heads[d.User]
		switch {
		case canceled[d.Message]:
			d.State, d.Reason = tidings.Canceled, tidings.CanceledByApp
		case !there:
			d.State, d.Reason = tidings.Failed, tidings.UserGone
		default:
			heads[d.User] = head + 1
			d.State, d.Number = tidings.Sent, head+1
		}
		placed[i] = d
	}
	return placed
}

// inboxOf writes the numbers of deliveries into their users' inboxes.
func inboxOf(ds []tidings.Delivery, heads map[string]int64) []statement {
	var messages, numbers []int64
	var users []string
	for _, d := range ds {
		if d.Number > 0 {
			messages, users, numbers = append(messages, int64(d.Message)), append(users, d.User), append(numbers, d.Number)
		}
	}
	if len(users) == 0 {
		return nil
	}
	return insertInbox(messages, users, numbers, heads)
}

func insertDeliveries(s tidings.Segment, ds []tidings.Delivery) []statement {
	if len(ds) == 0 {
		return nil
	}
	return unlessResumed(ds, do("insert-deliveries", columns(
		ints(ds, func(d tidings.Delivery) int64 { return int64(d.Message) }),
		strs(ds, func(d tidings.Delivery) string { return d.User }),
		strs(ds, func(d tidings.Delivery) string { return string(d.Channel) }),
		strs(ds, func(d tidings.Delivery) string { return string(d.State) }),
		strs(ds, func(d tidings.Delivery) string { return string(d.Reason) }),
		strs(ds, func(d tidings.Delivery) string { return d.Decided }),
		strs(ds, func(d tidings.Delivery) string { return d.Locale }),
		ints(ds, func(d tidings.Delivery) int64 { return micros(d.DueAt) }),
		ints(ds, func(d tidings.Delivery) int64 { return d.Number }),
		ints(ds, func(d tidings.Delivery) int64 { return micros(d.ExpiresAt) })), s.Application, string(s.Lane), int64(s.ID)))
}

// afterRoute are the segments of what goes out now: on the web what has its number.
func (db *DB) afterRoute(s tidings.Segment, ds []tidings.Delivery) (next []segmentRow) {
	for _, c := range tidings.Channels {
		var items []tidings.Item
		for _, d := range ds {
			if d.Channel == c && (d.State == tidings.Queued || d.Number > 0) {
				items = append(items, tidings.Item{Message: d.Message, User: d.User, Locale: d.Locale, Number: d.Number, Replaces: d.Back != nil && d.Back.Replace})
			}
		}
		next = append(next, db.follow(s, tidings.Deliver, c, len(next), items)...)
	}
	return next
}
