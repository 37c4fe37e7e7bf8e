package sql

import (
	"context"
	"strings"

	"tidings"
)

// webRow is a web delivery with what its entry in the inbox shows.
type webRow struct {
	Message          int64  `db:"message_id"`
	User             string `db:"user_id"`
	State            string
	Number           int64
	Expired          int
	Canceled         int
	Application      string
	Type             string
	AcceptedAt       int64 `db:"accepted_at"`
	Via              string
	Title, Body, URL string
	Replaces         int
}

func (r webRow) entry() tidings.UserEntry {
	return tidings.UserEntry{User: r.User, Entry: tidings.Entry{Number: r.Number, ID: tidings.ID(r.Message), Application: r.Application,
		Type: r.Type, Title: r.Title, Body: r.Body, URL: r.URL, Via: splitVia(r.Via), At: timeOf(r.AcceptedAt), Replaces: r.Replaces == 1}}
}

// Number returns the entries of web deliveries, to be appended to the streams. What waited for its time and is queued gets
// its place in its user's inbox now. Numbers have no holes and follow the order of commits, because each is drawn under its
// user's row lock in the transaction that moves the delivery to sent.
func (db *DB) Number(ctx context.Context, ss []tidings.Segment) ([]tidings.UserEntry, error) {
	if entries, ok := db.recent.entries(ss); ok {
		return entries, nil
	}
	return db.number(ctx, ss)
}

// number looks at each delivery to decide what becomes of it.
func (db *DB) number(ctx context.Context, ss []tidings.Segment) (entries []tidings.UserEntry, err error) {
	err = db.rounds(ctx, db.write, nil, func(s *session) error {
		var segments []open
		if err := s.round(ctx, into(&segments, "lock-segments", tries(ss))); err != nil {
			return err
		}
		var items notificationItems
		if _, err := opened(ss, segments, items.add); err != nil {
			return err
		}
		var rows []webRow
		var inboxes []headRow
		// The users before their deliveries, as whoever acknowledges or routes: else two of them wait for each other.
		err := s.round(ctx, into(&inboxes, "lock-inboxes", columns(unique(items.Users))), into(&rows, "lock-web", columns(items.Messages, items.Users)))
		if err != nil {
			return err
		}
		statements, numbered := numbering(rows, inboxes)
		entries = make([]tidings.UserEntry, len(numbered))
		for i, r := range numbered {
			entries[i] = r.entry()
		}
		return s.last(ctx, statements...)
	})
	return entries, err
}

type headRow struct {
	User string `db:"user_id"`
	Head int64
}

// insertInbox writes numbers into the lists of users and raises their heads.
func insertInbox(messages []int64, users []string, numbers []int64, heads map[string]int64) []statement {
	distinct := unique(users)
	return []statement{do("insert-inbox", columns(users, numbers, messages)),
		do("raise-heads", columns(distinct, ints(distinct, func(u string) int64 { return heads[u] })))}
}

func headsOf(inboxes []headRow) map[string]int64 {
	heads := make(map[string]int64, len(inboxes))
	for _, i := range inboxes {
		heads[i.User] = i.Head
	}
	return heads
}

// numbering decides what becomes of web deliveries: those that are queued get their numbers, or end with a reason. It returns
// the statements that write it, and all rows that have a number now.
func numbering(rows []webRow, inboxes []headRow) (statements []statement, numbered []webRow) {
	heads := headsOf(inboxes)
	var fresh, ended []webRow
	var states, reasons []string
	end := func(r webRow, state tidings.State, why tidings.Reason) {
		ended, states, reasons = append(ended, r), append(states, string(state)), append(reasons, string(why))
	}
	for _, r := range rows {
		head, there := heads[r.User]
		switch {
		case r.Number > 0:
			numbered = append(numbered, r)
		case r.State != string(tidings.Queued):
		case r.Canceled == 1:
			end(r, tidings.Canceled, tidings.CanceledByApp)
		case r.Expired == 1:
			end(r, tidings.Expired, tidings.TimeRanOut)
		case !there:
			end(r, tidings.Failed, tidings.UserGone)
		default:
			heads[r.User], r.Number = head+1, head+1
			fresh = append(fresh, r)
		}
	}
	if len(ended) > 0 {
		statements = append(statements, do("end-web", columns(
			ints(ended, func(r webRow) int64 { return r.Message }), strs(ended, func(r webRow) string { return r.User }), states, reasons)))
	}
	if len(fresh) > 0 {
		messages, users := ints(fresh, func(r webRow) int64 { return r.Message }), strs(fresh, func(r webRow) string { return r.User })
		numbers := ints(fresh, func(r webRow) int64 { return r.Number })
		statements = append(append(statements, do("number-web", columns(messages, users, numbers))), insertInbox(messages, users, numbers, heads)...)
	}
	return statements, append(numbered, fresh...)
}

// splitVia reads a notification's via: ",m:acme,s:acme-1,".
func splitVia(s string) []string { return strings.Split(strings.Trim(s, ","), ",") }
