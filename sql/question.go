package sql

import (
	"context"
	"time"

	"tidings"
)

// Questions takes up to limit attempts of which their providers are to be asked now, and moves each to its next time: first after the
// first question, then twice as long each time, and never again after most of them. It reads before it writes, so that nothing
// that is due costs one look.
func (db *DB) Questions(ctx context.Context, limit, most int, first time.Duration) (qs []tidings.Asked, err error) {
	var due int
	if err := db.Get(ctx, &due, "anything-to-ask"); err != nil || due == 0 {
		return nil, err
	}
	var ids []int64
	err = db.tx(ctx, func(t *tx) error {
		ids = nil
		return t.Select(ctx, &ids, "take-questions", limit, most, first.Microseconds())
	})
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	var rows []struct {
		ID          int64
		User        string `db:"user_id"`
		Channel     tidings.Channel
		Provider    string
		Integration string
		ProviderID  string `db:"provider_id"`
		StartedAt   int64  `db:"started_at"`
		Address     string
		Platform    string
	}
	if err := db.Select(ctx, &rows, "questions", columns(ids)); err != nil {
		return nil, err
	}
	for _, r := range rows {
		value, err := db.openAddress(r.User, r.Channel, r.Address)
		if err != nil { // by its own id the provider may know it all the same
			db.log.Error("an address cannot be opened", "user", r.User, "channel", r.Channel, "error", err)
		}
		if r.Integration == "" { // from before there were several: the environment's, named for its provider
			r.Integration = r.Provider
		}
		qs = append(qs, tidings.Asked{Integration: r.Integration, Question: tidings.Question{Attempt: tidings.ID(r.ID), ProviderID: r.ProviderID, At: timeOf(r.StartedAt),
			Address: tidings.Address{Channel: r.Channel, Value: value, Provider: r.Provider, Platform: r.Platform}}})
	}
	return qs, nil
}

// resealReceipts seals the kept reports under the current key of the Sealer.
func (db *DB) resealReceipts(ctx context.Context) (done, lost int, err error) {
	for after := int64(0); ; {
		var rows []struct {
			ID, Attempt int64
			Raw         string
		}
		if err := db.Select(ctx, &rows, "stale-receipts", after, db.sealer.Prefix(), resealBatch); err != nil || len(rows) == 0 {
			return done, lost, err
		}
		after = rows[len(rows)-1].ID
		var ids []int64
		var raws []string
		for _, r := range rows {
			raw, err := db.sealer.Open(reportPlace(r.Attempt), r.Raw)
			if err != nil {
				db.log.Error("a kept report cannot be opened and stays as it is", "receipt", r.ID, "error", err)
				lost++
				continue
			}
			ids, raws = append(ids, r.ID), append(raws, db.sealer.Seal(reportPlace(r.Attempt), raw))
		}
		if len(ids) > 0 {
			if _, err := db.Exec(ctx, "reseal-receipts", columns(ids, raws)); err != nil {
				return done, lost, err
			}
		}
		done += len(ids)
	}
}
