// Package console serves the pages: asynq's own dashboard for operators and admins, the login that guards it, the routes
// behind 'tidings queue', and the demo page.
package console

import (
	"context"
	"embed"
	"html/template"
	"net/http"
	"time"

	"github.com/hibiken/asynqmon"

	"tidings"
	"tidings/auth"
	"tidings/middleware"
)

//go:embed pages/*.html
var pageFiles embed.FS

//go:embed assets
var assetFiles embed.FS

var pages = template.Must(template.ParseFS(pageFiles, "pages/*.html"))

// Authenticator tells who holds a credential.
type Authenticator interface {
	Authenticate(r *http.Request) (auth.Principal, error)
	Bearer(ctx context.Context, token string) (auth.Principal, error)
}

// Sealer keeps a session in its cookie, where only we can read it.
type Sealer interface {
	Seal(string) string
	Open(string) (string, error)
}

// Options is what the console works with.
type Options struct {
	Door    *middleware.Door
	Auth    Authenticator
	Sealer  Sealer
	Monitor asynqmon.Options // RedisConnOpt alone is needed
	Queues  Queues
	// Describe prints a task's payload: ids only.
	Describe func(kind string, payload []byte) string
	Demo     *Demo // nil: no demo page
	Now      func() time.Time
}

// Console serves the pages.
type Console struct {
	Options
	csp      string // of the dashboard's page
	full     *asynqmon.HTTPHandler
	readOnly *asynqmon.HTTPHandler
	failures failures
}

// New returns a Console. Close it.
func New(o Options) (*Console, error) {
	c := &Console{Options: o, failures: failures{now: o.Now}}
	o.Monitor.RootPath = dashboardRoot
	o.Monitor.PayloadFormatter = asynqmon.PayloadFormatterFunc(o.Describe)
	o.Monitor.ResultFormatter = asynqmon.ResultFormatterFunc(func(string, []byte) string { return "" }) // we write none
	c.full = asynqmon.New(o.Monitor)
	o.Monitor.ReadOnly = true
	c.readOnly = asynqmon.New(o.Monitor)
	var err error
	c.csp, err = dashboardPolicy(c.full)
	return c, err
}

// Close lets go of the dashboard's connections.
func (c *Console) Close() error {
	err := c.full.Close()
	if err2 := c.readOnly.Close(); err == nil {
		err = err2
	}
	return err
}

// Routes puts the console's routes on mux, with the door around each.
func (c *Console) Routes(mux *http.ServeMux) {
	serve := func(pattern string, h middleware.Handler) {
		mux.Handle(pattern, c.Door.Wrap(sameOrigin(c.Door.Serve(h))))
	}
	serve(dashboardRoot, c.dashboard)
	serve(dashboardRoot+"/", c.dashboard)
	serve("POST /login", c.login)
	serve("POST /logout", c.logout)
	serve("GET /v1/queues", c.listQueues)
	serve("POST /v1/queues/{queue}/pause", c.onQueue(c.Queues.Pause))
	serve("POST /v1/queues/{queue}/resume", c.onQueue(c.Queues.Resume))
	serve("POST /v1/queues/{queue}/retry", c.retryQueue)
	serve("GET /assets/{name}", c.asset)
	if c.Demo != nil {
		c.demoRoutes(serve)
	}
}

// sameOrigin refuses what another site's page sends with our cookie. SameSite=Strict already keeps the cookie away; this
// holds where a browser does not know it.
func sameOrigin(h http.Handler) http.Handler { return http.NewCrossOriginProtection().Handler(h) }

// pagePolicy is for pages whose scripts and styles all come from us as files.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'; connect-src 'self'"

// page answers with one of the pages.
func page(w http.ResponseWriter, status int, name, policy string, data any) error {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "same-origin") // with no-referrer a form would be posted from the origin "null"
	w.WriteHeader(status)
	return pages.ExecuteTemplate(w, name, data)
}

var assetTypes = map[string]string{"console.css": "text/css; charset=utf-8", "demo.js": "text/javascript; charset=utf-8"}

// asset answers with a style or script of ours, and with the Comet client that the demo page imports.
func (c *Console) asset(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	kind, known := assetTypes[name]
	body, err := assetFiles.ReadFile("assets/" + name)
	if name == "tidings.js" && c.Demo != nil {
		kind, known, body, err = assetTypes["demo.js"], true, c.Demo.Module, nil
	}
	if !known || err != nil {
		return tidings.Errorf(tidings.NotFound, "no such file")
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-cache")
	_, err = w.Write(body)
	return err
}
