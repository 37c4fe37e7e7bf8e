// Package huawei pushes to apps through Huawei's Push Kit: v1 for Android apps with HMS, v3 for HarmonyOS.
//
// Huawei knows no idempotency key. The message's id travels in the push, so that the app can drop a repeat, and a repeat takes the
// place of the first notification on the device (tag, notifyId). Its reports carry our biTag, which is the attempt: so a call with a
// report of its own goes to one device, and one to many devices has none (setting batch).
package huawei

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"tidings"
	"tidings/channels/bearer"
	"tidings/channels/once"
)

const batchSize = 1000 // tokens of one call

// Driver offers Push Kit for the push tokens of one app.
var Driver = tidings.Driver{
	Provider: "huawei", Channel: tidings.App, Bound: true,
	Fields: []tidings.Field{
		{Name: "api", Default: "v1", Help: "v1: Android apps with HMS; v3: HarmonyOS apps"},
		{Name: "app_id", Help: "v1: the app's id"},
		{Name: "app_secret", Secret: true, Help: "v1: the app's secret"},
		{Name: "service_account", Secret: true, Help: "v3: the key file of a service account, JSON"},
		{Name: "category", Help: "what kind of notification Huawei shall show it as (WORK, SUBSCRIPTION, ...), if the app may; empty: marketing"},
		{Name: "batch", Default: "false", Help: "true: up to 1000 devices share a call, without reports; false: one by one, with reports"},
		{Name: "callback_user", Help: "user name set for reports in AppGallery Connect"},
		{Name: "callback_secret", Secret: true, Help: "secret set for reports; empty: the report's URL alone proves who calls"},
		{Name: "url", Default: "https://push-api.cloud.huawei.com", Help: "scheme and host of the push API"},
		{Name: "token_url", Default: "https://oauth-login.cloud.huawei.com/oauth2/v3/token", Help: "where access tokens are fetched; v3: whom the JWT addresses"},
	},
	Open: open,
}

// account is an app at Huawei.
type account struct {
	url      string
	form     form
	category string
	client   *once.Client
	tokens   *bearer.Source
	now      func() time.Time
}

func open(s tidings.Setup) (tidings.Sender, error) {
	var errs tidings.FieldErrors
	a := account{client: once.New(), now: s.Now, category: s.Values["category"]}
	for _, field := range []string{"url", "token_url"} {
		if u, err := url.Parse(s.Values[field]); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			errs.Add(field, "malformed", "not a URL")
		}
	}
	batch, err := strconv.ParseBool(s.Values["batch"])
	if err != nil {
		errs.Add("batch", "malformed", "true or false")
	}
	project := s.Values["app_id"]
	switch s.Values["api"] {
	case "v1":
		for _, field := range []string{"app_id", "app_secret"} {
			if s.Values[field] == "" {
				errs.Add(field, "required", "v1 needs it")
			}
		}
		a.form, a.tokens = v1, a.oauth(s.Values["token_url"], s.Values["app_id"], s.Values["app_secret"])
	case "v3":
		key, err := parseServiceAccount(s.Values["service_account"])
		if err != nil {
			errs.Add("service_account", "malformed", err.Error())
			break
		}
		project = key.Project
		a.form, a.tokens = v3, key.source(s.Values["token_url"], s.Now)
	default:
		errs.Add("api", "unknown", "v1 or v3")
	}
	if err := errs.Err(tidings.Invalid); err != nil {
		return nil, err
	}
	a.url = strings.TrimSuffix(s.Values["url"], "/") + "/" + s.Values["api"] + "/" + url.PathEscape(project) + "/messages:send"
	if batch {
		return &Batcher{a}, nil
	}
	return &Sender{account: a, user: s.Values["callback_user"], secret: s.Values["callback_secret"]}, nil
}

// Provider names the driver.
func (a account) Provider() string { return "huawei" }

// Close drops the kept connections.
func (a account) Close() { a.client.Close() }

// Sender pushes to one device a call. It is a tidings.Reporter.
type Sender struct {
	account
	user, secret string
}

var _ tidings.Reporter = (*Sender)(nil)

// Send pushes to one device.
func (s *Sender) Send(ctx context.Context, c tidings.Call) (tidings.Accepted, error) {
	r := s.push(ctx, c.Attempt.String(), []tidings.Call{c})[0]
	return r.Accepted, r.Err
}

// Batcher pushes one content to many devices a call. It is a tidings.BatchSender.
type Batcher struct{ account }

var _ tidings.BatchSender = (*Batcher)(nil)

// Send pushes to one device.
func (b *Batcher) Send(ctx context.Context, c tidings.Call) (tidings.Accepted, error) {
	r := b.push(ctx, batchTag(c), []tidings.Call{c})[0]
	return r.Accepted, r.Err
}

// BatchSize is the most devices of one call.
func (b *Batcher) BatchSize() int { return batchSize }

// Batches tells whether a call may be one of a batch: all may.
func (b *Batcher) Batches(tidings.Call) bool { return true }

// SendBatch pushes one message to many devices. Huawei tells which tokens it did not take.
func (b *Batcher) SendBatch(ctx context.Context, cs []tidings.Call) []tidings.Result {
	for _, c := range cs {
		if c.Message != cs[0].Message || len(cs) > batchSize {
			return tidings.Results(len(cs), tidings.Accepted{}, &tidings.SendError{Outcome: tidings.Busy, Reason: tidings.Misconfigured,
				Err: fmt.Errorf("attempt %s does not belong into the batch", c.Attempt)})
		}
	}
	return b.push(ctx, batchTag(cs[0]), cs)
}

// batchTag names a message in reports, in a form that is no attempt's.
func batchTag(c tidings.Call) string { return "message-" + c.Message.String() }

// push makes one call. A call whose access token Huawei refused was certainly not taken: it is made once more with a new one.
func (a account) push(ctx context.Context, tag string, cs []tidings.Call) []tidings.Result {
	now, c := a.now(), cs[0]
	if !c.ExpiresAt.IsZero() && !now.Before(c.ExpiresAt) {
		return tidings.Results(len(cs), tidings.Accepted{}, refused(tidings.TimeRanOut, "it expired before the call"))
	}
	tokens := make([]string, len(cs))
	for i, c := range cs {
		tokens[i] = c.Address.Value
	}
	body, err := a.body(c, tag, tokens, now)
	if err != nil {
		return tidings.Results(len(cs), tidings.Accepted{}, err)
	}
	for again := true; ; again = false {
		token, err := a.tokens.Token(ctx)
		if err != nil {
			return tidings.Results(len(cs), tidings.Accepted{}, err)
		}
		header := http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {"application/json; charset=UTF-8"}}
		if a.form == v3 {
			header["Push-Type"] = []string{"0"} // a notification
		}
		answer, err := a.client.Post(ctx, a.url, header, body)
		if err != nil {
			return tidings.Results(len(cs), tidings.Accepted{}, err)
		}
		results := decode(answer, tokens)
		if errors.Is(results[0].Err, errToken) {
			if a.tokens.Drop(token); again {
				continue
			}
		}
		return results
	}
}

func refused(reason tidings.Reason, why string) error {
	return &tidings.SendError{Outcome: tidings.Refused, Reason: reason, Err: errors.New(why)}
}
