package sql

import (
	"context"
	"crypto/rand"
	"embed"
	"io/fs"
	"strings"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// migrate runs, in order of their names, the migrations that the database has not seen, each in a transaction of its own.
// There is no way back: a mistake is mended by a further migration. An advisory lock keeps processes that start together
// from migrating twice.
func (db *DB) migrate(ctx context.Context) error {
	names, err := fs.Glob(migrationFiles, "migrations/*.sql")
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := db.migrateOne(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

func (db *DB) migrateOne(ctx context.Context, name string) error {
	text, err := migrationFiles.ReadFile(name)
	if err != nil {
		return err
	}
	version := strings.TrimSuffix(strings.TrimPrefix(name, "migrations/"), ".sql")
	return db.tx(ctx, func(t *tx) error {
		if db.dialect.postgres {
			if _, err := t.x.ExecContext(ctx, "SELECT pg_advisory_xact_lock(7116436)"); err != nil {
				return err
			}
		}
		if _, err := t.x.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS migrations (version text PRIMARY KEY)"); err != nil {
			return err
		}
		result, err := t.x.ExecContext(ctx, "INSERT INTO migrations (version) VALUES ($1) ON CONFLICT DO NOTHING", version)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); n == 0 || err != nil {
			return err
		}
		if _, err := t.x.ExecContext(ctx, db.dialect.prelude+db.dialect.words.Replace(string(text))); err != nil {
			return err
		}
		_, err = t.x.ExecContext(ctx,
			"INSERT INTO settings (name, value) VALUES ('epoch', $1) ON CONFLICT DO NOTHING", newEpoch())
		return err
	})
}

// newEpoch names a record.
func newEpoch() string { return strings.ToLower(rand.Text()[:8]) }
