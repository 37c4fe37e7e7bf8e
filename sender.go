package tidings

import (
	"context"
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
// Message, Content, ExpiresAt, CollapseKey and platform. The answer holds for each of them.
type BatchSender interface {
	Sender
	// BatchSize is the most calls one batch may hold.
	BatchSize() int
	// Batches tells whether a call may be one of a batch at all; if not, it is made by itself.
	Batches(c Call) bool
	SendBatch(ctx context.Context, cs []Call) (Accepted, error)
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
	// Configuration says that our account is at fault (credentials, quota), not this delivery.
	Configuration bool
	Err           error
}

func (e *SendError) Error() string {
	return fmt.Sprintf("%s (%s): %v", e.Outcome, e.Reason, e.Err)
}

func (e *SendError) Unwrap() error { return e.Err }
