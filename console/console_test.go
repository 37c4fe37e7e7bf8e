package console_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/hibiken/asynqmon"

	"tidings"
	"tidings/auth"
	"tidings/console"
	"tidings/internal/sqltest"
	"tidings/middleware"
	"tidings/platform"
	"tidings/sql"
	"tidings/templates"
)

const (
	adminToken = "the first admin's token"
	password   = "a password of enough length"
)

// site is a console over a real store, with an account of each role (named like the role, dev being shop's and dev2 of no
// application), and the applications shop and pos.
type site struct {
	t       *testing.T
	db      *sql.DB
	handler http.Handler
	console *console.Console
	mu      sync.Mutex
	sent    []string
	tokens  map[string]string
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, db: sqltest.Open(t, sqltest.SQLite(t)), tokens: map[string]string{}}
	a := auth.New(s.db, auth.NewTokens([]byte("a master secret of at least 32 characters")), adminToken, time.Now)
	p := platform.New(platform.Config{Store: s.db, Check: templates.Check, NewKey: auth.NewKey, Hash: hashed, Verify: auth.CheckPassword, Now: time.Now,
		Drivers:     []tidings.Driver{{Provider: "test", Channel: tidings.SMS, Fields: []tidings.Field{{Name: "user", Required: true}, {Name: "password", Secret: true}}, Open: func(tidings.Setup) (tidings.Sender, error) { return nil, nil }}},
		Environment: []tidings.Configured{{Integration: tidings.Integration{ID: "env", Channel: tidings.SMS, Provider: "test", State: tidings.IntegrationActive}, Values: map[string]string{"user": "plain", "password": "marker-env"}}}})
	c, err := console.New(console.Options{
		Door: middleware.NewDoor(middleware.Config{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}),
		Auth: a, Platform: p, Record: s.db, Queues: noQueues{}, Now: time.Now, Modules: map[string][]byte{"tidings.js": []byte("export class Tidings {}"), "tidings-bell.js": []byte("// a bell")},
		Send: func(_ context.Context, application string, body []byte) (tidings.ID, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.sent = append(s.sent, application+" "+string(body))
			return 1, nil
		},
		Broadcast: func(_ context.Context, _ auth.Principal, application, key string, body []byte) (tidings.ID, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.sent = append(s.sent, application+" "+key+" "+string(body))
			return 1, nil
		},
		Preview: func(context.Context, string, []byte) (tidings.Preview, error) { return tidings.Preview{}, nil },
		Health:  func(context.Context) []console.Check { return []console.Check{{Name: "database", State: "ok"}} },
		Monitor: asynqmon.Options{RedisConnOpt: asynq.RedisClientOpt{Addr: "127.0.0.1:1"}}, Describe: func(string, []byte) string { return "" },
		Link: auth.NewLinks([]byte("a master secret of at least 32 characters")).Open,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	mux := http.NewServeMux()
	c.Routes(mux)
	s.handler, s.console = mux, c
	s.furnish(p)
	return s
}

// hashed is the hash of a password. That of all accounts is hashed once: it is meant to take long.
func hashed(of string) string {
	if of == password {
		return hash()
	}
	return auth.HashPassword(of)
}

var hash = sync.OnceValue(func() string { return auth.HashPassword(password) })

type noQueues struct{}

func (noQueues) List() ([]console.Queue, error) { return nil, errors.New("there is no Redis") }
func (noQueues) Pause(string) error             { return nil }
func (noQueues) Resume(string) error            { return nil }
func (noQueues) Retry(string) (int, error)      { return 0, nil }

func (s *site) furnish(p *platform.Platform) {
	s.t.Helper()
	ctx := tidings.WithActor(s.t.Context(), tidings.Actor{Account: tidings.RootAccount, Via: "api"})
	must := func(err error) {
		s.t.Helper()
		if err != nil {
			s.t.Fatal(err)
		}
	}
	for _, id := range []string{"shop", "pos"} {
		_, err := p.CreateApplication(ctx, tidings.Application{ID: id, Name: "The " + id, Channels: []tidings.Channel{tidings.Web, tidings.SMS}})
		must(err)
		_, err = p.PutType(ctx, tidings.MessageType{Application: id, Name: "order.paid", Lane: tidings.Normal, Channels: []tidings.Channel{tidings.Web, tidings.SMS},
			Variables: []tidings.Variable{{Name: "order", Type: tidings.VariableString, Required: true, Example: []byte(`"A-1"`)}}})
		must(err)
		_, err = p.CreateTemplate(ctx, tidings.Template{Application: id, Type: "order.paid", Channel: tidings.Web, Locale: "zh-CN", Title: "{{ order }}", Body: "paid"})
		must(err)
	}
	people := []tidings.Account{{ID: "admin", Role: tidings.RoleAdmin}, {ID: "operator", Role: tidings.RoleOperator}, {ID: "approver", Role: tidings.RoleApprover},
		{ID: "viewer", Role: tidings.RoleViewer}, {ID: "viewer-shop", Role: tidings.RoleViewer, Application: "shop"},
		{ID: "dev", Role: tidings.RoleDeveloper, Application: "shop"}, {ID: "dev2", Role: tidings.RoleDeveloper}}
	for _, a := range people {
		a.Name, a.Locale, a.State = a.ID, "en", tidings.AccountActive
		_, err := p.CreateAccount(ctx, a, password)
		must(err)
	}
	must(s.db.PutMerchants(ctx, []tidings.Merchant{{ID: "acme", Name: "Acme"}}))
	must(s.db.PutStores(ctx, []tidings.Store{{ID: "acme-1", Merchant: "acme", Name: "Acme One"}}))
	must(s.db.PutUsers(ctx, []tidings.User{{ID: "u1", Name: "Ann", Memberships: []tidings.Membership{{Store: "acme-1", Role: "clerk"}}}}))
}

// as signs an account in, once, and returns the cookie.
func (s *site) as(account string) string {
	s.t.Helper()
	if account == "" || s.tokens[account] != "" {
		return s.tokens[account]
	}
	secret := password
	if account == tidings.RootAccount {
		secret = adminToken
	}
	w := s.do("POST", "/console/sign-in", "", url.Values{"account": {account}, "password": {secret}}, nil)
	for _, c := range w.Result().Cookies() {
		if c.Name == "tidings_session" {
			if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode {
				s.t.Errorf("the session's cookie is %v", c)
			}
			s.tokens[account] = c.Value
		}
	}
	if w.Code != http.StatusSeeOther || s.tokens[account] == "" {
		s.t.Fatalf("%s cannot sign in: %d", account, w.Code)
	}
	return s.tokens[account]
}

// do makes one request; token is a session's, and a form makes it one that a page of ours posts.
func (s *site) do(method, path, token string, form url.Values, header map[string]string) *httptest.ResponseRecorder {
	s.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
	r.Header.Set("Accept", "text/html")
	r.Header.Set("Accept-Language", "en")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "http://"+r.Host)
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	if token != "" {
		r.AddCookie(&http.Cookie{Name: "tidings_session", Value: token})
	}
	for k, v := range header {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w
}

func (s *site) get(account, path string) *httptest.ResponseRecorder {
	s.t.Helper()
	return s.do("GET", path, s.as(account), nil, nil)
}

func (s *site) post(account, path string, form url.Values) *httptest.ResponseRecorder {
	s.t.Helper()
	return s.do("POST", path, s.as(account), form, nil)
}

// filled puts something of ours where a path has room for it.
var filled = strings.NewReplacer("{app}", "shop", "{type}", "order.paid", "{channel}", "web", "{locale}", "zh-CN", "{version}", "1", "{key}", "none", "{endpoint}", "00000000000a0",
	"directory/merchants/{id}", "directory/merchants/acme", "directory/stores/{id}", "directory/stores/acme-1", "directory/users/{id}", "directory/users/u1",
	"accounts/{id}", "accounts/viewer", "integrations/{id}", "integrations/env", "messages/{id}", "messages/1", "broadcasts/{id}", "broadcasts/1", "replays/{id}", "replays/1")

func TestEveryRouteLetsInThoseWhoMayAndNobodyElse(t *testing.T) {
	s := newSite(t)
	people := map[string]auth.Principal{
		"admin": {Kind: auth.Admin, Role: tidings.RoleAdmin}, "operator": {Kind: auth.Admin, Role: tidings.RoleOperator}, "approver": {Kind: auth.Admin, Role: tidings.RoleApprover},
		"viewer": {Kind: auth.Admin, Role: tidings.RoleViewer}, "viewer-shop": {Kind: auth.Admin, Role: tidings.RoleViewer, Application: "shop"},
		"dev": {Kind: auth.Admin, Role: tidings.RoleDeveloper, Application: "shop"},
	}
	for _, r := range s.console.Pages() {
		path := filled.Replace(r.Path)
		if strings.Contains(path, "{") {
			t.Errorf("the test has nothing to put into %s", r.Path)
			continue
		}
		if w := s.do(r.Method, path, "", nil, nil); w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), `name="password"`) {
			t.Errorf("%s %s answers %d to nobody", r.Method, path, w.Code)
		}
		for name, p := range people {
			if r.Method == "POST" && auth.May(p, r.Act, "shop") == nil {
				continue // it would change what the next one finds; the tests of each page do that
			}
			w := s.do(r.Method, path, s.as(name), nil, nil)
			may := auth.May(p, r.Act, "shop") == nil
			if refused := w.Code == http.StatusForbidden; refused == may || w.Code >= 500 {
				t.Errorf("%s %s answers %d to %s, who may: %v", r.Method, path, w.Code, name, may)
			}
			if !strings.Contains(w.Header().Get("Content-Security-Policy"), "script-src 'self';") && w.Code != http.StatusSeeOther {
				t.Errorf("%s %s has the policy %q", r.Method, path, w.Header().Get("Content-Security-Policy"))
			}
		}
	}
}

func TestAnotherApplicationDoesNotExistForWhoBelongsToOne(t *testing.T) {
	s := newSite(t)
	for _, r := range s.console.Pages() {
		if !strings.Contains(r.Path, "{app}") {
			continue
		}
		path := strings.Replace(filled.Replace(r.Path), "/shop", "/pos", 1)
		for _, name := range []string{"dev", "viewer-shop"} {
			if w := s.do(r.Method, path, s.as(name), nil, nil); w.Code != http.StatusNotFound && w.Code != http.StatusForbidden || strings.Contains(w.Body.String(), "The pos") {
				t.Errorf("%s %s answers %d to %s", r.Method, path, w.Code, name)
			}
		}
	}
	if w := s.get("dev", "/console/messages?application=pos"); w.Code != http.StatusNotFound {
		t.Errorf("the messages of pos answer %d to dev", w.Code)
	}
	if body := s.get("dev", "/console/applications").Body.String(); strings.Contains(body, "The pos") || !strings.Contains(body, "The shop") {
		t.Error("dev's applications are not shop alone")
	}
	if w := s.post("dev", "/console/send", url.Values{"application": {"pos"}, "type": {"order.paid"}, "users": {"u1"}, "data": {`{"order":"x"}`}}); w.Code != http.StatusNotFound || len(s.sent) > 0 {
		t.Errorf("dev sends for pos: %d %v", w.Code, s.sent)
	}
}

func TestAFormOfAnotherSiteIsRefused(t *testing.T) {
	s := newSite(t)
	for _, r := range s.console.Pages() {
		if r.Method != "POST" {
			continue
		}
		path := filled.Replace(r.Path)
		for _, header := range []map[string]string{{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, {"Origin": "null", "Sec-Fetch-Site": "cross-site"}} {
			if w := s.do("POST", path, s.as("admin"), url.Values{}, header); w.Code != http.StatusForbidden {
				t.Errorf("POST %s from %s answers %d", path, header["Origin"], w.Code)
			}
		}
	}
	if w := s.do("POST", "/console/sign-in", "", url.Values{"account": {"admin"}, "password": {password}}, map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}); w.Code != http.StatusForbidden {
		t.Errorf("another site signs in: %d", w.Code)
	}
}

func TestAWrongPasswordIsToldAndTooManyMustWait(t *testing.T) {
	s := newSite(t)
	wrong := url.Values{"account": {"admin"}, "password": {"not it"}, "next": {"/console/audit"}}
	w := s.do("POST", "/console/sign-in", "", wrong, nil)
	if w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), `id="wrong"`) || !strings.Contains(w.Body.String(), `value="/console/audit"`) {
		t.Fatalf("a wrong password answers %d: %s", w.Code, w.Body)
	}
	for range 30 {
		if w = s.do("POST", "/console/sign-in", "", wrong, nil); w.Code == http.StatusTooManyRequests {
			break
		}
	}
	if w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
		t.Errorf("after many wrong passwords: %d %v", w.Code, w.Header())
	}
}

func TestSignInLeadsOnlyToOurOwnPages(t *testing.T) {
	s := newSite(t)
	for next, want := range map[string]string{"/console/audit?actor=x": "/console/audit?actor=x", "https://evil.example/": "/console", "//evil.example": "/console",
		"/console\\evil": "/console", "/consoleevil": "/console", "": "/console", "/queues/x": "/queues/x"} {
		w := s.do("POST", "/console/sign-in", "", url.Values{"account": {"root"}, "password": {adminToken}, "next": {next}}, nil)
		if got := w.Header().Get("Location"); got != want {
			t.Errorf("next %q leads to %q", next, got)
		}
	}
}

func TestSignOutEndsTheSession(t *testing.T) {
	s := newSite(t)
	token := s.as("admin")
	if w := s.post("admin", "/console/sign-out", nil); w.Code != http.StatusSeeOther {
		t.Fatalf("sign-out answers %d", w.Code)
	}
	if w := s.do("GET", "/console", token, nil, nil); w.Code != http.StatusUnauthorized || !strings.Contains(w.Body.String(), "Your session has ended") {
		t.Errorf("the session goes on: %d", w.Code)
	}
}

func TestTheConveyorsRoutesAreDescribed(t *testing.T) {
	for _, d := range (&console.Console{}).Doors() {
		if strings.HasPrefix(d.Path, "/v1/") && !strings.Contains(string(tidings.OpenAPI), "\n  \""+d.Path+"\":\n    "+strings.ToLower(d.Method)+":\n") {
			t.Errorf("%s %s is not described", d.Method, d.Path)
		}
	}
}
