// Package httpsms sends SMS through a company's own HTTP gateway, which its settings describe: what is posted where, which answers
// mean what, and how reports read.
package httpsms

import (
	"bytes"
	"context"
	"encoding/json"
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
	maxParts  = 10
	rest      = time.Minute // while our account is at fault
	busyAfter = 2 * time.Second
)

// Driver offers a gateway that is described in settings.
var Driver = tidings.Driver{
	Provider: "httpsms", Channel: tidings.SMS,
	Fields: []tidings.Field{
		{Name: "url", Required: true, Help: "what is posted to"},
		{Name: "headers", Help: "more headers, one a line: Authorization: Bearer {secret}"},
		{Name: "secret", Secret: true, Help: "what {secret} stands for in headers and body"},
		{Name: "sender", Help: "what {sender} stands for"},
		{Name: "type", Default: "json", Help: "json or form"},
		{Name: "body", Required: true, Help: `{"to":"{number}","text":"{text}","ref":"{attempt}","report":"{report}"}, or to={number}&text={text}`},
		{Name: "success", Required: true, Help: "which answers are a yes: status=200-299 && code=0 (a rule a line: status, a path in the JSON, or ~ and a regular expression)"},
		{Name: "bad_number", Help: "which answers say that the number is none"},
		{Name: "misconfigured", Help: "which answers say that our account is at fault"},
		{Name: "busy", Help: "which answers say that it should be tried later; certainly not taken"},
		{Name: "refused", Help: "which answers are a no for good"},
		{Name: "id", Help: "where the gateway's own id stands in its answer: a path, or ~ and a regular expression with a group"},
		{Name: "report_type", Default: "json", Help: "how reports come: json, form or query"},
		{Name: "report_list", Help: "json: the path of an array of reports; empty: the body is one report, or an array of them"},
		{Name: "report_attempt", Help: "where our {attempt} stands in a report; empty: the report comes to the URL {report}"},
		{Name: "report_id", Help: "where the gateway's own id stands in a report"},
		{Name: "report_delivered", Help: "which reports say that it arrived: status=DELIVRD"},
		{Name: "report_failed", Help: "which reports say that it did not: status=UNDELIV,EXPIRED"},
		{Name: "report_answer", Help: "what the gateway wants to hear"},
	},
	Open: open,
}

// Sender is a tidings.Sender over one gateway.
type Sender struct {
	setup   tidings.Setup
	form    bool
	headers [][2]string
	rules   map[string]rules
	http    *once.Client
}

var (
	_ tidings.Reporter = (*Sender)(nil)

	number      = regexp.MustCompile(`^\+?[0-9]{3,15}$`)
	placeholder = regexp.MustCompile(`\{(number|plain|text|attempt|sender|secret|report)\}`)
	headerName  = regexp.MustCompile(`^[A-Za-z0-9-]+$`)
)

func open(s tidings.Setup) (tidings.Sender, error) {
	v := s.Values
	var errs tidings.FieldErrors
	if u, err := url.Parse(v["url"]); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		errs.Add("url", "malformed", "not an http URL")
	}
	sender := &Sender{setup: s, form: v["type"] == "form", rules: map[string]rules{}, http: once.New()}
	if v["type"] != "form" && v["type"] != "json" {
		errs.Add("type", "unknown", "json or form")
	}
	if !strings.Contains(v["body"], "{text}") || !strings.Contains(v["body"], "{number}") && !strings.Contains(v["body"], "{plain}") {
		errs.Add("body", "malformed", "it has no {text} or neither {number} nor {plain}")
	} else if !sender.form && !json.Valid([]byte(placeholder.ReplaceAllString(v["body"], "0"))) {
		errs.Add("body", "malformed", "not JSON: placeholders stand within quotes")
	}
	for line := range strings.Lines(v["headers"]) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), ":")
		if !ok && name == "" {
			continue
		}
		if !ok || !headerName.MatchString(name) {
			errs.Add("headers", "malformed", "a line is Name: value")
			continue
		}
		sender.headers = append(sender.headers, [2]string{name, strings.TrimSpace(value)})
	}
	for _, field := range []string{"success", "bad_number", "misconfigured", "busy", "refused", "report_delivered", "report_failed"} {
		r, err := parse(v[field])
		if err != nil {
			errs.Add(field, "malformed", err.Error())
		}
		sender.rules[field] = r
	}
	if len(sender.rules["success"]) == 0 {
		errs.Add("success", "required", "nothing would ever be a yes")
	}
	if pattern, ok := strings.CutPrefix(v["id"], "~"); ok {
		if re, err := regexp.Compile(pattern); err != nil || re.NumSubexp() == 0 {
			errs.Add("id", "malformed", "not a regular expression with a group")
		}
	}
	if v["report_type"] != "json" && v["report_type"] != "form" && v["report_type"] != "query" {
		errs.Add("report_type", "unknown", "json, form or query")
	}
	if err := errs.Err(tidings.Invalid); err != nil {
		return nil, err
	}
	return sender, nil
}

// Provider names the driver.
func (s *Sender) Provider() string { return "httpsms" }

// Close drops the kept connections.
func (s *Sender) Close() { s.http.Close() }

// Send hands one SMS to the gateway.
func (s *Sender) Send(ctx context.Context, c tidings.Call) (tidings.Accepted, error) {
	text := tidings.PadSMS(tidings.CleanSMS(c.Content.Body))
	parts, _ := tidings.SMSParts(text)
	switch {
	case !c.ExpiresAt.IsZero() && !s.setup.Now().Before(c.ExpiresAt):
		return tidings.Accepted{}, refused(tidings.TimeRanOut, "it expired before the call")
	case !number.MatchString(c.Address.Value):
		e := refused(tidings.AddressRefused, "the address is not a phone number")
		e.AddressDead = true
		return tidings.Accepted{}, e
	case parts == 0:
		return tidings.Accepted{}, refused(tidings.TemplateFailed, "the text is empty")
	case parts > maxParts:
		return tidings.Accepted{}, refused(tidings.TooLong, fmt.Sprintf("%d parts, at most %d are sent", parts, maxParts))
	}
	values := map[string]string{"number": c.Address.Value, "plain": strings.TrimPrefix(c.Address.Value, "+"), "text": text, "attempt": c.Attempt.String(),
		"sender": s.setup.Values["sender"], "secret": s.setup.Values["secret"]}
	if s.setup.ReportURL != nil {
		values["report"] = s.setup.ReportURL(c.Attempt)
	}
	header := http.Header{"Content-Type": {"application/json; charset=utf-8"}}
	escape := quoted
	if s.form {
		header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
		escape = url.QueryEscape
	}
	for _, h := range s.headers {
		header.Set(h[0], fill(h[1], values, oneLine))
	}
	answer, err := s.http.Post(ctx, s.setup.Values["url"], header, []byte(fill(s.setup.Values["body"], values, escape)))
	if err != nil {
		return tidings.Accepted{}, err
	}
	id, err := s.decode(answer)
	if err != nil {
		return tidings.Accepted{}, err
	}
	return tidings.Accepted{ProviderID: id, Segments: parts}, nil
}

// fill puts escaped values in the places of their names, in one pass: a text that says {secret} stays as it is.
func fill(template string, values map[string]string, escape func(string) string) string {
	return placeholder.ReplaceAllStringFunc(template, func(name string) string { return escape(values[name[1:len(name)-1]]) })
}

// quoted is the inside of a JSON string.
func quoted(s string) string {
	b, _ := json.Marshal(s) // a string always can be
	return string(b[1 : len(b)-1])
}

func oneLine(s string) string { return strings.NewReplacer("\r", "", "\n", " ").Replace(s) }

// decode finds the first rule that fits an answer. One that no rule fits says nothing about what the gateway did.
func (s *Sender) decode(a once.Answer) (id string, err error) {
	f := facts{status: a.Status, body: string(a.Body)}
	numbers := json.NewDecoder(bytes.NewReader(a.Body))
	numbers.UseNumber()         // ids keep their digits, as in reports
	_ = numbers.Decode(&f.json) // what is no JSON fits no path
	v := tidings.SendError{Outcome: tidings.Unknown, Reason: tidings.ProviderSilent}
	switch {
	case a.Cut:
	case s.rules["bad_number"].fit(f):
		v = tidings.SendError{Outcome: tidings.Refused, Reason: tidings.AddressRefused}
	case s.rules["misconfigured"].fit(f):
		v = tidings.SendError{Outcome: tidings.Busy, Reason: tidings.Misconfigured, Configuration: true, After: rest}
	case s.rules["busy"].fit(f):
		v = tidings.SendError{Outcome: tidings.Busy, Reason: tidings.ProviderBusy, After: busyAfter}
	case s.rules["refused"].fit(f):
		v = tidings.SendError{Outcome: tidings.Refused, Reason: tidings.ProviderRefused}
	case s.rules["success"].fit(f):
		return f.find(s.setup.Values["id"]), nil
	}
	if after := a.RetryAfter(); after > 0 && v.Outcome == tidings.Busy {
		v.After = after
	}
	v.Err = errors.New("the gateway answered " + strconv.Itoa(a.Status) + " " + once.Excerpt(string(a.Body)))
	return "", &v
}

func refused(reason tidings.Reason, why string) *tidings.SendError {
	return &tidings.SendError{Outcome: tidings.Refused, Reason: reason, Err: errors.New(why)}
}
