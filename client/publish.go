package client

import (
	"context"
	"crypto/rand"
	"time"
)

// Message is what is sent: of which type, to whom, with which values.
type Message struct {
	Type     string   `json:"type"`
	Audience Audience `json:"audience"`
	// Data holds the values of the type's variables: a struct or a map that becomes a JSON object.
	Data            any       `json:"data,omitempty"`
	Channels        []string  `json:"channels,omitempty"` // default: those of the type
	SendAt          time.Time `json:"send_at,omitzero"`
	ExpiresAt       time.Time `json:"expires_at,omitzero"`
	CollapseKey     string    `json:"collapse_key,omitempty"`
	CancellationKey string    `json:"cancellation_key,omitempty"`
}

// Audience is who a message is for: all who are named, narrowed by roles, attributes and scope.
type Audience struct {
	Merchants  []string          `json:"merchants,omitempty"`
	Stores     []string          `json:"stores,omitempty"`
	Users      []string          `json:"users,omitempty"`
	Everyone   bool              `json:"everyone,omitempty"`
	Roles      []string          `json:"roles,omitempty"`
	Attributes map[string]string `json:"attributes,omitempty"`
	Scope      string            `json:"scope,omitempty"` // "all", "merchant" or "stores"
}

// Accepted is the answer to a message that is durable: it will be delivered, whatever happens to the server.
type Accepted struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	// Replayed tells that the key had been used before with the same message: this is the answer of that time.
	Replayed bool `json:"-"`
}

// Publish sends a message under a key of its own, so that a try whose answer was lost does no harm. The error is a *Problem when
// the server refused.
func (c *Client) Publish(ctx context.Context, m Message) (Accepted, error) {
	return c.PublishKey(ctx, rand.Text(), m)
}

// PublishKey is Publish with the caller's key (1 to 255 visible ASCII characters): who repeats it after a crash, with the same
// message and within a day, sends nothing twice.
func (c *Client) PublishKey(ctx context.Context, key string, m Message) (a Accepted, err error) {
	a.Replayed, err = c.post(ctx, "/v1/messages", m, &a, key)
	return a, err
}

// Result is what became of one message of a batch: ID when it was accepted, Problem when it was refused.
type Result struct {
	ID      string   `json:"id"`
	Status  string   `json:"status"` // "accepted" or "refused"
	Problem *Problem `json:"problem"`
}

// PublishBatch sends up to 500 messages under one key ("" makes one) and tells what became of each, in their order. When not one of
// them is good, the error is a *Problem that names the fields of each ("messages[3].type").
func (c *Client) PublishBatch(ctx context.Context, key string, ms []Message) ([]Result, error) {
	var answer struct {
		Data []Result `json:"data"`
	}
	_, err := c.post(ctx, "/v1/messages/batch", map[string]any{"messages": ms}, &answer, or(key, rand.Text()))
	return answer.Data, err
}

// UserToken mints a token for one user, which lives up to an hour, for a browser or a Subscription. The key needs the scope
// tokens:mint.
func (c *Client) UserToken(ctx context.Context, user string) (string, error) {
	var answer struct {
		Token string `json:"token"`
	}
	_, err := c.post(ctx, "/v1/tokens", map[string]any{"user": user}, &answer, "")
	return answer.Token, err
}
