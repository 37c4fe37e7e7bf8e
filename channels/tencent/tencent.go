// Package tencent sends SMS through Tencent Cloud's SMS service (sms, 2021-01-11).
//
// Tencent sends no text of ours but a template that it has approved, with values for its variables by their places, under an
// approved signature. It knows no idempotency key. Each number of a call gets a result and a SerialNo of its own, by which
// reports find their attempts; the SessionContext of a single call is our attempt's id.
package tencent

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

	"tidings"
	"tidings/channels/once"
)

const (
	version  = "2021-01-11"
	batch    = 200 // numbers of one SendSms
	maxParts = 10
)

// Driver offers Tencent Cloud SMS for any phone number.
var Driver = tidings.Driver{
	Provider: "tencent", Channel: tidings.SMS,
	Fields: []tidings.Field{
		{Name: "key", Required: true, Help: "SecretId of a sub-account that may send SMS"},
		{Name: "secret", Secret: true, Required: true, Help: "its SecretKey"},
		{Name: "app", Required: true, Help: "SmsSdkAppId: 1400..."},
		{Name: "signature", Help: "the approved signature where a template has none, without brackets"},
		{Name: "region", Default: "ap-guangzhou", Help: "where the service is called"},
		{Name: "url", Default: "https://sms.tencentcloudapi.com", Help: "scheme and host of the API"},
	},
	Open: open,
}

// Sender is a tidings.BatchSender over one SMS application.
type Sender struct {
	setup tidings.Setup
	url   *url.URL
	sign  signer
	http  *once.Client
}

var (
	_ tidings.BatchSender = (*Sender)(nil)
	_ tidings.Querier     = (*Sender)(nil)
	_ tidings.Reporter    = (*Sender)(nil)

	number = regexp.MustCompile(`^\+?[1-9][0-9]{4,14}$`)
)

func open(s tidings.Setup) (tidings.Sender, error) {
	v := s.Values
	var errs tidings.FieldErrors
	for _, field := range []string{"key", "secret", "app", "region"} {
		if v[field] == "" {
			errs.Add(field, "required", "calls are made with it")
		}
	}
	u, err := url.Parse(v["url"])
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || strings.Trim(u.Path, "/") != "" {
		errs.Add("url", "malformed", "not scheme and host of a server")
	}
	if err := errs.Err(tidings.Invalid); err != nil {
		return nil, err
	}
	return &Sender{setup: s, url: u, sign: signer{v["key"], v["secret"], "sms"}, http: once.New()}, nil
}

// Provider names the driver.
func (s *Sender) Provider() string { return "tencent" }

// Close drops the kept connections.
func (s *Sender) Close() { s.http.Close() }

// BatchSize is the most numbers of one call.
func (s *Sender) BatchSize() int { return batch }

// Batches tells whether a call may be one of a batch: one that needs no refusal of its own.
func (s *Sender) Batches(c tidings.Call) bool {
	return c.Template != nil && number.MatchString(c.Address.Value)
}

// Send hands one SMS to Tencent.
func (s *Sender) Send(ctx context.Context, c tidings.Call) (tidings.Accepted, error) {
	r := s.send(ctx, []tidings.Call{c}, c.Attempt.String())[0]
	return r.Accepted, r.Err
}

// SendBatch hands over one template to many numbers. Tencent takes some and refuses others.
func (s *Sender) SendBatch(ctx context.Context, cs []tidings.Call) []tidings.Result {
	for _, c := range cs {
		if !s.Batches(c) || c.Message != cs[0].Message || c.Template.Code != cs[0].Template.Code || len(cs) > batch {
			return tidings.Results(len(cs), tidings.Accepted{}, &tidings.SendError{Outcome: tidings.Busy, Reason: tidings.Misconfigured,
				Err: fmt.Errorf("attempt %s does not belong into the batch", c.Attempt)})
		}
	}
	return s.send(ctx, cs, "")
}

// request is the body of SendSms.
type request struct {
	Numbers   []string `json:"PhoneNumberSet"`
	App       string   `json:"SmsSdkAppId"`
	Signature string   `json:"SignName,omitempty"`
	Template  string   `json:"TemplateId"`
	Params    []string `json:"TemplateParamSet"`
	Session   string   `json:"SessionContext,omitempty"`
}

func (s *Sender) send(ctx context.Context, cs []tidings.Call, session string) []tidings.Result {
	fail := func(err error) []tidings.Result { return tidings.Results(len(cs), tidings.Accepted{}, err) }
	c := cs[0]
	parts, _ := c.Content.SMS()
	switch {
	case !c.ExpiresAt.IsZero() && !s.setup.Now().Before(c.ExpiresAt):
		return fail(refused(tidings.TimeRanOut, "it expired before the call"))
	case !number.MatchString(c.Address.Value):
		e := refused(tidings.AddressRefused, "the address is not a phone number")
		e.AddressDead = true
		return fail(e)
	case c.Template == nil:
		return fail(refused(tidings.Misconfigured, cmp.Or(c.TemplateError, "the template has no provider code")+": tencent sends approved templates only"))
	case parts > maxParts:
		return fail(refused(tidings.TooLong, fmt.Sprintf("%d parts, at most %d are sent", parts, maxParts)))
	}
	r := request{App: s.setup.Values["app"], Signature: cmp.Or(c.Template.Signature, s.setup.Values["signature"]), Template: c.Template.Code,
		Params: []string{}, Session: session}
	for _, p := range c.Template.Params {
		r.Params = append(r.Params, p.Value)
	}
	for _, c := range cs {
		r.Numbers = append(r.Numbers, international(c.Address.Value))
	}
	var a answer
	if err := s.call(ctx, "SendSms", r, &a); err != nil {
		if e, ok := errors.AsType[*tidings.SendError](err); ok && len(cs) > 1 {
			e.AddressDead = false // whose, it does not say
		}
		return fail(err)
	}
	return results(a, r.Numbers, parts)
}

// international is a number as Tencent wants it.
func international(n string) string { return "+" + strings.TrimPrefix(n, "+") }

// call makes one call of the API.
func (s *Sender) call(ctx context.Context, action string, request any, into *answer) error {
	body, err := json.Marshal(request)
	if err != nil {
		return refused(tidings.TemplateFailed, err.Error())
	}
	header := http.Header{"Content-Type": {"application/json; charset=utf-8"}}
	header.Set("X-TC-Version", version)
	header.Set("X-TC-Region", s.setup.Values["region"])
	s.sign.add(header, s.url.Host, action, body, s.setup.Now())
	got, err := s.http.Post(ctx, s.url.Scheme+"://"+s.url.Host+"/", header, body)
	if err != nil {
		return err
	}
	return decode(got, into)
}

func refused(reason tidings.Reason, why string) *tidings.SendError {
	return &tidings.SendError{Outcome: tidings.Refused, Reason: reason, Err: errors.New(why)}
}
