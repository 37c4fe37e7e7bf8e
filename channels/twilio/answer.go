package twilio

import (
	"encoding/json"
	"fmt"
	"time"

	"tidings"
	"tidings/channels/once"
)

// message is Twilio's resource, or its problem: "status" is a word in the first and a number in the second.
type message struct {
	SID       string          `json:"sid"`
	Status    json.RawMessage `json:"status"`
	ErrorCode json.Number     `json:"error_code"`
	Code      json.Number     `json:"code"`
	Message   string          `json:"message"`
}

const (
	rest      = time.Minute     // while our account is at fault
	busyAfter = 2 * time.Second // Twilio seldom names a delay
)

// The codes are those of Twilio's error dictionary; which of them leave what unknown is our reading. A code that is not here is a
// certain no: Twilio gives codes to what it refused.
var verdicts = map[string]tidings.SendError{
	"21211": dead, // invalid To
	"21614": dead, // not a mobile number
	"21217": dead,
	"21610": noAddress, // the receiver has opted out
	"21612": noAddress, // not reachable from this sender
	"30003": noAddress,
	"30004": noAddress,
	"30005": noAddress,
	"30006": noAddress, // a landline
	"21617": {Outcome: tidings.Refused, Reason: tidings.TooLong},
	"20003": ourFault, // authentication
	"20004": ourFault,
	"20005": ourFault, // account not active
	"20006": ourFault,
	"20008": ourFault, // test credentials
	"20404": ourFault, // no such account
	"21603": ourFault, // From is missing
	"21606": ourFault, // From is not ours
	"21212": ourFault, // From is invalid
	"21659": ourFault,
	"21660": ourFault,
	"21701": ourFault, // no such messaging service
	"21703": ourFault, // it has no numbers
	"21704": ourFault,
	"30002": ourFault, // account suspended
	"63038": ourFault, // the account's day is used up
	"20429": busy,
	"14107": busy, // rate exceeded
	"21611": busy, // the sender's queue is full
	"30001": busy, // queue overflow
	"20503": busy,
	"20500": silent,
	"20504": silent,
}

var (
	dead      = tidings.SendError{Outcome: tidings.Refused, Reason: tidings.AddressRefused, AddressDead: true}
	noAddress = tidings.SendError{Outcome: tidings.Refused, Reason: tidings.AddressRefused}
	ourFault  = tidings.SendError{Outcome: tidings.Busy, Reason: tidings.Misconfigured, Configuration: true, After: rest}
	busy      = tidings.SendError{Outcome: tidings.Busy, Reason: tidings.ProviderBusy, After: busyAfter}
	silent    = tidings.SendError{Outcome: tidings.Unknown, Reason: tidings.ProviderSilent}
)

// decode reads an answer: the message, or why there is none. What is not Twilio's JSON comes from something between, and says
// nothing about what Twilio did.
func decode(a once.Answer) (message, error) {
	var m message
	if err := json.Unmarshal(a.Body, &m); err != nil || a.Cut {
		return m, failure(silent, fmt.Errorf("twilio answered %d without its JSON", a.Status))
	}
	if m.Code == "" {
		if !messageSID.MatchString(m.SID) {
			return m, failure(silent, fmt.Errorf("twilio answered %d with neither message nor error", a.Status))
		}
		return m, nil
	}
	e, known := verdicts[string(m.Code)]
	switch {
	case known:
	case a.Status >= 500: // Twilio is ill, and says nothing that we know
		e = silent
	default:
		e = tidings.SendError{Outcome: tidings.Refused, Reason: tidings.ProviderRefused}
	}
	if after := a.RetryAfter(); after > 0 && e.Outcome == tidings.Busy {
		e.After = after
	}
	return m, failure(e, fmt.Errorf("twilio answered %s %s", m.Code, once.Excerpt(m.Message)))
}

func failure(e tidings.SendError, cause error) error {
	e.Err = cause
	return &e
}
