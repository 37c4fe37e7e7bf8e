// Package webhook calls a merchant's own system by the rules of Standard Webhooks: the receiver verifies with the libraries that
// exist for it, and drops a repeat by the header webhook-id.
package webhook

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"time"

	"tidings"
	"tidings/channels/guard"
	"tidings/channels/once"
)

const maxBody = 20 << 10 // bytes: what receivers can be expected to read

// Driver offers the merchants' systems. An address holds the URL and the secret.
var Driver = tidings.Driver{
	Provider: "webhook", Channel: tidings.Webhook, Apart: true,
	Fields: []tidings.Field{{Name: "networks", Help: "networks that may be called besides public ones, also by http: 10.0.0.0/8; empty: none"}},
	Open:   open,
}

// Sender is a tidings.Sender to any URL.
type Sender struct {
	caller *Caller
	pace   *pace
	now    func() time.Time
}

func open(s tidings.Setup) (tidings.Sender, error) {
	networks, err := guard.Networks(s.Values["networks"])
	if err != nil {
		var errs tidings.FieldErrors
		errs.Add("networks", "malformed", err.Error())
		return nil, errs.Err(tidings.Invalid)
	}
	return &Sender{caller: newCaller(networks, s.Now), pace: newPace(), now: s.Now}, nil
}

// Provider names the driver.
func (s *Sender) Provider() string { return "webhook" }

// Close drops the kept connections.
func (s *Sender) Close() { s.caller.Close() }

// event is the body. Its type is the message type's name.
type event struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Data      data      `json:"data"`
}

type data struct {
	Message     string     `json:"message"`
	User        string     `json:"user"`
	Title       string     `json:"title,omitempty"`
	Body        string     `json:"body"`
	URL         string     `json:"url,omitempty"`
	CollapseKey string     `json:"collapse_key,omitempty"`
	ExpiresAt   *time.Time `json:"expires_at,omitempty"`
}

var notOfTypes = regexp.MustCompile(`[^a-zA-Z0-9_.]`)

// Send makes one call. Whatever becomes of it says nothing of other receivers.
func (s *Sender) Send(ctx context.Context, c tidings.Call) (tidings.Accepted, error) {
	accepted, err := s.send(ctx, c)
	if e, ok := errors.AsType[*tidings.SendError](err); ok {
		e.OfAddress = true
	}
	return accepted, err
}

func (s *Sender) send(ctx context.Context, c tidings.Call) (tidings.Accepted, error) {
	now := s.now()
	if !c.ExpiresAt.IsZero() && !now.Before(c.ExpiresAt) {
		return tidings.Accepted{}, refused(tidings.TimeRanOut, "it expired before the call")
	}
	target, secrets, ok := c.Address.Endpoint()
	if !ok || !s.caller.plain && !strings.HasPrefix(target, "https://") {
		return tidings.Accepted{}, refused(tidings.AddressRefused, "the address is no https URL with a secret")
	}
	e := event{Type: notOfTypes.ReplaceAllString(c.Type, "_"), Timestamp: now.UTC(), Data: data{Message: c.Message.String(), User: c.User, Title: c.Content.Title,
		Body: c.Content.Body, URL: c.Content.URL, CollapseKey: c.CollapseKey}}
	if !c.ExpiresAt.IsZero() {
		at := c.ExpiresAt.UTC()
		e.Data.ExpiresAt = &at
	}
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(e); err != nil {
		return tidings.Accepted{}, refused(tidings.TemplateFailed, err.Error())
	}
	if body.Len() > maxBody {
		return tidings.Accepted{}, refused(tidings.TooLong, fmt.Sprintf("%d bytes, at most %d are sent", body.Len(), maxBody))
	}
	if wait := s.pace.take(target, now); wait > 0 {
		return tidings.Accepted{}, &tidings.SendError{Outcome: tidings.Busy, Reason: tidings.ProviderBusy, After: wait, Err: errors.New("the receiver is called no faster")}
	}
	accepted, err := s.post(ctx, tidings.Hook{URL: target, Secrets: secrets, ID: ID(c), Body: body.Bytes()})
	failure, _ := errors.AsType[*tidings.SendError](err)
	s.pace.done(target, s.now(), failure)
	return accepted, err
}

// post makes the call and says what it came to.
func (s *Sender) post(ctx context.Context, h tidings.Hook) (tidings.Accepted, error) {
	answer, err := s.caller.post(ctx, h)
	if errors.Is(err, errSecret) {
		return tidings.Accepted{}, refused(tidings.AddressRefused, err.Error())
	}
	if errors.Is(err, guard.ErrForbidden) {
		return tidings.Accepted{}, &tidings.SendError{Outcome: tidings.Refused, Reason: tidings.AddressRefused, Err: err}
	}
	if err != nil {
		return tidings.Accepted{}, err
	}
	return tidings.Accepted{ProviderID: h.ID}, judge(answer)
}

// ID names a notification to its receiver: the same in every attempt. It has no dot, which the signature forbids.
func ID(c tidings.Call) string {
	sum := sha256.Sum256([]byte(c.User))
	return "msg_" + c.Message.String() + "_" + base64.RawURLEncoding.EncodeToString(sum[:12])
}

// judge reads the receiver's answer, of which the status alone counts.
func judge(a once.Answer) error {
	cause := fmt.Errorf("the receiver answered %d", a.Status)
	switch {
	case a.Status >= 200 && a.Status < 300:
		return nil
	case a.Status == http.StatusGone:
		return &tidings.SendError{Outcome: tidings.Refused, Reason: tidings.AddressRefused, AddressDead: true, Err: cause}
	case a.Status == http.StatusTooManyRequests, a.Status == http.StatusBadGateway, a.Status == http.StatusServiceUnavailable, a.Status == http.StatusGatewayTimeout:
		return &tidings.SendError{Outcome: tidings.Busy, Reason: tidings.ProviderBusy, After: a.RetryAfter(), Err: cause}
	case a.Status >= 500 || a.Status == http.StatusRequestTimeout: // it failed, and says so: the receiver drops a repeat by its id
		return &tidings.SendError{Outcome: tidings.Busy, Reason: tidings.ProviderBusy, Err: cause}
	case a.Status >= 300 && a.Status < 400:
		return &tidings.SendError{Outcome: tidings.Refused, Reason: tidings.AddressRefused, Err: fmt.Errorf("%w: it moved, and redirects are not followed", cause)}
	}
	return &tidings.SendError{Outcome: tidings.Refused, Reason: tidings.ProviderRefused, Err: cause}
}

func refused(reason tidings.Reason, why string) error {
	return &tidings.SendError{Outcome: tidings.Refused, Reason: reason, Err: errors.New(why)}
}
