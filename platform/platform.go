// Package platform holds the use-cases of configuration: which applications there are, what they may send, with which
// templates, by which keys. The API and the console call the same ones.
package platform

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"time"

	"tidings"
)

// Store keeps the configuration. Its errors of the caller's making are *tidings.Error.
type Store interface {
	CreateApplication(ctx context.Context, a tidings.Application) error
	Application(ctx context.Context, id string) (tidings.Application, error)
	Applications(ctx context.Context) ([]tidings.Application, error)
	SetApplicationState(ctx context.Context, id string, s tidings.ApplicationState) error

	CreateKey(ctx context.Context, k tidings.Key) error
	Keys(ctx context.Context, application string) ([]tidings.Key, error)
	RevokeKey(ctx context.Context, application, id string) error

	PutType(ctx context.Context, t tidings.MessageType) error
	Type(ctx context.Context, application, name string) (tidings.MessageType, error)
	Types(ctx context.Context, application string) ([]tidings.MessageType, error)

	CreateTemplate(ctx context.Context, t tidings.Template) (tidings.Template, error)
	PublishTemplate(ctx context.Context, application, typ string, c tidings.Channel, locale string, version int) (tidings.Template, error)
	Templates(ctx context.Context, application, typ string) ([]tidings.Template, error)

	Merchant(ctx context.Context, id string) (tidings.Merchant, error)
	Store(ctx context.Context, id string) (tidings.Store, error)

	Limits
	Previews
	PublishedTemplates(ctx context.Context, application, typ string) ([]tidings.Template, error)
}

// Platform is the configuration of who may send what.
type Platform struct {
	store      Store
	types      types
	admissions admissions
	// Check tells what is wrong with a template's sources.
	check func(title, body, url string) tidings.FieldErrors
	// newKey makes a key and the whole of it as its holder sends it.
	newKey func(tidings.KeyKind) (tidings.Key, string)
	now    func() time.Time
}

// Config is what a Platform needs. All of it must be set.
type Config struct {
	Store  Store
	Check  func(title, body, url string) tidings.FieldErrors   // templates.Check
	NewKey func(tidings.KeyKind) (k tidings.Key, shown string) // auth.NewKey
	Now    func() time.Time
}

// New returns a Platform.
func New(c Config) *Platform {
	return &Platform{store: c.Store, check: c.Check, newKey: c.NewKey, now: c.Now}
}

// maxOrigins and maxScopes bound lists that are compared on every request.
const (
	maxOrigins = 50
	maxText    = 200
)

// CreateApplication admits an application. It may send at once: an admin asked for it.
func (p *Platform) CreateApplication(ctx context.Context, a tidings.Application) (tidings.Application, error) {
	var errs tidings.FieldErrors
	if !tidings.ValidName(a.ID) {
		errs.Add("id", "malformed", "1 to 64 letters, digits and ._:@-")
	}
	if a.Name == "" || len(a.Name) > maxText {
		errs.Add("name", "malformed", "1 to 200 bytes")
	}
	if len(a.Owner) > maxText {
		errs.Add("owner", "too_long", "at most 200 bytes")
	}
	if len(a.Origins) > maxOrigins {
		errs.Add("origins", "too_many", "at most 50")
	}
	for i, o := range a.Origins {
		if !validOrigin(o) {
			errs.Add("origins["+strconv.Itoa(i)+"]", "malformed", "an origin such as https://shop.example, without a path")
		}
	}
	if a.State != "" {
		errs.Add("state", "read_only", "suspend and resume have routes of their own")
	}
	if err := errs.Err(tidings.Invalid); err != nil {
		return tidings.Application{}, err
	}
	a.State = tidings.ApplicationActive
	return a, p.store.CreateApplication(ctx, a)
}

// validOrigin tells whether o is an origin exactly as browsers write it.
func validOrigin(o string) bool {
	u, err := url.Parse(o)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && o == u.Scheme+"://"+u.Host
}

// Application returns one application.
func (p *Platform) Application(ctx context.Context, id string) (tidings.Application, error) {
	return p.store.Application(ctx, id)
}

// Applications lists all applications.
func (p *Platform) Applications(ctx context.Context) ([]tidings.Application, error) {
	return p.store.Applications(ctx)
}

// SetState suspends an application or lets it send again. Running processes act on it within 5 s.
func (p *Platform) SetState(ctx context.Context, id string, s tidings.ApplicationState) (tidings.Application, error) {
	if err := p.store.SetApplicationState(ctx, id, s); err != nil {
		return tidings.Application{}, err
	}
	return p.store.Application(ctx, id)
}

// PutType makes or replaces a message type of an application.
func (p *Platform) PutType(ctx context.Context, t tidings.MessageType) (tidings.MessageType, error) {
	errs := t.Validate()
	if len(t.Variables) > 100 {
		errs.Add("variables", "too_many", "at most 100")
	}
	if len(t.Channels) != len(compact(t.Channels)) {
		errs.Add("channels", "repeated", "a channel stands twice")
	}
	if err := errs.Err(tidings.Invalid); err != nil {
		return tidings.MessageType{}, err
	}
	if err := p.store.PutType(ctx, t); err != nil {
		return tidings.MessageType{}, err
	}
	p.types.forget(t.Application, t.Name)
	return t, nil
}

func compact(cs []tidings.Channel) []tidings.Channel {
	sorted := slices.Sorted(slices.Values(cs))
	return slices.Compact(sorted)
}

// Types lists an application's message types.
func (p *Platform) Types(ctx context.Context, application string) ([]tidings.MessageType, error) {
	return p.store.Types(ctx, application)
}

// Type returns a message type as SQL has it now.
func (p *Platform) Type(ctx context.Context, application, name string) (tidings.MessageType, error) {
	return p.store.Type(ctx, application, name)
}

// CurrentType returns a message type that is at most typesTime old: the accept path must not ask SQL for each message.
func (p *Platform) CurrentType(ctx context.Context, application, name string) (tidings.MessageType, error) {
	return p.types.get(ctx, p.now(), application, name, p.store.Type)
}
