package sql

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"

	"tidings"
)

type changeRow struct {
	Number, At             int64
	Actor, Key, Via        string
	Action, Object, Detail string
	Previous, Hash         string
}

func (r changeRow) change() tidings.Change {
	return tidings.Change{Number: r.Number, At: timeOf(r.At), Actor: r.Actor, Key: r.Key, Via: r.Via, Action: r.Action,
		Object: r.Object, Detail: json.RawMessage(r.Detail), Previous: r.Previous, Hash: r.Hash}
}

// sum is the hash of the row: over its fields as a JSON list, so that no text can run from one field into the next.
func (r changeRow) sum() string {
	fields := mustJSON([]any{r.Previous, r.Number, r.At, r.Actor, r.Key, r.Via, r.Action, r.Object, r.Detail})
	sum := sha256.Sum256([]byte(fields))
	return hex.EncodeToString(sum[:])
}

// changed runs f and appends the change to the audit log, in one transaction. The log's counter is taken last, so that
// writers wait for each other as briefly as can be.
func (db *DB) changed(ctx context.Context, action, object string, detail any, f func(*tx) error) error {
	return db.tx(ctx, func(t *tx) error {
		if err := f(t); err != nil {
			return err
		}
		return t.append(ctx, action, object, detail)
	})
}

// Note appends to the audit log what changed nothing: an attempt that was refused.
func (db *DB) Note(ctx context.Context, action, object string, detail any) error {
	return db.changed(ctx, action, object, detail, func(*tx) error { return nil })
}

func (t *tx) append(ctx context.Context, action, object string, detail any) error {
	if detail == nil {
		detail = struct{}{}
	}
	text, err := json.Marshal(detail)
	if err != nil {
		return err
	}
	who := tidings.ActorOf(ctx)
	r := changeRow{Actor: who.Account, Key: who.Key, Via: who.Via, Action: action, Object: object, Detail: string(text)}
	if err := t.Get(ctx, &r, "audit-next"); err != nil {
		return err
	}
	if err := t.Get(ctx, &r.Previous, "audit-last"); err != nil {
		return err
	}
	r.Hash = r.sum()
	if _, err := t.Exec(ctx, "append-change", r.Number, r.At, r.Actor, r.Key, r.Via, r.Action, r.Object, r.Detail, r.Previous, r.Hash); err != nil {
		return err
	}
	_, err = t.Exec(ctx, "set-audit-last", r.Hash)
	return err
}

// Changes reads the audit log, the newest first.
func (db *DB) Changes(ctx context.Context, q tidings.ChangeQuery) ([]tidings.Change, error) {
	if q.Before == 0 {
		q.Before = math.MaxInt64
	}
	var rows []changeRow
	if err := db.Select(ctx, &rows, "changes", q.Actor, q.Action, q.Object, micros(q.Since), q.Before, q.Limit); err != nil {
		return nil, err
	}
	out := make([]tidings.Change, len(rows))
	for i, r := range rows {
		out[i] = r.change()
	}
	return out, nil
}

// auditPage is how many rows a check of the log reads at a time.
const auditPage = 1000

// VerifyAudit checks the whole audit log: each row's number and hash, its link to the one before, and that it ends where the
// log's head says. With known, a head that was kept elsewhere, that row must still be there.
func (db *DB) VerifyAudit(ctx context.Context, known tidings.AuditHead) (report tidings.AuditReport, err error) {
	err = db.snapshot(ctx, func(t *tx) error {
		report = tidings.AuditReport{}
		var head struct {
			Number int64
			Hash   string
		}
		if err := t.Get(ctx, &head, "audit-head"); err != nil {
			return err
		}
		if err := t.verify(ctx, &report, known); err != nil || report.Bad != 0 {
			return err
		}
		switch {
		case report.Head.Number != head.Number || report.Head.Hash != head.Hash:
			report.Bad, report.Why = report.Rows+1, fmt.Sprintf("the log ends with row %d, and its head is row %d", report.Rows, head.Number)
		case known.Hash != "" && known.Number > report.Rows:
			report.Bad, report.Why = report.Rows+1, fmt.Sprintf("the log ends before the row %d that was kept", known.Number)
		}
		return nil
	})
	return report, err
}

func (t *tx) verify(ctx context.Context, report *tidings.AuditReport, known tidings.AuditHead) error {
	for {
		var rows []changeRow
		if err := t.Select(ctx, &rows, "changes-from", report.Rows, auditPage); err != nil {
			return err
		}
		for _, r := range rows {
			if why := r.wrong(report.Head, known); why != "" {
				report.Bad, report.Why = report.Head.Number+1, why
				return nil
			}
			report.Rows, report.Head = r.Number, tidings.AuditHead{Number: r.Number, Hash: r.Hash}
		}
		if len(rows) < auditPage {
			return nil
		}
	}
}

// wrong tells what is wrong with the row that follows last.
func (r changeRow) wrong(last, known tidings.AuditHead) string {
	switch {
	case r.Number != last.Number+1:
		return fmt.Sprintf("row %d is missing", last.Number+1)
	case r.Previous != last.Hash:
		return "it does not follow the row before it"
	case r.Hash != r.sum():
		return "its content is not what was written"
	case r.Number == known.Number && known.Hash != "" && r.Hash != known.Hash:
		return "it is not the row that was kept"
	}
	return ""
}
