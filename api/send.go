package api

import (
	"context"

	"tidings"
)

// Send accepts one message for somebody in the same process: the console's test send. body is that of POST /v1/messages, and
// the same rules and quotas hold.
func (a *API) Send(ctx context.Context, application string, body []byte) (id tidings.ID, err error) {
	m, err := a.message(ctx, application, body, a.Now())
	if err == nil {
		err = a.active(ctx, application)
	}
	if err != nil {
		return 0, err
	}
	ms := []tidings.Message{m}
	if err := a.Platform.Admit(ctx, application, ms); err != nil {
		return 0, err
	}
	_, err = a.Store.Accept(ctx, tidings.Request{Application: application, Messages: ms, Respond: func(ms []tidings.Message) []byte {
		id = ms[0].ID
		return appendAccepted(nil, id)
	}})
	return id, err
}

// Foretell tells what would become of a message that Send would accept.
func (a *API) Foretell(ctx context.Context, application string, body []byte) (tidings.Preview, error) {
	m, err := a.message(ctx, application, body, a.Now())
	if err != nil {
		return tidings.Preview{}, err
	}
	return a.Platform.Preview(ctx, m)
}
