package sql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jmoiron/sqlx"
	"modernc.org/sqlite"

	"tidings"
)

// find is the query of that name; an unknown name is a mistake in this package.
func (db *DB) find(name string, args []any) (*query, []any, error) {
	q := db.queries[name]
	if q == nil {
		return nil, nil, fmt.Errorf("no query %q", name)
	}
	args, err := db.dialect.arguments(q, args)
	return q, args, err
}

// writes tells whether the text changes anything: on SQLite it then belongs on the one writing connection.
func (q *query) writes() bool {
	return !strings.HasPrefix(q.text, "SELECT") && !strings.HasPrefix(q.text, "WITH")
}

// Select runs the named query and reads its rows into dest, a pointer to a slice.
func (db *DB) Select(ctx context.Context, dest any, name string, args ...any) error {
	q, args, err := db.find(name, args)
	if err != nil {
		return err
	}
	switch {
	case db.dialect.postgres:
		err = db.write.SelectContext(ctx, dest, q.text, args...)
	case q.writes():
		err = q.writeStmt.SelectContext(ctx, dest, args...)
	default:
		err = q.readStmt.SelectContext(ctx, dest, args...)
	}
	return named(name, err)
}

// Get runs the named query and reads its one row into dest. No row is sql.ErrNoRows.
func (db *DB) Get(ctx context.Context, dest any, name string, args ...any) error {
	q, args, err := db.find(name, args)
	if err != nil {
		return err
	}
	switch {
	case db.dialect.postgres:
		err = db.write.GetContext(ctx, dest, q.text, args...)
	case q.writes():
		err = q.writeStmt.GetContext(ctx, dest, args...)
	default:
		err = q.readStmt.GetContext(ctx, dest, args...)
	}
	return named(name, err)
}

// Exec runs the named query and returns how many rows it changed.
func (db *DB) Exec(ctx context.Context, name string, args ...any) (int64, error) {
	q, args, err := db.find(name, args)
	if err != nil {
		return 0, err
	}
	var result sql.Result
	if db.dialect.postgres {
		result, err = db.write.ExecContext(ctx, q.text, args...)
	} else {
		result, err = q.writeStmt.ExecContext(ctx, args...)
	}
	if err != nil {
		return 0, named(name, err)
	}
	return result.RowsAffected()
}

// tx is a transaction. Its methods are those of DB.
type tx struct {
	x       *sqlx.Tx
	db      *DB
	reading bool // on a connection of the reading pool
}

// stmt is the prepared statement of the connection's pool (SQLite).
func (t *tx) stmt(ctx context.Context, q *query) *sqlx.Stmt {
	if t.reading {
		return t.x.StmtxContext(ctx, q.readStmt)
	}
	return t.x.StmtxContext(ctx, q.writeStmt)
}

func (t *tx) Select(ctx context.Context, dest any, name string, args ...any) error {
	q, args, err := t.db.find(name, args)
	if err != nil {
		return err
	}
	if t.db.dialect.postgres {
		err = t.x.SelectContext(ctx, dest, q.text, args...)
	} else {
		err = t.stmt(ctx, q).SelectContext(ctx, dest, args...)
	}
	return named(name, err)
}

func (t *tx) Get(ctx context.Context, dest any, name string, args ...any) error {
	q, args, err := t.db.find(name, args)
	if err != nil {
		return err
	}
	if t.db.dialect.postgres {
		err = t.x.GetContext(ctx, dest, q.text, args...)
	} else {
		err = t.stmt(ctx, q).GetContext(ctx, dest, args...)
	}
	return named(name, err)
}

func (t *tx) Exec(ctx context.Context, name string, args ...any) (int64, error) {
	q, args, err := t.db.find(name, args)
	if err != nil {
		return 0, err
	}
	var result sql.Result
	if t.db.dialect.postgres {
		result, err = t.x.ExecContext(ctx, q.text, args...)
	} else {
		result, err = t.stmt(ctx, q).ExecContext(ctx, args...)
	}
	if err != nil {
		return 0, named(name, err)
	}
	return result.RowsAffected()
}

// tx runs f in a transaction and commits it unless f fails. A transaction that the database ended for the sake of another
// (deadlock, serialization) is run again, three times at most; f must therefore have no effect outside it.
func (db *DB) tx(ctx context.Context, f func(*tx) error) error {
	return retried(ctx, func() error { return db.once(ctx, db.write, nil, f) })
}

// relaxed is tx for a step inside the road: its commit does not wait for the disk (see DB.lazy).
func (db *DB) relaxed(ctx context.Context, f func(*tx) error) error {
	return retried(ctx, func() error { return db.once(ctx, db.lazy, nil, f) })
}

// retried runs a transaction again that the database ended for the sake of another, three times at most.
func retried(ctx context.Context, once func() error) error {
	for attempt := 1; ; attempt++ {
		err := once()
		if err == nil || attempt == 3 || !lostToAnother(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(time.Duration(rand.IntN(20*attempt)) * time.Millisecond):
		}
	}
}

// once runs f in a transaction. options are nil but for reads on the reading pool.
func (db *DB) once(ctx context.Context, pool *sqlx.DB, options *sql.TxOptions, f func(*tx) error) error {
	x, err := pool.BeginTxx(ctx, options)
	if err != nil {
		return err
	}
	if err := f(&tx{x: x, db: db, reading: options != nil}); err != nil {
		_ = x.Rollback() // err says what went wrong
		return err
	}
	return x.Commit()
}

// snapshot runs reads that must see one state of the database: a page of users and its count.
func (db *DB) snapshot(ctx context.Context, f func(*tx) error) error {
	return db.once(ctx, db.read, db.oneState(), f)
}

// oneState are the options of a transaction whose reads see one state of the database.
func (db *DB) oneState() *sql.TxOptions {
	return &sql.TxOptions{Isolation: db.dialect.snapshot, ReadOnly: true}
}

// report is snapshot for reads of whole tables: on PostgreSQL the planner may choose freely (see openPostgres).
func (db *DB) report(ctx context.Context, f func(*tx) error) error {
	return db.snapshot(ctx, func(t *tx) error {
		if db.dialect.postgres {
			if _, err := t.x.ExecContext(ctx, reporting); err != nil {
				return err
			}
		}
		return f(t)
	})
}

const reporting = `SELECT set_config('enable_seqscan', 'on', true), set_config('enable_material', 'on', true),
	set_config('enable_hashjoin', 'on', true), set_config('enable_mergejoin', 'on', true),
	set_config('random_page_cost', '2', true), set_config('cpu_tuple_cost', '0.01', true),
	set_config('cpu_index_tuple_cost', '0.005', true), set_config('cpu_operator_cost', '0.0025', true), set_config('join_collapse_limit', '8', true), set_config('plan_cache_mode', 'force_custom_plan', true)`

// named puts the query's name before an error, and leaves "no rows" comparable.
func named(name string, err error) error {
	if err == nil || errors.Is(err, sql.ErrNoRows) {
		return err
	}
	return fmt.Errorf("%s: %w", name, err)
}

// noRows tells whether err says that a row was not there.
func noRows(err error) bool { return errors.Is(err, sql.ErrNoRows) }

// lostToAnother: 40001 serialization_failure, 40P01 deadlock_detected (PostgreSQL, appendix A).
func lostToAnother(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code == "40001" || e.Code == "40P01"
	}
	return false
}

// duplicate tells whether err is a refused second row of a unique key: 23505 on PostgreSQL, 1555 and 2067 on SQLite.
func duplicate(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code == "23505"
	}
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() == 1555 || e.Code() == 2067
	}
	return false
}

// missingReference tells whether err is a row that refers to none: 23503 on PostgreSQL, 787 on SQLite.
func missingReference(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code == "23503"
	}
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() == 787
	}
	return false
}

// notFound turns "no rows" into the caller's mistake.
func notFound(err error, what string, id any) error {
	if noRows(err) {
		return tidings.Errorf(tidings.NotFound, "there is no %s %v", what, id)
	}
	return err
}

// ints and strs are columns of a bulk.
func ints[T any](rows []T, f func(T) int64) []int64 {
	out := make([]int64, len(rows))
	for i, r := range rows {
		out[i] = f(r)
	}
	return out
}

func strs[T any](rows []T, f func(T) string) []string {
	out := make([]string, len(rows))
	for i, r := range rows {
		out[i] = f(r)
	}
	return out
}
