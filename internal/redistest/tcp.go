package redistest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"tidings/internal/proctest"
)

// Members of a layout find each other by TCP, unlike the servers of a single Redis.

// startTCP starts a Redis of the test on a free port of the loopback.
func startTCP(t testing.TB, args ...string) *Server {
	t.Helper()
	s := newTCP(t)
	s.command = append([]string{"redis-server", "--port", s.port(), "--bind", "127.0.0.1", "--dir", s.Dir, "--save", "", "--maxmemory-policy", "noeviction",
		"--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"}, args...)
	s.mustRun(t)
	return s
}

// startSentinel starts a sentinel with a configuration, which it writes to.
func startSentinel(t testing.TB, config ...string) *Server {
	t.Helper()
	s := newTCP(t)
	file := filepath.Join(s.Dir, "sentinel.conf")
	config = append([]string{"port " + s.port(), "bind 127.0.0.1", "dir " + s.Dir}, config...)
	if err := os.WriteFile(file, []byte(strings.Join(config, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.command = []string{"redis-server", file, "--sentinel"}
	s.mustRun(t)
	return s
}

func newTCP(t testing.TB) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "redistest")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{Dir: dir, network: "tcp", address: "127.0.0.1:" + freePort(t)}
	s.URL = "redis://" + s.address
	s.Client = redis.NewClient(&redis.Options{Addr: s.address, MaintNotificationsConfig: silent})
	return s
}

func (s *Server) mustRun(t testing.TB) {
	t.Helper()
	if err := s.run(); err != nil {
		t.Fatalf("start a Redis: %v", err)
	}
	s.endWith(t)
}

// Address is where a server that listens on TCP is reached.
func (s *Server) Address() string { return s.address }

func (s *Server) port() string {
	_, port, _ := net.SplitHostPort(s.address)
	return port
}

// freePort is a port that nobody listens on just now.
func freePort(t testing.TB) string {
	t.Helper()
	port, err := proctest.Port()
	if err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(port)
}

// until waits for what other processes agree on.
func until(t testing.TB, what string, ready func() error) {
	t.Helper()
	if err := proctest.Until(wait, ready); err != nil {
		t.Fatal(fmt.Errorf("%s: %w", what, err))
	}
}
