package sql_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tidings"
	"tidings/internal/sqltest"
	"tidings/sql"
)

// cut says where a connection breaks when a COMMIT passes.
type cut int

const (
	nowhere  cut = iota
	before       // PostgreSQL never hears of the COMMIT
	after        // it has committed and said so, and we never hear of it
	underway     // it has the COMMIT, and we are gone
)

// wire stands between the store and PostgreSQL, and can break a connection at a COMMIT.
type wire struct {
	to string // PostgreSQL's socket

	mu    sync.Mutex
	next  cut
	cuts  int
	conns []net.Conn
}

// through returns a URL that leads to database by a wire.
func through(t testing.TB, database string) (*wire, string) {
	t.Helper()
	u, err := url.Parse(database)
	must(t, err)
	dir := t.TempDir()
	w := &wire{to: filepath.Join(u.Query().Get("host"), ".s.PGSQL.5432")}
	l, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432"))
	must(t, err)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // the test is over
			}
			running.Go(func() { w.serve(c) })
		}
	})
	t.Cleanup(func() {
		must(t, l.Close())
		w.closeAll()
		running.Wait()
	})
	u.RawQuery = "host=" + url.QueryEscape(dir)
	return w, u.String()
}

// cutNext breaks the connection of the next COMMIT.
func (w *wire) cutNext(c cut) { w.mu.Lock(); defer w.mu.Unlock(); w.next = c }

func (w *wire) made() int { w.mu.Lock(); defer w.mu.Unlock(); return w.cuts }

func (w *wire) take() cut {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.next
	if w.next = nowhere; c != nowhere {
		w.cuts++
	}
	return c
}

func (w *wire) closeAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.conns {
		_ = c.Close() // some are closed already
	}
}

func (w *wire) serve(client net.Conn) {
	server, err := net.Dial("unix", w.to)
	if err != nil {
		_ = client.Close() // the store hears of it
		return
	}
	w.mu.Lock()
	w.conns = append(w.conns, client, server)
	w.mu.Unlock()
	var back sync.WaitGroup
	silent := make(chan struct{}) // closed: what PostgreSQL says is not passed on
	answered := make(chan struct{}, 1)
	back.Go(func() {
		answers(client, server, silent, answered)
		_ = client.Close() // nothing more will come
	})
	w.forward(client, server, silent, answered)
	_ = client.Close() // broken or at its end
	_ = server.Close()
	back.Wait()
}

// answers passes on what PostgreSQL says until it is to be silent.
func answers(client, server net.Conn, silent, answered chan struct{}) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := server.Read(buffer)
		if err != nil {
			return
		}
		select {
		case <-silent:
			select {
			case answered <- struct{}{}:
			default:
			}
		default:
			if _, err := client.Write(buffer[:n]); err != nil {
				return
			}
		}
	}
}

// forward passes on what the store says, message by message, until the connection is to break.
func (w *wire) forward(client, server net.Conn, silent, answered chan struct{}) {
	in := bufio.NewReader(client)
	for first := true; ; first = false {
		m, err := frame(in, first)
		if err != nil {
			return
		}
		c := nowhere
		if m[0] == 'Q' && strings.EqualFold(strings.TrimRight(string(m[5:]), "\x00; "), "commit") {
			c = w.take()
		}
		if c == before {
			return
		}
		if c != nowhere {
			close(silent)
		}
		if _, err := server.Write(m); err != nil || c == underway {
			return
		}
		if c == after {
			<-answered
			return
		}
	}
}

// frame reads a message of PostgreSQL's protocol: a type (not in the first of a connection), a length, a body.
func frame(in *bufio.Reader, first bool) ([]byte, error) {
	head := 5
	if first {
		head = 4
	}
	m := make([]byte, head)
	if _, err := io.ReadFull(in, m); err != nil {
		return nil, err
	}
	body := make([]byte, int(binary.BigEndian.Uint32(m[head-4:]))-4)
	_, err := io.ReadFull(in, body)
	return append(m, body...), err
}

// TestNobodyIsToldALieWhenTheConnectionBreaksAtCommit: whoever is told that his message is accepted finds it, and whoever
// is told that it is not can send it again under its key without making a second one.
func TestNobodyIsToldALieWhenTheConnectionBreaksAtCommit(t *testing.T) {
	for name, c := range map[string]struct {
		cut     cut
		settled bool // the store can know what became of it
		there   bool
	}{
		"before the commit":      {before, true, false},
		"after the commit":       {after, true, true},
		"while it was under way": {underway, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			database := sqltest.Postgres(t)
			direct := sqltest.Open(t, database)
			openShop(t, direct)
			w, link := through(t, database)
			db, err := sql.Open(context.Background(), sql.Options{URL: link, Log: slog.New(slog.DiscardHandler)})
			must(t, err)
			defer db.Close() //nolint:errcheck // the test is over
			for round := range 10 {
				posting("orders", "", "before").send(db).stored(t, direct) // the connection works
				post := posting("orders", fmt.Sprint("k", round), fmt.Sprint("n", round))
				w.cutNext(c.cut)
				post.send(db)
				if w.made() != round+1 {
					t.Fatal("no commit was cut")
				}
				if post.err == nil {
					post.stored(t, direct)
				} else {
					wantCode(t, post.err, tidings.Unavailable)
				}
				if there := post.err == nil; c.settled && there != c.there {
					t.Fatalf("accepted %v, want %v (%v)", there, c.there, post.err)
				}
				if c.settled && !c.there {
					if n := count(t, direct.Raw(), "SELECT count(*) FROM messages WHERE data = ?", string(post.Messages[0].Data)); n != 0 {
						t.Fatal("refused, and there")
					}
				}
				again := posting("orders", post.Key, fmt.Sprint("n", round)).send(db)
				must(t, again.err)
				if n := count(t, direct.Raw(), "SELECT count(*) FROM messages WHERE data = ?", string(post.Messages[0].Data)); n != 1 {
					t.Fatalf("%d messages of one key", n)
				}
			}
		})
	}
}

func TestACommitThatIsStillUnderWayWhenItsConnectionIsLostIsWaitedFor(t *testing.T) {
	database := sqltest.Postgres(t)
	direct := sqltest.Open(t, database)
	openShop(t, direct)
	// A commit that takes its time: a deferred trigger runs inside it.
	_, err := direct.Raw().Exec(`CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END';
		CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON batches DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION dawdle()`)
	must(t, err)
	w, link := through(t, database)
	db, err := sql.Open(context.Background(), sql.Options{URL: link, Log: slog.New(slog.DiscardHandler)})
	must(t, err)
	defer db.Close() //nolint:errcheck // the test is over
	w.cutNext(underway)
	post := posting("orders", "", "slow").send(db) // without a key: a second POST would be a second message
	there := func() bool {
		return count(t, direct.Raw(), "SELECT count(*) FROM messages WHERE data = ?", string(post.Messages[0].Data)) == 1
	}
	// PostgreSQL notices the loss when it has committed, and only then ends the session.
	over := func() bool {
		return count(t, direct.Raw(), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND (state <> 'idle' AND pid <> pg_backend_pid())") == 0
	}
	eventually(t, "the end of the slow commit", over)
	if accepted := post.err == nil; accepted != there() {
		t.Errorf("accepted %v (%v), and there %v", accepted, post.err, there())
	}
}

func TestABackendThatIsTerminatedBeforeItsCommitLeavesNothing(t *testing.T) {
	db := sqltest.Open(t, sqltest.Postgres(t))
	openShop(t, db)
	x, err := db.Raw().Beginx()
	must(t, err)
	_, err = x.Exec("LOCK TABLE batches IN ACCESS EXCLUSIVE MODE")
	must(t, err)
	post, done := posting("orders", "k", "ended"), make(chan struct{})
	go func() { post.send(db); close(done) }()
	eventually(t, "a commit that waits for the lock, and its end", func() bool {
		return count(t, db.Raw(), `SELECT count(*) FROM (SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'INSERT INTO batches%') ended`) == 1
	})
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatal("never answered")
	}
	wantCode(t, post.err, tidings.Unavailable)
	must(t, x.Rollback())
	if n := count(t, db.Raw(), "SELECT count(*) FROM messages"); n != 0 {
		t.Errorf("%d messages", n)
	}
	again := posting("orders", "k", "ended").send(db)
	if again.stored(t, db); again.answer.Replayed {
		t.Error("the stored answer of a request that was refused")
	}
}
