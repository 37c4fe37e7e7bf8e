package twilio

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"tidings"
	"tidings/channels/once"
)

// kinds are the states of a message (Twilio's OpenAPI, message_enum_status). Those on the way say that Twilio has it, which
// settles an attempt whose answer was lost.
var kinds = map[string]tidings.ReceiptKind{
	"accepted":    tidings.ReceiptAccepted,
	"scheduled":   tidings.ReceiptAccepted,
	"queued":      tidings.ReceiptAccepted,
	"sending":     tidings.ReceiptAccepted,
	"sent":        tidings.ReceiptAccepted,
	"delivered":   tidings.ReceiptDelivered,
	"read":        tidings.ReceiptDelivered,
	"undelivered": tidings.ReceiptNotDelivered,
	"failed":      tidings.ReceiptNotDelivered,
	"canceled":    tidings.ReceiptNotDelivered,
}

func receipt(sid, status, code string) tidings.Receipt {
	r := tidings.Receipt{ProviderID: sid, Kind: kinds[status], Detail: status}
	if code != "" {
		r.Detail += " " + once.Excerpt(code)
	}
	return r
}

// Report reads a status callback, which Twilio signs over the URL that we gave it.
func (s *Sender) Report(r tidings.Report) ([]tidings.Receipt, tidings.ReportAnswer, error) {
	var none tidings.ReportAnswer
	form, err := url.ParseQuery(string(r.Body))
	if err != nil {
		return nil, none, tidings.Errorf(tidings.Invalid, "the body is no form")
	}
	signature := http.Header(r.Header).Get("X-Twilio-Signature")
	addresses := []string{r.URL} // a proxy may have changed the scheme that we see
	if s.setup.ReportURL != nil && r.Attempt != 0 {
		addresses = append(addresses, s.setup.ReportURL(r.Attempt))
	}
	if !slices.ContainsFunc(addresses, func(a string) bool { return hmac.Equal([]byte(signature), []byte(sign(s.token, a, form))) }) {
		return nil, none, tidings.Errorf(tidings.Forbidden, "the report's signature is not Twilio's")
	}
	status := strings.ToLower(form.Get("MessageStatus"))
	sid := form.Get("MessageSid")
	if kinds[status] == "" || !messageSID.MatchString(sid) {
		return nil, none, tidings.Errorf(tidings.Invalid, "the report has no known MessageStatus or no MessageSid")
	}
	got := receipt(sid, status, form.Get("ErrorCode"))
	got.Attempt = r.Attempt
	return []tidings.Receipt{got}, none, nil
}

// sign is base64 of HMAC-SHA1, by the auth token, over the URL and each field's name and value in the order of the names
// (Twilio, "Validating requests").
func sign(token, address string, form url.Values) string {
	mac := hmac.New(sha1.New, []byte(token))
	io.WriteString(mac, address)
	for _, name := range slices.Sorted(maps.Keys(form)) {
		for _, value := range slices.Compact(slices.Sorted(slices.Values(form[name]))) {
			io.WriteString(mac, name+value)
		}
	}
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// Query asks for the message by Twilio's id. Without one it cannot be told from others to the same number, and nothing is
// known.
func (s *Sender) Query(ctx context.Context, q tidings.Question) (tidings.Receipt, error) {
	if !messageSID.MatchString(q.ProviderID) {
		return tidings.Receipt{}, nil
	}
	answer, err := s.client.Get(ctx, s.url+"/Messages/"+q.ProviderID+".json", s.header())
	if err != nil {
		return tidings.Receipt{}, err
	}
	m, err := decode(answer)
	if err != nil {
		return tidings.Receipt{}, err
	}
	var status string
	if err := json.Unmarshal(m.Status, &status); err != nil {
		return tidings.Receipt{}, err
	}
	got := receipt(m.SID, status, string(m.ErrorCode))
	got.Attempt = q.Attempt
	return got, nil
}
