package comet

import "time"

// Code says why a connection was closed and what follows: 3000 to 3499 come back, 3500 to 3999 do not.
type Code int

// The codes.
const (
	GoingAway    Code = 3000 // the node is being stopped: come back, another one serves you
	TokenExpired Code = 3001 // come back with a new token
	TooSlow      Code = 3002 // what waited for the client grew too long: come back with the cursor
	Replaced     Code = 3500 // a newer connection of the same client took over
	TooManyOpen  Code = 3501 // the user opened more connections than allowed, this was the oldest
	BadFrame     Code = 3502 // the client said what it must not: a fault of its program, which would do it again
)

var codeTexts = map[Code]string{
	GoingAway: "going_away", TokenExpired: "token_expired", TooSlow: "too_slow", Replaced: "replaced", TooManyOpen: "too_many_open",
	BadFrame: "bad_frame",
}

// text is the code's stable word, or "" for a number that is no code.
func (c Code) text() string { return codeTexts[c] }

// Again tells whether the client should come back.
func (c Code) Again() bool { return c < 3500 }

// Close is the last thing a connection hears.
type Close struct {
	Code   Code   `json:"code"`
	Reason string `json:"reason"`
	// RetryMS is how long the client waits before it comes back, so that a drained node's clients do not come all at once.
	RetryMS int64 `json:"retry_ms,omitempty"`
}

func (c Code) closing(after time.Duration) *Close {
	return &Close{Code: c, Reason: c.text(), RetryMS: after.Milliseconds()}
}
