package sql

import (
	"context"

	"tidings"
)

// accepting makes the statements that store messages with their first segments, as a batch of their own: those of a group commit, and those that
// nobody sent but we ourselves.
func accepting(batch tidings.ID, ms []tidings.Message, rows []segmentRow) ([]statement, error) {
	stored, err := insertMessages(ms)
	statements := []statement{do("insert-batch", int64(batch), len(ms), len(rows)), stored, insertSegments(rows)}
	return append(statements, insertBroadcasts(ms)...), err
}

// acceptOwn stores messages of our own (a reminder, a step of a route to others, a digest) within a transaction.
func (t *tx) acceptOwn(ctx context.Context, batch tidings.ID, ms []tidings.Message, rows []segmentRow) ([]tidings.Segment, error) {
	statements, err := accepting(batch, ms, rows)
	for i := 0; err == nil && i < len(statements); i++ {
		err = t.run(ctx, statements[i])
	}
	return segmentsOf(rows), err
}

// acquireSegments cuts the messages of a batch into segments that never mix lanes or applications.
func (db *DB) acquireSegments(batch tidings.ID, ms []tidings.Message) (rows []segmentRow) {
	type group struct {
		lane        tidings.Lane
		application string
		broadcast   tidings.ID
	}
	var order []group
	groups := map[group][]int64{}
	for _, m := range ms {
		g := group{m.Lane, m.Application, 0}
		if m.Broadcast != nil {
			g.broadcast = m.ID
		}
		if groups[g] == nil {
			order = append(order, g)
		}
		groups[g] = append(groups[g], int64(m.ID))
	}
	for _, g := range order {
		for ids := groups[g]; len(ids) > 0; ids = ids[min(len(ids), tidings.SegmentSize):] {
			part := ids[:min(len(ids), tidings.SegmentSize)]
			rows = append(rows, segmentRow{
				Segment: tidings.Segment{ID: db.ids.Next(), Batch: batch, Lane: g.lane, Application: g.application, Stage: tidings.Acquire, Part: len(rows), Size: len(part),
					Broadcast: g.broadcast},
				items: mustJSON(acquireItems{Messages: part}),
			})
		}
	}
	return rows
}
