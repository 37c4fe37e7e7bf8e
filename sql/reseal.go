package sql

import (
	"context"
	"strings"
)

// resealBatch is how many addresses are sealed anew in one transaction.
const resealBatch = 500

// Reseal seals every address, every kept report and every integration's and endpoint's secrets under the current key of the Sealer that is not, and makes the blind indexes
// anew, in batches, while other processes go on. progress hears how many are done. Stopped in its middle, it goes on where it was when it is
// called again. What can no longer be opened is left as it is, counted in lost, and named in the log by the user's id.
func (db *DB) Reseal(ctx context.Context, progress func(done, of int)) (done, lost int, err error) {
	prefix := db.sealer.Prefix()
	var total int
	if err := db.report(ctx, func(t *tx) error { return t.Get(ctx, &total, "count-stale-addresses", prefix) }); err != nil {
		return 0, 0, err
	}
	var integrations []integrationRow
	if err := db.Select(ctx, &integrations, "integrations"); err != nil {
		return 0, 0, err
	}
	for _, r := range integrations {
		if r.Secrets == "" || strings.HasPrefix(r.Secrets, prefix) {
			continue
		}
		total++
		text, err := db.sealer.Open(integrationPlace(r.ID), r.Secrets)
		if err != nil {
			db.log.Error("an integration's secrets cannot be opened and stay as they are", "integration", r.ID, "error", err)
			lost++
			continue
		}
		if _, err := db.Exec(ctx, "reseal-integration", r.ID, r.Secrets, db.sealer.Seal(integrationPlace(r.ID), text)); err != nil {
			return done, lost, err
		}
		done++
	}
	sealed, unopened, err := db.resealEndpoints(ctx)
	total, done, lost = total+sealed+unopened, done+sealed, lost+unopened
	if err != nil {
		return done, lost, err
	}
	sealed, unopened, err = db.resealReceipts(ctx)
	total, done, lost = total+sealed+unopened, done+sealed, lost+unopened
	if err != nil {
		return done, lost, err
	}
	user, channel := "", ""
	for {
		var rows []struct {
			User           string `db:"user_id"`
			Channel, Value string
		}
		if err := db.Select(ctx, &rows, "stale-addresses", user, channel, prefix, resealBatch); err != nil {
			return done, lost, err
		}
		if len(rows) == 0 {
			return done, lost, nil
		}
		var users, channels, was, values, blinds []string
		for _, r := range rows {
			value, err := db.sealer.Open(addressPlace(r.User, r.Channel), r.Value)
			if err != nil {
				db.log.Error("an address cannot be opened and stays as it is", "user", r.User, "channel", r.Channel, "error", err)
				lost++
				continue
			}
			users, channels, was = append(users, r.User), append(channels, r.Channel), append(was, r.Value)
			values, blinds = append(values, db.sealer.Seal(addressPlace(r.User, r.Channel), value)), append(blinds, db.sealer.Blind(value))
		}
		if len(users) > 0 {
			if err := db.tx(ctx, func(t *tx) error {
				_, err := t.Exec(ctx, "reseal-addresses", columns(users, channels, was, values, blinds))
				return err
			}); err != nil {
				return done, lost, err
			}
		}
		done += len(users)
		progress(done, total)
		last := rows[len(rows)-1]
		user, channel = last.User, last.Channel
	}
}
