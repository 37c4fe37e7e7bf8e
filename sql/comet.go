package sql

import (
	"context"
	"time"

	"tidings"
)

// Epoch is the random word that stands before the number in every cursor. It changes when the record was restored, so that
// a cursor of the time before is not believed.
func (db *DB) Epoch(ctx context.Context) (epoch string, err error) {
	return epoch, db.Get(ctx, &epoch, "epoch")
}

// Generation counts how often Redis has lost its memory. A head in Redis of an older generation is not believed.
func (db *DB) Generation(ctx context.Context) (n int64, err error) {
	return n, db.Get(ctx, &n, "generation")
}

// NextGeneration begins the generation after old, unless another node has done so, and returns the current one.
func (db *DB) NextGeneration(ctx context.Context, old int64) (int64, error) {
	if _, err := db.Exec(ctx, "next-generation", old); err != nil {
		return 0, err
	}
	return db.Generation(ctx)
}

// Restored begins a new epoch, and disbelieves all that Redis holds: the record was restored from a backup, or a standby without the last
// of it took over, and its numbers mean something else from here on.
func (db *DB) Restored(ctx context.Context) error {
	return db.changed(ctx, "record.restored", "record", nil, func(t *tx) error {
		if _, err := t.Exec(ctx, "renew-epoch", newEpoch()); err != nil {
			return err
		}
		_, err := t.Exec(ctx, "raise-generation")
		return err
	})
}

// inboxRow is where a user's numbered list stands.
type inboxRow struct {
	User        string `db:"user_id"`
	Head, Acked int64
}

func (db *DB) inboxes(ctx context.Context, users []string, of func(inboxRow) int64) (map[string]int64, error) {
	var rows []inboxRow
	if err := db.Select(ctx, &rows, "heads", columns(distinct(users))); err != nil {
		return nil, err
	}
	numbers := make(map[string]int64, len(users))
	for _, u := range users {
		numbers[u] = 0
	}
	for _, r := range rows {
		numbers[r.User] = of(r)
	}
	return numbers, nil
}

// Heads is the last number of each user's list, 0 where there is none.
func (db *DB) Heads(ctx context.Context, users []string) (map[string]int64, error) {
	return db.inboxes(ctx, users, func(r inboxRow) int64 { return r.Head })
}

// Acked is the last number that a client of each user has acknowledged, 0 where there is none.
func (db *DB) Acked(ctx context.Context, users []string) (map[string]int64, error) {
	return db.inboxes(ctx, users, func(r inboxRow) int64 { return r.Acked })
}

// Tails reads spans of users' lists in one statement.
func (db *DB) Tails(ctx context.Context, spans []tidings.Span) (map[tidings.Span]tidings.Tail, error) {
	type place struct {
		user string
		low  int64
	}
	longest := make(map[place]int64, len(spans)) // of spans with one beginning, one is read
	for _, s := range spans {
		p := place{s.User, s.After}
		longest[p] = max(longest[p], s.After+int64(s.Limit))
	}
	var users []string
	var low, high []int64
	for p, to := range longest {
		users, low, high = append(users, p.user), append(low, p.low), append(high, to)
	}
	var rows []struct {
		entryRow
		Low, Head int64
		Seen      bool
	}
	if err := db.Select(ctx, &rows, "tails", columns(users, low, high)); err != nil {
		return nil, err
	}
	tails := make(map[tidings.Span]tidings.Tail, len(spans))
	byPlace := make(map[place]tidings.Tail, len(longest))
	for _, r := range rows {
		p := place{r.User, r.Low}
		t := byPlace[p]
		t.Head = r.Head
		switch {
		case r.Number == 0: // nothing follows
		case r.Seen:
			t.Entries = append(t.Entries, r.entry())
		default:
			t.Gone = append(t.Gone, r.Number)
		}
		byPlace[p] = t
	}
	for _, s := range spans {
		tails[s] = byPlace[place{s.User, s.After}]
	}
	return tails, nil
}

// Tail is Tails of one span: at most limit numbers of a user's list from behind the number after.
func (db *DB) Tail(ctx context.Context, user string, after int64, limit int) (entries []tidings.Entry, gone []int64, head int64, err error) {
	span := tidings.Span{User: user, After: after, Limit: limit}
	tails, err := db.Tails(ctx, []tidings.Span{span})
	return tails[span].Entries, tails[span].Gone, tails[span].Head, err
}

// Acknowledge notes that clients have everything up to the numbers, never lowering and never above a head: the web
// deliveries of these numbers are delivered.
func (db *DB) Acknowledge(ctx context.Context, acks []tidings.Ack) error {
	highest := make(map[string]int64, len(acks))
	for _, a := range acks {
		highest[a.User] = max(highest[a.User], a.Number)
	}
	users := make([]string, 0, len(highest))
	for u := range highest {
		users = append(users, u)
	}
	return db.tx(ctx, func(t *tx) error {
		var rows []inboxRow
		if err := t.Select(ctx, &rows, "lock-acked", columns(users)); err != nil {
			return err
		}
		var news []string
		var low, high []int64
		for _, r := range rows {
			if n := min(highest[r.User], r.Head); n > r.Acked {
				news, low, high = append(news, r.User), append(low, r.Acked), append(high, n)
			}
		}
		if len(news) == 0 {
			return nil
		}
		if _, err := t.Exec(ctx, "acknowledge-deliveries", columns(news, low, high)); err != nil {
			return err
		}
		_, err := t.Exec(ctx, "acknowledge", columns(news, high))
		return err
	})
}

// changeOverlap is how long a change may take from the time it is stamped with to its commit. A reader that goes on from
// the time it read at would miss those committed behind its back, so it goes on from that much earlier.
const changeOverlap = 10 * time.Second

// ChangedUsers lists the users whose record or memberships changed after since, and the time to ask from next. A change is
// reported again for the length of changeOverlap.
func (db *DB) ChangedUsers(ctx context.Context, since int64) (users []string, until int64, err error) {
	var now int64
	if err := db.Get(ctx, &now, "now"); err != nil {
		return nil, 0, err
	}
	if err := db.Select(ctx, &users, "changed-users", since); err != nil {
		return nil, 0, err
	}
	return users, max(since, now-changeOverlap.Microseconds()), nil
}

type entryRow struct {
	User             string `db:"user_id"`
	Number, ID       int64
	Application      string
	Type             string
	AcceptedAt       int64 `db:"accepted_at"`
	Via              string
	Title, Body, URL string
	Replaces         bool
}

func (r entryRow) entry() tidings.Entry {
	return tidings.Entry{Number: r.Number, ID: tidings.ID(r.ID), Application: r.Application, Type: r.Type, Title: r.Title,
		Body: r.Body, URL: r.URL, Via: splitVia(r.Via), At: timeOf(r.AcceptedAt), Replaces: r.Replaces}
}
