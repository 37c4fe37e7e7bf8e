package chaos

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"tidings"
	"tidings/internal/proctest"
)

var (
	messages = flag.Int("chaos.messages", 2500, "messages to send")
	rate     = flag.Int("chaos.rate", 90, "messages a second")
	every    = flag.Duration("chaos.every", 2*time.Second, "between two blows")
	layout   = flag.String("chaos.redis", "single", "single, sentinel or cluster")
)

// leastBlows are dealt, however long the processes take to come back on a slow machine: messages are sent as long.
const leastBlows = 10

func TestNothingIsLostOrDoubledWhileEverythingIsKilled(t *testing.T) {
	s := open(t, *layout)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	browsers, leave := s.browse(ctx)
	defer leave()

	work := &load{app: s.app, total: *messages, rate: *rate, enough: func() bool { return s.dealt.Load() >= leastBlows }}
	storm, calm := context.WithCancel(ctx)
	var blows []string
	var failure error
	var nemesis sync.WaitGroup
	nemesis.Go(func() { blows, failure = s.nemesis(storm, *every) })
	must(t, work.run(ctx))
	calm()
	nemesis.Wait()
	must(t, failure)
	t.Logf("all sent; settling")
	settled := time.Now()
	s.settle(browsers)
	t.Logf("settled %s after the last blow", time.Since(settled).Round(time.Second))
	leave()

	l := s.account(work, browsers)
	t.Logf("%d blows, FLUSHALL among them; answers lost: Kannel %d, Baidu %d; POSTs repeated %d\n%s",
		len(blows), s.sms.lost.Load(), s.push.lost.Load(), work.retried.Load(), l)
	if wrong := l.wrong(); wrong != "" {
		t.Errorf("%s\n%s", wrong, s.fleet.Logs())
	}
	out, err := s.audit()
	t.Logf("tidings audit:\n%s", out)
	if err != nil {
		t.Errorf("tidings audit: %v", err)
	}
	if len(blows) < leastBlows {
		t.Errorf("only %d blows", len(blows))
	}
}

// browse opens four pages for each user, one over each transport, and returns when all know where they stand.
func (s *site) browse(ctx context.Context) (browsers []*browser, leave func()) {
	ctx, cancel := context.WithCancel(ctx)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 200, ResponseHeaderTimeout: 20 * time.Second}}
	var wg sync.WaitGroup
	for i := range users {
		user := fmt.Sprintf("u%d", i)
		token, err := s.app.Token(ctx, user)
		must(s.t, err)
		for _, transport := range []string{"poll", "stream", "events", "ws"} {
			b := newBrowser(user, transport, token, s.comet, client)
			browsers = append(browsers, b)
			wg.Go(func() { b.run(ctx) })
		}
	}
	must(s.t, proctest.Until(20*time.Second, func() error {
		for _, b := range browsers {
			if !b.begun() {
				return errors.New(b.id + " does not know where it stands")
			}
		}
		return nil
	}))
	return browsers, func() { cancel(); wg.Wait() }
}

// settle waits until the record says that nothing is left to do and every browser has its user's whole list.
func (s *site) settle(browsers []*browser) {
	ctx := context.Background()
	err := proctest.Until(2*time.Minute, func() error {
		var open int
		err := s.db.QueryRow(ctx, `SELECT (SELECT count(*) FROM segments WHERE finished_at IS NULL)
			+ (SELECT count(*) FROM deliveries WHERE due_at IS NOT NULL OR state IN ('held', 'queued', 'sending'))
			+ (SELECT count(*) FROM acquired WHERE size < 0)`).Scan(&open)
		if err == nil && open > 0 {
			err = fmt.Errorf("%d things are left to do", open)
		}
		return err
	})
	if err != nil {
		s.t.Errorf("%v\n%s", err, s.fleet.Logs())
	}
	heads := map[string]int64{}
	rows, err := s.db.Query(ctx, "SELECT user_id, head FROM inboxes")
	must(s.t, err)
	for rows.Next() {
		var user string
		var head int64
		must(s.t, rows.Scan(&user, &head))
		heads[user] = head
	}
	must(s.t, rows.Err())
	err = proctest.Until(30*time.Second, func() error {
		for _, b := range browsers {
			if b.has() < heads[b.user] {
				return fmt.Errorf("%s has %d of %d", b.id, b.has(), heads[b.user])
			}
		}
		return nil
	})
	if err != nil {
		s.t.Errorf("%v\n%s", err, s.fleet.Logs())
	}
}

// account closes the ledger.
func (s *site) account(work *load, browsers []*browser) *ledger {
	l := &ledger{attempted: int(work.attempted.Load())}
	l.web(work.acked, browsers)
	sms, app := s.outcomes("sms"), s.outcomes("app")
	bySMS, byApp := map[string]int{}, map[string]int{}
	for _, c := range s.kannel.Operator.Counts() {
		bySMS[c.Text] += c.Times
	}
	for _, r := range s.baidu.Records() {
		byApp[r.Message] += len(r.Channels)
	}
	for id, m := range work.acked {
		n, err := tidings.ParseID(id)
		must(s.t, err)
		switch m.typ {
		case "code", "alarm":
			judge(id+" "+m.typ, bySMS[m.text], sms[int64(n)], m.typ == "alarm", &l.smsLost, &l.smsDuplicated, &l.smsUnknown, &l.smsResent)
		case "push":
			judge(id, byApp[id], app[int64(n)], true, &l.appLost, &l.appDuplicated, &l.appUnknown, &l.appResent)
		}
	}
	return l
}
