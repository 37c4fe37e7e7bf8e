package tencent

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"tidings"
	"tidings/channels/once"
)

// answer is that of any of the calls.
type answer struct {
	Response *struct {
		Error *struct {
			Code    string
			Message string
		}
		Sent   []status `json:"SendStatusSet"`
		Pulled []pulled `json:"PullSmsSendStatusSet"`
	}
}

// status is what became of one number.
type status struct {
	Serial  string `json:"SerialNo"`
	Number  string `json:"PhoneNumber"`
	Code    string
	Message string
}

const (
	rest      = time.Minute      // while our account is at fault
	dayRest   = time.Hour        // until a day's limit is lifted, looked at every hour
	numWindow = 30 * time.Second // of the limit for one text to one number
	busyAfter = 2 * time.Second
)

var (
	dead     = tidings.SendError{Outcome: tidings.Refused, Reason: tidings.AddressRefused, AddressDead: true}
	blocked  = tidings.SendError{Outcome: tidings.Refused, Reason: tidings.AddressRefused}
	no       = tidings.SendError{Outcome: tidings.Refused, Reason: tidings.ProviderRefused}
	badCode  = tidings.SendError{Outcome: tidings.Refused, Reason: tidings.Misconfigured}
	badData  = tidings.SendError{Outcome: tidings.Refused, Reason: tidings.TemplateFailed}
	tooLong  = tidings.SendError{Outcome: tidings.Refused, Reason: tidings.TooLong}
	ourFault = tidings.SendError{Outcome: tidings.Busy, Reason: tidings.Misconfigured, Configuration: true, After: rest}
	busy     = tidings.SendError{Outcome: tidings.Busy, Reason: tidings.ProviderBusy, After: busyAfter}
	parked   = tidings.SendError{Outcome: tidings.Busy, OfAddress: true, Reason: tidings.ProviderBusy, After: dayRest}
	silent   = tidings.SendError{Outcome: tidings.Unknown, Reason: tidings.ProviderSilent}
)

// verdicts holds codes, and families of codes that end with a point. The longest that fits counts. The codes are those of Tencent's
// error list; which of them leave what unknown is our reading. A code that is not here is a certain no.
var verdicts = map[string]tidings.SendError{
	"InvalidParameterValue.IncorrectPhoneNumber":                dead,
	"InvalidParameterValue.ProhibitedUseUrlInTemplateParameter": badData,
	"InvalidParameterValue.TemplateParameterFormatError":        badData,
	"InvalidParameterValue.TemplateParameterLengthLimit":        tooLong,
	"InvalidParameterValue.ContentLengthLimit":                  tooLong,
	"InvalidParameterValue.SdkAppIdNotExist":                    ourFault,
	"FailedOperation.PhoneNumberInBlacklist":                    blocked,
	"FailedOperation.TemplateParamSetNotMatchApprovedTemplate":  badData,
	"FailedOperation.SignatureIncorrectOrUnapproved":            badCode,
	"FailedOperation.TemplateIncorrectOrUnapproved":             badCode,
	"FailedOperation.TemplateUnapprovedOrNotExist":              badCode,
	"FailedOperation.MissingSignature":                          badCode,
	"FailedOperation.InsufficientBalanceInSmsPackage":           ourFault,
	"FailedOperation.FailResolvePacket":                         busy,
	"LimitExceeded.DeliveryFrequencyLimit":                      {Outcome: tidings.Busy, OfAddress: true, Reason: tidings.ProviderBusy, After: numWindow},
	"LimitExceeded.PhoneNumberThirtySecondLimit":                {Outcome: tidings.Busy, OfAddress: true, Reason: tidings.ProviderBusy, After: numWindow},
	"LimitExceeded.PhoneNumberOneHourLimit":                     parked,
	"LimitExceeded.PhoneNumberDailyLimit":                       parked,
	"LimitExceeded.PhoneNumberSameContentDailyLimit":            parked,
	"LimitExceeded.AppDailyLimit":                               {Outcome: tidings.Busy, Reason: tidings.Misconfigured, Configuration: true, After: dayRest},
	"LimitExceeded.PhoneNumberCountLimit":                       no,
	"LimitExceeded.":                                            parked,
	"RequestLimitExceeded":                                      busy,
	"RequestLimitExceeded.":                                     busy,
	"AuthFailure.SignatureExpire":                               busy, // the next call is signed anew
	"AuthFailure.":                                              ourFault,
	"UnauthorizedOperation":                                     ourFault,
	"UnauthorizedOperation.":                                    ourFault,
	"ResourceUnavailable":                                       busy,
	"InternalError":                                             silent,
	"InternalError.":                                            silent, // Timeout, OtherError: it may have been taken
}

func verdict(code string, status int) tidings.SendError {
	if e, ok := verdicts[code]; ok {
		return e
	}
	family, _, _ := strings.Cut(code, ".")
	if e, ok := verdicts[family+"."]; ok {
		return e
	}
	if status >= 500 { // Tencent is ill, and says nothing that we know
		return silent
	}
	return no
}

// decode reads an answer. What is not Tencent's JSON comes from something between, and says nothing about what Tencent did.
func decode(a once.Answer, into *answer) error {
	if err := json.Unmarshal(a.Body, into); err != nil || a.Cut || into.Response == nil {
		return failure(silent, fmt.Errorf("tencent answered %d without its JSON", a.Status))
	}
	if e := into.Response.Error; e != nil {
		v := verdict(e.Code, a.Status)
		if after := a.RetryAfter(); after > 0 && v.Outcome == tidings.Busy {
			v.After = after
		}
		return failure(v, fmt.Errorf("tencent answered %s %s", once.Excerpt(e.Code), once.Excerpt(e.Message)))
	}
	return nil
}

// results sorts what became of each number to its call. A number that stands in no result is one of which nobody knows.
func results(a answer, numbers []string, parts int) []tidings.Result {
	left := slices.Clone(a.Response.Sent)
	out := make([]tidings.Result, len(numbers))
	for i, n := range numbers {
		at := slices.IndexFunc(left, func(s status) bool { return international(s.Number) == n })
		if at < 0 && len(numbers) == 1 && len(left) == 1 {
			at = 0 // a malformed number comes back in other words
		}
		if at < 0 {
			out[i].Err = failure(silent, fmt.Errorf("tencent answered for other numbers"))
			continue
		}
		s := left[at]
		left = slices.Delete(left, at, at+1)
		if s.Code == "Ok" {
			out[i].Accepted = tidings.Accepted{ProviderID: s.Serial, Segments: parts}
			continue
		}
		out[i].Err = failure(verdict(s.Code, http.StatusOK), fmt.Errorf("tencent answered %s %s", once.Excerpt(s.Code), once.Excerpt(s.Message)))
	}
	return out
}

func failure(e tidings.SendError, cause error) error {
	e.Err = cause
	return &e
}
