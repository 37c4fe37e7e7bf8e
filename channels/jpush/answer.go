package jpush

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"tidings"
	"tidings/channels/once"
)

const rest = time.Minute // while our account is at fault

var (
	ourFault    = tidings.SendError{Outcome: tidings.Busy, Reason: tidings.Misconfigured, After: rest, Configuration: true}
	wrong       = tidings.SendError{Outcome: tidings.Refused, Reason: tidings.ProviderRefused}
	nobodyKnows = tidings.SendError{Outcome: tidings.Unknown, Reason: tidings.ProviderSilent}
)

// verdicts are what the codes of the push API mean. 1000 and 1030 are faults and time-outs inside JPush, of which nobody knows how far they
// got; the cid makes a resend harmless.
var verdicts = map[int]tidings.SendError{
	1000: nobodyKnows,
	1001: wrong, // not a POST
	1002: wrong, // a parameter is missing
	1003: wrong, // a parameter is invalid
	1004: ourFault,
	1005: {Outcome: tidings.Refused, Reason: tidings.TooLong},
	1008: ourFault, // app_key
	1009: wrong,
	1011: {Outcome: tidings.Refused, Reason: tidings.AddressRefused, AddressDead: true}, // nobody among those addressed is a device of the app
	1012: ourFault,
	1020: ourFault, // only HTTPS
	1030: nobodyKnows,
	2002: {Outcome: tidings.Busy, Reason: tidings.ProviderBusy}, // calls of this minute are used up
	2003: ourFault,                                              // our address is not on the app's list
	2004: ourFault,
}

// id is a JSON string or number. A 64-bit number must not pass through a float.
type id string

// UnmarshalJSON reads either.
func (i *id) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) == nil {
		*i = id(s)
		return nil
	}
	var n json.Number
	err := json.Unmarshal(b, &n)
	*i = id(n)
	return err
}

// decode reads an answer: JPush's id of the push, or why there is none. What is not JPush's JSON comes from something between, and
// says nothing about what JPush did.
func decode(a once.Answer) (providerID string, err error) {
	var r struct {
		ID    id `json:"msg_id"`
		Error *struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if err := json.Unmarshal(a.Body, &r); err != nil || a.Cut || r.Error == nil && (r.ID == "" || a.Status != 200) {
		return "", because(nobodyKnows, fmt.Errorf("jpush answered %d without its JSON", a.Status))
	}
	if r.Error == nil {
		return string(r.ID), nil
	}
	verdict, known := verdicts[r.Error.Code]
	switch {
	case !known && a.Status >= 500:
		verdict = nobodyKnows
	case !known:
		verdict = wrong // a code is a certain no
	}
	if verdict.Outcome == tidings.Busy {
		verdict.After = max(verdict.After, a.RetryAfter(), reset(a))
	}
	return "", because(verdict, fmt.Errorf("jpush answered %d %d: %s", a.Status, r.Error.Code, once.Excerpt(r.Error.Message)))
}

func because(verdict tidings.SendError, cause error) error {
	verdict.Err = cause
	return &verdict
}

// reset is when the account may call again: JPush says it in seconds, beside how many calls are left.
func reset(a once.Answer) time.Duration {
	d, err := time.ParseDuration(a.Header.Get("X-Rate-Limit-Reset") + "s")
	if err != nil || d < 0 || a.Header.Get("X-Rate-Limit-Remaining") != "0" {
		return 0
	}
	return min(d, time.Hour)
}

var beijing = time.FixedZone("UTC+8", 8*60*60)

// Query asks what became of a push on a device. JPush answers VIP accounts only. A push that was never answered has no id to ask
// for; it may be sent again with its cid instead.
func (s *VIP) Query(ctx context.Context, q tidings.Question) (tidings.Receipt, error) {
	if q.ProviderID == "" {
		return tidings.Receipt{}, nil
	}
	body, err := marshal(map[string]any{"msg_id": json.Number(q.ProviderID), "registration_ids": []string{q.Address.Value}, "date": q.At.In(beijing).Format(time.DateOnly)})
	if err != nil {
		return tidings.Receipt{}, err
	}
	answer, err := s.client.Post(ctx, s.reportURL+"/v3/status/message", s.header.Clone(), body)
	if err != nil {
		return tidings.Receipt{}, err
	}
	var r map[string]struct {
		Status *int `json:"status"`
	}
	if err := json.Unmarshal(answer.Body, &r); err != nil || answer.Status != 200 || answer.Cut {
		return tidings.Receipt{}, fmt.Errorf("jpush's report was %d: %s", answer.Status, once.Excerpt(string(answer.Body)))
	}
	status := r[q.Address.Value].Status
	receipt := tidings.Receipt{Attempt: q.Attempt, ProviderID: q.ProviderID}
	switch {
	case status == nil:
		return receipt, nil
	case *status == 0:
		receipt.Kind = tidings.ReceiptDelivered
	case *status == 2, *status == 3: // not a device of the app, not one the push was for
		receipt.Kind, receipt.Detail = tidings.ReceiptNotDelivered, fmt.Sprintf("jpush: status %d", *status)
	case *status != 1: // 1: not yet
		return tidings.Receipt{}, errors.New("jpush could not tell")
	}
	return receipt, nil
}
