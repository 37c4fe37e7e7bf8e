package console

import (
	"context"
	"net/http"
	"time"

	"tidings"
	"tidings/auth"
	"tidings/platform"
)

// Authenticator tells who holds a credential, and keeps sessions.
type Authenticator interface {
	Authenticate(r *http.Request) (auth.Principal, error)
	SignIn(ctx context.Context, account, password string) (token string, p auth.Principal, err error)
	Session(ctx context.Context, token string) (auth.Principal, error)
	SignOut(ctx context.Context, token string) error
}

// Platform is the configuration: who may send what. *platform.Platform is one.
type Platform interface {
	// Refused notes in the audit log that who acts tried what he may not.
	Refused(ctx context.Context, action, object string, why error) error
	Apply(ctx context.Context, a tidings.Application) (tidings.Application, error)
	Application(ctx context.Context, id string) (tidings.Application, error)
	Applications(ctx context.Context) ([]tidings.Application, error)
	CreateApplication(ctx context.Context, a tidings.Application) (tidings.Application, error)
	Decide(ctx context.Context, id string, approve bool, comment string) (tidings.Application, error)
	SetState(ctx context.Context, id string, s tidings.ApplicationState) (tidings.Application, error)

	CreateKey(ctx context.Context, want tidings.Key) (k tidings.Key, shown string, err error)
	Keys(ctx context.Context, application string) ([]tidings.Key, error)
	RevokeKey(ctx context.Context, application, id string) error

	PutType(ctx context.Context, t tidings.MessageType) (tidings.MessageType, error)
	Type(ctx context.Context, application, name string) (tidings.MessageType, error)
	Types(ctx context.Context, application string) ([]tidings.MessageType, error)

	CreateTemplate(ctx context.Context, t tidings.Template) (tidings.Template, error)
	Templates(ctx context.Context, application, typ string) ([]tidings.Template, error)
	Submitted(ctx context.Context, application string) ([]tidings.Template, error)
	Report(ctx context.Context, ref tidings.TemplateRef) (tidings.TemplateReport, error)
	Submit(ctx context.Context, ref tidings.TemplateRef) (tidings.TemplateReport, error)
	Approve(ctx context.Context, ref tidings.TemplateRef, comment string) (tidings.Template, error)
	Reject(ctx context.Context, ref tidings.TemplateRef, comment string) (tidings.Template, error)
	Publish(ctx context.Context, ref tidings.TemplateRef, percent int) (tidings.Template, error)
	Rollback(ctx context.Context, application, typ string, c tidings.Channel, locale string) (tidings.Template, error)
	Discard(ctx context.Context, ref tidings.TemplateRef) (int, error)

	Preferences(ctx context.Context, user, application string) (tidings.Preferences, []tidings.PreferenceType, error)
	Subscribed(ctx context.Context, s tidings.Subscription) (tidings.PreferenceType, error)
	Subscribe(ctx context.Context, s tidings.Subscription, muted bool) error

	Providers() []tidings.Driver
	Integrations(ctx context.Context) ([]tidings.Integration, error)
	Integration(ctx context.Context, id string) (tidings.Integration, error)
	PutIntegration(ctx context.Context, i tidings.Integration) (tidings.Integration, error)
	PauseIntegration(ctx context.Context, id string, pause bool) (tidings.Integration, error)
	DeleteIntegration(ctx context.Context, id string) error

	CreateEndpoint(ctx context.Context, e tidings.Endpoint) (made tidings.Endpoint, secret string, err error)
	Endpoints(ctx context.Context, application string) ([]tidings.Endpoint, error)
	PutEndpoint(ctx context.Context, e tidings.Endpoint) (tidings.Endpoint, error)
	EnableEndpoint(ctx context.Context, application string, id tidings.ID, enable bool) (tidings.Endpoint, error)
	RotateSecret(ctx context.Context, application string, id tidings.ID) (e tidings.Endpoint, secret string, err error)
	DeleteEndpoint(ctx context.Context, application string, id tidings.ID) error
	TestEndpoint(ctx context.Context, application string, id tidings.ID) (webhook string, err error)
	ReplayEvents(ctx context.Context, r tidings.EventReplay) (int, error)
	Events(ctx context.Context, q tidings.EventQuery) (found []tidings.Event, more bool, err error)

	PutQuota(ctx context.Context, q tidings.Quota) (tidings.Quota, error)
	Usage(ctx context.Context, application string, days int) (tidings.Usage, error)

	Accounts(ctx context.Context) ([]tidings.Account, error)
	CreateAccount(ctx context.Context, a tidings.Account, password string) (tidings.Account, error)
	ChangeAccount(ctx context.Context, id string, c platform.AccountChange) (tidings.Account, error)
	ChangeOwnAccount(ctx context.Context, id, oldPassword string, c platform.AccountChange) (tidings.Account, error)
	Account(ctx context.Context, id string) (tidings.Account, error)
	Changes(ctx context.Context, q tidings.ChangeQuery) ([]tidings.Change, error)
}

// Record is what the pages read and cancel beside the configuration.
type Record interface {
	Message(ctx context.Context, application string, id tidings.ID) (tidings.MessageStatus, error)
	Messages(ctx context.Context, q tidings.MessageQuery) (items []tidings.MessageStatus, more bool, err error)
	Deliveries(ctx context.Context, application string, id tidings.ID, afterUser string, limit int) (items []tidings.DeliveryTrace, more bool, err error)
	Cancel(ctx context.Context, application string, id tidings.ID) (canceled int, err error)

	Broadcast(ctx context.Context, application string, id tidings.ID) (tidings.Broadcast, error)
	Broadcasts(ctx context.Context, application string, q tidings.PageQuery) (bs []tidings.Broadcast, more bool, err error)
	SteerBroadcast(ctx context.Context, application string, id tidings.ID, to tidings.BroadcastState) error
	SetBroadcastRate(ctx context.Context, application string, id tidings.ID, rate int) error
	Reads(ctx context.Context, application string, id tidings.ID, q tidings.ReadQuery) (tidings.Reads, error)

	DeadLetters(ctx context.Context, q tidings.DeadLetterQuery) (letters []tidings.DeadLetter, next tidings.DeliveryKey, more bool, err error)
	PlanReplay(ctx context.Context, r tidings.Replay, limit int) (tidings.ReplayPlan, error)
	CreateReplay(ctx context.Context, r tidings.Replay) (made tidings.Replay, again bool, err error)
	CancelReplay(ctx context.Context, application string, id tidings.ID) error
	Replay(ctx context.Context, application string, id tidings.ID) (tidings.Replay, error)
	Replays(ctx context.Context, application string, q tidings.PageQuery) (rs []tidings.Replay, more bool, err error)
	Replayed(ctx context.Context, application string, id tidings.ID, after tidings.DeliveryKey, limit int) (items []tidings.ReplayedDelivery, more bool, err error)

	Merchant(ctx context.Context, id string) (tidings.Merchant, error)
	Store(ctx context.Context, id string) (tidings.Store, error)
	User(ctx context.Context, id string) (tidings.User, error)
	Balance(ctx context.Context, settle time.Duration) (tidings.Balance, error)
	Merchants(ctx context.Context, after string, limit int) ([]tidings.Merchant, error)
	Stores(ctx context.Context, merchant, after string, limit int) ([]tidings.Store, error)
	Users(ctx context.Context, after string, limit int) ([]tidings.User, error)
}

// Check is how one part that the work hangs on stands.
type Check struct {
	Name    string          // "database", "redis", "kannel"
	Channel tidings.Channel // of providers
	State   string          // ok, down, off
	Detail  string          // a sentence in English, without secrets
}
