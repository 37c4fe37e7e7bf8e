package sql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"

	"tidings"
)

// A round trip costs more than most statements of the road: two context switches on either side. On PostgreSQL statements
// between which nothing is decided therefore go out together, in one pipeline up to a Sync. SQLite, in the same process,
// runs them one after another.

// statement is a named query with its arguments, to be run in a round.
type statement struct {
	name string
	args []any
	// count: the segment on which is noted how many rows the statement made. 0: none.
	count int64
	// rows reads what the query returns, into dest. Nil: nothing is read.
	rows func(pgx.Rows) error
	dest any
	// whole: the statement must change as many rows as it was given, or the transaction ends with ErrStale.
	whole bool
}

func do(name string, args ...any) statement { return statement{name: name, args: args} }

// whole is do for a statement that must change as many rows as it was given: else the transaction ends with ErrStale.
func whole(name string, rows bulk) statement {
	return statement{name: name, args: []any{rows}, whole: true}
}

// making is do for a statement whose rows the balance expects: their number is noted on a segment.
func making(segment tidings.ID, name string, args ...any) statement {
	return statement{name: name, args: args, count: int64(segment)}
}

// into is a query whose rows are read into dest.
func into[T any](dest *[]T, name string, args ...any) statement {
	return statement{name: name, args: args, dest: dest, rows: func(rows pgx.Rows) (err error) {
		*dest, err = pgx.CollectRows(rows, pgx.RowToStructByNameLax[T])
		return err
	}}
}

// given is how many rows the statement was given.
func (s statement) given() int64 {
	b, _ := s.args[0].(bulk)
	return int64(length(b[0]))
}

// burst runs statements in one transaction and one round.
func (db *DB) burst(ctx context.Context, pool *sqlx.DB, statements ...statement) error {
	return db.rounds(ctx, pool, nil, func(s *session) error { return s.last(ctx, statements...) })
}

// look runs queries that see one state of the database, in one round.
func (db *DB) look(ctx context.Context, queries ...statement) error {
	return db.rounds(ctx, db.read, db.oneState(), func(s *session) error { return s.last(ctx, queries...) })
}

// session is a transaction that is run in rounds: on PostgreSQL over a bare connection, on SQLite over a tx.
type session struct {
	db     *DB
	t      *tx
	c      *pgx.Conn
	begin  string // PostgreSQL: goes out with the first round
	begun  bool
	closed bool
}

// rounds runs f in a transaction of its own, which the last round commits. One that the database ends for the sake of
// another is run again.
func (db *DB) rounds(ctx context.Context, pool *sqlx.DB, options *sql.TxOptions, f func(*session) error) error {
	return retried(ctx, func() error {
		if db.dialect.postgres {
			return db.session(ctx, pool, options, f)
		}
		return db.once(ctx, pool, options, func(t *tx) error { return f(&session{db: db, t: t}) })
	})
}

// session runs f over a bare connection to PostgreSQL.
func (db *DB) session(ctx context.Context, pool *sqlx.DB, options *sql.TxOptions, f func(*session) error) error {
	s := &session{db: db, begin: "BEGIN"}
	if options != nil {
		s.begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
	}
	c, err := pool.Connx(ctx)
	if err != nil {
		return err
	}
	defer c.Close() //nolint:errcheck // back to the pool; what went wrong was said before
	return c.Raw(func(driver any) error {
		s.c = driver.(*stdlib.Conn).Conn()
		err := f(s)
		if err != nil && s.begun && !s.closed && !s.c.IsClosed() {
			_, _ = s.c.Exec(context.WithoutCancel(ctx), "ROLLBACK") // err says what went wrong
		}
		return err
	})
}

// round runs statements.
func (s *session) round(ctx context.Context, statements ...statement) error {
	return s.send(ctx, statements, false)
}

// last runs statements and commits.
func (s *session) last(ctx context.Context, statements ...statement) error {
	return s.send(ctx, statements, true)
}

func (s *session) send(ctx context.Context, statements []statement, commit bool) error {
	if s.t != nil {
		for _, st := range statements {
			if err := s.t.run(ctx, st); err != nil {
				return err
			}
		}
		return nil
	}
	var batch pgx.Batch
	// A single round is a transaction by itself: a pipeline is one up to its Sync. Only a snapshot of several queries has to be
	// asked for.
	wrapped := s.begun || !commit || s.begin != "BEGIN" && len(statements) > 1
	if wrapped && !s.begun {
		batch.Queue(s.begin)
	}
	for _, st := range statements {
		text, args, err := s.db.pipelined(st)
		if err != nil {
			return err
		}
		if q := batch.Queue(text, args...); st.rows != nil {
			q.Query(func(rows pgx.Rows) error { return named(st.name, st.rows(rows)) })
		} else {
			q.Exec(func(pgconn.CommandTag) error { return nil })
		}
	}
	if wrapped && commit {
		batch.Queue("COMMIT")
	}
	s.begun, s.closed = wrapped, false
	err := s.c.SendBatch(ctx, &batch).Close()
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == "22012" { // division_by_zero: see pipelined
		err = tidings.ErrStale
	}
	s.closed = err == nil && commit
	return err
}

// pipelined is the text of a statement in a pipeline, where nothing can be decided between two statements.
func (db *DB) pipelined(s statement) (string, []any, error) {
	q, args, err := db.find(s.name, s.args)
	if err != nil {
		return "", nil, err
	}
	switch {
	case s.whole:
		// A row that is missing must stop the transaction: within a pipeline only an error does that.
		args = append(args, s.given())
		return fmt.Sprintf("WITH changed AS (%s RETURNING 1) SELECT 1 / (CASE WHEN (SELECT count(*) FROM changed) = $%d THEN 1 ELSE 0 END)", q.text, len(args)), args, nil
	case s.count != 0:
		args = append(args, s.count)
		return fmt.Sprintf("WITH made AS (%s RETURNING 1) UPDATE segments SET planned = (SELECT count(*) FROM made) WHERE id = $%d", q.text, len(args)), args, nil
	}
	return q.text, args, nil
}

// run is a statement of a round on SQLite, or of an ordinary transaction.
func (t *tx) run(ctx context.Context, s statement) error {
	if s.dest != nil {
		return t.Select(ctx, s.dest, s.name, s.args...)
	}
	n, err := t.Exec(ctx, s.name, s.args...)
	if err != nil {
		return err
	}
	if s.whole && n != s.given() {
		return tidings.ErrStale
	}
	if s.count != 0 {
		_, err = t.Exec(ctx, "set-planned", s.count, n)
	}
	return err
}
