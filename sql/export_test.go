package sql

import (
	"context"

	"github.com/jmoiron/sqlx"
)

// Raw lets tests break the record behind the store's back.
func (db *DB) Raw() *sqlx.DB { return db.write }

// Forget makes the store read the record for what is on its way.
func (db *DB) Forget() { db.recent = newRecent() }

// Explain runs a query on PostgreSQL and returns what it did, line by line.
func (db *DB) Explain(ctx context.Context, name string, args ...any) (lines []string, err error) {
	return lines, db.write.SelectContext(ctx, &lines, "EXPLAIN (ANALYZE, TIMING OFF, COSTS OFF) "+db.queries[name].text, args...)
}
