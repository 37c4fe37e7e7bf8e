package huawei

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
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
	notTheirs   = tidings.SendError{Outcome: tidings.Refused, Reason: tidings.AddressRefused} // for a reason that is not the token's
	nobodyKnows = tidings.SendError{Outcome: tidings.Unknown, Reason: tidings.ProviderSilent}
)

const (
	success = "80000000"
	partial = "80100000"
)

// verdicts are what the codes mean (Push Kit, "response codes"). What is not here is a certain no, or with a status of the server's own
// faults nobody knows.
var verdicts = map[string]tidings.SendError{
	"80100001": wrong, // a parameter
	"80100003": wrong, // the payload
	"80100016": wrong, // forbidden words
	"80200001": ourFault,
	"80200003": ourFault,
	"80200005": ourFault,
	"80300002": ourFault, // no right to push
	"80300007": dead,     // all tokens
	"80300008": {Outcome: tidings.Refused, Reason: tidings.TooLong},
	"80300010": wrong,    // too many tokens
	"80300030": ourFault, // too many tokens for a test
	"80300036": ourFault, // the JWT lives too long
	"80300037": ourFault, // the app is being punished
	"80600003": busy,     // Huawei's own token server
	"81000001": nobodyKnows,
}

// ofToken are the codes with which Huawei refuses an access token, which may only be spent.
var ofToken = map[string]bool{"80200001": true, "80200003": true, "80200005": true}

var errToken = errors.New("the access token was refused")

// decode reads an answer: what became of each token. What is not Huawei's JSON comes from something between, and says nothing about
// what Huawei did. A 503 of Huawei's is flow control, whatever its code.
func decode(a once.Answer, tokens []string) []tidings.Result {
	var r struct {
		Code    string `json:"code"`
		Message string `json:"msg"`
		ID      string `json:"requestId"`
	}
	all := func(verdict tidings.SendError, cause error) []tidings.Result {
		return tidings.Results(len(tokens), tidings.Accepted{}, because(verdict, cause))
	}
	if err := json.Unmarshal(a.Body, &r); err != nil || a.Cut || r.Code == "" {
		return all(nobodyKnows, fmt.Errorf("huawei answered %d without its JSON", a.Status))
	}
	switch r.Code {
	case success:
		return tidings.Results(len(tokens), tidings.Accepted{ProviderID: r.ID}, nil)
	case partial:
		return some(r.ID, r.Message, tokens)
	}
	verdict, known := verdicts[r.Code]
	switch {
	case !known && a.Status == http.StatusServiceUnavailable:
		verdict = busy
	case !known && a.Status >= 500:
		verdict = nobodyKnows
	case !known:
		verdict = wrong
	}
	if verdict.Outcome == tidings.Busy {
		verdict.After = max(verdict.After, a.RetryAfter())
	}
	cause := fmt.Errorf("huawei answered %d %s: %s", a.Status, once.Excerpt(r.Code), once.Excerpt(r.Message))
	if ofToken[r.Code] {
		cause = fmt.Errorf("%w: %w", errToken, cause)
	}
	return all(verdict, cause)
}

// some reads the message of a partial success: how many tokens were taken, and which were not. v1 lists them in illegal_tokens; v3 lists
// them by the reason, of which some are our account's and say nothing against the token. If the lists do not account for every
// failure, nobody knows of the tokens that are in none.
func some(id, message string, tokens []string) []tidings.Result {
	var counts struct {
		Success *int `json:"success"`
		Failure *int `json:"failure"`
	}
	var fields map[string]any
	why := map[string]string{}
	err := errors.Join(json.Unmarshal([]byte(message), &fields), json.Unmarshal([]byte(message), &counts))
	collect(fields, "", why)
	listed := 0
	for _, t := range tokens {
		if _, ok := why[t]; ok {
			listed++
		}
	}
	certain := err == nil && listed > 0 && (counts.Failure == nil || *counts.Failure == listed)
	results := make([]tidings.Result, len(tokens))
	for i, t := range tokens {
		reason, failed := why[t]
		switch {
		case failed && (reason == "" || strings.HasPrefix(reason, "illegal") || strings.HasPrefix(reason, "invalid") || strings.HasPrefix(reason, "token")):
			results[i].Err = because(dead, fmt.Errorf("huawei did not take the token: %s", once.Excerpt(reason)))
		case failed:
			results[i].Err = because(notTheirs, fmt.Errorf("huawei did not take the token: %s", once.Excerpt(reason)))
		case certain:
			results[i].ProviderID = id
		default:
			results[i].Err = because(nobodyKnows, errors.New("huawei took a part, and did not say which"))
		}
	}
	return results
}

// collect notes for each string in lists of v under which name it stands.
func collect(v any, name string, why map[string]string) {
	switch v := v.(type) {
	case string:
		why[v] = name
	case []any:
		for _, e := range v {
			collect(e, name, why)
		}
	case map[string]any:
		for key, e := range v {
			collect(e, key, why)
		}
	}
}

func because(verdict tidings.SendError, cause error) error {
	verdict.Err = cause
	return &verdict
}
