// Package sqltest runs a test on every database that Tidings supports: a SQLite file, and a database of its own on a real
// PostgreSQL with fsync on, which the test binary starts for itself (or TIDINGS_TEST_POSTGRES names one).
package sqltest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"tidings/sql"
)

// Each runs the test once for each dialect, as subtests "sqlite" and "postgres", each with an empty, migrated store.
func Each(t *testing.T, test func(t *testing.T, db *sql.DB)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, Open(t, SQLite(t))) })
	t.Run("postgres", func(t *testing.T) { test(t, Open(t, Postgres(t))) })
}

// Open opens the store at url for the test, and closes it with the test.
func Open(t testing.TB, url string) *sql.DB {
	t.Helper()
	db, err := sql.Open(context.Background(), sql.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	return db
}

// SQLite is the URL of an empty, migrated database of the test's own.
func SQLite(t testing.TB) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "tidings.db")
	empty, err := migrated()
	if err == nil {
		err = os.WriteFile(file, empty, 0o600)
	}
	if err != nil {
		t.Fatalf("SQLite for tests: %v", err)
	}
	return "sqlite:" + file
}

// migrated is what an SQLite file holds after the migrations.
var migrated = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "sqltest")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // it is among what is temporary
	file := filepath.Join(dir, "tidings.db")
	db, err := sql.Open(context.Background(), sql.Options{URL: "sqlite:" + file})
	if err != nil {
		return nil, err
	}
	if err := db.Close(); err != nil { // writes the log into the file
		return nil, err
	}
	return os.ReadFile(file)
})

var cluster struct {
	sync.Mutex
	server   string   // URL of its maintenance database
	template string   // the migrated database that each test's is cloned from
	own      bool     // the server is ours and ends with us
	schema   string   // what the template's tables, triggers and functions are
	idle     []string // databases of our own server that are as the template was
	next     int
}

// Postgres is the URL of an empty, migrated database of the test's own.
func Postgres(t testing.TB) string {
	t.Helper()
	cluster.Lock()
	defer cluster.Unlock()
	if cluster.template == "" {
		if err := begin(); err != nil {
			t.Fatalf("PostgreSQL for tests: %v", err)
		}
	}
	server := cluster.server
	name, err := take(server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := giveBack(server, name); err != nil {
			t.Errorf("clear the test's database: %v", err)
		}
	})
	return in(server, name)
}

func take(server string) (name string, err error) {
	if n := len(cluster.idle); n > 0 {
		name, cluster.idle = cluster.idle[n-1], cluster.idle[:n-1]
		return name, nil
	}
	cluster.next++
	name = fmt.Sprintf("tidings_test_%d_%d", os.Getpid(), cluster.next)
	return name, run(server, "CREATE DATABASE "+name+" TEMPLATE "+cluster.template)
}

// giveBack drops the database; one on our own server whose schema is still the template's is emptied for the next test
// instead, which takes a tenth of the time of making and dropping some three hundred files with fsync on.
func giveBack(server, name string) error {
	cluster.Lock()
	defer cluster.Unlock()
	changed := true
	if cluster.own {
		now, err := schema(in(server, name))
		if err != nil {
			return err
		}
		changed = now != cluster.schema
	}
	if changed {
		return run(server, "DROP DATABASE "+name+" WITH (FORCE)")
	}
	// Whoever is connected still, such as a process that was killed with a statement under way, must not write later.
	err := run(in(server, name),
		"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()", clear)
	if err == nil {
		cluster.idle = append(cluster.idle, name)
	}
	return err
}

// schema sums up the tables, triggers and functions of a database.
func schema(url string) (sum string, err error) {
	ctx := context.Background()
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return "", err
	}
	defer c.Close(ctx) //nolint:errcheck // the question has been answered
	err = c.QueryRow(ctx, `SELECT md5(string_agg(part, ';' ORDER BY part)) FROM (
	SELECT relname || relkind::text FROM pg_class WHERE relnamespace = 'public'::regnamespace
	UNION ALL SELECT attrelid::regclass::text || attname FROM pg_attribute
		WHERE attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
	UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
	UNION ALL SELECT proname || prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace) AS parts (part)`).Scan(&sum)
	return sum, err
}

const (
	// keep notes the rows that the migrations wrote.
	keep = `CREATE SCHEMA pristine;
DO $$ DECLARE name text; filled boolean; BEGIN
	FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
		EXECUTE format('SELECT EXISTS (SELECT FROM public.%I)', name) INTO filled;
		IF filled THEN
			EXECUTE format('CREATE TABLE pristine.%I AS TABLE public.%I', name, name);
		END IF;
	END LOOP;
END $$`
	// clear makes a database what it was. DELETE would leave the planner believing that every table stays tiny.
	clear = `DO $$ DECLARE name text; filled text[]; BEGIN
	FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
		IF pg_relation_size(format('public.%I', name)) > 0 THEN
			filled := array_append(filled, format('public.%I', name));
		END IF;
	END LOOP;
	EXECUTE 'TRUNCATE ' || array_to_string(filled, ', ') || ' CASCADE';
	FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'pristine' LOOP
		EXECUTE format('INSERT INTO public.%I TABLE pristine.%I', name, name);
	END LOOP;
END $$`
)

// begin starts or finds the server and makes the template. A server that outlives us keeps the template of the last run,
// so the one before is dropped first.
func begin() error {
	server, template := os.Getenv("TIDINGS_TEST_POSTGRES"), fmt.Sprintf("tidings_template_%d", os.Getpid())
	cluster.own = server == ""
	if cluster.own {
		var err error
		if server, err = startCluster(); err != nil {
			return err
		}
	}
	if err := run(server, "DROP DATABASE IF EXISTS "+template, "CREATE DATABASE "+template); err != nil {
		return err
	}
	db, err := sql.Open(context.Background(), sql.Options{URL: in(server, template)})
	if err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	if err := run(in(server, template), keep); err != nil {
		return err
	}
	cluster.schema, err = schema(in(server, template))
	cluster.server, cluster.template = server, template
	return err
}

// in is the server's URL with another database.
func in(server, database string) string {
	u, err := url.Parse(server)
	if err != nil {
		panic(err) // run has parsed it before
	}
	u.Path = "/" + database
	return u.String()
}

func run(server string, statements ...string) error {
	ctx := context.Background()
	c, err := pgx.Connect(ctx, server)
	if err != nil {
		return err
	}
	defer c.Close(ctx) //nolint:errcheck // each statement has been answered
	for _, s := range statements {
		if _, err := c.Exec(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}
