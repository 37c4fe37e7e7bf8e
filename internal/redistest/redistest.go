// Package redistest gives tests a real Redis: `redis-server` from PATH on a unix socket, without persistence unless asked.
package redistest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"tidings/internal/proctest"
)

// databases is how many tests of one binary can have a database of their own in the shared server.
const databases = 4096

// Redis is where a test finds its Redis.
type Redis struct {
	URL    string // unix://PATH?db=N
	Client *redis.Client
}

var shared struct {
	sync.Mutex
	server *Server
	next   int
}

// New gives the test an empty database of its own in the one server that the test binary shares. What a server has
// only once (channels of PUBLISH, INFO, SCRIPT, FLUSHALL) is shared as well: a test that depends on it uses Start.
func New(t testing.TB) *Redis {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil {
		s, err := start()
		if err != nil {
			t.Fatalf("start the shared Redis: %v", err)
		}
		shared.server = s // ends with the test binary
	}
	db := shared.next
	shared.next++
	if db >= databases {
		t.Fatalf("more than %d tests in one binary use Redis: raise databases", databases)
	}
	r, err := connect(shared.server.address, db)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(r.Client.FlushDB(context.Background()).Err(), r.Client.Close()); err != nil {
			t.Errorf("leave the shared Redis: %v", err)
		}
	})
	return &r
}

// Server is a Redis of a test's own, which it may kill and restart.
type Server struct {
	Redis
	Dir     string
	network string // unix or tcp
	address string
	command []string
	process *proctest.Process
}

// Start starts a Redis for this test alone. More arguments go to redis-server ("--appendonly", "yes"), and what Redis
// writes to its directory is there again after a Restart.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	s, err := start(args...)
	if err != nil {
		t.Fatalf("start a Redis: %v", err)
	}
	s.endWith(t)
	return s
}

// endWith stops the server at the end of the test.
func (s *Server) endWith(t testing.TB) {
	t.Cleanup(func() {
		if err := errors.Join(s.Client.Close(), s.process.Stop()); err != nil {
			t.Errorf("stop the Redis: %v", err)
		}
	})
}

// Kill ends the server with SIGKILL, as a crash would, and returns when its door is dead.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	if err := s.process.Kill(); err != nil {
		t.Fatal(err)
	}
	err := proctest.Until(5*time.Second, func() error {
		if s.ping() == nil {
			return errors.New("it still answers")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Pause stops the server as it is, as a machine that hangs would, until Continue.
func (s *Server) Pause(t testing.TB) {
	t.Helper()
	must(t, s.process.Signal(syscall.SIGSTOP))
}

// Continue lets a paused server go on.
func (s *Server) Continue(t testing.TB) {
	t.Helper()
	must(t, s.process.Signal(syscall.SIGCONT))
}

// Restart starts the killed server again, on the same socket and directory.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	old := s.process
	if err := s.run(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := old.Stop(); err != nil {
			t.Errorf("stop the killed Redis: %v", err)
		}
	})
}

func start(args ...string) (*Server, error) {
	dir, err := os.MkdirTemp("", "redistest")
	if err != nil {
		return nil, err
	}
	s := &Server{Dir: dir, network: "unix", address: filepath.Join(dir, "socket")}
	s.command = append([]string{"redis-server", "--port", "0", "--unixsocket", s.address, "--dir", dir, "--save", "",
		"--databases", strconv.Itoa(databases), "--maxmemory-policy", "noeviction"}, args...)
	if s.Redis, err = connect(s.address, 0); err != nil {
		return nil, err
	}
	return s, s.run()
}

func (s *Server) run() error {
	p, err := proctest.Start(proctest.Spec{Command: s.command, Dir: s.Dir, Remove: true})
	if err != nil {
		return err
	}
	s.process = p
	err = proctest.Until(10*time.Second, s.ping)
	if err != nil {
		return errors.Join(fmt.Errorf("redis-server said: %s: %w", p.Log(), err), p.Stop())
	}
	return nil
}

// ping asks by a bare socket, because the client would try again for a second before it says no.
func (s *Server) ping() error {
	c, err := net.DialTimeout(s.network, s.address, time.Second)
	if err != nil {
		return err
	}
	defer c.Close() //nolint:errcheck // nothing was written that could be lost
	if err := c.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	if _, err := c.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	answer := make([]byte, 64)
	n, err := c.Read(answer)
	if err == nil && string(answer[:n]) != "+PONG\r\n" { // "-LOADING ..." while it reads its AOF
		err = fmt.Errorf("it answers %q", answer[:n])
	}
	return err
}

// A client listens for announcements of Redis Enterprise, with goroutines that Close leaves behind.
var silent = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}

func connect(socket string, db int) (Redis, error) {
	url := fmt.Sprintf("unix://%s?db=%d", socket, db)
	options, err := redis.ParseURL(url)
	if err != nil {
		return Redis{}, err
	}
	options.MaintNotificationsConfig = silent
	return Redis{URL: url, Client: redis.NewClient(options)}, nil
}
