// Package console serves the pages: the platform for applications' teams and admins, the message centre of a merchant's users,
// asynq's own dashboard for operators and admins, the routes behind 'tidings queue', and the demo page.
package console

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hibiken/asynqmon"

	"tidings"
	"tidings/auth"
	"tidings/middleware"
)

// Options is what the console works with.
type Options struct {
	Door     *middleware.Door
	Auth     Authenticator
	Platform Platform
	Record   Record
	// Send accepts a message of an application, and Preview tells what would become of it. body is that of POST /v1/messages.
	Send    func(ctx context.Context, application string, body []byte) (tidings.ID, error)
	Preview func(ctx context.Context, application string, body []byte) (tidings.Preview, error)
	// Broadcast accepts a broadcast of an application, once for each key. body is that of POST /v1/broadcasts.
	Broadcast func(ctx context.Context, p auth.Principal, application, key string, body []byte) (tidings.ID, error)
	// Proof answers with the proof of a broadcast in a format, csv or jsonl.
	Proof func(ctx context.Context, w http.ResponseWriter, application string, id tidings.ID, format string) error
	// Health tells how the stores, comet and the providers stand. It returns by ctx's deadline.
	Health  func(ctx context.Context) []Check
	Monitor asynqmon.Options // RedisConnOpt alone is needed
	Queues  Queues
	// Describe prints a task's payload: ids only.
	Describe func(kind string, payload []byte) string
	Modules  map[string][]byte // of the Comet client: tidings.js and tidings-bell.js
	CometURL string            // where browsers reach comet; "": where the page comes from
	Demo     *Demo             // nil: no demo page
	Now      func() time.Time
	// Link opens the token of an unsubscribe link; ok is false when it is none of ours.
	Link func(token string) (s tidings.Subscription, ok bool)
}

// Console serves the pages.
type Console struct {
	Options
	csp      string // of the dashboard's page
	full     *asynqmon.HTTPHandler
	readOnly *asynqmon.HTTPHandler
	clicks   clicks
}

// New returns a Console. Close it.
func New(o Options) (*Console, error) {
	c := &Console{Options: o}
	sets() // a page that does not parse ends the process now and not at its first reader
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

// routes is every page for people: one that is not here does not exist, and one without roles lets nobody in.
func (c *Console) routes() []route {
	return slices.Concat([]route{
		{"GET", root, auth.OwnAccount, (*visit).getHome},
		{"GET", root + "/review", auth.ReviewTemplates, (*visit).getReview},
		{"GET", root + "/send", auth.SendMessages, (*visit).getSend},
		{"POST", root + "/send", auth.SendMessages, (*visit).postSend},
		{"GET", root + "/audit", auth.ReadAudit, (*visit).getAudit},
		{"GET", root + "/health", auth.ReadInstallation, (*visit).getHealth},
	}, c.applicationRoutes(), c.typeRoutes(), c.templateRoutes(), c.messageRoutes(), c.broadcastRoutes(), c.replayRoutes(), c.limitRoutes(), c.integrationRoutes(), c.endpointRoutes(), c.directoryRoutes(), c.accountRoutes())
}

// Page is a route for people as others see it.
type Page struct {
	Method, Path string
	Act          auth.Action
}

// door is a route of the conveyor: the dashboard, and what 'tidings queue' asks. No method: all of them.
type door struct {
	Page
	handle middleware.Handler
}

// doors lists the routes of the conveyor. Each asks for itself what its caller may.
func (c *Console) doors() []door {
	look, run := auth.ReadInstallation, auth.RunInstallation
	return []door{
		{Page{"", dashboardRoot, look}, c.dashboard},
		{Page{"", dashboardRoot + "/", look}, c.dashboard},
		{Page{"GET", "/v1/queues", look}, c.listQueues},
		{Page{"POST", "/v1/queues/{queue}/pause", run}, c.onQueue(Queues.Pause)},
		{Page{"POST", "/v1/queues/{queue}/resume", run}, c.onQueue(Queues.Resume)},
		{Page{"POST", "/v1/queues/{queue}/retry", run}, c.retryQueue},
	}
}

// Doors lists the routes of the conveyor, with what they let people do.
func (c *Console) Doors() (pages []Page) {
	for _, d := range c.doors() {
		pages = append(pages, d.Page)
	}
	return pages
}

// Pages lists the routes for people, with what they let them do.
func (c *Console) Pages() []Page {
	var pages []Page
	for _, r := range c.routes() {
		pages = append(pages, Page{r.method, r.path, r.act})
	}
	return pages
}

// Routes puts the console's routes on mux, with the door around each.
func (c *Console) Routes(mux *http.ServeMux) {
	serve := func(pattern string, h middleware.Handler) { mux.Handle(pattern, c.open(h)) }
	for _, r := range c.routes() {
		serve(r.method+" "+r.path, c.guard(r))
	}
	serve("GET "+root+"/{rest...}", c.guard(route{"GET", root, auth.OwnAccount, func(*visit) error {
		return tidings.Errorf(tidings.NotFound, "there is no such page")
	}}))
	serve("GET "+root+"/sign-in", c.getSignIn)
	serve("POST "+root+"/sign-in", c.postSignIn)
	serve("POST "+root+"/sign-out", c.postSignOut)
	serve("POST "+root+"/language", c.postLanguage)
	serve("GET /inbox", c.getInbox)
	serve("GET /inbox/preferences", c.getPreferences)
	serve("GET /u/{token}", c.getUnsubscribe)
	// The link itself is the credential, and no cookie: a mail server posts from anywhere (RFC 8058).
	mux.Handle("POST /u/{token}", c.Door.Wrap(c.Door.Serve(c.postUnsubscribe)))
	for _, d := range c.doors() {
		serve(strings.TrimSpace(d.Method+" "+d.Path), d.handle)
	}
	serve("GET /assets/{name}", c.asset)
	if c.Demo != nil {
		c.demoRoutes(serve)
	} else {
		serve("GET /{$}", func(w http.ResponseWriter, r *http.Request) error {
			http.Redirect(w, r, root, http.StatusSeeOther)
			return nil
		})
	}
}

// assetTypes are the files of assets that browsers may ask for.
var assetTypes = map[string]string{
	"console.css": "text/css; charset=utf-8", "console.js": script, "htmx.min.js": script, "demo.js": script, "inbox.js": script, "preferences.js": script,
	"messages.js": script, "tidings.js": script, "tidings-bell.js": script,
}

const script = "text/javascript; charset=utf-8"

// asset answers with a style or script of ours, and with the Comet client that the pages import.
func (c *Console) asset(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	kind, known := assetTypes[name]
	body, err := c.Modules[name], error(nil)
	if body == nil {
		body, err = assetFiles.ReadFile("assets/" + name)
	}
	if !known || err != nil {
		return tidings.Errorf(tidings.NotFound, "no such file")
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-cache")
	_, err = w.Write(body)
	return err
}
