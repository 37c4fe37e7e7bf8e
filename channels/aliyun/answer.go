package aliyun

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"tidings"
	"tidings/channels/once"
)

// reply is an answer of any of the calls.
type reply struct {
	Code    string `json:"Code"`
	Message string `json:"Message"`
	BizID   string `json:"BizId"`
	Details struct {
		List []detail `json:"SmsSendDetailDTO"`
	} `json:"SmsSendDetailDTOs"`
}

type detail struct {
	ErrCode string      `json:"ErrCode"`
	Status  json.Number `json:"SendStatus"` // 1 waits for a report, 2 failed, 3 arrived
	OutID   string      `json:"OutId"`
}

const (
	rest      = time.Minute // while our account is at fault
	dayRest   = time.Hour   // until the day's limit is lifted, looked at every hour
	numWindow = time.Minute // of the limits for one number, the shortest of them
	busyAfter = 2 * time.Second
)

var (
	dead     = tidings.SendError{Outcome: tidings.Refused, Reason: tidings.AddressRefused, AddressDead: true}
	no       = tidings.SendError{Outcome: tidings.Refused, Reason: tidings.ProviderRefused}
	badCode  = tidings.SendError{Outcome: tidings.Refused, Reason: tidings.Misconfigured}
	ourFault = tidings.SendError{Outcome: tidings.Busy, Reason: tidings.Misconfigured, Configuration: true, After: rest}
	busy     = tidings.SendError{Outcome: tidings.Busy, Reason: tidings.ProviderBusy, After: busyAfter}
	silent   = tidings.SendError{Outcome: tidings.Unknown, Reason: tidings.ProviderSilent}
)

// The codes are those of Aliyun's list of API errors; which of them leave what unknown is our reading. A code that is not here
// is a certain no. What concerns one template fails the delivery alone; what concerns the account rests it.
var verdicts = map[string]tidings.SendError{
	"isv.MOBILE_NUMBER_ILLEGAL":       dead,
	"isv.MOBILE_COUNT_OVER_LIMIT":     no,
	"isv.BLACK_KEY_CONTROL_LIMIT":     no,
	"isv.TEMPLATE_MISSING_PARAMETERS": {Outcome: tidings.Refused, Reason: tidings.TemplateFailed},
	"isv.INVALID_JSON_PARAM":          {Outcome: tidings.Refused, Reason: tidings.TemplateFailed},
	"isv.PARAM_LENGTH_LIMIT":          {Outcome: tidings.Refused, Reason: tidings.TooLong},
	"isv.PARAM_NOT_SUPPORT_URL":       {Outcome: tidings.Refused, Reason: tidings.TemplateFailed},
	"isv.SMS_TEMPLATE_ILLEGAL":        badCode,
	"isv.SMS_SIGNATURE_ILLEGAL":       badCode,
	"isv.SMS_SIGN_ILLEGAL":            badCode,
	"isv.BUSINESS_LIMIT_CONTROL":      {Outcome: tidings.Busy, OfAddress: true, Reason: tidings.ProviderBusy, After: numWindow},
	"isv.DAY_LIMIT_CONTROL":           {Outcome: tidings.Busy, Reason: tidings.ProviderBusy, After: dayRest},
	"isv.MONTH_LIMIT_CONTROL":         {Outcome: tidings.Busy, Reason: tidings.Misconfigured, Configuration: true, After: dayRest},
	"isv.OUT_OF_SERVICE":              ourFault,
	"isv.AMOUNT_NOT_ENOUGH":           ourFault,
	"isv.ACCOUNT_NOT_EXISTS":          ourFault,
	"isv.ACCOUNT_ABNORMAL":            ourFault,
	"isv.PRODUCT_UN_SUBSCRIPT":        ourFault,
	"isv.PRODUCT_UNSUBSCRIBE":         ourFault,
	"isp.RAM_PERMISSION_DENY":         ourFault,
	"isp.SYSTEM_ERROR":                busy,
	"isp.GATEWAY_ERROR":               silent,
	"SignatureDoesNotMatch":           ourFault,
	"IncompleteSignature":             ourFault,
	"InvalidAccessKeyId.NotFound":     ourFault,
	"InvalidAccessKeyId.Inactive":     ourFault,
	"Forbidden.RAM":                   ourFault,
	"NoPermission":                    ourFault,
	"InvalidTimeStamp.Expired":        busy, // the next call is signed anew
	"SignatureNonceUsed":              busy,
	"ServiceUnavailable":              busy,
	"InternalError":                   silent,
}

// decode reads an answer. What is not Aliyun's JSON comes from something between, and says nothing about what Aliyun did.
func decode(a once.Answer, r *reply) error {
	if err := json.Unmarshal(a.Body, r); err != nil || a.Cut || r.Code == "" {
		return failure(silent, fmt.Errorf("aliyun answered %d without its JSON", a.Status))
	}
	if r.Code == "OK" {
		return nil
	}
	e, known := verdicts[r.Code]
	switch {
	case known:
	case strings.HasPrefix(r.Code, "Throttling"): // Throttling.User, Throttling.Api
		e = busy
	case a.Status >= 500: // Aliyun is ill, and says nothing that we know
		e = silent
	default:
		e = no
	}
	if after := a.RetryAfter(); after > 0 && e.Outcome == tidings.Busy {
		e.After = after
	}
	return failure(e, fmt.Errorf("aliyun answered %s %s", once.Excerpt(r.Code), once.Excerpt(r.Message)))
}

func failure(e tidings.SendError, cause error) error {
	e.Err = cause
	return &e
}
