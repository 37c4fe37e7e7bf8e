// Package jpush pushes to apps through JPush (极光推送), REST API v3, which itself chooses between its own connection, Apple, and
// the phone makers' services.
//
// JPush drops repeats: a push carries a cid of a pool that it hands out, and a second push with the same cid within a day is answered
// with the first one's result. The key of a delivery is its cid. A call to many devices has no key of its own: the deliveries in it
// could be repeated in another company, and a repeat that is dropped would then lose one. So an account either pushes one by one, each
// with its cid, or many at once without (setting batch).
package jpush

import (
	"bytes"
	"context"
	"encoding/base64"
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

const (
	batchSize  = 1000 // registration ids of one call
	maxPayload = 3584 // bytes of what one platform shows: the least of JPush's limits, Apple's
	maxLive    = 10 * 24 * time.Hour
)

// Driver offers JPush for registration ids of one app.
var Driver = tidings.Driver{
	Provider: "jpush", Channel: tidings.App, Bound: true,
	Fields: []tidings.Field{
		{Name: "app_key", Required: true, Help: "the app's AppKey"},
		{Name: "master_secret", Secret: true, Required: true, Help: "the app's Master Secret"},
		{Name: "sandbox", Default: "false", Help: "true: iOS pushes go through Apple's sandbox, for development builds"},
		{Name: "batch", Default: "false", Help: "true: up to 1000 devices share a call, and nothing drops a repeat; false: one by one, repeats dropped by cid"},
		{Name: "vip", Default: "false", Help: "true: a VIP account, which is asked what arrived on each device; not with batch"},
		{Name: "url", Default: "https://api.jpush.cn", Help: "scheme and host of the push API"},
		{Name: "report_url", Default: "https://report.jpush.cn", Help: "scheme and host of the report API, which tells VIP accounts what arrived"},
	},
	Open: open,
}

// account is an app at JPush.
type account struct {
	url, reportURL string
	header         http.Header
	sandbox        bool
	client         *once.Client
	now            func() time.Time
}

func open(s tidings.Setup) (tidings.Sender, error) {
	var errs tidings.FieldErrors
	for _, field := range []string{"app_key", "master_secret"} {
		if s.Values[field] == "" || strings.Contains(s.Values[field], ":") {
			errs.Add(field, "malformed", "is needed, without a colon")
		}
	}
	for _, field := range []string{"url", "report_url"} {
		if u, err := url.Parse(s.Values[field]); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			errs.Add(field, "malformed", "not scheme and host of a server")
		}
	}
	flag := func(field string) bool {
		b, err := strconv.ParseBool(s.Values[field])
		if err != nil {
			errs.Add(field, "malformed", "true or false")
		}
		return b
	}
	sandbox, batch, vip := flag("sandbox"), flag("batch"), flag("vip")
	if batch && vip {
		errs.Add("vip", "malformed", "goes without batch: who shares a call cannot be asked for by itself")
	}
	if err := errs.Err(tidings.Invalid); err != nil {
		return nil, err
	}
	a := account{url: strings.TrimSuffix(s.Values["url"], "/"), reportURL: strings.TrimSuffix(s.Values["report_url"], "/"), sandbox: sandbox, client: once.New(), now: s.Now,
		header: http.Header{"Content-Type": {"application/json"},
			"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte(s.Values["app_key"]+":"+s.Values["master_secret"]))}}}
	if batch {
		return &Batcher{a}, nil
	}
	if vip {
		return &VIP{Sender{account: a, keys: newPool(a)}}, nil
	}
	return &Sender{account: a, keys: newPool(a)}, nil
}

// Provider names the driver.
func (a account) Provider() string { return "jpush" }

// Close drops the kept connections.
func (a account) Close() { a.client.Close() }

// Sender pushes to one device a call. It is a tidings.Keyer.
type Sender struct {
	account
	keys *pool
}

// VIP is a Sender whose account may ask what became of its pushes. It is a tidings.Querier.
type VIP struct{ Sender }

var (
	_ tidings.Keyer = (*Sender)(nil)
	_ interface {
		tidings.Keyer
		tidings.Querier
	} = (*VIP)(nil)
)

// Send pushes to one device.
func (s *Sender) Send(ctx context.Context, c tidings.Call) (tidings.Accepted, error) {
	return s.push(ctx, c, []string{c.Address.Value})
}

// Key takes a cid of JPush's pool.
func (s *Sender) Key(ctx context.Context) (string, error) { return s.keys.take(ctx) }

// Batcher pushes one content to many devices a call. It is a tidings.BatchSender.
type Batcher struct{ account }

var _ tidings.BatchSender = (*Batcher)(nil)

// Send pushes to one device.
func (b *Batcher) Send(ctx context.Context, c tidings.Call) (tidings.Accepted, error) {
	return b.push(ctx, c, []string{c.Address.Value})
}

// BatchSize is the most devices of one call.
func (b *Batcher) BatchSize() int { return batchSize }

// Batches tells whether a call may be one of a batch: all may.
func (b *Batcher) Batches(tidings.Call) bool { return true }

// SendBatch pushes one message to many devices. JPush takes a batch in which it knows at least one device, and does not say
// which of them it does not know.
func (b *Batcher) SendBatch(ctx context.Context, cs []tidings.Call) []tidings.Result {
	devices := make([]string, len(cs))
	for i, c := range cs {
		if devices[i] = c.Address.Value; c.Message != cs[0].Message || c.Address.Platform != cs[0].Address.Platform || len(cs) > batchSize {
			return tidings.Results(len(cs), tidings.Accepted{}, &tidings.SendError{Outcome: tidings.Busy, Reason: tidings.Misconfigured,
				Err: fmt.Errorf("attempt %s does not belong into the batch", c.Attempt)})
		}
	}
	accepted, err := b.push(ctx, cs[0], devices)
	return tidings.Results(len(cs), accepted, err)
}

func refused(reason tidings.Reason, why string) error {
	return &tidings.SendError{Outcome: tidings.Refused, Reason: reason, Err: errors.New(why)}
}

// push makes one call. c gives content, expiry, platform and cid.
func (a account) push(ctx context.Context, c tidings.Call, devices []string) (tidings.Accepted, error) {
	now := a.now()
	if !c.ExpiresAt.IsZero() && !now.Before(c.ExpiresAt) {
		return tidings.Accepted{}, refused(tidings.TimeRanOut, "it expired before the call")
	}
	shown, err := shown(c)
	if err != nil {
		return tidings.Accepted{}, err
	}
	options := map[string]any{"apns_production": !a.sandbox, "apns_collapse_id": tidings.CollapseID(c)}
	if !c.ExpiresAt.IsZero() {
		options["time_to_live"] = max(int64(min(c.ExpiresAt.Sub(now), maxLive)/time.Second), 1)
	}
	platforms := make([]string, 0, len(shown))
	for p := range shown {
		platforms = append(platforms, p)
	}
	push := map[string]any{"platform": platforms, "audience": map[string]any{"registration_id": devices}, "notification": shown, "options": options}
	if c.Key != "" {
		push["cid"] = c.Key
	}
	body, err := marshal(push)
	if err != nil {
		return tidings.Accepted{}, err
	}
	answer, err := a.client.Post(ctx, a.url+"/v3/push", a.header.Clone(), body)
	if err != nil {
		return tidings.Accepted{}, err
	}
	id, err := decode(answer)
	return tidings.Accepted{ProviderID: id}, err
}

// shown is what each platform shows: the address's own, or all if it names none. The ids by which an app drops repeats are extras.
func shown(c tidings.Call) (map[string]any, error) {
	text := strings.TrimSpace(c.Content.Body)
	if text == "" {
		return nil, refused(tidings.TemplateFailed, "the text is empty")
	}
	extras := map[string]string{"message": c.Message.String()}
	if c.Content.URL != "" {
		extras["url"] = c.Content.URL
	}
	plain := map[string]any{"alert": text, "extras": extras}
	var alert any = text
	if c.Content.Title != "" {
		plain["title"] = c.Content.Title
		alert = map[string]string{"title": c.Content.Title, "body": text}
	}
	ios := map[string]any{"alert": alert, "sound": "default", "extras": extras}
	all := map[string]any{"android": plain, "ios": ios, "hmos": plain}
	if p := map[string]string{"android": "android", "ios": "ios", "harmony": "hmos"}[c.Address.Platform]; p != "" {
		all = map[string]any{p: all[p]}
	}
	for _, s := range all {
		b, err := marshal(s)
		if err != nil {
			return nil, err
		}
		if len(b) > maxPayload {
			return nil, refused(tidings.TooLong, fmt.Sprintf("%d bytes, at most %d are pushed", len(b), maxPayload))
		}
	}
	return all, nil
}

// marshal leaves < and & as they are: as six bytes each they would make the payload longer than it is.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
