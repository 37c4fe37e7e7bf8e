// Package sql is the system of record: everything that Tidings promises stands in one SQL database, PostgreSQL or SQLite.
//
// Both run the same query texts (queries/*.sql), compiled for their dialect and prepared when the store is opened, so that a
// wrong query stops the start and not a request. Work on many rows is one statement: its rows come in as arrays on
// PostgreSQL and as JSON on SQLite (see rows in query.go). Transactions are on top, queries below.
package sql

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"

	"tidings"
)

// Options say which database to open and how.
type Options struct {
	// URL is "sqlite:PATH" or "postgres://...".
	URL string
	// Sealer hides addresses from whoever reads the database. Nil leaves them readable: for tests only.
	Sealer Sealer
	// Connections is the most connections to PostgreSQL; 0: 16.
	Connections int
	// Slots is how many group commits may be under way; 0: 2. SQLite has one writer and so one slot.
	Slots int
	Now   func() time.Time // the clock of IDs; nil: time.Now
	Log   *slog.Logger     // nil: slog.Default()
	// OnAccept is told of segments right after the commit that wrote them: the relay's fast path.
	OnAccept func([]tidings.Segment)
	// Metrics counts the group commits and unknown attempts; nil counts nothing.
	Metrics *Metrics
}

// Sealer encrypts what must not be readable in the database, and makes keyed hashes by which it can be found.
type Sealer interface {
	// place names the row that keeps the value: sealed for one it is not opened in another's.
	Seal(place, plain string) string
	Open(place, sealed string) (string, error)
	Blind(plain string) string
	// Prefix is what values sealed under the current key begin with, and others do not.
	Prefix() string
}

// DB is an open store. It is safe for use by several goroutines.
type DB struct {
	write *sqlx.DB // SQLite: one connection, so that writers wait in Go and never meet SQLITE_BUSY
	read  *sqlx.DB // PostgreSQL: the same pool as write
	// lazy is a pool whose commits do not wait for the disk (synchronous_commit=off); SQLite: the same as write. A crash of
	// PostgreSQL may take back its last commits, in their order, and never one that a later commit of the other pool follows.
	// So it serves the steps inside the road, which are then run again, and nothing that anybody outside was told of.
	lazy     *sqlx.DB
	dialect  dialect
	queries  map[string]*query
	sealer   Sealer
	ids      *tidings.IDs
	log      *slog.Logger
	metrics  *Metrics
	accept   *committer
	finisher finisher
	recent   *recent
	quotas   *tidings.Cache[struct{}, map[string]tidings.Quota]

	suspended suspended
	preferred preferred
	link      func(tidings.Subscription) string
	renderer  func(context.Context, tidings.RenderWork) ([]tidings.Rendered, error)
	running   running
}

// Open opens the store, brings its schema up to date, prepares every query and refuses a database that does not keep its
// commits. Several processes may open one PostgreSQL at once; an SQLite file belongs to one process.
func Open(ctx context.Context, o Options) (*DB, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Sealer == nil {
		o.Sealer = plain{}
	}
	db, err := connect(o)
	if err != nil {
		return nil, err
	}
	db.sealer, db.log, db.metrics, db.recent = o.Sealer, o.Log, o.Metrics, newRecent()
	if err := db.begin(ctx, o); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func (db *DB) begin(ctx context.Context, o Options) error {
	if err := db.dialect.check(ctx, db.write); err != nil {
		return err
	}
	if err := db.migrate(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if err := db.prepare(ctx); err != nil {
		return err
	}
	var start int64
	if err := db.Get(ctx, &start, "next-process"); err != nil {
		return err
	}
	db.ids = tidings.NewIDs(start, o.Now)
	db.accept = newCommitter(db, o)
	return nil
}

func connect(o Options) (*DB, error) {
	switch scheme, rest, _ := strings.Cut(o.URL, ":"); scheme {
	case "sqlite":
		return openSQLite(rest)
	case "postgres", "postgresql":
		return openPostgres(o)
	default:
		return nil, fmt.Errorf("the database URL must begin with sqlite: or postgres://, not %q", scheme+":")
	}
}

// Close waits for the commits under way and closes the store.
func (db *DB) Close() error {
	if db.accept != nil {
		db.accept.close()
	}
	var errs []error
	for _, q := range db.queries {
		for _, s := range []*sqlx.Stmt{q.readStmt, q.writeStmt} {
			if s != nil {
				errs = append(errs, s.Close())
			}
		}
	}
	errs = append(errs, db.write.Close())
	if db.read != db.write {
		errs = append(errs, db.read.Close())
	}
	if db.lazy != db.write {
		errs = append(errs, db.lazy.Close())
	}
	return errors.Join(errs...)
}

// LinkBy says how the links are made by which users unsubscribe. It is called before anything is delivered.
func (db *DB) LinkBy(link func(tidings.Subscription) string) { db.link = link }

// IDs is the maker of IDs of this process: its middle bits come from a counter in the database.
func (db *DB) IDs() *tidings.IDs { return db.ids }

// Ready tells whether the database answers.
func (db *DB) Ready(ctx context.Context) error { return db.write.PingContext(ctx) }

// Name is the dialect: "sqlite" or "postgres".
func (db *DB) Name() string { return db.dialect.name }

type plain struct{}

func (plain) Seal(_, s string) string          { return s }
func (plain) Open(_, s string) (string, error) { return s, nil }
func (plain) Blind(s string) string            { return s }
func (plain) Prefix() string                   { return "" }

// The places of sealed values.
func addressPlace(user, channel string) string { return "address " + channel + " " + user }
func integrationPlace(id string) string        { return "integration " + id }
func endpointPlace(id int64) string            { return "endpoint " + tidings.ID(id).String() }
func reportPlace(attempt int64) string         { return "report " + tidings.ID(attempt).String() }

// micros converts a time to the database's; the zero time is 0.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// timeOf is the inverse of micros.
func timeOf(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
