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
	list  []tidings.Item // the same, for the stage that follows in this process; nil: none
}

// acquireItems is what an acquire segment works on: messages, and how far earlier pages came with some of them.
type acquireItems struct {
	Messages []int64            `json:"m"`
	Progress map[int64]progress `json:"p,omitempty"`
}

type progress struct {
	After string `json:"after"` // users up to this one are resolved
	Size  int    `json:"size"`  // and were counted
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

func insertSegments(rows []segmentRow) statement {
	return do("insert-segments", columns(
		ints(rows, func(r segmentRow) int64 { return int64(r.ID) }),
		ints(rows, func(r segmentRow) int64 { return int64(r.Parent) }),
		ints(rows, func(r segmentRow) int64 { return int64(r.Batch) }),
		strs(rows, func(r segmentRow) string { return string(r.Lane) }),
		strs(rows, func(r segmentRow) string { return r.Application }),
		strs(rows, func(r segmentRow) string { return string(r.Stage) }),
		strs(rows, func(r segmentRow) string { return string(r.Channel) }),
		ints(rows, func(r segmentRow) int64 { return int64(r.Part) }),
		ints(rows, func(r segmentRow) int64 { return int64(r.Size) }),
		ints(rows, func(r segmentRow) int64 { return int64(r.Broadcast) }),
		strs(rows, func(r segmentRow) string { return r.items })))
}

// child makes a segment of size items that follows s.
func (db *DB) child(s tidings.Segment, stage tidings.StageName, c tidings.Channel, part, size int, items string) segmentRow {
	return segmentRow{items: items, Segment: tidings.Segment{ID: db.ids.Next(), Parent: s.ID, Batch: s.Batch, Lane: s.Lane,
		Application: s.Application, Stage: stage, Channel: c, Part: part, Size: size, Broadcast: s.Broadcast}}
}

// follow cuts items into segments that follow s, numbered from part on.
func (db *DB) follow(s tidings.Segment, stage tidings.StageName, c tidings.Channel, part int, items []tidings.Item) (rows []segmentRow) {
	for ; len(items) > 0; items = items[min(len(items), tidings.SegmentSize):] {
		cut := items[:min(len(items), tidings.SegmentSize)]
		row := db.child(s, stage, c, part+len(rows), len(cut), itemsText(cut, stage != tidings.Deliver))
		if c == "" || c == tidings.Web {
			row.list = cut
		}
		rows = append(rows, row)
	}
	return rows
}

// open is a segment that is not finished, as a stage reads it.
type open struct {
	ID    int64
	Items string
	Now   int64
}

// opened gives the items of ss, as they were read, to into, and returns the database's time. ErrStale: one of ss is finished
// or of a later try.
func opened(ss []tidings.Segment, rows []open, into func(items []byte) error) (now time.Time, err error) {
	if len(rows) != len(ss) {
		return now, tidings.ErrStale
	}
	for _, r := range rows {
		if err := into([]byte(r.Items)); err != nil {
			return now, fmt.Errorf("segment %s: items: %w", tidings.ID(r.ID), err)
		}
	}
	return timeOf(rows[0].Now), nil
}

// add appends the items of a segment.
func (n *notificationItems) add(text []byte) error {
	var more notificationItems
	if err := json.Unmarshal(text, &more); err != nil {
		return err
	}
	n.Messages, n.Users, n.Locales = append(n.Messages, more.Messages...), append(n.Users, more.Users...), append(n.Locales, more.Locales...)
	return nil
}

// step is the commit of a stage: the end of ss, their effect and the segments that follow, together or not at all. The
// first of ss stands for all: what follows is its children, and planned is how many rows the stage made. ErrStale: one of ss
// is finished or of a later try.
//
// Ending ss comes first: the lock on their rows is the claim. A second worker waits for it and then finds them finished.
func (db *DB) step(ctx context.Context, ss []tidings.Segment, next []segmentRow, planned int, effect ...statement) ([]tidings.Segment, error) {
	if err := db.burst(ctx, db.lazy, stepStatements(ss, next, planned, effect)...); err != nil {
		return nil, err
	}
	db.recent.wrote(next)
	return segmentsOf(next), nil
}

func stepStatements(ss []tidings.Segment, next []segmentRow, planned int, effect []statement) []statement {
	children, made := make([]int64, len(ss)), make([]int64, len(ss))
	children[0], made[0] = int64(len(next)), int64(planned)
	statements := append([]statement{whole("end-segments", append(tries(ss), children, made))}, effect...)
	if len(next) > 0 {
		statements = append(statements, insertSegments(next))
	}
	return statements
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
	if err := items.add([]byte(row.Items)); err != nil {
		return claim, nil, fmt.Errorf("segment %s: items: %w", s.ID, err)
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
	segments []tidings.Segment
	claim    int64
	done     chan error
}

// Finish ends segments whose effect is done, of one claim. That of web segments is 0.
func (db *DB) Finish(ctx context.Context, ss []tidings.Segment, claim int64) error {
	f := finishing{ss, claim, make(chan error, 1)}
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
		var ids, claims []int64
		for _, f := range batch {
			for _, s := range f.segments {
				ids, claims = append(ids, int64(s.ID)), append(claims, f.claim)
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		err := db.burst(ctx, db.lazy, do("finish-segments", columns(ids, claims)))
		cancel()
		for _, f := range batch {
			f.done <- err
		}
	}
}
