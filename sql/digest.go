package sql

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	"tidings"
)

type memberRow struct {
	Message     int64  `db:"message_id"`
	User        string `db:"user_id"`
	Channel     tidings.Channel
	Application string
	Type        string
	Spec        string
	AcceptedAt  int64 `db:"accepted_at"`
	ExpiresAt   int64 `db:"expires_at"`
	Via, Locale string
	Now         int64
	Title       string
	Held        int
	Expired     int
	Canceled    int   // its message was, after the route stage had read it
	digest      int64 // what it became part of; -1: it ended otherwise
}

func (r memberRow) group() [3]string { return [3]string{r.Application, r.Type, r.User} }

// summarise makes the digests that are due. A delivery ends as gathered in the transaction that writes the digest, and it ends only
// if it is still held: so each is in exactly one, whoever else gathers or adds at the same time. The users' rows are locked first,
// so that two sweeps do not make two digests of one user's events.
func (db *DB) summarise(ctx context.Context, limit int) (segments []tidings.Segment, err error) {
	err = db.tx(ctx, func(t *tx) error {
		segments = nil
		suspended, err := t.suspended(ctx)
		if err != nil {
			return err
		}
		var due []struct {
			Application, Type string
			User              string `db:"user_id"`
		}
		if err := t.Select(ctx, &due, "due-digests", limit); err != nil || len(due) == 0 {
			return err
		}
		var applications, types, users, late []string
		for _, d := range due {
			if suspended[d.Application] {
				late = append(late, d.Application)
				continue
			}
			applications, types, users = append(applications, d.Application), append(types, d.Type), append(users, d.User)
		}
		if len(late) > 0 {
			for _, q := range []string{"put-off-digested", "put-off-digests"} {
				if _, err := t.Exec(ctx, q, columns(unique(late)), suspendedPause.Microseconds()); err != nil {
					return err
				}
			}
		}
		if len(users) == 0 {
			return nil
		}
		var locked []headRow
		if err := t.Select(ctx, &locked, "lock-inboxes", columns(unique(users))); err != nil {
			return err
		}
		var members []memberRow
		if err := t.Select(ctx, &members, "digest-members", columns(applications, types, users)); err != nil || len(members) == 0 {
			return err
		}
		segments, err = t.gather(ctx, members)
		return err
	})
	return segments, err
}

// gather writes the digests of members, and ends them.
func (t *tx) gather(ctx context.Context, members []memberRow) ([]tidings.Segment, error) {
	groups := map[[3]string][]*memberRow{}
	var order [][3]string
	for i := range members {
		r := &members[i]
		r.digest = -1
		if r.Held == 0 || r.Expired == 1 || r.Canceled == 1 {
			continue
		}
		if groups[r.group()] == nil {
			order = append(order, r.group())
		}
		groups[r.group()] = append(groups[r.group()], r)
	}
	batch := t.db.ids.Next()
	var ms []tidings.Message
	var ns []tidings.Notification
	for _, g := range order {
		m, n, err := t.digest(ctx, groups[g])
		if err != nil {
			return nil, err
		}
		m.ID, m.Batch = t.db.ids.Next(), batch
		n.Message = m.ID
		for _, r := range groups[g] {
			r.digest = int64(m.ID)
		}
		ms, ns = append(ms, m), append(ns, n)
	}
	if err := t.endGathered(ctx, members); err != nil || len(ms) == 0 {
		return nil, err
	}
	return t.acceptDigests(ctx, batch, ms, ns)
}

// digest makes one digest of the events of a user, the newest first.
func (t *tx) digest(ctx context.Context, members []*memberRow) (m tidings.Message, n tidings.Notification, err error) {
	var typ tidings.MessageType
	if err := json.Unmarshal([]byte(members[0].Spec), &typ); err != nil {
		return m, n, err
	}
	name, lane := members[0].Type, typ.Lane
	if typ.Digest != nil {
		name = typ.Digest.Type
	}
	type item struct {
		ID    tidings.ID `json:"id"`
		Title string     `json:"title"`
		At    string     `json:"at"`
	}
	items, seen, via := []item{}, map[int64]bool{}, []string{}
	for _, r := range members {
		if !slices.Contains(m.Channels, r.Channel) {
			m.Channels = append(m.Channels, r.Channel)
		}
		via = append(via, splitVia(r.Via)...)
		m.ExpiresAt = later(m.ExpiresAt, timeOf(r.ExpiresAt))
		if !seen[r.Message] && len(items) < tidings.MaxDigestItems {
			items = append(items, item{tidings.ID(r.Message), short(r.Title), timeOf(r.AcceptedAt).Format("2006-01-02T15:04:05Z07:00")})
		}
		seen[r.Message] = true
	}
	slices.Sort(m.Channels)
	first := members[0]
	m.Application, m.Type, m.Lane, m.AcceptedAt = first.Application, name, lane, timeOf(first.Now)
	m.Audience = tidings.Audience{Users: []string{first.User}}
	m.Data, err = json.Marshal(map[string]any{"count": len(seen), "items": items, "more": len(seen) - len(items)})
	return m, tidings.Notification{User: first.User, Locale: first.Locale, Via: unique(via)}, err
}

// short is a title that fits in a line.
func short(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	if utf8.RuneCountInString(s) > 80 {
		return string([]rune(s)[:79]) + "…"
	}
	return s
}

// acceptDigests stores digests with their one notification, past the acquire stage: who gets one is known. It stands in the archive
// of the user's inbox, for the inbox shows each event by itself.
func (t *tx) acceptDigests(ctx context.Context, batch tidings.ID, ms []tidings.Message, ns []tidings.Notification) ([]tidings.Segment, error) {
	type group struct {
		lane        tidings.Lane
		application string
	}
	items, order := map[group][]tidings.Item{}, []group{}
	for i, m := range ms {
		g := group{m.Lane, m.Application}
		if items[g] == nil {
			order = append(order, g)
		}
		items[g] = append(items[g], tidings.Item{Message: m.ID, User: ns[i].User, Locale: ns[i].Locale})
	}
	var rows []segmentRow
	for _, g := range order {
		s := tidings.Segment{Batch: batch, Lane: g.lane, Application: g.application}
		rows = append(rows, t.db.follow(s, tidings.Render, "", len(rows), items[g])...)
	}
	segments, err := t.acceptOwn(ctx, batch, ms, rows)
	if err != nil {
		return nil, err
	}
	if err := t.run(ctx, insertNotifications(ns)[0]); err != nil {
		return nil, err
	}
	_, err = t.Exec(ctx, "archive-digests", columns(ints(ns, func(n tidings.Notification) int64 { return int64(n.Message) }),
		strs(ns, func(n tidings.Notification) string { return n.User })))
	return segments, err
}

func (t *tx) endGathered(ctx context.Context, members []memberRow) error {
	messages, users := ints(members, func(r memberRow) int64 { return r.Message }), strs(members, func(r memberRow) string { return r.User })
	channels := strs(members, func(r memberRow) string { return string(r.Channel) })
	states, reasons, said := make([]string, len(members)), make([]string, len(members)), make([]string, len(members))
	for i, r := range members {
		switch {
		case r.digest > 0:
			states[i], reasons[i] = string(tidings.Suppressed), string(tidings.Digested)
			said[i] = "\ndigest held digested in message " + tidings.ID(r.digest).String()
		case r.Canceled == 1:
			states[i], reasons[i] = string(tidings.Canceled), string(tidings.CanceledByApp)
		default:
			states[i], reasons[i] = string(tidings.Expired), string(tidings.TimeRanOut)
		}
	}
	if _, err := t.Exec(ctx, "end-digested", columns(messages, users, channels, states, reasons, said)); err != nil {
		return err
	}
	_, err := t.Exec(ctx, "end-digest-items", columns(messages, users, channels, ints(members, func(r memberRow) int64 { return r.digest })))
	return err
}
