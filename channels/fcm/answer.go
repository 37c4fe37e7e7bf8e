package fcm

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"tidings"
	"tidings/channels/once"
)

const (
	rest      = time.Minute // while our account is at fault
	quotaRest = time.Minute // FCM's documents: the first wait after QUOTA_EXCEEDED is at least a minute
)

var (
	ourFault    = tidings.SendError{Outcome: tidings.Busy, Reason: tidings.Misconfigured, After: rest, Configuration: true}
	overQuota   = tidings.SendError{Outcome: tidings.Busy, Reason: tidings.ProviderBusy, After: quotaRest}
	overloaded  = tidings.SendError{Outcome: tidings.Busy, Reason: tidings.ProviderBusy}
	wrong       = tidings.SendError{Outcome: tidings.Refused, Reason: tidings.ProviderRefused}
	nobodyKnows = tidings.SendError{Outcome: tidings.Unknown, Reason: tidings.ProviderSilent}
)

// verdicts are what FCM's own error codes mean (its ErrorCode reference), and after them Google's canonical ones, which stand alone
// when the fault lies before FCM. INTERNAL says nothing of whether the push had been taken by then.
var verdicts = map[string]tidings.SendError{
	"UNREGISTERED":       {Outcome: tidings.Refused, Reason: tidings.AddressRefused, AddressDead: true},
	"SENDER_ID_MISMATCH": {Outcome: tidings.Refused, Reason: tidings.AddressRefused}, // or our project is the wrong one: the address may be good
	"INVALID_ARGUMENT":   wrong,
	"QUOTA_EXCEEDED":     overQuota,
	"UNAVAILABLE":        overloaded,
	"INTERNAL":           nobodyKnows,
	// The project's own credentials at Apple, or at one browser's push service: the others' pushes go on.
	"THIRD_PARTY_AUTH_ERROR": {Outcome: tidings.Busy, OfAddress: true, Reason: tidings.Misconfigured, After: rest, Configuration: true},

	"UNAUTHENTICATED":     ourFault,
	"PERMISSION_DENIED":   ourFault,
	"NOT_FOUND":           ourFault, // a project; a token that is not found is UNREGISTERED
	"FAILED_PRECONDITION": ourFault, // the API is not enabled
	"RESOURCE_EXHAUSTED":  overQuota,
}

// errToken marks that FCM refused the access token, which may only be spent.
var errToken = errors.New("the access token was refused")

type reply struct {
	Name  string `json:"name"`
	Error *struct {
		Status  string `json:"status"`
		Message string `json:"message"`
		Details []struct {
			Code       string `json:"errorCode"`
			Violations []struct {
				Field string `json:"field"`
			} `json:"fieldViolations"`
		} `json:"details"`
	} `json:"error"`
}

// decode reads an answer: FCM's name of the message, or why there is none. What is not FCM's JSON comes from something between,
// and says nothing about what FCM did.
func decode(a once.Answer) (name string, err error) {
	var r reply
	if err := json.Unmarshal(a.Body, &r); err != nil || a.Cut || r.Error == nil && (r.Name == "" || a.Status != 200) {
		return "", because(nobodyKnows, fmt.Errorf("fcm answered %d without its JSON", a.Status))
	}
	if r.Error == nil {
		return r.Name, nil
	}
	code, ofToken := r.Error.Status, false
	for _, d := range r.Error.Details {
		if d.Code != "" {
			code = d.Code
		}
		for _, v := range d.Violations {
			ofToken = ofToken || v.Field == "message.token"
		}
	}
	verdict, known := verdicts[code]
	switch {
	case code == "INVALID_ARGUMENT" && ofToken: // it never was a registration token
		verdict = tidings.SendError{Outcome: tidings.Refused, Reason: tidings.AddressRefused, AddressDead: true}
	case !known && a.Status >= 500:
		verdict = nobodyKnows
	case !known:
		verdict = wrong // a code is a certain no
	}
	if after := a.RetryAfter(); verdict.Outcome == tidings.Busy {
		verdict.After = max(verdict.After, after)
	}
	cause := fmt.Errorf("fcm answered %d %s: %s", a.Status, once.Excerpt(code), once.Excerpt(r.Error.Message))
	if code == "UNAUTHENTICATED" {
		cause = fmt.Errorf("%w: %w", errToken, cause)
	}
	return "", because(verdict, cause)
}

func because(verdict tidings.SendError, cause error) error {
	verdict.Err = cause
	return &verdict
}

// decodeToken reads the token endpoint's answer (RFC 6749, 5). Every error there is our account's, except a server that is down.
func decodeToken(a once.Answer) (token string, life time.Duration, err error) {
	var r struct {
		Token   string `json:"access_token"`
		Expires int64  `json:"expires_in"`
		Error   string `json:"error"`
		Why     string `json:"error_description"`
	}
	switch err := json.Unmarshal(a.Body, &r); {
	case err == nil && !a.Cut && a.Status == 200 && r.Token != "" && r.Expires > 0:
		return r.Token, time.Duration(r.Expires) * time.Second, nil
	case err == nil && r.Error != "" && a.Status < 500:
		return "", 0, because(ourFault, fmt.Errorf("no access token: %s: %s", once.Excerpt(r.Error), once.Excerpt(r.Why)))
	}
	return "", 0, because(tidings.SendError{Outcome: tidings.Busy, Reason: tidings.ProviderDown, After: a.RetryAfter()},
		fmt.Errorf("no access token: the answer was %d", a.Status))
}
