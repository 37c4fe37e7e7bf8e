package sql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"
	"modernc.org/sqlite"
)

// dialect is what differs between the two databases. Everything else is one text.
type dialect struct {
	name     string
	postgres bool
	words    *strings.Replacer  // the {words} of query texts and migrations
	snapshot sql.IsolationLevel // of a transaction whose reads see one state
	prelude  string             // functions that both must have, made before the first migration
}

var postgresDialect = dialect{
	name: "postgres", postgres: true, snapshot: sql.LevelRepeatableRead,
	words: strings.NewReplacer(
		"{id}", `text COLLATE "C"`,
		"{room}", "WITH (fillfactor = 50)", "{segments unpacked}", "ALTER TABLE segments ALTER COLUMN items SET STORAGE EXTERNAL;", "{lock}", "FOR UPDATE", "{lock d}", "FOR UPDATE OF d", "{lock s}", "FOR UPDATE OF s", "{lock i}", "FOR UPDATE OF i", "{lock u}", "FOR UPDATE OF u", "{lock r}", "FOR UPDATE OF r", "{lock er skip}", "FOR UPDATE OF e, r SKIP LOCKED", "{lock skip}", "FOR UPDATE SKIP LOCKED", "{lock d skip}", "FOR UPDATE OF d SKIP LOCKED", "{messages of s}", "CROSS JOIN LATERAL json_array_elements_text(s.items::json -> 'm') AS e(value)", "{greatest}", "greatest", "{json}", "::json"),
	prelude: `
		CREATE OR REPLACE FUNCTION now_us() RETURNS bigint LANGUAGE sql VOLATILE PARALLEL SAFE
			AS '` + clockBody + `';
		CREATE OR REPLACE FUNCTION instr(text, text) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE
			AS 'SELECT strpos($1, $2)';`,
}

// In SQLite a write transaction is alone from its first statement on (_txlock=immediate), which is what the locks ask for.
var sqliteDialect = dialect{
	name: "sqlite",
	words: strings.NewReplacer(
		"{id}", "text",
		"{room}", "", "{segments unpacked}", "", "{lock}", "", "{lock d}", "", "{lock s}", "", "{lock i}", "", "{lock u}", "", "{lock r}", "", "{lock er skip}", "", "{lock skip}", "", "{lock d skip}", "", "{messages of s}", ", json_each(s.items, '$.m') AS e", "{greatest}", "max", "{json}", ""),
}

// stopped is where a test has stopped the clock of this process' SQLite databases, in microseconds; 0: it goes.
var stopped atomic.Int64

// StopClock is for tests: it makes the database's clock, by which all deadlines are judged, stand at a time, or go on at the zero
// time. On PostgreSQL it changes the function of this one database, on SQLite the clock of the process.
func (db *DB) StopClock(ctx context.Context, at time.Time) error {
	if !db.dialect.postgres {
		stopped.Store(micros(at))
		return nil
	}
	body := clockBody
	if !at.IsZero() {
		body = fmt.Sprintf("SELECT %d::bigint", micros(at))
	}
	_, err := db.write.ExecContext(ctx, "CREATE OR REPLACE FUNCTION now_us() RETURNS bigint LANGUAGE sql VOLATILE PARALLEL SAFE AS '"+body+"'")
	return err
}

const clockBody = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"

// sqliteFunctions gives SQLite the functions that the prelude makes on PostgreSQL. instr it has.
var sqliteFunctions = sync.OnceFunc(func() {
	sqlite.MustRegisterScalarFunction("now_us", 0, func(*sqlite.FunctionContext, []driver.Value) (driver.Value, error) {
		if at := stopped.Load(); at != 0 {
			return at, nil
		}
		return time.Now().UnixMicro(), nil
	})
})

// openSQLite opens the file at path in WAL mode with synchronous=FULL: a commit is on the disk when it returns.
// Grouped, FULL costs next to nothing (58,000 rows/s on a common disk).
func openSQLite(path string) (*DB, error) {
	sqliteFunctions()
	path = strings.TrimPrefix(path, "//")
	if path == "" {
		return nil, fmt.Errorf("sqlite: the URL names no file: sqlite:PATH")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	pragmas := "?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)&_pragma=busy_timeout(10000)&_pragma=cache_size(-65536)&_pragma=temp_store(MEMORY)"
	write, err := sqlx.Open("sqlite", "file:"+path+pragmas+"&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	write.SetMaxOpenConns(1)
	read, err := sqlx.Open("sqlite", "file:"+path+pragmas)
	if err != nil {
		return nil, err
	}
	read.SetMaxOpenConns(4)
	read.SetMaxIdleConns(4)
	return &DB{write: write, read: read, lazy: write, dialect: sqliteDialect}, nil
}

// openPostgres opens a pool. A transaction left open by a worker that was stopped in its middle is ended by the server
// after ten seconds, so that its locks do not outlive the claims they protect.
func openPostgres(o Options) (*DB, error) {
	config, err := pgx.ParseConfig(o.URL)
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	for name, value := range map[string]string{
		"application_name":                    "tidings",
		"idle_in_transaction_session_timeout": "10000",
		"statement_timeout":                   "60000",
		// Every statement of the road joins a few hundred rows by primary key. Before the first ANALYZE of a fast growing table
		// the planner takes it for small and reads it whole, and keeps that plan: measured, 250 ms instead of 2 ms for 360
		// rows. These leave it no other choice than the index. Reports, which read whole tables, take them back (reporting).
		"enable_seqscan": "off", "enable_material": "off", "enable_hashjoin": "off", "enable_mergejoin": "off",
		"random_page_cost": "0.01", "cpu_tuple_cost": "0.1", "cpu_index_tuple_cost": "0.1", "cpu_operator_cost": "0.0001",
		"join_collapse_limit": "1", "plan_cache_mode": "force_generic_plan", "jit": "off",
	} {
		if _, set := config.RuntimeParams[name]; !set {
			config.RuntimeParams[name] = value
		}
	}
	n := o.Connections
	if n == 0 {
		n = 16
	}
	pool := postgresPool(config, n)
	relaxed := config.Copy()
	relaxed.RuntimeParams["synchronous_commit"] = "off"
	return &DB{write: pool, read: pool, lazy: postgresPool(relaxed, n), dialect: postgresDialect}, nil
}

func postgresPool(config *pgx.ConnConfig, n int) *sqlx.DB {
	pool := sqlx.NewDb(stdlib.OpenDB(*config), "pgx")
	pool.SetMaxOpenConns(n)
	pool.SetMaxIdleConns(n)
	return pool
}

// check refuses a PostgreSQL that acknowledges commits it has not written: 202 could not be kept.
func (d dialect) check(ctx context.Context, pool *sqlx.DB) error {
	if !d.postgres {
		return pool.PingContext(ctx)
	}
	for _, name := range []string{"fsync", "synchronous_commit", "full_page_writes"} {
		var value string
		if err := pool.GetContext(ctx, &value, "SHOW "+name); err != nil {
			return fmt.Errorf("postgres: %w", err)
		}
		if value == "off" {
			return fmt.Errorf("postgres: %s is off, so an accepted message could be lost at a crash; set it on (ALTER SYSTEM SET %s = on; SELECT pg_reload_conf())", name, name)
		}
	}
	return nil
}
