package sql

import "tidings"

// accepting makes the statements that accept messages within a transaction, as a batch of their own, and the segments among them: those of
// a group commit, and of whatever a stage sends on its own account (a reminder).
func (db *DB) accepting(batch tidings.ID, messages []tidings.Message) ([]segmentRow, []statement, error) {
	rows := db.acquireSegments(batch, messages)
	stored, err := insertMessages(messages)
	statements := []statement{do("insert-batch", int64(batch), len(messages), len(rows)), stored, insertSegments(rows)}
	return rows, append(statements, insertBroadcasts(messages)...), err
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
