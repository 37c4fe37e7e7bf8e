// Package chaos breaks a whole Tidings while it works and then counts: every message that was acknowledged, against what
// each browser and each provider saw. Lost must be 0; duplicated must be 0 on the web, and elsewhere only what the message
// type's policy allows. See scripts/chaos.
package chaos

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tidings/internal/fleet"
	"tidings/internal/kanneltest"
	"tidings/internal/sim/baidu"
	"tidings/internal/sqltest"
)

const (
	users     = 40
	baiduKey  = "chaos-app"
	baiduSign = "chaos-secret"
)

// site is a Tidings with two workers and two comet nodes, real servers below it and the far sides behind it.
type site struct {
	t      *testing.T
	fleet  *fleet.Fleet
	api    *fleet.Process
	worker []*fleet.Process
	comet  []*fleet.Process
	redis  *conveyor
	kannel *kanneltest.Kannel
	baidu  *baidu.Simulator
	sms    *lossy // between us and Kannel
	push   *lossy // between us and Baidu
	app    *fleet.Client
	db     *pgx.Conn
	dealt  atomic.Int64 // blows
}

// lossy is a proxy that can swallow an answer after the far side has acted on the request: nobody then knows.
type lossy struct {
	*httptest.Server
	armed atomic.Int32
	lost  atomic.Int32
}

func newLossy(t *testing.T, target string) *lossy {
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	l := &lossy{}
	proxy := httputil.NewSingleHostReverseProxy(u) // the Host stays as it was called: Baidu's signature covers it
	proxy.ModifyResponse = func(*http.Response) error {
		if l.armed.Add(-1) >= 0 {
			l.lost.Add(1)
			panic(http.ErrAbortHandler)
		}
		return nil
	}
	l.Server = httptest.NewServer(proxy)
	t.Cleanup(l.Close)
	return l
}

// lose swallows the next n answers.
func (l *lossy) lose(n int32) { l.armed.Store(n) }

func open(t *testing.T, layout string) *site {
	t.Helper()
	s := &site{t: t}
	database := sqltest.Postgres(t)
	conveyor, err := openConveyor(t, layout)
	must(t, err)
	s.redis = conveyor
	s.kannel = kanneltest.Start(t, kanneltest.Options{ReportAfter: 50 * time.Millisecond})
	s.baidu = baidu.New(baidu.Config{Apps: []baidu.App{{Key: baiduKey, Secret: baiduSign, Android: true, AnyDevice: true}}})
	t.Cleanup(s.baidu.Close)
	far := httptest.NewServer(s.baidu)
	t.Cleanup(far.Close)
	s.push = newLossy(t, far.URL)
	sms, err := url.Parse(s.kannel.SendURL)
	must(t, err)
	s.sms = newLossy(t, "http://"+sms.Host)

	dir := t.TempDir()
	binary, err := fleet.Build(dir)
	must(t, err)
	port, err := fleet.Port()
	must(t, err)
	public := fmt.Sprintf("http://127.0.0.1:%d", port)
	s.fleet = fleet.New(dir, binary, database, s.redis.url,
		"TIDINGS_KANNEL_URL="+s.sms.URL+sms.Path, "TIDINGS_KANNEL_USER="+s.kannel.User, "TIDINGS_KANNEL_PASSWORD="+s.kannel.Password,
		"TIDINGS_BAIDU_URL="+s.push.URL, "TIDINGS_BAIDU_KEY="+baiduKey, "TIDINGS_BAIDU_SECRET="+baiduSign, "TIDINGS_BAIDU_DEVICE_TYPE=3",
		"TIDINGS_PUBLIC_URL="+public, "TIDINGS_RECEIPT_WINDOW=18s")
	t.Cleanup(func() { must(t, s.fleet.Stop()) })
	s.api, err = s.fleet.StartAt(port, "api", "api")
	must(t, err)
	for i := range 2 {
		w, err := s.fleet.Start(fmt.Sprintf("worker%d", i), "worker")
		must(t, err)
		c, err := s.fleet.Start(fmt.Sprintf("comet%d", i), "comet")
		must(t, err)
		s.worker, s.comet = append(s.worker, w), append(s.comet, c)
	}
	s.db, err = pgx.Connect(context.Background(), database)
	must(t, err)
	t.Cleanup(func() { must(t, s.db.Close(context.Background())) })
	s.seed()
	return s
}

func (s *site) seed() {
	ctx := context.Background()
	admin := fleet.NewClient(s.api.URL, fleet.AdminToken, 64)
	app, err := admin.Application(ctx, "chaos")
	must(s.t, err)
	s.app = app
	must(s.t, app.Users(ctx, "m", "u", users, true))
	must(s.t, app.Type(ctx, "page", "normal", nil, "web"))
	must(s.t, app.Type(ctx, "push", "critical", nil, "web", "app"))
	must(s.t, app.Type(ctx, "code", "critical", nil, "web", "sms"))
	must(s.t, app.Type(ctx, "alarm", "normal", map[string]string{"sms": "at_least_once"}, "web", "sms"))
}

// audit runs the program's own audit, as an admin would, and returns what it printed.
func (s *site) audit() (string, error) {
	out, err := exec.Command("env", append(s.fleet.Env(), s.fleet.Binary, "audit")...).CombinedOutput()
	return string(out), err
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
