package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"tidings"
	"tidings/api"
	"tidings/auth"
	"tidings/internal/sqltest"
	"tidings/middleware"
	"tidings/platform"
	"tidings/sql"
	"tidings/templates"
)

const (
	master     = "a master secret of at least 32 characters"
	adminToken = "the first admin"
	phone      = "+8613912345678" // must never come back
)

// bundle is an API over a real store, with an application "shop", a merchant and its people.
type bundle struct {
	t       *testing.T
	db      *sql.DB
	handler http.Handler
	api     *api.API
	tokens  *auth.Tokens
	log     *lockedBuffer
	mu      sync.Mutex
	now     time.Time
	marked  []string // what users' pages were told
	present present
	app     string // a key of shop with every scope
	other   string // the same of application "pos"
}

// lockedBuffer is a log that several goroutines write.
type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

// onEach runs the test on every database.
func onEach(t *testing.T, test func(t *testing.T, b *bundle)) {
	t.Helper()
	t.Parallel()
	sqltest.Each(t, func(t *testing.T, db *sql.DB) { test(t, setup(t, db)) })
}

func setup(t *testing.T, db *sql.DB) *bundle {
	t.Helper()
	b := &bundle{t: t, db: db, log: &lockedBuffer{}, tokens: auth.NewTokens([]byte(master)), now: time.Now()}
	clock := func() time.Time { b.mu.Lock(); defer b.mu.Unlock(); return b.now }
	b.tokens.Now = clock
	authenticator := auth.New(db, b.tokens, adminToken, clock)
	b.api = api.New(api.Config{
		Store: db, Auth: authenticator, Tokens: b.tokens, Now: clock, OpenAPI: tidings.OpenAPI,
		Platform: platform.New(platform.Config{Store: db, Check: templates.Check, NewKey: auth.NewKey, Hash: auth.HashPassword, Verify: auth.CheckPassword, Now: clock, Drivers: []tidings.Driver{testDriver},
			Environment: []tidings.Configured{{Integration: tidings.Integration{ID: "env", Channel: tidings.SMS, Provider: "test", State: tidings.IntegrationActive}, Values: map[string]string{"user": "u", "password": "marker-env"}}}}),
		Door: middleware.NewDoor(middleware.Config{
			Logger:  slog.New(slog.NewTextHandler(b.log, nil)),
			Origins: func(ctx context.Context, o string) bool { return authenticator.OriginAllowed(ctx, o, "") },
		}),
		Reports: reporting{},
		Marked: func(ctx context.Context, marks []tidings.UserMarked, unread func(context.Context, []string) (map[string]int, error)) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			for _, m := range marks { // all of them listen
				counts, err := unread(ctx, []string{m.User})
				if err != nil {
					return err
				}
				b.marked = append(b.marked, fmt.Sprintf("%s %s %v %v %d", m.User, m.Mark, m.IDs, m.UpTo, counts[m.User]))
			}
			return nil
		},
		Presence: &b.present,
		Ready:    map[string]func(context.Context) error{"sql": db.Ready},
	})
	b.handler = b.api.Handler()
	b.furnish()
	return b
}

// furnish makes the platform and the directory through the API itself.
func (b *bundle) furnish() {
	b.t.Helper()
	for _, app := range []string{"shop", "pos"} {
		b.ok(201, "POST", "/v1/applications", adminToken, `{"id":"`+app+`","name":"`+app+`","origins":["https://`+app+`.example"]}`)
		var k struct{ Key string }
		decode(b.t, b.ok(201, "POST", "/v1/applications/"+app+"/keys", adminToken,
			`{"name":"test","scopes":["messages:send","messages:read","templates:write","directory:write","tokens:mint"]}`), &k)
		if app == "shop" {
			b.app = k.Key
		} else {
			b.other = k.Key
		}
	}
	for _, key := range []string{b.app, b.other} {
		b.ok(200, "PUT", "/v1/types/order.paid", key, `{"lane":"normal","channels":["web","sms"],"ttl":3600,"variables":[{"name":"order","type":"string","required":true},{"name":"amount","type":"number"}]}`)
	}
	b.ok(200, "PUT", "/v1/merchants/acme", b.app, `{"name":"Acme"}`)
	b.ok(200, "PUT", "/v1/stores/acme-1", b.app, `{"merchant":"acme","name":"Acme One","timezone":"Asia/Shanghai"}`)
	b.ok(200, "PUT", "/v1/users/u1", b.app, `{"name":"Ann","locale":"zh-CN","memberships":[{"store":"acme-1","role":"clerk"}]}`)
	b.ok(204, "PUT", "/v1/users/u1/addresses", b.app, `{"addresses":[{"channel":"sms","value":"`+phone+`"}]}`)
}

// ask sends a request; headers are pairs.
func (b *bundle) ask(method, path, token, body string, headers ...string) *httptest.ResponseRecorder {
	b.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	return w
}

// ok sends a request that must be answered with status, and returns the body.
func (b *bundle) ok(status int, method, path, token, body string, headers ...string) string {
	b.t.Helper()
	w := b.ask(method, path, token, body, headers...)
	if w.Code != status {
		b.t.Fatalf("%s %s %.200s: %d %s, want %d", method, path, body, w.Code, w.Body, status)
	}
	return w.Body.String()
}

// refused sends a request that must be answered with a problem of status, and returns it.
func (b *bundle) refused(status int, method, path, token, body string, headers ...string) middleware.Problem {
	b.t.Helper()
	w := b.ask(method, path, token, body, headers...)
	var p middleware.Problem
	if w.Code != status || w.Header().Get("Content-Type") != "application/problem+json" || json.Unmarshal(w.Body.Bytes(), &p) != nil || p.Status != status || p.RequestID == "" {
		b.t.Errorf("%s %s %.200s: %d %s, want a problem of %d", method, path, body, w.Code, w.Body, status)
	}
	return p
}

func (b *bundle) token(user string, types ...string) string {
	b.t.Helper()
	token, _, err := b.tokens.Mint(auth.Claims{Application: "shop", User: user, Types: types})
	if err != nil {
		b.t.Fatal(err)
	}
	return token
}

func (b *bundle) pass(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

// messages is how many messages shop has.
func (b *bundle) messages() int {
	b.t.Helper()
	var page struct{ Data []tidings.MessageStatus }
	decode(b.t, b.ok(200, "GET", "/v1/messages?limit=200", b.app, ""), &page)
	return len(page.Data)
}

func decode(t testing.TB, body string, v any) {
	t.Helper()
	if err := json.NewDecoder(strings.NewReader(body)).Decode(v); err != nil && err != io.EOF {
		t.Fatalf("%v in %s", err, body)
	}
}

const good = `{"type":"order.paid","audience":{"users":["u1"]},"data":{"order":"2026-1","amount":12.5}}`

// person makes an account with a key, and returns the key.
func (b *bundle) person(id string, role tidings.Role, application string) string {
	b.t.Helper()
	var k struct{ Key string }
	b.ok(201, "POST", "/v1/accounts", adminToken, fmt.Sprintf(`{"id":%q,"role":%q,"application":%q}`, id, role, application))
	decode(b.t, b.ok(201, "POST", "/v1/keys", adminToken, fmt.Sprintf(`{"kind":"admin","account":%q}`, id)), &k)
	return k.Key
}
