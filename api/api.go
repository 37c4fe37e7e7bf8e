// Package api is the HTTP door of Tidings under /v1: applications send messages and ask how they fare, pages read their
// user's inbox, merchants' systems their history, providers bring receipts, admins set up who may do what. openapi.yaml
// describes it, and a test compares the two.
package api

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"tidings"
	"tidings/auth"
	"tidings/middleware"
	"tidings/platform"
)

// Store is what the API asks of the system of record, beside what platform.Store asks.
type Store interface {
	Messages
	Broadcasts
	Replays
	Inbox
	Directory
	History
	Receive(ctx context.Context, r tidings.Receipt) error
	// ReportedAttempt tells which integration made an attempt; "" of one that is older than integrations.
	ReportedAttempt(ctx context.Context, attempt tidings.ID) (integration string, err error)
	// AttemptOf finds an integration's attempt by the id that its provider gave it.
	AttemptOf(ctx context.Context, integration, providerID string) (tidings.ID, error)
	Balance(ctx context.Context, settle time.Duration) (tidings.Balance, error)
}

// Config is what an API needs. Ready and OpenAPI may be left out; all else must be set.
type Config struct {
	Store    Store
	Platform *platform.Platform
	Auth     *auth.Authenticator
	Tokens   *auth.Tokens
	Door     *middleware.Door
	// Reports are the integrations whose providers report to us.
	Reports Reports
	// SignProof makes the signature under a broadcast's proof, VerifyProof tells whether it made one.
	SignProof   func(tidings.ProofSeal) string
	VerifyProof func(tidings.ProofSeal) bool
	// Marked tells users' open connections what was marked, and asks how much those who listen have not read; nil: nobody does.
	Marked func(ctx context.Context, marks []tidings.UserMarked, unread func(ctx context.Context, users []string) (map[string]int, error)) error
	// Presence tells who is connected.
	Presence Presence
	// Ready are the checks behind /readyz, by name.
	Ready   map[string]func(context.Context) error
	OpenAPI []byte
	Now     func() time.Time
}

// API answers the routes of Routes.
type API struct {
	Config
	mux *http.ServeMux
}

// New returns an API. It is an http.Handler; its Door is already around it.
func New(c Config) *API {
	a := &API{Config: c, mux: http.NewServeMux()}
	for _, r := range a.routes() {
		a.mux.Handle(r.Method+" "+r.Path, c.Door.Serve(a.guard(r)))
	}
	a.mux.Handle("/", c.Door.Serve(a.noRoute))
	return a
}

// Handler is the API with its Door around it.
func (a *API) Handler() http.Handler { return a.Door.Wrap(a.mux) }

// handler is a route's work for a principal that may use the route.
type handler func(w http.ResponseWriter, r *http.Request, p auth.Principal) error

// Route is one method on one path, and who may use it.
type Route struct {
	Method string
	Path   string
	Access Access
	handle handler
}

// Access says who may use a route. Its zero value lets nobody in.
type Access struct {
	Public bool
	Kinds  []auth.Kind
	Scope  string      // what an application's or merchant's key must have been granted; "": any key of the kind
	Action auth.Action // what a person must be allowed to do (auth.Roles)
}

// Routes lists the routes with who may use them.
func (a *API) Routes() []Route { return a.routes() }

// guard lets a route's handler work only for those whom its Access names.
func (a *API) guard(route Route) middleware.Handler {
	if route.Access.Public {
		return func(w http.ResponseWriter, r *http.Request) error { return route.handle(w, r, auth.Principal{}) }
	}
	return func(w http.ResponseWriter, r *http.Request) error {
		p, err := a.Auth.Authenticate(r)
		if err != nil {
			return err
		}
		if err := route.Access.check(p); err != nil {
			return a.refusedTo(r, p, route.Access.Action, err)
		}
		if err := a.Auth.CheckOrigin(r, p); err != nil {
			return err
		}
		if r.Method != http.MethodGet && route.Access.Action != auth.SendMessages { // accepting is no change of configuration
			r = r.WithContext(tidings.WithActor(r.Context(), p.Actor(via(r))))
		}
		return route.handle(w, r, p)
	}
}

// refusedTo notes in the audit log that a person tried to change what his role may not, and returns err.
func (a *API) refusedTo(r *http.Request, p auth.Principal, act auth.Action, err error) error {
	if p.Kind != auth.Admin || act == "" || r.Method == http.MethodGet {
		return err
	}
	ctx := tidings.WithActor(r.Context(), p.Actor(via(r)))
	if noteErr := a.Platform.Refused(ctx, string(act), r.Method+" "+clip(r.URL.Path), err); noteErr != nil {
		return noteErr
	}
	return err
}

// via is the door that the audit log names.
func via(r *http.Request) string {
	if strings.HasPrefix(r.UserAgent(), "tidings-cli") {
		return "cli"
	}
	return "api"
}

func (c Access) check(p auth.Principal) error {
	switch {
	case !slices.Contains(c.Kinds, p.Kind):
		return tidings.Errorf(tidings.Forbidden, "this is not for the kind of credential you sent (%s)", p.Kind)
	case p.Kind == auth.Admin:
		return auth.May(p, c.Action, "")
	case (p.Kind == auth.Application || p.Kind == auth.Merchant) && c.Scope != "" && !p.Has(c.Scope):
		return tidings.Errorf(tidings.Forbidden, "the key lacks the scope %s", c.Scope)
	}
	return nil
}

// noRoute answers what no route takes: in the API's own form, and 405 where only the method is wrong.
func (a *API) noRoute(w http.ResponseWriter, r *http.Request) error {
	var allowed []string
	for _, method := range []string{"GET", "POST", "PUT", "DELETE"} {
		probe := &http.Request{Method: method, URL: r.URL, Host: r.Host}
		if _, pattern := a.mux.Handler(probe); pattern != "/" {
			allowed = append(allowed, method)
		}
	}
	if len(allowed) == 0 {
		return tidings.Errorf(tidings.NotFound, "there is no such route; see /openapi.yaml")
	}
	for _, method := range allowed {
		w.Header().Add("Allow", method)
	}
	return tidings.Errorf(tidings.MethodNotAllowed, "the route takes %v", allowed)
}

// applicationOf is the application that a request is about: that of an application's key or of a person who belongs to one,
// whatever else it names being as if it did not exist; for all other people the one named in the query, "" if none is.
func applicationOf(p auth.Principal, q *query) (string, error) {
	named := q.text("application")
	if p.Kind == auth.Admin && !p.Bound() {
		return named, nil
	}
	if named != "" && named != p.Application {
		return "", notFound("application")
	}
	return p.Application, nil
}

// ofApplication is applicationOf where there must be one.
func ofApplication(p auth.Principal, q *query) (string, error) {
	application, err := applicationOf(p, q)
	if err == nil && application == "" {
		err = fieldError(tidings.Invalid, "application", "missing", "an admin names the application in the query")
	}
	return application, err
}

func notFound(noun string) error {
	return tidings.Errorf(tidings.NotFound, "there is no such %s", noun)
}

func fieldError(code tidings.Code, field, word, detail string) error {
	return tidings.FieldErrors{{Field: field, Code: word, Detail: detail}}.Err(code)
}
