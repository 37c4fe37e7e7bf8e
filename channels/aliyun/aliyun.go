// Package aliyun sends SMS through Aliyun's SMS service (Dysmsapi 2017-05-25).
//
// Aliyun sends no text of ours but a template that it has approved, with values for its variables, under an approved signature.
// It says outright that a call is not idempotent and that after a time-out its reports tell: OutId, our attempt's id, comes back in
// them.
package aliyun

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"tidings"
	"tidings/channels/once"
)

const (
	version  = "2017-05-25"
	maxParts = 10
)

// Driver offers Aliyun SMS for any phone number.
var Driver = tidings.Driver{
	Provider: "aliyun", Channel: tidings.SMS,
	Fields: []tidings.Field{
		{Name: "key", Required: true, Help: "AccessKey ID of a RAM user that may send SMS"},
		{Name: "secret", Secret: true, Required: true, Help: "its AccessKey secret"},
		{Name: "signature", Help: "the approved signature where a template has none, without brackets"},
		{Name: "url", Default: "https://dysmsapi.aliyuncs.com", Help: "scheme and host of the API"},
	},
	Open: open,
}

// Sender is a tidings.Sender over one account.
type Sender struct {
	setup tidings.Setup
	url   *url.URL
	sign  signer
	http  *once.Client
}

var (
	_ tidings.Querier  = (*Sender)(nil)
	_ tidings.Reporter = (*Sender)(nil)

	number = regexp.MustCompile(`^\+?[1-9][0-9]{4,14}$`)
)

func open(s tidings.Setup) (tidings.Sender, error) {
	v := s.Values
	var errs tidings.FieldErrors
	for _, field := range []string{"key", "secret"} {
		if v[field] == "" {
			errs.Add(field, "required", "calls are signed with it")
		}
	}
	u, err := url.Parse(v["url"])
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || strings.Trim(u.Path, "/") != "" {
		errs.Add("url", "malformed", "not scheme and host of a server")
	}
	if err := errs.Err(tidings.Invalid); err != nil {
		return nil, err
	}
	return &Sender{setup: s, url: u, sign: signer{v["key"], v["secret"]}, http: once.New()}, nil
}

// Provider names the driver.
func (s *Sender) Provider() string { return "aliyun" }

// Close drops the kept connections.
func (s *Sender) Close() { s.http.Close() }

// Send hands one SMS to Aliyun. SendSms would take many numbers, but they would share one OutId and one BizId, so that no report could
// be told from another's.
func (s *Sender) Send(ctx context.Context, c tidings.Call) (tidings.Accepted, error) {
	parts, _ := c.Content.SMS()
	switch {
	case !c.ExpiresAt.IsZero() && !s.setup.Now().Before(c.ExpiresAt):
		return tidings.Accepted{}, refused(tidings.TimeRanOut, "it expired before the call")
	case !number.MatchString(c.Address.Value):
		e := refused(tidings.AddressRefused, "the address is not a phone number")
		e.AddressDead = true
		return tidings.Accepted{}, e
	case parts > maxParts:
		return tidings.Accepted{}, refused(tidings.TooLong, fmt.Sprintf("%d parts, at most %d are sent", parts, maxParts))
	}
	form, err := s.form(c)
	if err != nil {
		return tidings.Accepted{}, err
	}
	var r reply
	if err := s.call(ctx, "SendSms", form, &r); err != nil {
		return tidings.Accepted{}, err
	}
	return tidings.Accepted{ProviderID: r.BizID, Segments: parts}, nil
}

// form is what SendSms is given.
func (s *Sender) form(c tidings.Call) (url.Values, error) {
	t := c.Template
	if t == nil {
		return nil, refused(tidings.Misconfigured, cmp.Or(c.TemplateError, "the template has no provider code")+": aliyun sends approved templates only")
	}
	signature := cmp.Or(t.Signature, s.setup.Values["signature"])
	if signature == "" {
		return nil, refused(tidings.Misconfigured, "neither template nor integration has a signature")
	}
	form := url.Values{"PhoneNumbers": {plain(c.Address.Value)}, "SignName": {signature}, "TemplateCode": {t.Code}, "OutId": {c.Attempt.String()}}
	if len(t.Params) > 0 {
		params := map[string]string{}
		for _, p := range t.Params {
			params[p.Name] = p.Value
		}
		text, err := json.Marshal(params)
		if err != nil {
			return nil, refused(tidings.TemplateFailed, err.Error())
		}
		form.Set("TemplateParam", string(text))
	}
	return form, nil
}

// plain is a number as Aliyun writes it: mainland numbers without their country code.
func plain(n string) string {
	n = strings.TrimPrefix(n, "+")
	if len(n) == 13 && strings.HasPrefix(n, "861") {
		return n[2:]
	}
	return n
}

// call makes one call of the API. Parameters travel in the body, which the signature covers by its hash.
func (s *Sender) call(ctx context.Context, action string, form url.Values, into *reply) error {
	body := []byte(form.Encode())
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}}
	s.sign.add(header, s.url.Host, action, version, "", body, s.setup.Now(), nonce())
	answer, err := s.http.Post(ctx, s.url.Scheme+"://"+s.url.Host+"/", header, body)
	if err != nil {
		return err
	}
	return decode(answer, into)
}

func refused(reason tidings.Reason, why string) *tidings.SendError {
	return &tidings.SendError{Outcome: tidings.Refused, Reason: reason, Err: errors.New(why)}
}

// beijing is the zone of Aliyun's dates.
var beijing = time.FixedZone("+08", 8*3600)
