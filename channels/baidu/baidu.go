// Package baidu pushes to mobile apps through Baidu Cloud Push, REST API 3.0.
//
// Baidu knows no idempotency key: the message's id travels in the push (custom_content.message on Android, message beside
// aps on iOS), so that the app can drop a repeat. A call's outcome is read from its error code, never from its HTTP
// status, which Baidu does not document.
package baidu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"tidings"
	"tidings/channels/once"
)

// DefaultURL is Baidu's server.
const DefaultURL = "https://api.tuisong.baidu.com"

const (
	batchSize  = 10_000 // channel_ids of push/batch_device
	maxPayload = 4096   // bytes of msg
	maxExpires = 604_800
)

// Platform is an app's platform as Baidu numbers them.
type Platform int

// The platforms.
const (
	Android Platform = 3
	IOS     Platform = 4
)

// Config says which app at which server.
type Config struct {
	URL    string // scheme and host; empty: DefaultURL
	Key    string // the app's apikey
	Secret string
	// Platform is that of addresses that name none; 0: Android. See ParsePlatform.
	Platform Platform
	// Development sends iOS pushes through Apple's sandbox.
	Development bool
	Now         func() time.Time // nil: time.Now
}

// ParsePlatform reads a setting: "android" or "3", "ios" or "4"; "" is 0.
func ParsePlatform(s string) (Platform, error) {
	switch strings.ToLower(s) {
	case "":
		return 0, nil
	case "android", "3":
		return Android, nil
	case "ios", "4":
		return IOS, nil
	}
	return 0, fmt.Errorf("baidu: the device type %q is neither android (3) nor ios (4)", s)
}

// Sender is a tidings.BatchSender over one app at Baidu.
type Sender struct {
	config Config
	client *once.Client
}

var _ tidings.BatchSender = (*Sender)(nil)

// New checks the configuration and returns a Sender. It does not call Baidu.
func New(c Config) (*Sender, error) {
	if c.URL == "" {
		c.URL = DefaultURL
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" {
		return nil, fmt.Errorf("baidu: %q is not scheme and host of a server", c.URL)
	}
	c.URL = u.Scheme + "://" + u.Host // as it is signed
	if c.Key == "" || c.Secret == "" {
		return nil, errors.New("baidu: key and secret of the app are needed")
	}
	if c.Platform == 0 {
		c.Platform = Android
	}
	if c.Platform != Android && c.Platform != IOS {
		return nil, fmt.Errorf("baidu: unknown platform %d", c.Platform)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Sender{config: c, client: once.New()}, nil
}

// Provider names the driver.
func (s *Sender) Provider() string { return "baidu" }

// Close drops the kept connections.
func (s *Sender) Close() { s.client.Close() }

// BatchSize is the most devices of one call.
func (s *Sender) BatchSize() int { return batchSize }

// Batches tells whether a call may be one of a batch: only one to an Android device may.
func (s *Sender) Batches(c tidings.Call) bool {
	method, _ := target(c.Address.Value)
	return s.platform(c) == Android && (method == single || method == "") // what is no address at all Baidu leaves out
}

var channelID = regexp.MustCompile(`^[0-9]{10,25}$`)

const (
	single  = "push/single_device"
	maxTag  = 128
	everyOn = "all"  // an address: every device of the app
	tagged  = "tag:" // begins an address: the devices with a tag, whose name follows, percent-encoded
)

// target is the method by which an address is reached, with the parameters that name it. An address is a device's channel id, or stands
// for many devices: those with a tag, or all of the app's. The method of any other is "".
func target(address string) (method string, to url.Values) {
	if name, ok := strings.CutPrefix(address, tagged); ok {
		name, err := url.PathUnescape(name)
		if n := utf8.RuneCountInString(name); err != nil || !utf8.ValidString(name) || n < 1 || n > maxTag {
			return "", nil
		}
		return "push/tags", url.Values{"type": {"1"}, "tag": {name}}
	}
	switch {
	case address == everyOn:
		return "push/all", nil
	case channelID.MatchString(address):
		return single, url.Values{"channel_id": {address}}
	}
	return "", nil
}

// Send pushes to one device, to those with a tag, or to all.
func (s *Sender) Send(ctx context.Context, c tidings.Call) (tidings.Accepted, error) {
	method, to := target(c.Address.Value)
	if method == "" {
		e := refused(tidings.AddressRefused, "the address is neither a channel id nor a tag")
		e.AddressDead = true
		return tidings.Accepted{}, e
	}
	return s.push(ctx, c, method, to)
}

// SendBatch pushes one message to many Android devices. All calls must be of one message, because its id is part of what
// is pushed. Baidu takes a batch with devices that it does not know, malformed ones included, and does not say which.
func (s *Sender) SendBatch(ctx context.Context, cs []tidings.Call) []tidings.Result {
	accepted, err := s.sendBatch(ctx, cs)
	return tidings.Results(len(cs), accepted, err)
}

func (s *Sender) sendBatch(ctx context.Context, cs []tidings.Call) (tidings.Accepted, error) {
	if len(cs) == 0 || len(cs) > batchSize {
		return tidings.Accepted{}, fmt.Errorf("baidu: a batch of %d", len(cs))
	}
	ids := make([]string, len(cs))
	for i, c := range cs {
		if c.Message != cs[0].Message || !s.Batches(c) {
			return s.unbatchable(c)
		}
		ids[i] = c.Address.Value
	}
	list, err := json.Marshal(ids)
	if err != nil {
		return tidings.Accepted{}, err
	}
	accepted, err := s.push(ctx, cs[0], "push/batch_device", url.Values{"channel_ids": {string(list)}})
	if e, ok := errors.AsType[*tidings.SendError](err); ok {
		e.AddressDead = false // whose, it does not say
	}
	return accepted, err
}

// unbatchable answers a batch that was put together wrongly. Nothing was sent, and each call may be made by itself.
func (s *Sender) unbatchable(c tidings.Call) (tidings.Accepted, error) {
	return tidings.Accepted{}, &tidings.SendError{Outcome: tidings.Busy, Reason: tidings.Misconfigured,
		Err: fmt.Errorf("attempt %s does not belong into the batch: another message or platform", c.Attempt)}
}

// push makes one call. c gives content, expiry and platform.
func (s *Sender) push(ctx context.Context, c tidings.Call, method string, to url.Values) (tidings.Accepted, error) {
	now := s.config.Now()
	if !c.ExpiresAt.IsZero() && !now.Before(c.ExpiresAt) {
		return tidings.Accepted{}, refused(tidings.TimeRanOut, "it expired before the call")
	}
	platform := s.platform(c)
	msg, err := payload(c, platform)
	if err != nil {
		return tidings.Accepted{}, err
	}
	if len(msg) > maxPayload {
		return tidings.Accepted{}, refused(tidings.TooLong, fmt.Sprintf("%d bytes, at most %d are pushed", len(msg), maxPayload))
	}
	p := url.Values{"apikey": {s.config.Key}, "timestamp": {strconv.FormatInt(now.Unix(), 10)}, "msg": {msg}, "msg_type": {"1"},
		"device_type": {strconv.Itoa(int(platform))}}
	maps.Copy(p, to)
	if !c.ExpiresAt.IsZero() {
		left := int64(c.ExpiresAt.Sub(now) / time.Second)
		p.Set("msg_expires", strconv.FormatInt(min(max(left, 1), maxExpires), 10))
	}
	if platform == IOS {
		p.Set("deploy_status", map[bool]string{true: "1", false: "2"}[s.config.Development])
	}
	address := s.config.URL + "/rest/3.0/" + method
	p.Set("sign", sign(http.MethodPost, address, p, s.config.Secret))
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded;charset=utf-8"},
		"User-Agent": {"BCCS_SDK/3.0 (Linux; Go) tidings"}} // the beginning that every SDK has
	answer, err := s.client.Post(ctx, address, header, []byte(p.Encode()))
	if err != nil {
		return tidings.Accepted{}, err
	}
	id, err := decode(answer)
	return tidings.Accepted{ProviderID: id}, err
}

func (s *Sender) platform(c tidings.Call) Platform {
	switch c.Address.Platform {
	case "android":
		return Android
	case "ios":
		return IOS
	}
	return s.config.Platform
}

func refused(reason tidings.Reason, why string) *tidings.SendError {
	return &tidings.SendError{Outcome: tidings.Refused, Reason: reason, Err: errors.New(why)}
}

// payload is msg: what the device shows, and the ids by which the app drops repeats and replaces what is older.
func payload(c tidings.Call, platform Platform) (string, error) {
	text := strings.TrimSpace(c.Content.Body)
	if text == "" {
		return "", refused(tidings.TemplateFailed, "the text is empty") // Baidu requires one
	}
	custom := map[string]any{"message": c.Message.String()}
	if c.CollapseKey != "" {
		custom["collapse"] = c.CollapseKey
	}
	if c.Content.URL != "" {
		custom["url"] = c.Content.URL
	}
	var msg map[string]any
	if platform == IOS {
		var alert any = text
		if c.Content.Title != "" {
			alert = map[string]string{"title": c.Content.Title, "body": text}
		}
		msg = custom // keys beside aps
		msg["aps"] = map[string]any{"alert": alert, "sound": "default"}
	} else {
		msg = map[string]any{"title": c.Content.Title, "description": text, "custom_content": custom}
		if c.Content.URL != "" {
			msg["open_type"], msg["url"] = 1, c.Content.URL
		}
	}
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false) // < as six bytes would make the payload longer than it is
	err := encoder.Encode(msg)
	return strings.TrimSuffix(b.String(), "\n"), err
}
