package apns

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"tidings"
	"tidings/channels/once"
)

const rest = time.Minute // while our account is at fault

var (
	ourFault    = tidings.SendError{Outcome: tidings.Busy, Reason: tidings.Misconfigured, After: rest, Configuration: true}
	busy        = tidings.SendError{Outcome: tidings.Busy, Reason: tidings.ProviderBusy}
	wrong       = tidings.SendError{Outcome: tidings.Refused, Reason: tidings.ProviderRefused}
	dead        = tidings.SendError{Outcome: tidings.Refused, Reason: tidings.AddressRefused, AddressDead: true}
	nobodyKnows = tidings.SendError{Outcome: tidings.Unknown, Reason: tidings.ProviderSilent}
)

// verdicts are what Apple's reasons mean ("Handling notification responses from APNs").
var verdicts = map[string]tidings.SendError{
	"BadDeviceToken":         dead,
	"Unregistered":           dead,
	"ExpiredToken":           dead,
	"DeviceTokenNotForTopic": {Outcome: tidings.Refused, Reason: tidings.AddressRefused}, // or our topic is the wrong one: the address may be good

	"BadCollapseId": wrong, "BadExpirationDate": wrong, "BadMessageId": wrong, "BadPriority": wrong, "DuplicateHeaders": wrong, "InvalidPushType": wrong,
	"MissingDeviceToken": wrong, "PayloadEmpty": wrong, "BadPath": wrong, "MethodNotAllowed": wrong,
	"PayloadTooLarge": {Outcome: tidings.Refused, Reason: tidings.TooLong},

	"BadTopic": ourFault, "MissingTopic": ourFault, "TopicDisallowed": ourFault, "BadCertificate": ourFault, "BadCertificateEnvironment": ourFault,
	"ExpiredProviderToken": ourFault, "Forbidden": ourFault, "InvalidProviderToken": ourFault, "MissingProviderToken": ourFault,
	"UnrelatedKeyIdInToken": ourFault, "BadEnvironmentKeyIdInToken": ourFault, "TooManyProviderTokenUpdates": ourFault,

	"TooManyRequests": {Outcome: busy.Outcome, OfAddress: true, Reason: busy.Reason, After: busy.After}, // for one device
	"IdleTimeout":     busy, "ServiceUnavailable": busy, "Shutdown": busy,
	"InternalServerError": nobodyKnows,
}

// errExpired marks that Apple calls our JWT expired.
var errExpired = errors.New("the provider token is expired")

// decode reads an answer: the apns-id, or why the push was not taken. A success has no body; everything else has a reason in JSON,
// or comes from something between, which says nothing about what Apple did.
func decode(a once.Answer) (id string, err error) {
	if id = a.Header.Get("Apns-Id"); a.Status == http.StatusOK && id != "" {
		return id, nil
	}
	var r struct {
		Reason string `json:"reason"`
	}
	if err := json.Unmarshal(a.Body, &r); err != nil || a.Cut || r.Reason == "" {
		return "", because(nobodyKnows, fmt.Errorf("apns answered %d without its reason", a.Status))
	}
	verdict, known := verdicts[r.Reason]
	switch {
	case !known && a.Status >= 500:
		verdict = nobodyKnows
	case !known:
		verdict = wrong // a reason is a certain no
	}
	if verdict.Outcome == tidings.Busy {
		verdict.After = max(verdict.After, a.RetryAfter())
	}
	cause := fmt.Errorf("apns answered %d %s", a.Status, once.Excerpt(r.Reason))
	if r.Reason == "ExpiredProviderToken" {
		cause = fmt.Errorf("%w: %w", errExpired, cause)
	}
	return "", because(verdict, cause)
}

func because(verdict tidings.SendError, cause error) error {
	verdict.Err = cause
	return &verdict
}
