package tidings

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"
)

// Sender is a provider's driver. Send makes one call for one attempt, never retries and never sleeps: the attempt
// row brackets the call, so a hidden second call would be a hidden duplicate. It returns a *SendError when the provider
// did not take it; any other error counts as Unknown.
type Sender interface {
	// Provider names the driver: "kannel", "baidu".
	Provider() string
	Send(ctx context.Context, c Call) (Accepted, error)
}

// BatchSender is a Sender that can hand over one content to many addresses in one call. All calls of a batch have the same
// Message, Content, ExpiresAt, CollapseKey and platform.
type BatchSender interface {
	Sender
	// BatchSize is the most calls one batch may hold.
	BatchSize() int
	// Batches tells whether a call may be one of a batch at all; if not, it is made by itself.
	Batches(c Call) bool
	// SendBatch returns one result for each call, in their order: a provider may take some and refuse others.
	SendBatch(ctx context.Context, cs []Call) []Result
}

// Result is what became of one call of a batch.
type Result struct {
	Accepted
	Err error // as Send returns it
}

// Results gives every one of n calls the same result: that of a provider which answers for a batch as a whole.
func Results(n int, a Accepted, err error) []Result {
	rs := make([]Result, n)
	for i := range rs {
		rs[i] = Result{a, err}
	}
	return rs
}

// Keyer is a Sender whose provider drops a call with an idempotency key that it has seen. The key is asked for before the first
// attempt of a delivery and committed with it; every further attempt at the same integration carries the same one within KeyLives. What a person
// sends again, although it is known what became of it, is a new call with a key of its own.
type Keyer interface {
	Sender
	Key(ctx context.Context) (string, error)
}

// KeyLives is for how long a provider knows a key from the attempt that it was used in. JPush knows one for a day, of which it may have waited half for
// its attempt.
const KeyLives = 11 * time.Hour

// Querier is a Sender whose provider can be asked what became of an attempt: when it sends no reports, or none came.
type Querier interface {
	Sender
	// Query returns a receipt, one without a Kind while the provider does not know yet, or an error when it could not be asked.
	Query(ctx context.Context, q Question) (Receipt, error)
}

// Question names an attempt to a provider.
type Question struct {
	Attempt    ID
	ProviderID string // "" when the call was never answered
	Address    Address
	At         time.Time // of the call
}

// Asked is a question for the provider of an integration.
type Asked struct {
	Question
	Integration string
}

// Reporter is a Sender whose provider calls us with reports of delivery.
type Reporter interface {
	Sender
	// Report reads one such call. Its URL was ours and signed, which the caller has checked; whatever the provider itself
	// signs is checked here. Reports come late, twice and out of order, and their fields are as hostile as any.
	Report(r Report) ([]Receipt, ReportAnswer, error)
}

// Report is a provider's call with reports of delivery.
type Report struct {
	Attempt ID // of the signed URL that was called; 0: the URL is the integration's and the body says which attempts
	Method  string
	URL     string // as the provider called it
	Header  map[string][]string
	Query   map[string][]string
	Body    []byte
}

// ReportAnswer is what a provider wants to hear when its report was kept; the zero value is 204 without a body.
type ReportAnswer struct {
	Status int
	Type   string // of the content
	Body   string
}

// Call is one attempt as the provider's driver sees it.
type Call struct {
	Attempt     ID
	Message     ID
	User        string
	Address     Address
	Content     Content
	ExpiresAt   time.Time
	CollapseKey string
	Key         string // of a Keyer
	// Template is what a provider is given that sends approved templates in place of texts; nil: the template names none, or
	// TemplateError says why it cannot be filled.
	Template      *CallTemplate
	TemplateError string
	Type          string // the message type's name
	Unsubscribe   string // the user's link that mutes the type on the channel, by one click too (RFC 8058); "": there is none
}

// Accepted is a provider's yes.
type Accepted struct {
	ProviderID string // the provider's own id of the hand-over, if it gives one
	Segments   int    // SMS: how many parts the text was cut into; 0 elsewhere
}

// Outcome is what is known of an attempt.
type Outcome string

// The outcomes of a call that did not plainly succeed.
const (
	Refused Outcome = "refused" // the provider said no, and always will: never again
	Busy    Outcome = "busy"    // certainly not taken; worth trying later
	Unknown Outcome = "unknown" // written but unanswered: it may or may not have been taken
)

// SendError is why a provider did not take a call.
type SendError struct {
	Outcome Outcome
	Reason  Reason
	After   time.Duration // Busy: not before this; 0: the caller's own back-off
	// AddressDead says that the address will never work again (a device was unbound).
	AddressDead bool
	// OfAddress says that what is wrong is this address's alone: a merchant's system that is down, a robot that has posted enough.
	// It tells nothing of the provider, who must not rest for it.
	OfAddress bool
	// Configuration says that our account is at fault (credentials, quota), not this delivery.
	Configuration bool
	Err           error
}

func (e *SendError) Error() string {
	return fmt.Sprintf("%s (%s): %v", e.Outcome, e.Reason, e.Err)
}

func (e *SendError) Unwrap() error { return e.Err }

// CollapseID names what a notification replaces on a device: what has the same collapse key, and at least what was sent of the same
// message before. It has at most 64 bytes, which Apple allows.
func CollapseID(c Call) string {
	if c.CollapseKey == "" {
		return c.Message.String()
	}
	if len(c.CollapseKey) <= 64 {
		return c.CollapseKey
	}
	sum := sha256.Sum256([]byte(c.CollapseKey))
	return hex.EncodeToString(sum[:])
}
