// Package apns pushes to iOS apps through the Apple Push Notification service.
//
// Apple drops no repeats. The message's id travels beside aps, so that the app can; and as the apns-collapse-id, so that a repeat
// takes the place of the first notification. Apple speaks HTTP/2 only: channels/once tells what is known of a call there, and
// repeats none. (The library sideshow/apns2 gives net/http a body that it may send again, which it does on its own after a
// refused stream, a goodbye and a protocol error; of the last nobody knows whether the first request was taken.)
package apns

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/hex"
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
	"tidings/channels/bearer"
	"tidings/channels/once"
)

const (
	maxPayload = 4096                // bytes of the body
	maxWait    = 28 * 24 * time.Hour // for a device that is switched off
)

// Driver offers Apple for the device tokens of one app.
var Driver = tidings.Driver{
	Provider: "apns", Channel: tidings.App, Bound: true,
	Fields: []tidings.Field{
		{Name: "key", Secret: true, Required: true, Help: "the authentication key of Apple's developer site: the text of the .p8 file"},
		{Name: "key_id", Required: true, Help: "the key's id: 10 characters"},
		{Name: "team_id", Required: true, Help: "the developer team's id: 10 characters"},
		{Name: "topic", Required: true, Help: "the app's bundle id"},
		{Name: "url", Default: "https://api.push.apple.com", Help: "scheme and host; https://api.sandbox.push.apple.com for development builds"},
	},
	Open: open,
}

// Sender is a tidings.Sender over one app.
type Sender struct {
	url         string
	topic       string
	integration string
	client      *once.Client
	signer      signer
	now         func() time.Time
}

func open(s tidings.Setup) (tidings.Sender, error) {
	var errs tidings.FieldErrors
	key, err := bearer.ParseKey(s.Values["key"])
	elliptic, ok := key.(*ecdsa.PrivateKey)
	if err != nil || !ok || elliptic.Params().BitSize != 256 {
		errs.Add("key", "malformed", "not the text of a .p8 file with an elliptic key")
	}
	for _, field := range []string{"key_id", "team_id", "topic"} {
		if s.Values[field] == "" {
			errs.Add(field, "required", "is needed")
		}
	}
	u, err := url.Parse(s.Values["url"])
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		errs.Add("url", "malformed", "not scheme and host of a server")
	}
	if err := errs.Err(tidings.Invalid); err != nil {
		return nil, err
	}
	return &Sender{url: strings.TrimSuffix(s.Values["url"], "/"), topic: s.Values["topic"], integration: s.Integration, client: once.NewHTTP2(),
		signer: signer{key: elliptic, keyID: s.Values["key_id"], team: s.Values["team_id"]}, now: s.Now}, nil
}

// Provider names the driver.
func (s *Sender) Provider() string { return "apns" }

// Close drops the kept connections.
func (s *Sender) Close() { s.client.Close() }

// deviceToken is what Apple's servers take: hexadecimal, of a length that Apple may change.
var deviceToken = regexp.MustCompile(`^[0-9A-Fa-f]{32,200}$`)

// Send pushes to one device. A call whose JWT Apple called expired was certainly not taken: it is made once more with a new one.
func (s *Sender) Send(ctx context.Context, c tidings.Call) (tidings.Accepted, error) {
	now := s.now()
	if !c.ExpiresAt.IsZero() && !now.Before(c.ExpiresAt) {
		return tidings.Accepted{}, refused(tidings.TimeRanOut, "it expired before the call")
	}
	if !deviceToken.MatchString(c.Address.Value) {
		e := refused(tidings.AddressRefused, "the address is not a device token")
		e.AddressDead = true
		return tidings.Accepted{}, e
	}
	body, err := payload(c)
	if err != nil {
		return tidings.Accepted{}, err
	}
	for again := true; ; again = false {
		token, err := s.signer.token(now)
		if err != nil {
			return tidings.Accepted{}, &tidings.SendError{Outcome: tidings.Busy, Reason: tidings.Misconfigured, After: rest, Configuration: true, Err: err}
		}
		answer, err := s.client.Post(ctx, s.url+"/3/device/"+c.Address.Value, s.header(c, token, now), body)
		if err != nil {
			return tidings.Accepted{}, err
		}
		id, err := decode(answer)
		if errors.Is(err, errExpired) && s.signer.renew(token, now) && again {
			continue
		}
		return tidings.Accepted{ProviderID: id}, err
	}
}

func (s *Sender) header(c tidings.Call, token string, now time.Time) http.Header {
	expires := now.Add(maxWait)
	if !c.ExpiresAt.IsZero() && c.ExpiresAt.Before(expires) {
		expires = c.ExpiresAt
	}
	return http.Header{
		"Authorization":    {"bearer " + token},
		"Apns-Id":          {s.uuid(c.Attempt)},
		"Apns-Topic":       {s.topic},
		"Apns-Push-Type":   {"alert"},
		"Apns-Priority":    {"10"},
		"Apns-Expiration":  {strconv.FormatInt(expires.Unix(), 10)},
		"Apns-Collapse-Id": {tidings.CollapseID(c)},
		"Content-Type":     {"application/json"},
	}
}

// uuid is the attempt's id in the form that Apple asks for (RFC 9562, version 8: our own making). Support at Apple asks for it.
func (s *Sender) uuid(attempt tidings.ID) string {
	sum := sha256.Sum256([]byte("tidings apns " + s.integration + " " + attempt.String()))
	b := sum[:16]
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	h := hex.EncodeToString(b)
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

func refused(reason tidings.Reason, why string) *tidings.SendError {
	return &tidings.SendError{Outcome: tidings.Refused, Reason: reason, Err: errors.New(why)}
}

// payload is the body: what the device shows in aps, and beside it the ids by which the app drops repeats.
func payload(c tidings.Call) ([]byte, error) {
	text := strings.TrimSpace(c.Content.Body)
	if text == "" {
		return nil, refused(tidings.TemplateFailed, "the text is empty")
	}
	alert := map[string]string{"body": text}
	if c.Content.Title != "" {
		alert["title"] = c.Content.Title
	}
	msg := map[string]any{"aps": map[string]any{"alert": alert, "sound": "default"}, "message": c.Message.String()}
	if c.Content.URL != "" {
		msg["url"] = c.Content.URL
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false) // < as six bytes would make the payload longer than it is
	if err := encoder.Encode(msg); err != nil {
		return nil, err
	}
	body := bytes.TrimSuffix(b.Bytes(), []byte("\n"))
	if len(body) > maxPayload {
		return nil, refused(tidings.TooLong, fmt.Sprintf("%d bytes, at most %d are pushed", len(body), maxPayload))
	}
	return body, nil
}
