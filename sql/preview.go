package sql

import (
	"context"
	"time"

	"tidings"
)

// lastID comes after every id: see tidings.ValidName.
const lastID = "~"

// Recipients resolves the first users whom a message would reach if it were accepted now, in order of their ids, and counts
// them all. It keeps nothing.
func (db *DB) Recipients(ctx context.Context, m tidings.Message, limit int) (found []tidings.Notification, size int, err error) {
	m.AcceptedAt = time.Now().Add(time.Hour) // everybody who is in the directory by now, whatever the clocks say
	if m.Audience.OnlyUsers() {
		found, err = db.ResolveNamed(ctx, []tidings.Message{m})
		return found[:min(len(found), limit)], len(found), err
	}
	whole := tidings.Audienced{Message: m}
	if found, _, err = db.ResolvePage(ctx, whole, limit); err != nil || len(found) < limit {
		return found, len(found), err
	}
	err = db.snapshot(ctx, func(t *tx) error {
		size, err = t.countPage(ctx, whole, lastID, roleList(m.Audience))
		return err
	})
	return found, size, err
}
