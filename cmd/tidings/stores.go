package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"tidings/auth"
	"tidings/sql"
)

// newLogger writes to w as the settings say.
func newLogger(cfg *config, w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(cfg.LogLevel)); err != nil {
		return nil, fmt.Errorf("TIDINGS_LOG_LEVEL: %q is none of debug, info, warn, error", cfg.LogLevel)
	}
	options := &slog.HandlerOptions{Level: level}
	switch cfg.LogFormat {
	case "json":
		return slog.New(slog.NewJSONHandler(w, options)), nil
	case "text":
		return slog.New(slog.NewTextHandler(w, options)), nil
	}
	return nil, fmt.Errorf("TIDINGS_LOG_FORMAT: %q is neither text nor json", cfg.LogFormat)
}

// databaseURL is the setting, or the SQLite file that 'tidings up' keeps in the data directory.
func databaseURL(cfg *config) string {
	return or(cfg.DatabaseURL, "sqlite:"+filepath.Join(cfg.Data, "tidings.db"))
}

// requireShared refuses stores that belong to one process: api, worker and comet run beside each other.
func requireShared(cfg *config, process string) error {
	if cfg.DatabaseURL == "" || strings.HasPrefix(cfg.DatabaseURL, "sqlite:") {
		return fmt.Errorf("'tidings %s' needs PostgreSQL, which several processes can share; SQLite belongs to 'tidings up' alone\n"+
			"  set TIDINGS_DATABASE_URL=postgres://..., or run 'tidings up', which does everything in one process", process)
	}
	if cfg.RedisURL == "" {
		return fmt.Errorf("'tidings %s' needs a Redis that all processes share; only 'tidings up' brings its own\n"+
			"  set TIDINGS_REDIS_URL=redis://..., or run 'tidings up'", process)
	}
	return nil
}

// openRecord opens the database for a command that looks at it or changes its schema.
func openRecord(c *cobra.Command, d *deps) (*sql.DB, *config, error) {
	cfg, _, err := load(c, d.getenv)
	if err != nil {
		return nil, nil, err
	}
	log, err := newLogger(cfg, d.errout)
	if err != nil {
		return nil, nil, err
	}
	master, err := masterSecret(cfg)
	if err != nil {
		return nil, nil, err
	}
	old, err := oldSecrets(cfg)
	if err != nil {
		return nil, nil, err
	}
	db, err := sql.Open(c.Context(), sql.Options{URL: databaseURL(cfg), Sealer: auth.NewSealer(master, old...), Log: log})
	return db, cfg, err
}

// openRedis connects, and refuses a Redis that would drop what it is given.
func openRedis(ctx context.Context, o *redis.UniversalOptions, check bool) (redis.UniversalClient, error) {
	rdb := newRedis(o)
	if check {
		ctx, cancel := context.WithTimeoutCause(ctx, 10*time.Second, errors.New("Redis did not answer within 10 s"))
		defer cancel()
		err := requireFit(ctx, rdb)
		if o.MasterName != "" && errors.Is(err, redis.Nil) {
			err = fmt.Errorf("TIDINGS_REDIS_URL: the sentinels know no master %q: it is the word behind their addresses", o.MasterName)
		}
		if err != nil {
			return nil, errors.Join(err, rdb.Close())
		}
	}
	return rdb, nil
}
