package webhook

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"tidings"
	"tidings/channels/guard"
	"tidings/channels/once"
)

const patience = 15 * time.Second // of one call

// errSecret is the cause of a call that was not made because nothing could sign it.
var errSecret = errors.New("it cannot be signed")

// Caller makes signed webhooks and brings them where they may go.
type Caller struct {
	client *once.Client
	plain  bool // http may be called
	now    func() time.Time
}

// NewCaller returns a Caller to public hosts by https, and to any in networks (as guard.Networks reads them) also by http.
func NewCaller(networks string, now func() time.Time) (*Caller, error) {
	allowed, err := guard.Networks(networks)
	if err != nil {
		return nil, err
	}
	return newCaller(allowed, now), nil
}

func newCaller(allowed []netip.Prefix, now func() time.Time) *Caller {
	return &Caller{client: once.NewOver(guard.Dialer(allowed)), plain: len(allowed) > 0, now: now}
}

// Close drops the kept connections.
func (c *Caller) Close() { c.client.Close() }

// Call makes one call and tells the answer's status, and how long it asks to be left alone. Its error is of a call without an answer;
// it names no address of ours.
func (c *Caller) Call(ctx context.Context, h tidings.Hook) (status int, after time.Duration, err error) {
	if !c.plain && !strings.HasPrefix(h.URL, "https://") {
		return 0, 0, errors.New("only https is called")
	}
	a, err := c.post(ctx, h)
	if errors.Is(err, guard.ErrForbidden) {
		return 0, 0, guard.ErrForbidden
	}
	if err != nil {
		return 0, 0, err
	}
	return a.Status, a.RetryAfter(), nil
}

// post signs and makes one call.
func (c *Caller) post(ctx context.Context, h tidings.Hook) (once.Answer, error) {
	now := c.now()
	signature, err := tidings.SignWebhook(h.Secrets, h.ID, now, h.Body)
	if err != nil {
		return once.Answer{}, fmt.Errorf("%w: %w", errSecret, err)
	}
	header := http.Header{"Content-Type": {"application/json"}, "User-Agent": {"Tidings-Webhook/1"}}
	header.Set(tidings.WebhookID, h.ID)
	header.Set(tidings.WebhookTimestamp, strconv.FormatInt(now.Unix(), 10))
	header.Set(tidings.WebhookSignature, signature)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return c.client.Post(ctx, h.URL, header, h.Body)
}
