package sql

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"tidings"
)

// messageRow is a message as the stages read it, each only the columns that it needs.
type messageRow struct {
	ID          int64
	Application string
	Type        string
	Audience    string
	Data        []byte
	Channels    string
	SendAt      int64  `db:"send_at"`
	ExpiresAt   int64  `db:"expires_at"`
	AcceptedAt  int64  `db:"accepted_at"`
	CanceledAt  int64  `db:"canceled_at"`
	CollapseKey string `db:"collapse_key"`
}

func (r messageRow) message() (tidings.Audienced, error) {
	m := tidings.Audienced{Canceled: r.CanceledAt != 0, Message: tidings.Message{ID: tidings.ID(r.ID), Application: r.Application,
		Type: r.Type, Data: r.Data, Channels: splitChannels(r.Channels), SendAt: timeOf(r.SendAt), ExpiresAt: timeOf(r.ExpiresAt),
		AcceptedAt: timeOf(r.AcceptedAt), CollapseKey: r.CollapseKey}}
	if r.Audience == "" {
		return m, nil
	}
	return m, json.Unmarshal([]byte(r.Audience), &m.Audience)
}

func messagesOf(rows []messageRow) ([]tidings.Audienced, error) {
	ms := make([]tidings.Audienced, len(rows))
	for i, r := range rows {
		m, err := r.message()
		if err != nil {
			return nil, err
		}
		ms[i] = m
	}
	return ms, nil
}

// unique sorts ids and drops repeats.
func unique[T int64 | string](ids []T) []T {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	return slices.Compact(ids)
}

// AcquireWork reads the messages of acquire segments, with the progress that earlier pages made.
func (db *DB) AcquireWork(ctx context.Context, ss []tidings.Segment) ([]tidings.Audienced, error) {
	var segments []open
	var rows []messageRow
	if err := db.look(ctx, into(&segments, "segments", tries(ss)), into(&rows, "acquire-messages", tries(ss))); err != nil {
		return nil, err
	}
	made := map[int64]progress{}
	now, err := opened(ss, segments, func(text []byte) error {
		var items acquireItems
		err := json.Unmarshal(text, &items)
		maps.Copy(made, items.Progress)
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(rows, func(a, b messageRow) int { return cmp.Compare(a.ID, b.ID) })
	ms, err := messagesOf(rows)
	for i, m := range ms {
		p := made[int64(m.ID)]
		ms[i].After, ms[i].Size = p.After, p.Size
	}
	if err == nil && ss[0].Broadcast != 0 {
		err = db.acquireBroadcast(ctx, ss[0].Broadcast, ms, now)
	}
	if err == nil {
		db.recent.read(ms, now)
	}
	return ms, err
}

// ResolveNamed resolves, all at once, messages whose audience is a list of users and nothing else.
func (db *DB) ResolveNamed(ctx context.Context, ms []tidings.Message) (found []tidings.Notification, err error) {
	var messages, before []int64
	var users []string
	for _, m := range ms {
		for _, u := range unique(m.Audience.Users) {
			messages, users, before = append(messages, int64(m.ID)), append(users, u), append(before, micros(m.AcceptedAt))
		}
	}
	type named struct {
		Message int64  `db:"message_id"`
		User    string `db:"user_id"`
		Locale  string
	}
	var rows []named
	if err := db.look(ctx, into(&rows, "resolve-users", columns(messages, users, before))); err != nil {
		return nil, err
	}
	for _, r := range rows {
		found = append(found, tidings.Notification{Message: tidings.ID(r.Message), User: r.User, Locale: r.Locale, Via: []string{tidings.ViaUser}})
	}
	return found, nil
}

// ResolvePage resolves up to limit users of an audience after m.After, in order of id, with every dimension through which
// each was reached. size is the same page counted by a separate query.
func (db *DB) ResolvePage(ctx context.Context, m tidings.Audienced, limit int) (found []tidings.Notification, size int, err error) {
	var rows []struct {
		User   string `db:"user_id"`
		Locale string
	}
	err = db.snapshot(ctx, func(t *tx) error {
		found = nil
		roles := roleList(m.Audience)
		before := micros(m.AcceptedAt)
		if m.Reminds() {
			found, size, err = t.unreaders(ctx, m, limit)
			return err
		}
		if m.Audience.Everyone {
			err = t.Select(ctx, &rows, "resolve-everyone", wanted(m.Audience), m.After, before, limit, roles, len(m.Audience.Attributes))
		} else {
			err = t.Select(ctx, &rows, "resolve-page", targets(m.Audience, true), m.After, before, limit)
		}
		if err != nil || len(rows) == 0 {
			return err
		}
		last := rows[len(rows)-1].User
		if size, err = t.countPage(ctx, m, last, roles); err != nil {
			return err
		}
		users := make([]string, len(rows))
		found = make([]tidings.Notification, len(rows))
		for i, r := range rows {
			users[i] = r.User
			found[i] = tidings.Notification{Message: m.ID, User: r.User, Locale: r.Locale, Via: []string{tidings.ViaUser}}
		}
		if m.Audience.ByThemselves() {
			return nil
		}
		return t.reach(ctx, m.Audience, users, found)
	})
	return found, size, err
}

func (t *tx) countPage(ctx context.Context, m tidings.Audienced, last, roles string) (n int, err error) {
	before, attributes := micros(m.AcceptedAt), len(m.Audience.Attributes)
	if m.Audience.Everyone {
		err = t.Get(ctx, &n, "count-everyone", wanted(m.Audience), m.After, last, before, roles, attributes)
		return n, err
	}
	if err := t.Get(ctx, &n, "count-page", targets(m.Audience, false), m.After, last, before, roles, attributes); err != nil {
		return 0, err
	}
	if len(m.Audience.Users) > 0 && !m.Audience.Narrowed() {
		var named int
		if err := t.Get(ctx, &named, "count-named", columns(unique(m.Audience.Users)), m.After, last, before); err != nil {
			return 0, err
		}
		n += named
	}
	return n, nil
}

// reach notes for each user through which dimensions the audience reached him.
func (t *tx) reach(ctx context.Context, a tidings.Audience, users []string, found []tidings.Notification) error {
	var memberships []struct {
		User      string `db:"user_id"`
		Dimension string
		Merchant  string `db:"merchant_id"`
		Role      string
	}
	if err := t.Select(ctx, &memberships, "memberships-of", columns(users)); err != nil {
		return err
	}
	merchants := map[string]string{} // of the dimensions through which the audience reaches somebody
	for _, ms := range memberships {
		if a.Reaches(ms.Dimension, ms.Merchant, ms.Role) {
			merchants[ms.Dimension] = ms.Merchant
		}
	}
	if err := t.narrow(ctx, a, merchants); err != nil {
		return err
	}
	via := map[string][]string{}
	for _, u := range a.Users {
		via[u] = append(via[u], tidings.ViaUser)
	}
	for _, ms := range memberships {
		if _, ok := merchants[ms.Dimension]; ok && a.Reaches(ms.Dimension, ms.Merchant, ms.Role) {
			via[ms.User] = append(via[ms.User], ms.Dimension)
		}
	}
	for i := range found {
		if v := unique(via[found[i].User]); len(v) > 0 {
			found[i].Via = v
		}
	}
	return nil
}

// narrow removes the dimensions that lack an attribute which the audience asks for.
func (t *tx) narrow(ctx context.Context, a tidings.Audience, merchants map[string]string) error {
	if len(a.Attributes) == 0 || len(merchants) == 0 {
		return nil
	}
	dimensions := slices.Sorted(maps.Keys(merchants))
	var rows []struct{ Dimension, Own, Merchant string }
	err := t.Select(ctx, &rows, "attributes-of", columns(dimensions, strs(dimensions, func(d string) string { return merchants[d] })))
	if err != nil {
		return err
	}
	for _, r := range rows {
		var own, merchant map[string]string
		if err := json.Unmarshal([]byte(r.Own), &own); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(r.Merchant), &merchant); err != nil {
			return err
		}
		if !a.Has(own, merchant) {
			delete(merchants, r.Dimension)
		}
	}
	return nil
}

func roleList(a tidings.Audience) string {
	if len(a.Roles) == 0 {
		return ""
	}
	return "," + strings.Join(a.Roles, ",") + ","
}

// targets are the rows that resolve-page and count-page match memberships with.
func targets(a tidings.Audience, roles bool) bulk {
	var kinds, names, values []string
	add := func(kind string, ids []string, prefix string) {
		for _, id := range unique(ids) {
			kinds, names, values = append(kinds, kind), append(names, prefix+id), append(values, a.Attributes[id])
		}
	}
	switch a.Scope {
	case tidings.ScopeMerchant:
		add("d", a.Merchants, tidings.ViaMerchant)
	case tidings.ScopeStores:
		add("s", a.Merchants, "")
	default:
		add("m", a.Merchants, "")
	}
	add("d", a.Stores, tidings.ViaStore)
	add("u", a.Users, "")
	if roles {
		add("r", a.Roles, "")
	}
	add("a", slices.Collect(maps.Keys(a.Attributes)), "")
	return columns(kinds, names, values)
}

// wanted are the attributes that narrow an audience of everyone.
func wanted(a tidings.Audience) bulk {
	names := slices.Sorted(maps.Keys(a.Attributes))
	return columns(names, strs(names, func(n string) string { return a.Attributes[n] }))
}

// Acquired commits a page: its notifications, the messages that it completes, a render segment for each 500 notifications
// and acquire segments for the rest.
func (db *DB) Acquired(ctx context.Context, ss []tidings.Segment, p tidings.AcquirePage) ([]tidings.Segment, error) {
	effect := insertNotifications(p.Notifications)
	if sizes := sizesOf(p); len(sizes) > 0 {
		effect = append(effect, do("end-acquire", columns(
			ints(sizes, func(e tidings.AcquireEnd) int64 { return int64(e.Message) }),
			ints(sizes, func(e tidings.AcquireEnd) int64 { return int64(e.Size) }),
			strs(sizes, func(e tidings.AcquireEnd) string { return string(e.Reason) }))))
	}
	rows := db.afterAcquire(ss[0], p)
	effect = append(effect, pacing(p)...)
	if err := db.burst(ctx, db.lazy, append(stepStatements(ss, rows, 0, effect), delaying(rows, p.RestAt)...)...); err != nil {
		return nil, err
	}
	db.recent.wrote(rows)
	db.recent.reached(p.Notifications)
	if !p.RestAt.IsZero() {
		rows = rows[:len(rows)-1] // the rest: the sweep goes on with it at its time
	}
	return segmentsOf(rows), nil
}

// sizesOf are the audiences of a page that are written down: those of a single user are understood. Of one that goes on in
// another segment it is noted that its size is not known yet.
func sizesOf(p tidings.AcquirePage) (sizes []tidings.AcquireEnd) {
	for _, e := range p.Ended {
		if e.Size != 1 || e.Reason != tidings.NoReason || e.Paged {
			sizes = append(sizes, e)
		}
	}
	if len(p.Rest) > 0 && p.Rest[0].After != "" {
		sizes = append(sizes, tidings.AcquireEnd{Message: p.Rest[0].ID, Size: -1})
	}
	return sizes
}

func (db *DB) afterAcquire(s tidings.Segment, p tidings.AcquirePage) []segmentRow {
	items := make([]tidings.Item, len(p.Notifications))
	for i, n := range p.Notifications {
		items[i] = tidings.Item{Message: n.Message, User: n.User, Locale: n.Locale}
	}
	next := db.follow(s, tidings.Render, "", 0, items)
	for ms := p.Rest; len(ms) > 0; ms = ms[min(len(ms), tidings.SegmentSize):] {
		rest := acquireItems{Progress: map[int64]progress{}}
		for _, m := range ms[:min(len(ms), tidings.SegmentSize)] {
			rest.Messages = append(rest.Messages, int64(m.ID))
			if m.After != "" {
				rest.Progress[int64(m.ID)] = progress{m.After, m.Size}
			}
		}
		next = append(next, db.child(s, tidings.Acquire, "", len(next), len(rest.Messages), mustJSON(rest)))
	}
	return next
}

func insertNotifications(ns []tidings.Notification) []statement {
	if len(ns) == 0 {
		return nil
	}
	insert := do("insert-notifications", columns(
		ints(ns, func(n tidings.Notification) int64 { return int64(n.Message) }),
		strs(ns, func(n tidings.Notification) string { return n.User }),
		strs(ns, func(n tidings.Notification) string { return n.Locale }),
		strs(ns, func(n tidings.Notification) string { return "," + strings.Join(n.Via, ",") + "," })))
	type reached struct {
		dimension string
		message   int64
	}
	seen := map[reached]bool{}
	var list []reached
	for _, n := range ns {
		for _, v := range n.Via {
			r := reached{v, int64(n.Message)}
			if v != tidings.ViaUser && !seen[r] {
				seen[r] = true
				list = append(list, r)
			}
		}
	}
	if len(list) == 0 {
		return []statement{insert}
	}
	slices.SortFunc(list, func(a, b reached) int { return strings.Compare(a.dimension, b.dimension) }) // equal lock order
	return []statement{insert, do("insert-dimensions", columns(
		strs(list, func(r reached) string { return r.dimension }), ints(list, func(r reached) int64 { return r.message })))}
}
