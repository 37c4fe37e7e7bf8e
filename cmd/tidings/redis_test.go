package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"tidings/internal/redistest"
)

func TestEveryFormOfARedisURLIsRead(t *testing.T) {
	for _, c := range []struct {
		url    string
		addrs  []string
		check  func(*redis.UniversalOptions) bool
		detail string
	}{
		{"redis://u:p@h:1/2", []string{"h:1"}, func(o *redis.UniversalOptions) bool { return o.DB == 2 && o.Username == "u" && o.Password == "p" }, "database, user, password"},
		{"rediss://h:1", []string{"h:1"}, func(o *redis.UniversalOptions) bool { return o.TLSConfig != nil }, "TLS"},
		{"unix:///run/r.sock?db=3", []string{"/run/r.sock"}, func(o *redis.UniversalOptions) bool { return o.DB == 3 }, "database"},
		{"redis-sentinel://:p%40q@a:1,b/main/4?sentinel_password=s", []string{"a:1", "b:26379"},
			func(o *redis.UniversalOptions) bool {
				return o.MasterName == "main" && o.DB == 4 && o.Password == "p@q" && o.SentinelPassword == "s"
			}, "master, database, passwords"},
		{"redis-cluster://a:1,[::1]", []string{"a:1", "[::1]:6379"}, func(o *redis.UniversalOptions) bool { return o.IsClusterMode }, "cluster"},
		{"redis-cluster://a?tls=true", []string{"a:6379"}, func(o *redis.UniversalOptions) bool { return o.IsClusterMode && o.TLSConfig.ServerName == "a" }, "TLS"},
	} {
		o, err := parseRedisURL(c.url)
		if err != nil || !slices.Equal(o.Addrs, c.addrs) || !c.check(o) {
			t.Errorf("%s: %+v, %v; want %v and %s", c.url, o, err, c.addrs, c.detail)
		}
	}
	for _, bad := range []string{"", "localhost:6379", "http://h", "redis-sentinel://a:1", "redis-sentinel://a:1/main/x", "redis-cluster://", "redis-cluster://a,,b", "redis-cluster://a/1", "redis-cluster://a?tls=yes", "redis-sentinel://a/main?db=1"} {
		if _, err := parseRedisURL(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestARedisThatDropsKeysIsRefused(t *testing.T) {
	s := redistest.Start(t, "--maxmemory-policy", "allkeys-lru")
	err := requireFit(t.Context(), s.Client)
	if err == nil || !strings.Contains(err.Error(), "noeviction") {
		t.Errorf("got %v", err)
	}
	if err := s.Client.ConfigSet(t.Context(), "maxmemory-policy", "noeviction").Err(); err != nil {
		t.Fatal(err)
	}
	if err := requireFit(t.Context(), s.Client); err != nil {
		t.Error(err)
	}
}

func TestTheEmbeddedRedisComesBackWithWhatItHeld(t *testing.T) {
	e, err := startEmbedded(t.Context(), t.TempDir(), slog.New(slog.DiscardHandler), exec.LookPath)
	if err != nil {
		t.Fatal(err)
	}
	defer e.stop()
	c := redis.NewUniversalClient(e.options)
	defer c.Close()
	if err := requireFit(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	before := redisPID(t, c)
	if err := errors.Join(c.Set(t.Context(), "k", "v", 0).Err(), c.Do(t.Context(), "WAITAOF", "1", "0", "2000").Err()); err != nil && !strings.Contains(err.Error(), "unknown command") {
		t.Fatal(err)
	}
	if err := syscall.Kill(before, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return redisPIDOr0(c) != before && c.Get(t.Context(), "k").Val() == "v" })
	e.stop()
	if syscall.Kill(redisPIDOr0(c), 0) == nil && redisPIDOr0(c) != 0 {
		t.Error("the server outlived us")
	}
	e.stop = func() {}
}

func TestTheEmbeddedRedisWaitsForTheEndOfTheOneBefore(t *testing.T) {
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
	e, err := startEmbedded(t.Context(), dir, log, exec.LookPath)
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewUniversalClient(e.options)
	defer c.Close()
	// The server has the lock itself: it keeps it when we are killed.
	if held, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/3", redisPID(t, c))); err != nil || held != filepath.Join(dir, "redis", "lock") {
		t.Errorf("the server holds %q %v", held, err)
	}
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := startEmbedded(short, dir, log, exec.LookPath); err == nil || !strings.Contains(err.Error(), "earlier process") {
		t.Errorf("a second one: %v", err)
	}
	if err := c.Ping(t.Context()).Err(); err != nil {
		t.Errorf("the first one, when a second was to start: %v", err)
	}
	e.stop()
	if e, err = startEmbedded(t.Context(), dir, log, exec.LookPath); err != nil {
		t.Fatal(err)
	}
	e.stop()
}

func redisPID(t *testing.T, c redis.UniversalClient) int {
	t.Helper()
	pid := redisPIDOr0(c)
	if pid == 0 {
		t.Fatal("Redis does not tell its process id")
	}
	return pid
}

func redisPIDOr0(c redis.UniversalClient) int {
	info, _ := c.Info(context.Background(), "server").Result()
	_, rest, _ := strings.Cut(info, "process_id:")
	pid, _ := strconv.Atoi(strings.TrimSpace(strings.SplitN(rest, "\r\n", 2)[0]))
	return pid
}

// eventually waits until f holds.
func eventually(t *testing.T, f func() bool) {
	t.Helper()
	tick, limit := time.NewTicker(20*time.Millisecond), time.After(20*time.Second)
	defer tick.Stop()
	for !f() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("it did not come to hold within 20 s")
		}
	}
}

func TestWithoutAServerOnPATHKeysStillExpire(t *testing.T) {
	e, err := startEmbedded(t.Context(), t.TempDir(), slog.New(slog.DiscardHandler), func(string) (string, error) { return "", exec.ErrNotFound })
	if err != nil {
		t.Fatal(err)
	}
	defer e.stop()
	c := redis.NewUniversalClient(e.options)
	defer c.Close()
	if err := c.Set(t.Context(), "k", "v", time.Second).Err(); err != nil || !strings.Contains(e.line, "forgets") {
		t.Fatal(err, e.line)
	}
	eventually(t, func() bool { return errors.Is(c.Get(t.Context(), "k").Err(), redis.Nil) })
}

func TestADataDirectoryBelongsToOneProcess(t *testing.T) {
	dir := t.TempDir()
	unlock, err := lockData(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lockData(dir); err == nil || !strings.Contains(err.Error(), "--data") {
		t.Errorf("the second one got %v", err)
	}
	unlock()
	again, err := lockData(dir)
	if err != nil {
		t.Fatal(err)
	}
	again()
}
