package sql

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"

	"tidings"
)

// statement is a named query with its arguments, to be run in a burst.
type statement struct {
	name string
	args []any
	// count: the segment on which is noted how many rows the statement made. 0: none.
	count int64
}

func do(name string, args ...any) statement { return statement{name: name, args: args} }

// making is do for a statement whose rows the balance expects: their number is noted on a segment.
func making(segment tidings.ID, name string, args ...any) statement {
	return statement{name: name, args: args, count: int64(segment)}
}

// burst runs statements in one transaction that needs no decision between them. On PostgreSQL they go out together and cost
// one round trip instead of one each, with BEGIN and COMMIT among them: a pipeline up to its Sync is one transaction.
func (db *DB) burst(ctx context.Context, pool *sqlx.DB, statements ...statement) error {
	if db.dialect.postgres {
		return db.pipeline(ctx, pool, statements)
	}
	return db.retried(ctx, pool, func(t *tx) error {
		for _, s := range statements {
			if err := t.run(ctx, s); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *tx) run(ctx context.Context, s statement) error {
	n, err := t.Exec(ctx, s.name, s.args...)
	if err != nil {
		return err
	}
	if b, ok := s.args[0].(bulk); s.name == "end-segments" && ok && n != int64(length(b[0])) {
		return tidings.ErrStale
	}
	if s.count != 0 {
		_, err = t.Exec(ctx, "set-planned", s.count, n)
	}
	return err
}

func (db *DB) pipeline(ctx context.Context, pool *sqlx.DB, statements []statement) error {
	var batch pgx.Batch
	for _, s := range statements {
		q, args, err := db.find(s.name, s.args)
		if err != nil {
			return err
		}
		text := q.text
		switch {
		case s.name == "end-segments":
			// A segment that is finished or of a later try must stop the whole: nothing but an error does that in a pipeline.
			b, _ := s.args[0].(bulk)
			args = append(args, length(b[0]))
			text = fmt.Sprintf("WITH ended AS (%s RETURNING 1) SELECT 1 / (CASE WHEN (SELECT count(*) FROM ended) = $%d THEN 1 ELSE 0 END)", text, len(args))
		case s.count != 0:
			args = append(args, s.count)
			text = fmt.Sprintf("WITH made AS (%s RETURNING 1) UPDATE segments SET planned = (SELECT count(*) FROM made) WHERE id = $%d", text, len(args))
		}
		batch.Queue(text, args...)
	}
	c, err := pool.Connx(ctx)
	if err != nil {
		return err
	}
	defer c.Close() //nolint:errcheck // back to the pool; what went wrong was said before
	for attempt := 1; ; attempt++ {
		err = c.Raw(func(driver any) error {
			return driver.(*stdlib.Conn).Conn().SendBatch(ctx, &batch).Close()
		})
		if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == "22012" { // division_by_zero
			return tidings.ErrStale
		}
		if err == nil || attempt == 3 || !lostToAnother(err) {
			return err
		}
	}
}
