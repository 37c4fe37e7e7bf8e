package sql_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"tidings"
	"tidings/internal/proctest"
	"tidings/internal/sqltest"
	"tidings/sql"
)

// post is a request with what its caller was told.
type post struct {
	tidings.Request
	ids    []tidings.ID
	answer tidings.Answer
	err    error
}

// posting makes a request of one web message whose data, and whose answer, name it.
func posting(application, key, name string) *post {
	p := &post{Request: tidings.Request{Application: application, Key: key, Hash: "hash of " + name}}
	p.Messages = []tidings.Message{{Application: application, Type: "note", Lane: tidings.Normal, Channels: []tidings.Channel{tidings.Web},
		Audience: tidings.Audience{Users: []string{"ann"}}, Data: json.RawMessage(`{"name":"` + name + `"}`), ExpiresAt: time.Now().Add(time.Hour)}}
	p.Respond = func(ms []tidings.Message) []byte {
		p.ids = p.ids[:0]
		for _, m := range ms {
			p.ids = append(p.ids, m.ID)
		}
		return []byte(fmt.Sprintf("%s %v", name, p.ids))
	}
	return p
}

func (p *post) send(db *sql.DB) *post {
	p.answer, p.err = db.Accept(context.Background(), p.Request)
	return p
}

// crowd sends all posts at once and waits for their answers.
func crowd(db *sql.DB, posts []*post) {
	var wg sync.WaitGroup
	for _, p := range posts {
		wg.Go(func() { p.send(db) })
	}
	wg.Wait()
}

// held keeps every slot in a commit that does not end until release is called, so that what comes meanwhile has to gather.
// Each slot has one request of the application "plugs".
func held(t testing.TB, db *sql.DB) (slots int, release func()) {
	t.Helper()
	x, err := db.Raw().Beginx() // SQLite: the one connection that writes
	must(t, err)
	slots = 1
	if db.Name() == "postgres" {
		slots = 2
		_, err := x.Exec("LOCK TABLE batches, idempotency_keys IN ACCESS EXCLUSIVE MODE")
		must(t, err)
	}
	var plugs sync.WaitGroup
	for n := range slots {
		plugs.Go(func() { posting("plugs", "", "plug").send(db) })
		eventually(t, "a commit that is held", func() bool {
			waiting, commits := db.Waiting()
			return waiting == 0 && commits == n+1
		})
	}
	var once sync.Once
	release = func() { once.Do(func() { must(t, x.Rollback()); plugs.Wait() }) }
	t.Cleanup(release)
	return slots, release
}

// gathered waits until n requests wait for a commit.
func gathered(t testing.TB, db *sql.DB, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d requests gathered", n), func() bool {
		waiting, _ := db.Waiting()
		return waiting == n
	})
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	must(t, proctest.Until(20*time.Second, func() error {
		if !ok() {
			return errors.New("never: " + what)
		}
		return nil
	}))
}

// count runs a query whose placeholders are ? and returns its one number.
func count(t testing.TB, x *sqlx.DB, query string, args ...any) (n int) {
	t.Helper()
	must(t, x.Get(&n, x.Rebind(query), args...))
	return n
}

// stored fails unless the record has exactly what the post's caller was told.
func (p *post) stored(t testing.TB, db *sql.DB) {
	t.Helper()
	if p.err != nil {
		t.Fatal(p.err)
	}
	name := strings.TrimPrefix(p.Hash, "hash of ")
	if want := fmt.Sprintf("%s %v", name, p.ids); string(p.answer.Body) != want {
		t.Errorf("%s was answered %q", name, p.answer.Body)
	}
	for i, id := range p.ids {
		var data string
		must(t, db.Raw().Get(&data, db.Raw().Rebind("SELECT data FROM messages WHERE id = ?"), int64(id)))
		if data != string(p.Messages[i].Data) {
			t.Errorf("%s: message %s has the data %s", name, id, data)
		}
	}
}

func TestConcurrentRequestsShareACommitAndEachGetsItsOwnAnswer(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		openShop(t, db)
		var posts []*post
		for i := range 40 {
			key := ""
			if i%2 == 0 {
				key = fmt.Sprint("key-", i)
			}
			posts = append(posts, posting("orders", key, fmt.Sprint("n", i)))
		}
		slots, release := held(t, db)
		done := make(chan struct{})
		go func() { crowd(db, posts); close(done) }()
		gathered(t, db, len(posts))
		release()
		<-done
		for _, p := range posts {
			p.stored(t, db)
		}
		if n := count(t, db.Raw(), "SELECT count(*) FROM batches"); n != slots+1 {
			t.Errorf("%d batches for %d lone requests and 40 at once", n, slots)
		}
		if n := count(t, db.Raw(), "SELECT count(*) FROM messages"); n != slots+40 {
			t.Errorf("%d messages", n)
		}
	})
}

func TestCommitsKeepTheirPaceUnlessTheyAreFull(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		what string
		last time.Duration // before now
		full bool
		want time.Duration // from now
	}{
		{"the first", time.Hour, false, 0},
		{"right behind another", time.Millisecond, false, sql.CommitPace - time.Millisecond},
		{"behind one that waits itself", -time.Millisecond, false, sql.CommitPace + time.Millisecond},
		{"a full one", time.Millisecond, true, 0},
	} {
		if got := sql.Begins(now.Add(-c.last), now, c.full).Sub(now); got != c.want {
			t.Errorf("%s begins after %s, not %s", c.what, got, c.want)
		}
	}
}

func TestARepeatedRequestGetsItsStoredAnswer(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		openShop(t, db)
		first := posting("orders", "k", "first").send(db)
		first.stored(t, db)
		second := posting("orders", "k", "first").send(db)
		must(t, second.err)
		if !second.answer.Replayed || string(second.answer.Body) != string(first.answer.Body) || first.answer.Replayed {
			t.Errorf("answered %+v, then %+v", first.answer, second.answer)
		}
		answer, ok, err := db.Answered(context.Background(), "orders", "k", first.Hash)
		if err != nil || !ok || !answer.Replayed || string(answer.Body) != string(first.answer.Body) {
			t.Errorf("%+v, %v, %v", answer, ok, err)
		}
		if _, ok, err := db.Answered(context.Background(), "orders", "other", first.Hash); ok || err != nil {
			t.Errorf("an answer that was never given: %v", err)
		}
		if n := count(t, db.Raw(), "SELECT count(*) FROM messages"); n != 1 {
			t.Errorf("%d messages", n)
		}
		// Without a key a repeated request is a new message.
		posting("orders", "", "first").send(db).stored(t, db)
		posting("orders", "", "first").send(db).stored(t, db)
		if n := count(t, db.Raw(), "SELECT count(*) FROM messages"); n != 3 {
			t.Errorf("%d messages", n)
		}
	})
}

func TestAKeyThatWasUsedForAnotherRequestIsRefusedByName(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		openShop(t, db)
		posting("orders", "k", "first").send(db).stored(t, db)
		other := posting("orders", "k", "other").send(db)
		wantCode(t, other.err, tidings.Unprocessable)
		if e, ok := errors.AsType[*tidings.Error](other.err); !ok || len(e.Fields) != 1 || e.Fields[0].Field != "Idempotency-Key" {
			t.Errorf("%v names no field", other.err)
		}
		_, ok, err := db.Answered(context.Background(), "orders", "k", other.Hash)
		if wantCode(t, err, tidings.Unprocessable); ok {
			t.Error("another request's answer was given")
		}
		if n := count(t, db.Raw(), "SELECT count(*) FROM messages"); n != 1 {
			t.Errorf("%d messages", n)
		}
	})
}

func TestAKeyIsItsApplicationsOwn(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		openShop(t, db)
		a, b := posting("orders", "k", "first").send(db), posting("payments", "k", "second").send(db)
		a.stored(t, db)
		b.stored(t, db)
		if a.answer.Replayed || b.answer.Replayed {
			t.Error("one application got the other's answer")
		}
	})
}

func TestAKeyThatIsBeingWorkedOnIsAConflict(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		openShop(t, db)
		_, release := held(t, db)
		first, done := posting("orders", "k", "first"), make(chan struct{})
		go func() { first.send(db); close(done) }()
		gathered(t, db, 1)
		second := posting("orders", "k", "first").send(db)
		wantCode(t, second.err, tidings.Conflict)
		if e, _ := errors.AsType[*tidings.Error](second.err); e.After <= 0 {
			t.Error("it does not say when to come back")
		}
		other, otherDone := posting("payments", "k", "other"), make(chan struct{}) // another application's key is another key
		go func() { other.send(db); close(otherDone) }()
		release()
		<-done
		<-otherDone
		first.stored(t, db)
		other.stored(t, db)
		if third := posting("orders", "k", "first").send(db); third.err != nil || !third.answer.Replayed {
			t.Errorf("afterwards: %+v, %v", third.answer, third.err)
		}
	})
}

func TestAPoisonedRequestFailsAlone(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		openShop(t, db)
		if db.Name() == "sqlite" { // it stores whatever comes, so the record itself has to refuse something
			_, err := db.Raw().Exec(`CREATE TRIGGER poison BEFORE INSERT ON messages WHEN instr(NEW.data, 'poison') > 0
				BEGIN SELECT RAISE(ABORT, 'poisoned'); END`)
			must(t, err)
		}
		var posts []*post
		for i := range 21 {
			posts = append(posts, posting("orders", fmt.Sprint("key-", i), fmt.Sprint("n", i)))
		}
		poisoned := posts[13]
		poisoned.Messages[0].Data = json.RawMessage("{\"poison\":\"\x00\"}") // PostgreSQL takes no NUL
		slots, release := held(t, db)
		done := make(chan struct{})
		go func() { crowd(db, posts); close(done) }()
		gathered(t, db, len(posts))
		release()
		<-done
		for _, p := range posts {
			if p != poisoned {
				p.stored(t, db)
			}
		}
		want := tidings.Unavailable
		if db.Name() == "postgres" { // it says that the value fits no column, so that trying again is no use
			want = tidings.Unprocessable
		}
		wantCode(t, poisoned.err, want)
		if n := count(t, db.Raw(), "SELECT count(*) FROM messages"); n != slots+20 {
			t.Errorf("%d messages of %d", n, slots+20)
		}
		if n := count(t, db.Raw(), "SELECT count(*) FROM idempotency_keys WHERE key = ?", poisoned.Key); n != 0 {
			t.Error("the refused request's key is taken")
		}
		drive(t, db)
		b, err := db.Balance(context.Background(), time.Minute)
		must(t, err)
		if len(b.Faults) > 0 || b.Messages != int64(slots+20) {
			t.Errorf("%+v", b)
		}
		mended := posting("orders", poisoned.Key, "mended").send(db)
		mended.stored(t, db)
	})
}

func TestAnIDThatIsTakenIsNeverGivenToAnotherMessage(t *testing.T) {
	for name, url := range map[string]func(testing.TB) string{"sqlite": sqltest.SQLite, "postgres": sqltest.Postgres} {
		t.Run(name, func(t *testing.T) {
			at := time.Now()
			db, err := sql.Open(context.Background(), sql.Options{URL: url(t), Now: func() time.Time { return at }}) // it stands: IDs are foreseeable
			must(t, err)
			defer db.Close() //nolint:errcheck // the test is over
			openShop(t, db)
			taken := posting("orders", "", "taken").send(db)
			taken.stored(t, db)
			// The next request draws an ID for its batch and then one for its message, as a process of the same middle bits would.
			next := db.IDs().Next() + 2
			_, err = db.Raw().Exec(db.Raw().Rebind("UPDATE messages SET id = ? WHERE id = ?"), int64(next), int64(taken.ids[0]))
			must(t, err)
			unlucky := posting("orders", "k", "unlucky").send(db)
			if unlucky.err == nil && unlucky.ids[0] == next {
				t.Fatal("two messages have one ID")
			}
			if unlucky.err != nil {
				wantCode(t, unlucky.err, tidings.Unavailable)
				unlucky.send(db) // as its answer asks
			}
			unlucky.stored(t, db)
		})
	}
}

func TestOneKeyInTwoProcessesAtOnceIsOneMessage(t *testing.T) {
	url := sqltest.Postgres(t)
	dbs := []*sql.DB{sqltest.Open(t, url), sqltest.Open(t, url)}
	openShop(t, dbs[0])
	const rounds, keys = 10, 12
	for round := range rounds {
		// Each process gets the same keys in an order of its own, so that two commits that locked them in the order of arrival
		// would wait for each other.
		posts := [2][]*post{}
		for i := range keys {
			for p := range posts {
				k := i
				if p == 1 {
					k = keys - 1 - i
				}
				posts[p] = append(posts[p], posting("orders", fmt.Sprintf("%d-%d", round, k), fmt.Sprint("n", k)))
			}
		}
		var wg sync.WaitGroup
		for p := range posts {
			wg.Go(func() { crowd(dbs[p], posts[p]) })
		}
		wg.Wait()
		for i, a := range posts[0] {
			b := posts[1][keys-1-i]
			if a.err != nil || b.err != nil || string(a.answer.Body) != string(b.answer.Body) || a.answer.Replayed == b.answer.Replayed {
				t.Fatalf("key %s: %s %v %v and %s %v %v", a.Key, a.answer.Body, a.answer.Replayed, a.err, b.answer.Body, b.answer.Replayed, b.err)
			}
		}
	}
	if n := count(t, dbs[0].Raw(), "SELECT count(*) FROM messages"); n != rounds*keys {
		t.Errorf("%d messages for %d keys", n, rounds*keys)
	}
}

func TestSegmentsNeverMixLanesOrApplications(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		openShop(t, db)
		var posts []*post
		want := map[[2]string]int{}
		for i := range 30 {
			p := posting([]string{"orders", "payments"}[i%2], "", fmt.Sprint("n", i))
			for j := range 60 {
				m := p.Messages[0]
				m.Lane = tidings.Lanes[(i+j)%3]
				p.Messages = append(p.Messages, m)
			}
			p.Messages = p.Messages[1:]
			for _, m := range p.Messages {
				want[[2]string{m.Application, string(m.Lane)}]++
			}
			posts = append(posts, p)
		}
		slots, release := held(t, db)
		done := make(chan struct{})
		want[[2]string{"plugs", "normal"}] = slots
		go func() { crowd(db, posts); close(done) }()
		gathered(t, db, len(posts))
		release()
		<-done
		open, err := db.Untouched(context.Background(), -time.Hour, 1000)
		must(t, err)
		for _, s := range open {
			ms, err := db.AcquireWork(context.Background(), []tidings.Segment{s})
			must(t, err)
			if len(ms) == 0 || len(ms) > tidings.SegmentSize || len(ms) != s.Size {
				t.Errorf("a segment of %d says that it has %d", len(ms), s.Size)
			}
			want[[2]string{s.Application, string(s.Lane)}] -= len(ms)
			var other int
			for _, m := range ms {
				other += count(t, db.Raw(), "SELECT count(*) FROM messages WHERE id = ? AND (lane <> ? OR application <> ? OR batch <> ?)",
					int64(m.ID), string(s.Lane), s.Application, int64(s.Batch))
			}
			if other > 0 {
				t.Errorf("segment %s of %s %s holds %d messages of others", s.ID, s.Application, s.Lane, other)
			}
		}
		for group, left := range want {
			if left != 0 {
				t.Errorf("%v: %d messages are in no segment", group, left)
			}
		}
	})
}

func TestTooManyWaitingRequestsAreRefusedBeforeAnyWork(t *testing.T) {
	sqltest.Each(t, func(t *testing.T, db *sql.DB) {
		openShop(t, db)
		_, release := held(t, db)
		large := posting("orders", "", "large")
		for len(large.Messages) < 10000 {
			large.Messages = append(large.Messages, large.Messages[0])
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // they wait on without us
		for range 2 {
			if _, err := db.Accept(ctx, tidings.Request{Application: "orders", Messages: large.Messages, Respond: func([]tidings.Message) []byte { return nil }}); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		}
		refused := posting("orders", "k", "refused").send(db)
		wantCode(t, refused.err, tidings.Unavailable)
		release()
		eventually(t, "room again", func() bool { n, _ := db.Waiting(); return n == 0 })
		posting("orders", "k", "refused").send(db).stored(t, db)
	})
}

func TestCloseWaitsForTheCommitsUnderWay(t *testing.T) {
	for name, url := range map[string]func(testing.TB) string{"sqlite": sqltest.SQLite, "postgres": sqltest.Postgres} {
		t.Run(name, func(t *testing.T) {
			db, err := sql.Open(context.Background(), sql.Options{URL: url(t)})
			must(t, err)
			told := make(chan int, 10)
			db.OnAccept(func(ss []tidings.Segment) { told <- len(ss) })
			openShop(t, db)
			_, release := held(t, db)
			posts, done := []*post{posting("orders", "", "a"), posting("orders", "", "b"), posting("orders", "", "c")}, make(chan struct{})
			go func() { crowd(db, posts); close(done) }()
			gathered(t, db, len(posts))
			closed := make(chan error, 1)
			go func() { closed <- db.Close() }()
			eventually(t, "the door shut", func() bool {
				ctx, cancel := context.WithCancel(context.Background())
				cancel()
				_, err := db.Accept(ctx, posting("orders", "", "late").Request)
				return tidings.CodeOf(err) == tidings.Unavailable
			})
			select {
			case err := <-closed:
				t.Fatalf("closed with commits under way: %v", err)
			default:
			}
			release()
			<-done
			must(t, <-closed)
			for _, p := range posts {
				must(t, p.err)
			}
			if len(told) == 0 {
				t.Error("closed before the relay was told")
			}
		})
	}
}

func TestWhatWasAcceptedIsThereAfterTheFileIsOpenedAgain(t *testing.T) {
	url := "sqlite:" + filepath.Join(t.TempDir(), "tidings.db")
	db := sqltest.Open(t, url)
	openShop(t, db)
	first := posting("orders", "k", "first").send(db)
	first.stored(t, db)
	must(t, db.Close())
	db = sqltest.Open(t, url)
	first.stored(t, db)
	if again := posting("orders", "k", "first").send(db); again.err != nil || !again.answer.Replayed || string(again.answer.Body) != string(first.answer.Body) {
		t.Errorf("%+v, %v", again.answer, again.err)
	}
}
