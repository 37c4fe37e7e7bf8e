package platform

import (
	"context"

	"tidings"
)

// Endpoints is where endpoints of applications and their events are kept.
type Endpoints interface {
	CreateEndpoint(ctx context.Context, e tidings.Endpoint, secret string) (tidings.Endpoint, error)
	Endpoints(ctx context.Context, application string) ([]tidings.Endpoint, error)
	Endpoint(ctx context.Context, application string, id tidings.ID) (tidings.Endpoint, error)
	ChangeEndpoint(ctx context.Context, action, application string, id tidings.ID, secret string, change func(*tidings.Endpoint) error) (tidings.Endpoint, error)
	DeleteEndpoint(ctx context.Context, application string, id tidings.ID) error
	TestEndpoint(ctx context.Context, application string, id tidings.ID) (webhook string, err error)
	ReplayEvents(ctx context.Context, r tidings.EventReplay) (int, error)
	Events(ctx context.Context, q tidings.EventQuery) (found []tidings.Event, more bool, err error)
}

// CreateEndpoint makes an endpoint of an application. The secret is shown this once: what is kept of it is sealed.
func (p *Platform) CreateEndpoint(ctx context.Context, e tidings.Endpoint) (made tidings.Endpoint, secret string, err error) {
	if err := e.Validate(p.plainEndpoints).Err(tidings.Invalid); err != nil {
		return tidings.Endpoint{}, "", err
	}
	if _, err := p.store.Application(ctx, e.Application); err != nil {
		return tidings.Endpoint{}, "", err
	}
	secret = tidings.NewWebhookSecret()
	made, err = p.store.CreateEndpoint(ctx, e, secret)
	return made, secret, err
}

// Endpoints lists the endpoints of an application with how they fare.
func (p *Platform) Endpoints(ctx context.Context, application string) ([]tidings.Endpoint, error) {
	return p.store.Endpoints(ctx, application)
}

// Endpoint returns one; another application's is not found.
func (p *Platform) Endpoint(ctx context.Context, application string, id tidings.ID) (tidings.Endpoint, error) {
	return p.store.Endpoint(ctx, application, id)
}

// PutEndpoint changes an endpoint's name, URL and events.
func (p *Platform) PutEndpoint(ctx context.Context, want tidings.Endpoint) (tidings.Endpoint, error) {
	if err := want.Validate(p.plainEndpoints).Err(tidings.Invalid); err != nil {
		return tidings.Endpoint{}, err
	}
	return p.store.ChangeEndpoint(ctx, "endpoint.put", want.Application, want.ID, "", func(e *tidings.Endpoint) error {
		e.Name, e.URL, e.Events = want.Name, want.URL, want.Events
		return nil
	})
}

// EnableEndpoint has an endpoint told again, also of what still waits for it; or, with enable false, no more.
func (p *Platform) EnableEndpoint(ctx context.Context, application string, id tidings.ID, enable bool) (tidings.Endpoint, error) {
	action, state, reason := "endpoint.enable", tidings.EndpointActive, tidings.EndpointReason("")
	if !enable {
		action, state, reason = "endpoint.disable", tidings.EndpointDisabled, tidings.EndpointByHand
	}
	return p.store.ChangeEndpoint(ctx, action, application, id, "", func(e *tidings.Endpoint) error {
		if e.State != state {
			e.State, e.Reason = state, reason
		}
		return nil
	})
}

// RotateSecret gives an endpoint a new secret, shown this once. The one before signs beside it for tidings.SecretOverlap, and the one before
// that no more.
func (p *Platform) RotateSecret(ctx context.Context, application string, id tidings.ID) (e tidings.Endpoint, secret string, err error) {
	secret = tidings.NewWebhookSecret()
	e, err = p.store.ChangeEndpoint(ctx, "endpoint.rotate", application, id, secret, func(*tidings.Endpoint) error { return nil })
	return e, secret, err
}

// DeleteEndpoint removes an endpoint with what still waits for it.
func (p *Platform) DeleteEndpoint(ctx context.Context, application string, id tidings.ID) error {
	return p.store.DeleteEndpoint(ctx, application, id)
}

// TestEndpoint sends an endpoint a test event and returns its webhook id.
func (p *Platform) TestEndpoint(ctx context.Context, application string, id tidings.ID) (webhook string, err error) {
	return p.store.TestEndpoint(ctx, application, id)
}

// ReplayEvents tells an endpoint again of what happened since a time, of one state or of all, and returns of how many events.
func (p *Platform) ReplayEvents(ctx context.Context, r tidings.EventReplay) (int, error) {
	var errs tidings.FieldErrors
	switch {
	case r.Since.IsZero():
		errs.Add("since", "missing", "a time such as 2026-01-02T15:04:05Z")
	case p.now().Sub(r.Since) > tidings.EventsKept:
		errs.Add("since", "out_of_range", "events are kept for 30 days")
	case !r.Until.IsZero() && !r.Until.After(r.Since):
		errs.Add("until", "out_of_range", "lies before since")
	}
	validEventState(&errs, r.State)
	if r.State == tidings.EventPending {
		errs.Add("state", "not_allowed", "what is pending comes by itself")
	}
	if err := errs.Err(tidings.Invalid); err != nil {
		return 0, err
	}
	return p.store.ReplayEvents(ctx, r)
}

// Events lists what an endpoint was told of and is to be told of, the newest first.
func (p *Platform) Events(ctx context.Context, q tidings.EventQuery) (found []tidings.Event, more bool, err error) {
	var errs tidings.FieldErrors
	validEventState(&errs, q.State)
	if err := errs.Err(tidings.Invalid); err != nil {
		return nil, false, err
	}
	return p.store.Events(ctx, q)
}

func validEventState(errs *tidings.FieldErrors, s tidings.EventState) {
	if s != "" && s != tidings.EventPending && s != tidings.EventDelivered && s != tidings.EventFailed {
		errs.Add("state", "unknown", "one of "+tidings.Names(tidings.EventStates))
	}
}
