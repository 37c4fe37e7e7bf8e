// Package twilio sends SMS through Twilio's API 2010-04-01.
//
// Twilio documents no idempotency key for new messages, so the call is made once. Each call names a status callback of its own, so
// that a report finds its attempt though the answer with Twilio's id was lost.
package twilio

import (
	"context"
	"encoding/base64"
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

const (
	maxRunes    = 1600           // of a body; Twilio refuses more (error 21617)
	maxValidity = 4 * time.Hour  // of ValidityPeriod, whose bound Twilio raised later
	maxURL      = 4000           // bytes of StatusCallback
	api         = "/2010-04-01/" // the version that every path begins with
)

// Driver offers Twilio for any phone number.
var Driver = tidings.Driver{
	Provider: "twilio", Channel: tidings.SMS,
	Fields: []tidings.Field{
		{Name: "account", Required: true, Help: "the account's SID: AC..."},
		{Name: "token", Secret: true, Required: true, Help: "the account's auth token; it signs the callbacks as well"},
		{Name: "from", Help: "the number or name that sends; or give a messaging service"},
		{Name: "service", Help: "the messaging service's SID: MG..."},
		{Name: "url", Default: "https://api.twilio.com", Help: "scheme and host of the API"},
	},
	Open: open,
}

// Sender is a tidings.Sender over one account.
type Sender struct {
	setup   tidings.Setup
	account string
	token   string
	url     string // of the account
	client  *once.Client
}

var (
	_ tidings.Querier  = (*Sender)(nil)
	_ tidings.Reporter = (*Sender)(nil)

	accountSID = regexp.MustCompile(`^AC[0-9a-fA-F]{32}$`)
	serviceSID = regexp.MustCompile(`^MG[0-9a-fA-F]{32}$`)
	messageSID = regexp.MustCompile(`^(SM|MM)[0-9a-fA-F]{32}$`)
	number     = regexp.MustCompile(`^\+?[1-9][0-9]{4,14}$`)
)

func open(s tidings.Setup) (tidings.Sender, error) {
	v := s.Values
	var errs tidings.FieldErrors
	if !accountSID.MatchString(v["account"]) {
		errs.Add("account", "malformed", "AC and 32 hexadecimal digits")
	}
	if v["token"] == "" {
		errs.Add("token", "required", "calls are made with it")
	}
	if v["service"] != "" && !serviceSID.MatchString(v["service"]) {
		errs.Add("service", "malformed", "MG and 32 hexadecimal digits")
	}
	if (v["from"] == "") == (v["service"] == "") {
		errs.Add("from", "required", "either a sender or a messaging service")
	}
	u, err := url.Parse(v["url"])
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || strings.Trim(u.Path, "/") != "" {
		errs.Add("url", "malformed", "not scheme and host of a server")
	}
	if err := errs.Err(tidings.Invalid); err != nil {
		return nil, err
	}
	return &Sender{setup: s, account: v["account"], token: v["token"], client: once.New(),
		url: u.Scheme + "://" + u.Host + api + "Accounts/" + v["account"]}, nil
}

// Provider names the driver.
func (s *Sender) Provider() string { return "twilio" }

// Close drops the kept connections.
func (s *Sender) Close() { s.client.Close() }

func (s *Sender) header() http.Header {
	basic := base64.StdEncoding.EncodeToString([]byte(s.account + ":" + s.token))
	return http.Header{"Authorization": {"Basic " + basic}, "Accept": {"application/json"}}
}

// Send hands one SMS to Twilio.
func (s *Sender) Send(ctx context.Context, c tidings.Call) (tidings.Accepted, error) {
	text := tidings.PadSMS(tidings.CleanSMS(c.Content.Body))
	parts, _ := tidings.SMSParts(text)
	left := c.ExpiresAt.Sub(s.setup.Now())
	switch {
	case !c.ExpiresAt.IsZero() && left <= 0:
		return tidings.Accepted{}, refused(tidings.TimeRanOut, "it expired before the call")
	case !number.MatchString(c.Address.Value):
		e := refused(tidings.AddressRefused, "the address is not a phone number")
		e.AddressDead = true
		return tidings.Accepted{}, e
	case parts == 0:
		return tidings.Accepted{}, refused(tidings.TemplateFailed, "the text is empty")
	case len([]rune(text)) > maxRunes:
		return tidings.Accepted{}, refused(tidings.TooLong, fmt.Sprintf("%d characters, at most %d are sent", len([]rune(text)), maxRunes))
	}
	form := url.Values{"To": {"+" + strings.TrimPrefix(c.Address.Value, "+")}, "Body": {text}}
	if service := s.setup.Values["service"]; service != "" {
		form.Set("MessagingServiceSid", service)
	} else {
		form.Set("From", s.setup.Values["from"])
	}
	if !c.ExpiresAt.IsZero() {
		form.Set("ValidityPeriod", strconv.Itoa(max(1, int(min(left, maxValidity)/time.Second))))
	}
	if s.setup.ReportURL != nil {
		if u := s.setup.ReportURL(c.Attempt); len(u) <= maxURL {
			form.Set("StatusCallback", u)
		}
	}
	header := s.header()
	header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := s.client.Post(ctx, s.url+"/Messages.json", header, []byte(form.Encode()))
	if err != nil {
		return tidings.Accepted{}, err
	}
	m, err := decode(answer)
	if err != nil {
		return tidings.Accepted{}, err
	}
	return tidings.Accepted{ProviderID: m.SID, Segments: parts}, nil
}

func refused(reason tidings.Reason, why string) *tidings.SendError {
	return &tidings.SendError{Outcome: tidings.Refused, Reason: reason, Err: errors.New(why)}
}
