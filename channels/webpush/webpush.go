// Package webpush pushes to browsers that subscribed (RFC 8030, 8291, 8292), through the push service that each browser named.
//
// A push has no idempotency key: where the browser has not fetched the first yet, a repeat takes its place (Topic), and the
// message's id and tag travel in the data, by which the page's service worker replaces what it shows.
package webpush

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/mail"
	"strings"
	"time"

	push "github.com/SherClockHolmes/webpush-go"

	"tidings"
	"tidings/channels/guard"
	"tidings/channels/once"
)

const (
	maxPayload = 3993                // bytes: what fits into one record of 4,096 (RFC 8291, 4)
	maxTTL     = 28 * 24 * time.Hour // push services keep nothing longer
	patience   = 15 * time.Second
)

// Driver offers browsers: an address is a subscription.
var Driver = tidings.Driver{
	Provider: tidings.WebPush, Channel: tidings.App, Bound: true, Apart: true,
	Fields: []tidings.Field{
		{Name: "private_key", Secret: true, Required: true, Help: "the VAPID key, base64url, of which pages have the public half (npx web-push generate-vapid-keys)"},
		{Name: "subscriber", Required: true, Help: "whom a push service asks when something is wrong: a mail address or an https URL"},
		{Name: "networks", Help: "networks that may be called besides public ones, also by http: 10.0.0.0/8; empty: none"},
	},
	Open: open,
}

// Sender is a tidings.Sender to any push service.
type Sender struct {
	client          *once.Client
	plain           bool // http may be called
	private, public string
	subscriber      string
	now             func() time.Time
}

func open(s tidings.Setup) (tidings.Sender, error) {
	var errs tidings.FieldErrors
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(s.Values["private_key"], "="))
	key, keyErr := ecdh.P256().NewPrivateKey(raw)
	if err != nil || keyErr != nil {
		errs.Add("private_key", "malformed", "a private key on P-256, 32 bytes in base64url")
	}
	subscriber := strings.TrimPrefix(s.Values["subscriber"], "mailto:")
	if a, err := mail.ParseAddress(subscriber); (err != nil || a.Address != subscriber) && !strings.HasPrefix(subscriber, "https://") {
		errs.Add("subscriber", "malformed", "a mail address or an https URL")
	}
	networks, err := guard.Networks(s.Values["networks"])
	if err != nil {
		errs.Add("networks", "malformed", err.Error())
	}
	if err := errs.Err(tidings.Invalid); err != nil {
		return nil, err
	}
	return &Sender{client: once.NewOver(guard.Dialer(networks)), plain: len(networks) > 0, subscriber: subscriber, now: s.Now,
		private: base64.RawURLEncoding.EncodeToString(raw), public: base64.RawURLEncoding.EncodeToString(key.PublicKey().Bytes())}, nil
}

// Provider names the driver.
func (s *Sender) Provider() string { return tidings.WebPush }

// Close drops the kept connections.
func (s *Sender) Close() { s.client.Close() }

// payload is what the page's service worker gets.
type payload struct {
	Message string `json:"message"`
	Title   string `json:"title,omitempty"`
	Body    string `json:"body"`
	URL     string `json:"url,omitempty"`
	Tag     string `json:"tag"` // what is shown with the same tag is replaced
}

// Send makes one push. Users name the push services: what goes wrong there says nothing of others, not even that a key of ours is refused, for
// which a subscription that was made under another key is enough.
func (s *Sender) Send(ctx context.Context, c tidings.Call) (tidings.Accepted, error) {
	accepted, err := s.send(ctx, c)
	if e, ok := errors.AsType[*tidings.SendError](err); ok {
		e.OfAddress = true
	}
	return accepted, err
}

func (s *Sender) send(ctx context.Context, c tidings.Call) (tidings.Accepted, error) {
	now := s.now()
	ttl := maxTTL
	if !c.ExpiresAt.IsZero() {
		if ttl = min(ttl, c.ExpiresAt.Sub(now)); ttl <= 0 {
			return tidings.Accepted{}, refused(tidings.TimeRanOut, "it expired before the call")
		}
	}
	sub, err := tidings.ParsePushSubscription(c.Address.Value)
	if err != nil || !s.plain && !strings.HasPrefix(sub.Endpoint, "https://") {
		return tidings.Accepted{}, &tidings.SendError{Outcome: tidings.Refused, Reason: tidings.AddressRefused, AddressDead: true, Err: errors.New("the address is no subscription")}
	}
	if c.Content.Body == "" {
		return tidings.Accepted{}, refused(tidings.TemplateFailed, "the text is empty")
	}
	tag := tidings.CollapseID(c)
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(payload{c.Message.String(), c.Content.Title, c.Content.Body, c.Content.URL, tag}); err != nil {
		return tidings.Accepted{}, refused(tidings.TemplateFailed, err.Error())
	}
	if body.Truncate(body.Len() - 1); body.Len() > maxPayload {
		return tidings.Accepted{}, refused(tidings.TooLong, fmt.Sprintf("%d bytes, at most %d are pushed", body.Len(), maxPayload))
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	call := &call{ctx: ctx, client: s.client}
	_, err = push.SendNotificationWithContext(ctx, body.Bytes(), &push.Subscription{Endpoint: sub.Endpoint, Keys: push.Keys{Auth: sub.Keys.Auth, P256dh: sub.Keys.P256dh}},
		&push.Options{HTTPClient: call, Subscriber: s.subscriber, Topic: topic(tag), TTL: int(max(ttl/time.Second, 1)), Urgency: push.UrgencyHigh,
			VAPIDPublicKey: s.public, VAPIDPrivateKey: s.private})
	switch {
	case !call.made: // its key is no point of the curve
		return tidings.Accepted{}, &tidings.SendError{Outcome: tidings.Refused, Reason: tidings.AddressRefused, AddressDead: true, Err: errors.Join(errors.New("nothing could be encrypted for it"), err)}
	case errors.Is(err, guard.ErrForbidden):
		return tidings.Accepted{}, &tidings.SendError{Outcome: tidings.Refused, Reason: tidings.AddressRefused, Err: err}
	case err != nil:
		return tidings.Accepted{}, err
	}
	return tidings.Accepted{ProviderID: once.Excerpt(call.answer.Header.Get("Location"))}, judge(call.answer)
}

// topic names what a push that waits at the service is replaced by: at most 32 characters of base64url (RFC 8030, 5.4).
func topic(tag string) string {
	sum := sha256.Sum256([]byte(tag))
	return base64.RawURLEncoding.EncodeToString(sum[:24])
}

// call makes the library's request by our client, which makes no second one.
type call struct {
	ctx    context.Context
	client *once.Client
	made   bool
	answer once.Answer
}

func (c *call) Do(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	c.made = true
	if c.answer, err = c.client.Post(c.ctx, r.URL.String(), r.Header, body); err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: c.answer.Status, Body: http.NoBody}, nil
}

// judge reads the push service's answer (RFC 8030, 5 and 8.4): its status counts.
func judge(a once.Answer) error {
	e := tidings.SendError{Err: fmt.Errorf("the push service answered %d: %s", a.Status, once.Excerpt(string(a.Body)))}
	switch {
	case a.Status == http.StatusOK, a.Status == http.StatusCreated, a.Status == http.StatusAccepted:
		return nil
	case a.Status == http.StatusNotFound, a.Status == http.StatusGone:
		e.Outcome, e.Reason, e.AddressDead = tidings.Refused, tidings.AddressRefused, true
	case a.Status == http.StatusRequestEntityTooLarge:
		e.Outcome, e.Reason = tidings.Refused, tidings.TooLong
	case a.Status == http.StatusTooManyRequests, a.Status == http.StatusServiceUnavailable:
		e.Outcome, e.Reason, e.After = tidings.Busy, tidings.ProviderBusy, a.RetryAfter()
	case a.Status == http.StatusUnauthorized, a.Status == http.StatusForbidden: // our key is not the one that was subscribed to
		e.Outcome, e.Reason, e.After, e.Configuration = tidings.Busy, tidings.Misconfigured, max(a.RetryAfter(), time.Minute), true
	case a.Status >= 500:
		e.Outcome, e.Reason = tidings.Unknown, tidings.ProviderSilent
	default:
		e.Outcome, e.Reason = tidings.Refused, tidings.ProviderRefused
	}
	return &e
}

func refused(reason tidings.Reason, why string) error {
	return &tidings.SendError{Outcome: tidings.Refused, Reason: reason, Err: errors.New(why)}
}
