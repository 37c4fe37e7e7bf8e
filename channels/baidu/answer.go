package baidu

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"

	"tidings"
	"tidings/channels/once"
)

// verdict is what an error code means for a call. The codes are those of Baidu's own SDKs (PushConstants); which of
// them are certain, and how long to rest, is our reading.
type verdict struct {
	outcome tidings.Outcome
	reason  tidings.Reason
	after   time.Duration
	dead    bool // the device must bind again before it can be reached
	config  bool
}

const (
	rest      = time.Minute // while our account is at fault
	quotaRest = time.Hour   // until Baidu's day rolls over, looked at every hour
)

var (
	refusedForGood = verdict{outcome: tidings.Refused, reason: tidings.ProviderRefused}
	ourFault       = verdict{outcome: tidings.Busy, reason: tidings.Misconfigured, after: rest, config: true}
	deadAddress    = verdict{outcome: tidings.Refused, reason: tidings.AddressRefused, dead: true}
	nobodyKnows    = verdict{outcome: tidings.Unknown, reason: tidings.ProviderSilent}
)

var verdicts = map[int64]verdict{
	30600: nobodyKnows,                                                                            // Internal Server Error
	30601: refusedForGood,                                                                         // Method Not Allowed
	30602: refusedForGood,                                                                         // Request Params Not Valid
	30603: ourFault,                                                                               // Authentication Failed
	30604: {outcome: tidings.Busy, reason: tidings.Misconfigured, after: quotaRest, config: true}, // Quota Use Up
	30605: refusedForGood,                                                                         // Data Required Not Found
	30606: {outcome: tidings.Busy, reason: tidings.ProviderBusy, after: time.Second},              // Request Time Expires: the next call is signed anew
	30607: deadAddress,                                                                            // Channel Token Timeout
	30608: deadAddress,                                                                            // Bind Relation Not Found
	30609: refusedForGood,                                                                         // Bind Number Too Many
	30610: nobodyKnows,                                                                            // Duplicate Operation: documented for tags only
	30611: refusedForGood,                                                                         // Group Not Found
	30612: ourFault,                                                                               // Application Not In Whitelist
	30613: ourFault,                                                                               // Application Has Not Been Initialized
	30614: refusedForGood,                                                                         // Tags Per User Too Many
	30615: refusedForGood,                                                                         // Tags Per Application Too Many
	30616: ourFault,                                                                               // Application Has No Unicast Capability
	30617: ourFault,                                                                               // Application Has No Multicast Capability
	30618: ourFault,                                                                               // Application Not Approved
	30699: {outcome: tidings.Busy, reason: tidings.ProviderBusy, after: 2 * time.Second},          // Requests Are Too Frequent
	// The user blacked this app.
	110001: deadAddress,
}

// reply is an answer's body. msg_id is a number in Baidu's documents and a string in others.
type reply struct {
	RequestID json.Number `json:"request_id"`
	Code      json.Number `json:"error_code"`
	Message   string      `json:"error_msg"`
	Result    *struct {
		ID id `json:"msg_id"`
	} `json:"response_params"`
}

// id is a JSON string or number. A 64-bit number must not pass through a float.
type id string

// UnmarshalJSON reads either.
func (i *id) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		var s string
		err := json.Unmarshal(b, &s)
		*i = id(s)
		return err
	}
	var n json.Number
	err := json.Unmarshal(b, &n)
	*i = id(n)
	return err
}

// decode reads an answer: Baidu's id of the push, or why there is none. An answer that is not Baidu's JSON comes from
// something between, and says nothing about what Baidu did.
func decode(a once.Answer) (providerID string, err error) {
	var r reply
	if err := json.Unmarshal(a.Body, &r); err != nil || a.Cut {
		return "", nobodyKnows.error(fmt.Errorf("baidu answered %d without its JSON", a.Status))
	}
	if r.Code == "" {
		if r.Result == nil {
			return "", nobodyKnows.error(fmt.Errorf("baidu answered %d with neither result nor error", a.Status))
		}
		return string(r.Result.ID), nil
	}
	code, _ := r.Code.Int64() // 0, an unknown code, if it is none
	v, known := verdicts[code]
	switch {
	case known:
	case a.Status >= 500: // Baidu is ill, and says nothing that we know
		v = nobodyKnows
	default:
		v = refusedForGood // a code is a certain no
	}
	if after := a.RetryAfter(); after > 0 && v.outcome == tidings.Busy {
		v.after = after
	}
	return "", v.error(fmt.Errorf("baidu answered %s %s", r.Code, oneLine(r.Message)))
}

func (v verdict) error(cause error) error {
	return &tidings.SendError{Outcome: v.outcome, Reason: v.reason, After: v.after, AddressDead: v.dead, Configuration: v.config, Err: cause}
}

// oneLine makes Baidu's words fit for a row or a log.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, strings.ToValidUTF8(s, ""))
	if runes := []rune(s); len(runes) > 200 {
		s = string(runes[:200])
	}
	return s
}
