package api

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"tidings"
	"tidings/auth"
	"tidings/middleware"
	"tidings/platform"
)

// messageRequest is the body of POST /v1/messages.
type messageRequest struct {
	Type            string            `json:"type"`
	Audience        tidings.Audience  `json:"audience"`
	Data            json.RawMessage   `json:"data"`
	Channels        []tidings.Channel `json:"channels"`
	SendAt          string            `json:"send_at"`
	ExpiresAt       string            `json:"expires_at"`
	CollapseKey     string            `json:"collapse_key"`
	CancellationKey string            `json:"cancellation_key"`
}

// message reads and checks one message of an application. Whether the merchants, stores and users that the audience names
// exist is found out when it is resolved: the directory may change until then, and a name that is not there reaches
// nobody, with a reason in the message's status.
func (a *API) message(ctx context.Context, application string, body []byte, now time.Time) (tidings.Message, error) {
	var r messageRequest
	if err := middleware.Decode(body, &r); err != nil {
		return tidings.Message{}, err
	}
	return a.check(ctx, application, &r, now)
}

// messageOf is message for a principal, whose key may be for some types and channels only.
func (a *API) messageOf(ctx context.Context, p auth.Principal, application string, body []byte) (tidings.Message, error) {
	m, err := a.message(ctx, application, body, a.Now())
	if err == nil {
		err = p.MayUse(m.Type, m.Channels...)
	}
	return m, err
}

// check compares a message with its type.
func (a *API) check(ctx context.Context, application string, r *messageRequest, now time.Time) (tidings.Message, error) {
	if !tidings.ValidName(r.Type) {
		return tidings.Message{}, platform.UnknownType(r.Type)
	}
	typ, err := a.Platform.CurrentType(ctx, application, r.Type)
	if tidings.CodeOf(err) == tidings.NotFound {
		err = platform.UnknownType(r.Type)
	}
	if err != nil {
		return tidings.Message{}, err
	}
	return r.message(application, typ, now)
}

// message checks the request against its type.
func (r *messageRequest) message(application string, typ tidings.MessageType, now time.Time) (tidings.Message, error) {
	errs := r.Audience.Validate()
	r.checkChannels(typ, &errs)
	r.checkData(typ, &errs)
	m := tidings.Message{
		Application: application, Type: typ.Name, Lane: typ.Lane, Audience: r.Audience, Data: r.Data, Channels: r.Channels,
		CollapseKey: checkKey(&errs, "collapse_key", r.CollapseKey), CancellationKey: checkKey(&errs, "cancellation_key", r.CancellationKey),
	}
	if len(m.Channels) == 0 { // those of the type as it is now: what it gets later is for later messages
		m.Channels = typ.Channels
	}
	r.checkTimes(&m, typ, now, &errs)
	return m, errs.Err(tidings.Unprocessable)
}

func (r *messageRequest) checkChannels(typ tidings.MessageType, errs *tidings.FieldErrors) {
	if r.Channels != nil && len(r.Channels) == 0 {
		errs.Add("channels", "empty", "leave it out for all channels of the type")
	}
	for i, c := range r.Channels {
		field := "channels[" + strconv.Itoa(i) + "]"
		switch {
		case !c.Valid():
			errs.Add(field, "unknown", "one of "+tidings.Names(tidings.Channels))
		case !slices.Contains(typ.Channels, c):
			errs.Add(field, "not_allowed", "the message type does not use this channel")
		case slices.Contains(r.Channels[:i], c):
			errs.Add(field, "repeated", "the channel stands twice")
		}
		if len(*errs) > 20 { // a long list of nonsense
			return
		}
	}
}

func (r *messageRequest) checkData(typ tidings.MessageType, errs *tidings.FieldErrors) {
	if len(r.Data) == 0 || string(r.Data) == "null" {
		r.Data = json.RawMessage("{}")
	}
	if len(r.Data) > tidings.MaxData {
		errs.Add("data", "too_long", "at most 65536 bytes")
		return
	}
	*errs = append(*errs, typ.CheckData(r.Data)...)
}

func checkKey(errs *tidings.FieldErrors, field, key string) string {
	if len(key) > tidings.MaxKey {
		errs.Add(field, "too_long", "at most 255 bytes")
	}
	return key
}

// checkTimes reads send_at and expires_at. A send_at in the past means at once: the caller's clock may be behind ours.
func (r *messageRequest) checkTimes(m *tidings.Message, typ tidings.MessageType, now time.Time, errs *tidings.FieldErrors) {
	m.SendAt = readTime(errs, "send_at", r.SendAt)
	m.ExpiresAt = readTime(errs, "expires_at", r.ExpiresAt)
	if m.SendAt.Sub(now) > tidings.MaxSendAhead {
		errs.Add("send_at", "out_of_range", "at most 365 days ahead")
	}
	start := now
	if m.SendAt.After(now) {
		start = m.SendAt
	}
	switch {
	case m.ExpiresAt.IsZero() && typ.TTL > 0:
		m.ExpiresAt = start.Add(typ.TTL.Duration())
	case m.ExpiresAt.IsZero():
		m.ExpiresAt = start.Add(tidings.DefaultExpiry)
	case !m.ExpiresAt.After(start):
		errs.Add("expires_at", "out_of_range", "must be later than now and send_at")
	case m.ExpiresAt.Sub(start) > tidings.MaxSendAhead:
		errs.Add("expires_at", "out_of_range", "at most 365 days after it is sent")
	}
}

func readTime(errs *tidings.FieldErrors, field, s string) time.Time {
	if s == "" {
		return time.Time{}
	}
	t, err := tidings.ParseTime(s)
	if err != nil || t.Year() < 2000 {
		errs.Add(field, "malformed", "a time such as 2026-01-02T15:04:05+08:00")
		return time.Time{}
	}
	return t
}
