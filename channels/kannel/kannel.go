// Package kannel sends SMS through the HTTP interface of a Kannel gateway (smsbox's sendsms).
//
// The facts are Kannel 1.4.5's: it answers without an id, so a delivery report finds its attempt by our own id in the
// report's URL; it is at least once itself and never drops a repeat, so the call is made once; it sends garbage without
// complaint if coding and charset are missing, and cuts a text off after max-messages parts.
package kannel

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"tidings"
	"tidings/channels/once"
)

// DefaultMaxParts is the longest SMS that is sent; Kannel's max-messages must not be less (its own default is 10).
const DefaultMaxParts = 10

const (
	allReports    = "31"            // dlr-mask: delivered 1, not delivered 2, buffered 4, accepted 8, rejected 16
	misconfigured = time.Minute     // how long calls rest while our account at Kannel is at fault
	maxValidity   = 7 * 24 * 60     // minutes; beyond it Kannel and operators keep their own limit
	busyAfter     = 2 * time.Second // Kannel names no delay
	receiptsDoor  = "/v1/receipts/kannel"
)

// Config says which gateway, as whom, and where its reports go.
type Config struct {
	URL      string // of sendsms: http://127.0.0.1:13013/cgi-bin/sendsms
	User     string
	Password string
	From     string // the sender shown; empty: Kannel's global-sender
	// PublicURL is the base of the URL that Kannel calls with reports, and Sign what proves that a report's URL is ours:
	// Kannel signs nothing itself.
	PublicURL string
	Sign      func(attempt tidings.ID) string
	// ReportURL makes the whole URL of an attempt's reports, signed; it takes the place of PublicURL and Sign.
	ReportURL func(attempt tidings.ID) string
	MaxParts  int              // 0: DefaultMaxParts
	Now       func() time.Time // nil: time.Now
}

// Sender is a tidings.Sender over one Kannel.
type Sender struct {
	config Config
	client *once.Client
}

var _ tidings.Sender = (*Sender)(nil)

// New checks the configuration and returns a Sender. It does not call Kannel.
func New(c Config) (*Sender, error) {
	urls := map[string]string{"URL": c.URL, "public URL": c.PublicURL}
	if c.ReportURL != nil {
		delete(urls, "public URL")
	}
	for name, value := range urls {
		u, err := url.Parse(value)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fmt.Errorf("kannel: the %s %q is not an http URL", name, value)
		}
	}
	for name, value := range map[string]string{"user": c.User, "password": c.Password, "sender": c.From} {
		if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7F }) {
			return nil, fmt.Errorf("kannel: the %s holds a control character", name)
		}
	}
	if c.Sign == nil && c.ReportURL == nil {
		return nil, errors.New("kannel: no signer for report URLs")
	}
	if c.MaxParts == 0 {
		c.MaxParts = DefaultMaxParts
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Sender{config: c, client: once.New()}, nil
}

// Provider names the driver.
func (s *Sender) Provider() string { return "kannel" }

// Close drops the kept connections.
func (s *Sender) Close() { s.client.Close() }

// number is E.164 with or without the plus. Kannel would take a space for a second receiver.
var number = regexp.MustCompile(`^\+?[0-9]{3,15}$`)

// Send hands one SMS to Kannel. What cannot be sent as it is (no text, too many parts, a number that is none, too late) is
// refused without a call.
func (s *Sender) Send(ctx context.Context, c tidings.Call) (tidings.Accepted, error) {
	text := tidings.PadSMS(tidings.CleanSMS(c.Content.Body))
	parts, encoding := tidings.SMSParts(text)
	validity, err := s.validity(c.ExpiresAt)
	switch {
	case err != nil:
		return tidings.Accepted{}, err
	case !number.MatchString(c.Address.Value):
		e := refused(tidings.AddressRefused, "the address is not a phone number")
		e.AddressDead = true
		return tidings.Accepted{}, e
	case parts == 0:
		return tidings.Accepted{}, refused(tidings.TemplateFailed, "the text is empty")
	case parts > s.config.MaxParts:
		return tidings.Accepted{}, refused(tidings.TooLong, fmt.Sprintf("%d parts, at most %d are sent", parts, s.config.MaxParts))
	}
	header := s.header(c, encoding)
	if validity > 0 {
		header.Set("X-Kannel-Validity", strconv.Itoa(validity))
	}
	answer, err := s.client.Post(ctx, s.config.URL, header, []byte(text))
	if err != nil {
		return tidings.Accepted{}, err
	}
	if err := classify(answer); err != nil {
		return tidings.Accepted{}, err
	}
	return tidings.Accepted{Segments: parts}, nil
}

// validity is how many minutes Kannel and the operator are asked to go on trying at most; 0: no limit. Less than
// a minute counts as one, the least Kannel knows.
func (s *Sender) validity(expires time.Time) (int, error) {
	if expires.IsZero() {
		return 0, nil
	}
	left := expires.Sub(s.config.Now())
	if left <= 0 {
		return 0, refused(tidings.TimeRanOut, "it expired before the call")
	}
	return min(max(int(left/time.Minute), 1), maxValidity), nil
}

func (s *Sender) header(c tidings.Call, encoding string) http.Header {
	coding := "0"
	if encoding == tidings.UCS2 {
		coding = "2"
	}
	h := http.Header{
		"Content-Type":      {"text/plain; charset=UTF-8"},
		"X-Kannel-Username": {s.config.User},
		"X-Kannel-Password": {s.config.Password},
		"X-Kannel-To":       {c.Address.Value},
		"X-Kannel-Coding":   {coding},
		"X-Kannel-Dlr-Mask": {allReports},
		"X-Kannel-Dlr-Url":  {s.reportURL(c.Attempt)},
		"User-Agent":        {"tidings"},
	}
	if s.config.From != "" {
		h.Set("X-Kannel-From", s.config.From)
	}
	return h
}

// reportURL is what Kannel calls with reports. %d and %A are Kannel's to fill; every other percent sign is doubled so that
// it is not.
func (s *Sender) reportURL(attempt tidings.ID) string {
	if s.config.ReportURL == nil {
		base := strings.TrimSuffix(s.config.PublicURL, "/") + receiptsDoor + "?attempt=" + attempt.String() +
			"&sig=" + url.QueryEscape(s.config.Sign(attempt))
		return strings.ReplaceAll(base, "%", "%%") + "&type=%d&reply=%A"
	}
	base := s.config.ReportURL(attempt)
	mark := "?"
	if strings.Contains(base, "?") {
		mark = "&"
	}
	return strings.ReplaceAll(base, "%", "%%") + mark + "type=%d&reply=%A"
}

func refused(reason tidings.Reason, why string) *tidings.SendError {
	return &tidings.SendError{Outcome: tidings.Refused, Reason: reason, Err: errors.New(why)}
}

// classify reads Kannel's answer (user guide, "SMS push reply codes"; texts from smsbox 1.4.5). nil: Kannel has it,
// queued or passed on.
func classify(a once.Answer) error {
	text := strings.ToLower(string(a.Body))
	e := &tidings.SendError{Err: fmt.Errorf("kannel answered %d %s", a.Status, excerpt(string(a.Body)))}
	switch {
	case a.Status == http.StatusAccepted:
		return nil
	case a.Status == http.StatusTooManyRequests,
		a.Status == http.StatusServiceUnavailable && (strings.Contains(text, "temporal failure") || a.RetryAfter() > 0):
		e.Outcome, e.Reason, e.After = tidings.Busy, tidings.ProviderBusy, busyAfter
		if after := a.RetryAfter(); after > 0 {
			e.After = after
		}
	case a.Status == http.StatusBadRequest && (strings.Contains(text, "number") || strings.Contains(text, "receiver")):
		e.Outcome, e.Reason = tidings.Refused, tidings.AddressRefused
	case a.Status == http.StatusBadRequest, a.Status == http.StatusRequestEntityTooLarge:
		e.Outcome, e.Reason = tidings.Refused, tidings.ProviderRefused
	case a.Status >= 300 && a.Status < 500: // wrong password, wrong path, a login page before it
		e.Outcome, e.Reason, e.Configuration, e.After = tidings.Busy, tidings.Misconfigured, true, misconfigured
	default: // a 5xx that may be a proxy's, an answer that is not sendsms's
		e.Outcome, e.Reason = tidings.Unknown, tidings.ProviderSilent
	}
	return e
}
