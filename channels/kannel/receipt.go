package kannel

import (
	"maps"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"tidings"
	"tidings/channels/once"
)

// kinds are Kannel's report types (gw/dlr.h). 34 and 66 are its "expired" and "unknown at the operator": both are ends at
// which nothing arrived as far as the operator knows.
var kinds = map[int]tidings.ReceiptKind{
	1:  tidings.ReceiptDelivered,
	2:  tidings.ReceiptNotDelivered,
	4:  tidings.ReceiptBuffered,
	8:  tidings.ReceiptAccepted,
	16: tidings.ReceiptRejected,
	34: tidings.ReceiptNotDelivered,
	66: tidings.ReceiptNotDelivered,
}

// ParseReceipt reads the query of a report that Kannel sent to the URL that Send gave it. The caller checks "sig" first.
// Reports come in any order and more than once. detail is the operator's own words without numbers and texts.
func ParseReceipt(query url.Values) (attempt tidings.ID, kind tidings.ReceiptKind, detail string, err error) {
	var errs tidings.FieldErrors
	attempt, parseErr := tidings.ParseID(query.Get("attempt"))
	if parseErr != nil {
		errs.Add("attempt", "malformed", parseErr.Error())
	}
	number, parseErr := strconv.Atoi(query.Get("type"))
	kind = kinds[number]
	if parseErr != nil || kind == "" {
		errs.Add("type", "unknown", "one of 1, 2, 4, 8, 16, 34, 66")
	}
	if err := errs.Err(tidings.Invalid); err != nil {
		return 0, "", "", err
	}
	return attempt, kind, excerpt(query.Get("reply")), nil
}

var reportText = regexp.MustCompile(`(?i)\btext:.*`) // SMPP reports repeat the beginning of the SMS

// excerpt is once.Excerpt without the message's text.
func excerpt(s string) string {
	return strings.TrimSpace(reportText.ReplaceAllString(once.Excerpt(s), ""))
}

var _ tidings.Reporter = (*Sender)(nil)

// Report reads a report on an attempt from the query of a signed URL. Kannel signs nothing itself.
func (s *Sender) Report(r tidings.Report) ([]tidings.Receipt, tidings.ReportAnswer, error) {
	query := url.Values{}
	maps.Copy(query, r.Query)
	query.Set("attempt", r.Attempt.String())
	attempt, kind, detail, err := ParseReceipt(query)
	if err != nil {
		return nil, tidings.ReportAnswer{}, err
	}
	return []tidings.Receipt{{Attempt: attempt, Kind: kind, Detail: detail}}, tidings.ReportAnswer{}, nil
}
