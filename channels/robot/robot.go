// Package robot is what the robots of chat groups have in common (DingTalk, WeCom, Feishu): an address that is a URL or a token, a
// POST of JSON, an answer whose code stands in its body whatever its status says, and a limit of so many posts a minute beyond
// which a robot is shut out for long.
package robot

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"tidings"
	"tidings/channels/once"
)

// Kind is what is special to one provider.
type Kind struct {
	Provider string
	URL      string // scheme, host and path of its API; the token follows
	PerMin   int    // posts a minute that a robot may make
	MaxText  int    // bytes of a text
	// Body makes the body that is posted, and may add to the URL's query what signs it. secret is "" when the robot signs nothing.
	Body func(c tidings.Content, query url.Values, secret string, now time.Time) any
	// Verdict reads a code that is not 0.
	Verdict func(code int) tidings.SendError
}

// Driver offers a kind of robots.
func Driver(k Kind) tidings.Driver {
	return tidings.Driver{
		Provider: k.Provider, Channel: tidings.Bot, Bound: true,
		Fields: []tidings.Field{
			{Name: "url", Default: k.URL, Help: "where robots are called; addresses that are URLs must begin like it"},
			{Name: "per_minute", Default: strconv.Itoa(k.PerMin), Help: "posts a minute that this worker lets a robot make: the provider's limit, shared among the workers"},
		},
		Open: func(s tidings.Setup) (tidings.Sender, error) { return open(k, s) },
	}
}

// Sender is a tidings.Sender to the robots of one provider.
type Sender struct {
	kind   Kind
	base   string
	client *once.Client
	limit  *limiter
	now    func() time.Time
}

func open(k Kind, s tidings.Setup) (tidings.Sender, error) {
	var errs tidings.FieldErrors
	base := s.Values["url"]
	if u, err := url.Parse(base); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		errs.Add("url", "malformed", "not a URL")
	}
	n, err := strconv.Atoi(s.Values["per_minute"])
	if err != nil || n < 1 || n > 1000 {
		errs.Add("per_minute", "out_of_range", "1 to 1000")
	}
	if err := errs.Err(tidings.Invalid); err != nil {
		return nil, err
	}
	return &Sender{kind: k, base: base, client: once.New(), limit: newLimiter(n, time.Minute), now: s.Now}, nil
}

// Provider names the driver.
func (s *Sender) Provider() string { return s.kind.Provider }

// Close drops the kept connections.
func (s *Sender) Close() { s.client.Close() }

// Send makes one post. A robot that has made all its posts of the minute is busy until the first of them is a minute old.
func (s *Sender) Send(ctx context.Context, c tidings.Call) (tidings.Accepted, error) {
	now := s.now()
	if !c.ExpiresAt.IsZero() && !now.Before(c.ExpiresAt) {
		return tidings.Accepted{}, refused(tidings.TimeRanOut, "it expired before the call")
	}
	target, secret, err := s.target(c.Address.Value)
	if err != nil {
		return tidings.Accepted{}, err
	}
	if c.Content.Body == "" {
		return tidings.Accepted{}, refused(tidings.TemplateFailed, "the text is empty")
	}
	query := target.Query()
	robot := query.Encode() + target.Path
	body, err := marshal(s.kind.Body(c.Content, query, secret, now))
	if err != nil {
		return tidings.Accepted{}, err
	}
	if n := len(Text(c.Content)); n > s.kind.MaxText {
		return tidings.Accepted{}, refused(tidings.TooLong, fmt.Sprintf("%d bytes, a robot posts at most %d", n, s.kind.MaxText))
	}
	if wait := s.limit.take(robot, now); wait > 0 {
		return tidings.Accepted{}, &tidings.SendError{Outcome: tidings.Busy, Reason: tidings.ProviderBusy, After: wait, OfAddress: true,
			Err: errors.New("the robot has made all its posts of this minute")}
	}
	target.RawQuery = query.Encode()
	answer, err := s.client.Post(ctx, target.String(), http.Header{"Content-Type": {"application/json; charset=utf-8"}}, body)
	if err != nil {
		return tidings.Accepted{}, err
	}
	return tidings.Accepted{}, s.judge(answer)
}

// target is the URL of an address. It must be the provider's: users name robots, not hosts.
func (s *Sender) target(value string) (*url.URL, string, error) {
	value, secret, _ := strings.Cut(value, "#")
	if !strings.Contains(value, "://") {
		value = s.base + url.QueryEscape(value)
	}
	u, err := url.Parse(value)
	if err != nil || !strings.HasPrefix(value, s.base) || len(value) == len(s.base) || strings.Contains(u.Path, "..") {
		return nil, "", &tidings.SendError{Outcome: tidings.Refused, Reason: tidings.AddressRefused, AddressDead: true,
			Err: errors.New("the address is no robot of " + s.kind.Provider)}
	}
	return u, secret, nil
}

// answer is what robots say: DingTalk and WeCom by errcode, Feishu by code (and by StatusCode in its older form).
type answer struct {
	ErrCode    *int   `json:"errcode"`
	ErrMsg     string `json:"errmsg"`
	Code       *int   `json:"code"`
	Msg        string `json:"msg"`
	StatusCode *int   `json:"StatusCode"`
}

func (s *Sender) judge(a once.Answer) error {
	var said answer
	err := json.Unmarshal(a.Body, &said)
	code := said.ErrCode
	for _, other := range []*int{said.Code, said.StatusCode} {
		if code == nil {
			code = other
		}
	}
	switch {
	case err != nil || code == nil || a.Cut:
		if a.Status == http.StatusTooManyRequests {
			return &tidings.SendError{Outcome: tidings.Busy, Reason: tidings.ProviderBusy, After: max(a.RetryAfter(), time.Minute), Err: errors.New("429")}
		}
		return &tidings.SendError{Outcome: tidings.Unknown, Reason: tidings.ProviderSilent, Err: fmt.Errorf("%s answered %d without a code", s.kind.Provider, a.Status)}
	case *code == 0:
		return nil
	}
	verdict := s.kind.Verdict(*code)
	verdict.OfAddress = verdict.Outcome == tidings.Refused || verdict.After > 0 // too fast is one robot; the system busy is all
	verdict.Err = fmt.Errorf("%s answered %d: %s", s.kind.Provider, *code, once.Excerpt(said.ErrMsg+said.Msg))
	return &verdict
}

// Text is a content as one text: title, body and link below each other. It has no markup in it, so nothing need be escaped.
func Text(c tidings.Content) string {
	var parts []string
	for _, p := range []string{c.Title, c.Body, c.URL} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, "\n")
}

func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return b.Bytes(), err
}

func refused(reason tidings.Reason, why string) error {
	return &tidings.SendError{Outcome: tidings.Refused, Reason: reason, Err: errors.New(why)}
}
