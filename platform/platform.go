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

// Store keeps the configuration. Its errors of the caller's making are *tidings.Error. What changes something appends to the
// audit log in the same transaction, in the name of tidings.ActorOf(ctx).
type Store interface {
	CreateApplication(ctx context.Context, a tidings.Application) error
	EditApplication(ctx context.Context, a tidings.Application) error
	Application(ctx context.Context, id string) (tidings.Application, error)
	Applications(ctx context.Context) ([]tidings.Application, error)
	DecideApplication(ctx context.Context, id string, s tidings.ApplicationState, comment string) error
	SetApplicationState(ctx context.Context, id string, s tidings.ApplicationState) error

	CreateKey(ctx context.Context, k tidings.Key) error
	Key(ctx context.Context, id string) (tidings.Key, error)
	Keys(ctx context.Context, application string) ([]tidings.Key, error)
	AccountKeys(ctx context.Context, account string) ([]tidings.Key, error)
	RevokeKey(ctx context.Context, application, id string) error

	PutType(ctx context.Context, t tidings.MessageType) error
	Type(ctx context.Context, application, name string) (tidings.MessageType, error)
	Types(ctx context.Context, application string) ([]tidings.MessageType, error)

	Merchant(ctx context.Context, id string) (tidings.Merchant, error)
	Store(ctx context.Context, id string) (tidings.Store, error)

	Limits
	Previews
	Preferring
	Integrating
	Endpoints

	Templates
	People
}

// Templates is where templates and what was sent with them are kept.
type Templates interface {
	CreateTemplate(ctx context.Context, t tidings.Template) (tidings.Template, error)
	Template(ctx context.Context, ref tidings.TemplateRef) (tidings.Template, error)
	Templates(ctx context.Context, application, typ string) ([]tidings.Template, error)
	PublishedTemplates(ctx context.Context, application, typ string) ([]tidings.Template, error)
	SubmittedTemplates(ctx context.Context, application string) ([]tidings.Template, error)
	SubmitTemplate(ctx context.Context, ref tidings.TemplateRef) (tidings.Template, error)
	ReviewTemplate(ctx context.Context, ref tidings.TemplateRef, s tidings.TemplateState, comment string) (tidings.Template, error)
	Publish(ctx context.Context, ref tidings.TemplateRef, percent int, unreviewed bool) (tidings.Template, error)
	Rollback(ctx context.Context, ref tidings.TemplateRef) (tidings.Template, error)
	Discard(ctx context.Context, ref tidings.TemplateRef) (int, error)
	RecentData(ctx context.Context, application, typ string, n int) ([]tidings.Message, error)
}

// People is where accounts and the audit log are kept.
type People interface {
	CreateAccount(ctx context.Context, a tidings.Account) error
	Account(ctx context.Context, id string) (tidings.Account, error)
	Accounts(ctx context.Context) ([]tidings.Account, error)
	UpdateAccount(ctx context.Context, id string, change func(*tidings.Account) error) (tidings.Account, error)
	Changes(ctx context.Context, q tidings.ChangeQuery) ([]tidings.Change, error)
	VerifyAudit(ctx context.Context, known tidings.AuditHead) (tidings.AuditReport, error)
	Note(ctx context.Context, action, object string, detail any) error
}

// Platform is the configuration of who may send what.
type Platform struct {
	store      Store
	types      *tidings.Cache[typeKey, tidings.MessageType]
	admissions admissions
	// check tells what is wrong with a template's sources.
	check func(title, body, url string) tidings.FieldErrors
	// newKey makes a key and the whole of it as its holder sends it.
	newKey func(tidings.KeyKind) (tidings.Key, string)
	hash   func(password string) string
	verify func(hash, password string) bool
	now    func() time.Time
	// drivers and environment are what Config says.
	drivers     []tidings.Driver
	environment []tidings.Configured
	// plainEndpoints: an endpoint may be called by http.
	plainEndpoints bool
}

// Config is what a Platform needs. All of it must be set, but for drivers and environment.
type Config struct {
	Store  Store
	Check  func(title, body, url string) tidings.FieldErrors   // templates.Check
	NewKey func(tidings.KeyKind) (k tidings.Key, shown string) // auth.NewKey
	Hash   func(password string) string                        // auth.HashPassword
	Verify func(hash, password string) bool                    // auth.CheckPassword
	Now    func() time.Time
	// Drivers are the providers for which integrations can be configured, and Environment the integrations that the settings of the
	// process make: shown beside the others, and changed nowhere but there.
	Drivers     []tidings.Driver
	Environment []tidings.Configured
	// PlainEndpoints allows endpoints of applications that are called by http.
	PlainEndpoints bool
}

// New returns a Platform.
func New(c Config) *Platform {
	return &Platform{types: tidings.NewCache[typeKey, tidings.MessageType](typesTime, typesSize), store: c.Store, check: c.Check, newKey: c.NewKey, hash: c.Hash, verify: c.Verify, now: c.Now,
		drivers: c.Drivers, environment: c.Environment, plainEndpoints: c.PlainEndpoints}
}

// maxOrigins and maxScopes bound lists that are compared on every request.
const (
	maxOrigins = 50
	maxText    = 200
)

// CreateApplication admits an application. It may send at once: an admin asked for it.
func (p *Platform) CreateApplication(ctx context.Context, a tidings.Application) (tidings.Application, error) {
	if err := validateApplication(a).Err(tidings.Invalid); err != nil {
		return tidings.Application{}, err
	}
	a.State, a.AppliedBy = tidings.ApplicationActive, tidings.ActorOf(ctx).Account
	a.DecidedBy = a.AppliedBy
	return a, p.store.CreateApplication(ctx, a)
}

// EditApplication replaces what an application says of itself: name, owner, purpose, channels, volume and origins. Types that
// use a channel which it has no more stay as they are; their next change is refused.
func (p *Platform) EditApplication(ctx context.Context, a tidings.Application) (tidings.Application, error) {
	if err := validateApplication(a).Err(tidings.Invalid); err != nil {
		return tidings.Application{}, err
	}
	if err := p.store.EditApplication(ctx, a); err != nil {
		return tidings.Application{}, err
	}
	return p.store.Application(ctx, a.ID)
}

// Apply asks for an application on behalf of who acts. It may send when somebody else has approved it. One who was rejected
// may apply again under the same id.
func (p *Platform) Apply(ctx context.Context, a tidings.Application) (tidings.Application, error) {
	errs := validateApplication(a)
	if a.Purpose == "" {
		errs.Add("purpose", "missing", "what you want to send, and to whom")
	}
	if len(a.Channels) == 0 {
		errs.Add("channels", "missing", "at least one of "+tidings.Names(tidings.Channels))
	}
	if a.Volume < 1 {
		errs.Add("volume", "missing", "how many messages a day you expect to send")
	}
	if err := errs.Err(tidings.Invalid); err != nil {
		return tidings.Application{}, err
	}
	a.State, a.AppliedBy = tidings.ApplicationApplied, tidings.ActorOf(ctx).Account
	return a, p.store.CreateApplication(ctx, a)
}

func validateApplication(a tidings.Application) (errs tidings.FieldErrors) {
	if !tidings.ValidName(a.ID) {
		errs.Add("id", "malformed", "1 to 64 letters, digits and ._:@-")
	}
	if a.Name == "" || len(a.Name) > maxText {
		errs.Add("name", "malformed", "1 to 200 bytes")
	}
	if len(a.Owner) > maxText {
		errs.Add("owner", "too_long", "at most 200 bytes")
	}
	if len(a.Purpose) > maxComment {
		errs.Add("purpose", "too_long", "at most 2000 bytes")
	}
	if a.Volume < 0 || a.Volume > 1_000_000_000 {
		errs.Add("volume", "out_of_range", "messages a day")
	}
	for i, c := range a.Channels {
		if !c.Valid() || slices.Contains(a.Channels[:i], c) {
			errs.Add("channels["+strconv.Itoa(i)+"]", "unknown", "once each of "+tidings.Names(tidings.Channels))
		}
	}
	if len(a.Origins) > maxOrigins {
		errs.Add("origins", "too_many", "at most 50")
	}
	for i, o := range a.Origins {
		if !validOrigin(o) {
			errs.Add("origins["+strconv.Itoa(i)+"]", "malformed", "an origin such as https://shop.example, without a path")
		}
	}
	for field, value := range map[string]string{"state": string(a.State), "comment": a.Comment, "applied_by": a.AppliedBy, "decided_by": a.DecidedBy} {
		if value != "" {
			errs.Add(field, "read_only", "applying, deciding, suspending and resuming have routes of their own")
		}
	}
	return errs
}

// Decide approves or rejects what was applied for; a rejection says why.
func (p *Platform) Decide(ctx context.Context, id string, approve bool, comment string) (tidings.Application, error) {
	state, action := tidings.ApplicationActive, "application.approve"
	if !approve {
		state, action = tidings.ApplicationRejected, "application.reject"
	}
	var errs tidings.FieldErrors
	if len(comment) > maxComment || comment == "" && !approve {
		errs.Add("comment", "missing", "say why, in at most 2000 bytes")
	}
	if err := errs.Err(tidings.Invalid); err != nil {
		return tidings.Application{}, err
	}
	a, err := p.store.Application(ctx, id)
	if err == nil {
		err = p.another(ctx, a.AppliedBy, "nobody decides on an application of his own")
	}
	if err == nil {
		err = p.store.DecideApplication(ctx, id, state, comment)
	}
	if code := tidings.CodeOf(err); code == tidings.Forbidden || code == tidings.Conflict {
		if noteErr := p.Refused(ctx, action, "application "+id, err); noteErr != nil {
			return tidings.Application{}, noteErr
		}
	}
	if err != nil {
		return tidings.Application{}, err
	}
	return p.store.Application(ctx, id)
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
	if t.Dedup != nil && t.Dedup.Key != "" {
		for _, e := range p.check("", t.Dedup.Key, "") {
			errs.Add("dedup.key", e.Code, e.Detail)
		}
	}
	if err := errs.Err(tidings.Invalid); err != nil {
		return tidings.MessageType{}, err
	}
	if err := p.granted(ctx, t); err != nil {
		return tidings.MessageType{}, err
	}
	if err := p.summarised(ctx, t); err != nil {
		return tidings.MessageType{}, err
	}
	if err := p.store.PutType(ctx, t); err != nil {
		return tidings.MessageType{}, err
	}
	p.types.Forget(typeKey{t.Application, t.Name})
	return t, nil
}

// summarised refuses a digest that nothing can write: its type must be there, and use the channels that are gathered.
func (p *Platform) summarised(ctx context.Context, t tidings.MessageType) error {
	if t.Digest == nil {
		return nil
	}
	var errs tidings.FieldErrors
	summary, err := p.store.Type(ctx, t.Application, t.Digest.Type)
	switch {
	case tidings.CodeOf(err) == tidings.NotFound:
		errs.Add("digest.type", "unknown", "the application has no message type "+t.Digest.Type)
	case err != nil:
		return err
	default:
		for _, c := range t.Digest.Channels {
			if !slices.Contains(summary.Channels, c) {
				errs.Add("digest.type", "unknown", "the message type "+t.Digest.Type+" does not use the channel "+string(c))
			}
		}
	}
	return errs.Err(tidings.Invalid)
}

// granted refuses a type on a channel for which its application did not apply. One that named no channels has them all.
func (p *Platform) granted(ctx context.Context, t tidings.MessageType) error {
	app, err := p.store.Application(ctx, t.Application)
	if err != nil || len(app.Channels) == 0 {
		return err
	}
	var errs tidings.FieldErrors
	for i, c := range t.Channels {
		if !slices.Contains(app.Channels, c) {
			errs.Add("channels["+strconv.Itoa(i)+"]", "not_allowed", "the application was admitted to other channels; an admin can change that")
		}
	}
	return errs.Err(tidings.Unprocessable)
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
	return p.types.Get(p.now(), typeKey{application, name}, func(tidings.MessageType) (tidings.MessageType, error) {
		return p.store.Type(ctx, application, name)
	})
}
