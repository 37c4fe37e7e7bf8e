package kills

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tidings/internal/fleet"
	"tidings/internal/proctest"
	"tidings/internal/redistest"
	"tidings/internal/sqltest"
)

var (
	count = flag.Int("kills", 2, "kills of each provider")
	seed  = flag.Uint64("kills.seed", 1, "of the order of early and late kills and of the types")
	table = flag.String("kills.table", "", "file to write the table to")
)

// site is a Tidings with one worker, which is killed, and the far sides of all drivers behind it. The API lives: it hears the reports.
type site struct {
	t      *testing.T
	fleet  *fleet.Fleet
	api    *fleet.Process
	worker *fleet.Process
	admin  *fleet.Client
	apps   map[string]*fleet.Client // by provider: each has an application of its own, which its integration alone serves
	fars   []far
	db     *pgx.Conn
	g      *guillotine
}

func open(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, g: &guillotine{}, apps: map[string]*fleet.Client{}}
	database, redis := sqltest.Postgres(t), redistest.Start(t)
	s.fars = fars(t, s.g)
	dir := t.TempDir()
	binary, err := fleet.Build(dir)
	must(t, err)
	port, err := fleet.Port()
	must(t, err)
	s.fleet = fleet.New(dir, binary, database, redis.URL, fmt.Sprintf("TIDINGS_PUBLIC_URL=http://127.0.0.1:%d", port), "TIDINGS_RECEIPT_WINDOW=18s",
		"SSL_CERT_FILE="+s.g.authority)
	t.Cleanup(func() { must(t, s.fleet.Stop()) })
	s.api, err = s.fleet.StartAt(port, "api", "api")
	must(t, err)
	s.admin = fleet.NewClient(s.api.URL, fleet.AdminToken, 64)
	for _, f := range s.fars {
		s.setUp(f)
	}
	s.worker, err = s.fleet.Start("worker", "worker")
	must(t, err)
	s.db, err = pgx.Connect(context.Background(), database)
	must(t, err)
	t.Cleanup(func() { must(t, s.db.Close(context.Background())) })
	return s
}

// setUp makes a provider's application, integration and two types: once is sent at most once, again at least once.
func (s *site) setUp(f far) {
	ctx := context.Background()
	app, err := s.admin.Application(ctx, f.provider)
	must(s.t, err)
	s.apps[f.provider] = app
	do := func(c *fleet.Client, method, path string, body, into any) {
		s.t.Helper()
		_, err := c.Do(ctx, method, path, body, into)
		must(s.t, err)
	}
	do(s.admin, "PUT", "/v1/integrations/"+f.provider, map[string]any{"provider": f.provider, "application": f.provider, "settings": f.settings}, nil)
	for typ, policy := range map[string]string{"once": "at_most_once", "again": "at_least_once"} {
		do(app, "PUT", "/v1/types/"+typ, map[string]any{"lane": "critical", "channels": []string{f.channel}, "on_unknown": map[string]string{f.channel: policy},
			"variables": []map[string]any{{"name": "text", "type": "string", "required": true}}}, nil)
		template := map[string]any{"type": typ, "channel": f.channel, "locale": "zh-CN", "body": "{{ text }}"}
		if f.code != "" {
			template["provider_code"], template["signature"] = f.code, f.signature
		}
		if f.channel != "sms" {
			template["title"] = "消息"
		}
		var made struct{ Version int }
		do(app, "POST", "/v1/templates", template, &made)
		do(s.admin, "POST", "/v1/templates/publish?application="+f.provider, map[string]any{"type": typ, "channel": f.channel, "locale": "zh-CN", "version": made.Version, "unreviewed": true}, nil)
	}
}

// users writes the users of a round, one of each provider, and returns their names.
func (s *site) users(n int) map[string]string {
	var lines bytes.Buffer
	write := func(v any) { must(s.t, json.NewEncoder(&lines).Encode(v)) }
	write(map[string]any{"merchant": map[string]any{"id": "m", "name": "M"}})
	users := map[string]string{}
	for i, f := range s.fars {
		u := fmt.Sprintf("%s-%d", f.provider, n)
		users[f.provider] = u
		a := map[string]any{"channel": f.channel, "value": f.address}
		if f.bound {
			a["provider"] = f.provider
		}
		if f.channel == "sms" {
			a["value"] = fmt.Sprintf("+86138%04d%04d", i, n)
		}
		if f.channel == "app" {
			a["platform"] = map[string]string{"apns": "ios", "webpush": "", "baidu": "android", "fcm": "android", "jpush": "android", "huawei": "android"}[f.provider]
		}
		write(map[string]any{"user": map[string]any{"id": u, "name": "U", "locale": "zh-CN", "memberships": []map[string]any{{"merchant": "m", "role": "owner"}}}})
		write(map[string]any{"addresses": map[string]any{"user": u, "addresses": []any{a}}})
	}
	var report struct {
		Refused  int
		Problems []json.RawMessage
	}
	_, err := s.apps["fcm"].Do(context.Background(), "POST", "/v1/directory/import", lines.Bytes(), &report, "Content-Type", "application/x-ndjson")
	must(s.t, err)
	if report.Refused > 0 {
		s.t.Fatalf("lines are refused: %s", report.Problems)
	}
	return users
}

// killed is a delivery whose worker was killed while it waited for the provider's answer or had it unwritten.
type killed struct {
	provider, message, text string
	again                   bool // its type is sent at least once
}

// kill sends a message over each provider, kills the worker when all have accepted theirs, and returns those whose record did not know.
func (s *site) kill(n int, early bool, random *rand.Rand) (found []killed) {
	users, texts := s.users(n), map[string]string{}
	for _, f := range s.fars {
		texts[f.provider] = fmt.Sprintf("Message %d over %s.", n, f.provider)
	}
	r := s.g.begin(texts, early)
	all := map[string]killed{}
	for _, f := range s.fars {
		k := killed{provider: f.provider, text: texts[f.provider], again: random.IntN(2) == 0}
		typ := map[bool]string{true: "again", false: "once"}[k.again]
		var answer struct{ ID string }
		_, err := s.apps[f.provider].Do(context.Background(), "POST", "/v1/messages", map[string]any{"type": typ,
			"audience": map[string]any{"users": []string{users[f.provider]}}, "data": map[string]any{"text": k.text}}, &answer)
		must(s.t, err)
		k.message = answer.ID
		all[answer.ID] = k
	}
	if err := s.g.fall(r, s.worker.Kill); err != nil {
		s.t.Fatalf("%v\n%s", err, s.fleet.Logs())
	}
	for message := range s.open() {
		if k, ok := all[message]; ok {
			found = append(found, k)
		}
	}
	must(s.t, s.worker.Restart())
	return found
}

func TestAWorkerThatDiesBetweenTheProvidersYesAndOurRecordSendsNothingBlindly(t *testing.T) {
	s := open(t)
	random := rand.New(rand.NewPCG(*seed, 0))
	var all []killed
	kills := map[string]int{}
	fewest := func() int {
		n := *count
		for _, f := range s.fars {
			n = min(n, kills[f.provider])
		}
		return n
	}
	rounds, early := 0, 0
	for ; fewest() < *count; rounds++ {
		if rounds > 3**count+5 {
			t.Fatalf("after %d kills: %v", rounds, kills)
		}
		first := rounds == 0 || rounds > 1 && random.IntN(3) > 0
		if first {
			early++
		}
		for _, k := range s.kill(rounds, first, random) {
			kills[k.provider]++
			all = append(all, k)
		}
	}
	s.settle()
	l := s.account(all)
	text := fmt.Sprintf("The worker was killed %d times, %d of them before the answers were said, the others right after; seed %d.\n\n%s", rounds, early, *seed, l)
	t.Log("\n" + text)
	if len(l.wrong) > 0 {
		t.Errorf("%q\n%s", l.wrong[:min(len(l.wrong), 20)], s.fleet.Logs())
	}
	if out, err := exec.Command("env", append(s.fleet.Env(), s.fleet.Binary, "audit")...).CombinedOutput(); err != nil {
		t.Errorf("tidings audit: %v\n%s", err, out)
	}
	if *table != "" && !t.Failed() {
		must(t, os.WriteFile(*table, []byte(text), 0o644))
	}
}

// settle waits until nothing is left to do and what can be settled is.
func (s *site) settle() {
	err := proctest.Until(3*time.Minute, func() error {
		var open int
		err := s.db.QueryRow(context.Background(), `SELECT (SELECT count(*) FROM segments WHERE finished_at IS NULL)
			+ (SELECT count(*) FROM deliveries WHERE due_at IS NOT NULL OR state IN ('held', 'queued', 'sending'))
			+ (SELECT count(*) FROM deliveries d WHERE state = 'unknown' AND application = ANY($1))`, []string{"aliyun", "tencent", "twilio", "kannel", "httpsms"}).Scan(&open)
		if err == nil && open > 0 {
			err = fmt.Errorf("%d things are left to do", open)
		}
		return err
	})
	if err != nil {
		s.t.Errorf("%v\n%s", err, s.fleet.Logs())
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
