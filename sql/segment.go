package sql

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"tidings"
)

// segmentRow is a segment with what it works on.
type segmentRow struct {
	tidings.Segment
	items string
}

// acquireItems is what an acquire segment works on: messages, the first of them from a page on.
type acquireItems struct {
	Messages []int64 `json:"m"`
	After    string  `json:"after,omitempty"`
	Size     int     `json:"size,omitempty"`
}

// notificationItems is what render and route segments work on, column by column.
type notificationItems struct {
	Messages []int64  `json:"m"`
	Users    []string `json:"u"`
	Locales  []string `json:"l,omitempty"` // deliver needs none
}

func (n notificationItems) items() []tidings.Item {
	items := make([]tidings.Item, len(n.Messages))
	for i := range items {
		items[i] = tidings.Item{Message: tidings.ID(n.Messages[i]), User: n.Users[i]}
		if n.Locales != nil {
			items[i].Locale = n.Locales[i]
		}
	}
	return items
}

func itemsText(items []tidings.Item, locales bool) string {
	n := notificationItems{Messages: make([]int64, len(items)), Users: make([]string, len(items))}
	if locales {
		n.Locales = make([]string, len(items))
	}
	for i, item := range items {
		n.Messages[i], n.Users[i] = int64(item.Message), item.User
		if locales {
			n.Locales[i] = item.Locale
		}
	}
	return mustJSON(n)
}

func segmentsOf(rows []segmentRow) []tidings.Segment {
	out := make([]tidings.Segment, len(rows))
	for i, r := range rows {
		out[i] = r.Segment
	}
	return out
}

func (t *tx) insertSegments(ctx context.Context, rows []segmentRow) error {
	if len(rows) == 0 {
		return nil
	}
	_, err := t.Exec(ctx, "insert-segments", columns(
		ints(rows, func(r segmentRow) int64 { return int64(r.ID) }),
		ints(rows, func(r segmentRow) int64 { return int64(r.Parent) }),
		ints(rows, func(r segmentRow) int64 { return int64(r.Batch) }),
		strs(rows, func(r segmentRow) string { return string(r.Lane) }),
		strs(rows, func(r segmentRow) string { return r.Application }),
		strs(rows, func(r segmentRow) string { return string(r.Stage) }),
		strs(rows, func(r segmentRow) string { return string(r.Channel) }),
		ints(rows, func(r segmentRow) int64 { return int64(r.Part) }),
		strs(rows, func(r segmentRow) string { return r.items })))
	return err
}

// child makes a segment that follows s.
func (db *DB) child(s tidings.Segment, stage tidings.StageName, c tidings.Channel, part int, items string) segmentRow {
	return segmentRow{items: items, Segment: tidings.Segment{ID: db.ids.Next(), Parent: s.ID, Batch: s.Batch, Lane: s.Lane,
		Application: s.Application, Stage: stage, Channel: c, Part: part}}
}

// open is a segment that is not finished, as a stage reads it.
type open struct {
	Items string
	Now   int64
}

// segment reads what s works on into items, and the database's time.
func (db *DB) segment(ctx context.Context, s tidings.Segment, items any) (time.Time, error) {
	var row open
	if err := db.Get(ctx, &row, "segment", int64(s.ID), s.Try); noRows(err) {
		return time.Time{}, tidings.ErrStale
	} else if err != nil {
		return time.Time{}, err
	}
	return timeOf(row.Now), row.decode(s, items)
}

func (o open) decode(s tidings.Segment, items any) error {
	if err := json.Unmarshal([]byte(o.Items), items); err != nil {
		return fmt.Errorf("segment %s: items: %w", s.ID, err)
	}
	return nil
}

// step is the commit of a stage: the end of s, its effect and the segments that follow, together or not at all. planned is
// how many rows the effect means to make; it returns how many it made.
//
// Ending s comes first: the lock on its row is the claim. A second worker waits for it and then finds s finished.
func (db *DB) step(ctx context.Context, s tidings.Segment, planned int, next []segmentRow, effect func(*tx) (made int64, err error)) ([]tidings.Segment, error) {
	err := db.relaxed(ctx, func(t *tx) error {
		n, err := t.Exec(ctx, "finish-segment", int64(s.ID), s.Try, planned, len(next))
		if err != nil {
			return err
		}
		if n == 0 {
			return tidings.ErrStale
		}
		made, err := effect(t)
		if err != nil {
			return err
		}
		if made != int64(planned) {
			if _, err := t.Exec(ctx, "set-planned", int64(s.ID), made); err != nil {
				return err
			}
		}
		return t.insertSegments(ctx, next)
	})
	if err != nil {
		return nil, err
	}
	return segmentsOf(next), nil
}

// Claim takes a deliver segment for lease. ErrStale: it is finished, of a later try, or another worker's.
func (db *DB) Claim(ctx context.Context, s tidings.Segment, lease time.Duration) (tidings.Claim, []tidings.Item, error) {
	claim := tidings.Claim{Segment: s, Token: int64(db.ids.Next()), Until: time.Now().Add(lease)}
	var row open
	err := db.Get(ctx, &row, "claim-segment", int64(s.ID), s.Try, claim.Token, lease.Microseconds())
	if noRows(err) {
		return claim, nil, tidings.ErrStale
	}
	if err != nil {
		return claim, nil, err
	}
	var items notificationItems
	if err := row.decode(s, &items); err != nil {
		return claim, nil, err
	}
	return claim, items.items(), nil
}

// Release gives a claimed segment back, so that the sweep finds it at once.
func (db *DB) Release(ctx context.Context, c tidings.Claim) error {
	_, err := db.Exec(ctx, "release-claim", int64(c.Segment.ID), c.Token)
	return err
}

// finisher ends segments whose effect lies outside the database, many in one statement: nobody waits for the end but the
// sweep.
type finisher struct {
	mu      sync.Mutex
	waiting []finishing
	running bool
}

type finishing struct {
	id, claim int64
	done      chan error
}

// Finish ends a segment whose effect is done. The claim of a web segment is 0.
func (db *DB) Finish(ctx context.Context, id tidings.ID, claim int64) error {
	f := finishing{int64(id), claim, make(chan error, 1)}
	db.finisher.mu.Lock()
	db.finisher.waiting = append(db.finisher.waiting, f)
	if !db.finisher.running {
		db.finisher.running = true
		go db.finishAll()
	}
	db.finisher.mu.Unlock()
	select {
	case err := <-f.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (db *DB) finishAll() {
	for {
		db.finisher.mu.Lock()
		batch := db.finisher.waiting
		db.finisher.waiting = nil
		if len(batch) == 0 {
			db.finisher.running = false
			db.finisher.mu.Unlock()
			return
		}
		db.finisher.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		err := db.relaxed(ctx, func(t *tx) error {
			_, err := t.Exec(ctx, "finish-segments", columns(
				ints(batch, func(f finishing) int64 { return f.id }), ints(batch, func(f finishing) int64 { return f.claim })))
			return err
		})
		cancel()
		for _, f := range batch {
			f.done <- err
		}
	}
}
