package sql

import (
	"context"
	"errors"
	"strings"

	"tidings"
)

type webRow struct {
	Message  int64  `db:"message_id"`
	User     string `db:"user_id"`
	State    string
	Locale   string
	Number   int64
	Expired  int
	Canceled int
}

// Number gives the web deliveries of segments their place in their users' inboxes and returns the entries to append to the
// streams, those numbered before by a lost run included. Numbers have no holes and follow the order of commits, because
// each is drawn under its user's row lock in the transaction that moves the delivery to sent.
func (db *DB) Number(ctx context.Context, ss []tidings.Segment) (entries []tidings.UserEntry, err error) {
	err = db.tx(ctx, func(t *tx) error {
		entries = nil
		var locked []open
		if err := t.Select(ctx, &locked, "lock-segments", tries(ss)); err != nil {
			return err
		}
		var items notificationItems
		if _, err := opened(ss, locked, items.add); err != nil {
			return err
		}
		var rows []webRow
		if err := t.Select(ctx, &rows, "lock-web", columns(items.Messages, items.Users)); err != nil {
			return err
		}
		if rows, err = t.number(ctx, rows); err != nil {
			return err
		}
		entries, err = t.entries(ctx, rows)
		return err
	})
	return entries, err
}

// number moves queued rows to sent or expired and returns all rows that have a number.
func (t *tx) number(ctx context.Context, rows []webRow) (numbered []webRow, err error) {
	var fresh, late, canceled []webRow
	for _, r := range rows {
		switch {
		case r.Number > 0:
			numbered = append(numbered, r)
		case r.State != string(tidings.Queued):
		case r.Canceled == 1:
			canceled = append(canceled, r)
		case r.Expired == 1:
			late = append(late, r)
		default:
			fresh = append(fresh, r)
		}
	}
	if err := errors.Join(t.endWeb(ctx, late, tidings.Expired, tidings.TimeRanOut), t.endWeb(ctx, canceled, tidings.Canceled, tidings.CanceledByApp)); err != nil {
		return nil, err
	}
	if len(fresh) == 0 {
		return numbered, nil
	}
	heads, err := t.lockInboxes(ctx, fresh)
	if err != nil {
		return nil, err
	}
	var gone []webRow
	kept := fresh[:0]
	for _, r := range fresh {
		head, ok := heads[r.User]
		if !ok {
			gone = append(gone, r)
			continue
		}
		heads[r.User], r.Number = head+1, head+1
		kept = append(kept, r)
	}
	if err := t.endWeb(ctx, gone, tidings.Failed, tidings.UserGone); err != nil {
		return nil, err
	}
	return append(numbered, kept...), t.writeNumbers(ctx, kept, heads)
}

func (t *tx) lockInboxes(ctx context.Context, rows []webRow) (map[string]int64, error) {
	var inboxes []struct {
		User string `db:"user_id"`
		Head int64
	}
	if err := t.Select(ctx, &inboxes, "lock-inboxes", columns(unique(strs(rows, func(r webRow) string { return r.User })))); err != nil {
		return nil, err
	}
	heads := make(map[string]int64, len(inboxes))
	for _, i := range inboxes {
		heads[i.User] = i.Head
	}
	return heads, nil
}

func (t *tx) writeNumbers(ctx context.Context, rows []webRow, heads map[string]int64) error {
	if len(rows) == 0 {
		return nil
	}
	messages := ints(rows, func(r webRow) int64 { return r.Message })
	users := strs(rows, func(r webRow) string { return r.User })
	numbers := ints(rows, func(r webRow) int64 { return r.Number })
	if _, err := t.Exec(ctx, "number-web", columns(messages, users, numbers)); err != nil {
		return err
	}
	if _, err := t.Exec(ctx, "insert-inbox", columns(users, numbers, messages)); err != nil {
		return err
	}
	distinct := unique(users)
	_, err := t.Exec(ctx, "raise-heads", columns(distinct, ints(distinct, func(u string) int64 { return heads[u] })))
	return err
}

func (t *tx) endWeb(ctx context.Context, rows []webRow, state tidings.State, why tidings.Reason) error {
	if len(rows) == 0 {
		return nil
	}
	_, err := t.Exec(ctx, "end-web", columns(
		ints(rows, func(r webRow) int64 { return r.Message }), strs(rows, func(r webRow) string { return r.User }),
		strs(rows, func(webRow) string { return string(state) }), strs(rows, func(webRow) string { return string(why) })))
	return err
}

type entryRow struct {
	User             string `db:"user_id"`
	Number, ID       int64
	Application      string
	Type             string
	AcceptedAt       int64 `db:"accepted_at"`
	Via              string
	Title, Body, URL string
}

func (r entryRow) entry() tidings.Entry {
	return tidings.Entry{Number: r.Number, ID: tidings.ID(r.ID), Application: r.Application, Type: r.Type, Title: r.Title,
		Body: r.Body, URL: r.URL, Via: splitVia(r.Via), At: timeOf(r.AcceptedAt)}
}

// splitVia reads a notification's via: ",m:acme,s:acme-1,".
func splitVia(s string) []string { return strings.Split(strings.Trim(s, ","), ",") }

func (t *tx) entries(ctx context.Context, rows []webRow) ([]tidings.UserEntry, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	var found []entryRow
	err := t.Select(ctx, &found, "web-entries", columns(
		ints(rows, func(r webRow) int64 { return r.Message }), strs(rows, func(r webRow) string { return r.User }),
		ints(rows, func(r webRow) int64 { return r.Number }), strs(rows, func(r webRow) string { return r.Locale })))
	entries := make([]tidings.UserEntry, len(found))
	for i, r := range found {
		entries[i] = tidings.UserEntry{User: r.User, Entry: r.entry()}
	}
	return entries, err
}
