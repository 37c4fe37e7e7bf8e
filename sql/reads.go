package sql

import (
	"context"

	"tidings"
)

// errNotMustRead tells that nothing is known of where the recipients belong.
func errNotMustRead(id tidings.ID) error {
	return tidings.Errorf(tidings.Conflict, "the broadcast %s is no must-read notice: only these keep who belongs where", id)
}

// mustRead tells whether there is such a must-read broadcast.
func (db *DB) mustRead(ctx context.Context, application string, id tidings.ID) error {
	var r castRow
	if err := db.Get(ctx, &r, "broadcast", application, int64(id)); err != nil {
		return notFound(err, "broadcast", id)
	}
	if r.MustRead == 0 {
		return errNotMustRead(id)
	}
	return nil
}

// Reads is a node of the read-rate tree of a must-read broadcast, with a page of those below it. Reading a reminder is reading.
func (db *DB) Reads(ctx context.Context, application string, id tidings.ID, q tidings.ReadQuery) (reads tidings.Reads, err error) {
	if err := db.mustRead(ctx, application, id); err != nil {
		return reads, err
	}
	at := []any{int64(id)}
	for _, name := range []*string{q.Region, q.Merchant, q.Store} {
		if name == nil {
			at = append(at, 0, "")
		} else {
			at = append(at, 1, *name)
		}
	}
	p := pageOf(tidings.PageQuery{Limit: q.Limit})
	reads.Level = q.Level()
	var rows []struct {
		Whole       int
		ID, Name    string
		Total, Read int
		SeenAt      int64 `db:"seen_at"`
		ReadAt      int64 `db:"read_at"`
	}
	err = db.report(ctx, func(t *tx) error {
		if reads.Level != "person" {
			return t.Select(ctx, &rows, "reads-nodes", append(at, reads.Level, bit(q.After != ""), q.After, p.limit+1)...)
		}
		var sum struct{ Total, Read int }
		if err := t.Get(ctx, &sum, "reads-total", at...); err != nil {
			return err
		}
		reads.Total, reads.Read = sum.Total, sum.Read
		return t.Select(ctx, &rows, "reads-people", append(at, q.After, p.limit+1)...)
	})
	if err != nil {
		return reads, err
	}
	if len(rows) > 0 && rows[0].Whole == 1 {
		reads.Total, reads.Read, rows = rows[0].Total, rows[0].Read, rows[1:]
	}
	rows, reads.More = cut(p, rows)
	reads.Nodes = make([]tidings.ReadNode, len(rows))
	for i, r := range rows {
		n := tidings.ReadNode{ID: r.ID, Name: r.Name, Total: r.Total, Read: r.Read, SeenAt: timeOf(r.SeenAt), ReadAt: timeOf(r.ReadAt)}
		if reads.Level == "person" {
			n.Total, n.Read = 1, bit(r.ReadAt > 0)
		}
		reads.Nodes[i] = n
	}
	return reads, nil
}

// proofPage is how many recipients are read at a time.
const proofPage = 1000

// Proof gives every recipient of a must-read broadcast to line, at each place where he belongs, in order of region, merchant, store and user. Memory
// holds one page.
func (db *DB) Proof(ctx context.Context, application string, id tidings.ID, line func(tidings.ProofLine) error) error {
	if err := db.mustRead(ctx, application, id); err != nil {
		return err
	}
	var last placeRow
	for {
		var places []placeRow
		if err := db.Select(ctx, &places, "proof-page", int64(id), last.Region, last.Merchant, last.Store, last.User, proofPage); err != nil {
			return err
		}
		lines, err := db.proofLines(ctx, id, places)
		if err != nil {
			return err
		}
		for _, l := range lines {
			if err := line(l); err != nil {
				return err
			}
		}
		if len(places) < proofPage {
			return nil
		}
		last = places[len(places)-1]
	}
}

type placeRow struct {
	Region   string
	Merchant string `db:"merchant_id"`
	Store    string `db:"store_id"`
	User     string `db:"user_id"`
}

func (db *DB) proofLines(ctx context.Context, id tidings.ID, places []placeRow) ([]tidings.ProofLine, error) {
	users := columns(unique(strs(places, func(p placeRow) string { return p.User })))
	var deliveries []struct {
		User       string `db:"user_id"`
		Reminder   int
		Channel    tidings.Channel
		State      tidings.State
		Number     int64
		ChangedAt  int64 `db:"changed_at"`
		Provider   string
		ProviderID string `db:"provider_id"`
	}
	if err := db.Select(ctx, &deliveries, "proof-deliveries", users, int64(id)); err != nil {
		return nil, err
	}
	var marks []struct {
		ID     string
		SeenAt int64 `db:"seen_at"`
		ReadAt int64 `db:"read_at"`
	}
	if err := db.Select(ctx, &marks, "proof-marks", users, int64(id)); err != nil {
		return nil, err
	}
	of := map[string]*tidings.ProofLine{}
	for _, m := range marks {
		of[m.ID] = &tidings.ProofLine{User: m.ID, SeenAt: timeOf(m.SeenAt), ReadAt: timeOf(m.ReadAt)}
	}
	for _, d := range deliveries {
		l := of[d.User]
		if l == nil {
			continue
		}
		made := tidings.ProofDelivery{Reminder: d.Reminder, Channel: d.Channel, State: d.State, At: timeOf(d.ChangedAt)}
		made.Receipt = tidings.Receipted(d.Number, d.Provider, d.ProviderID)
		l.Deliveries = append(l.Deliveries, made)
	}
	lines := make([]tidings.ProofLine, 0, len(places))
	for _, p := range places {
		l := tidings.ProofLine{User: p.User}
		if known := of[p.User]; known != nil {
			l = *known
		}
		l.Region, l.Merchant, l.Store = p.Region, p.Merchant, p.Store
		lines = append(lines, l)
	}
	return lines, nil
}
