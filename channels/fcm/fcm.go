// Package fcm pushes to apps through Firebase Cloud Messaging, HTTP v1 API.
//
// FCM knows no idempotency key: the message's id travels in the data, so that the app can drop a repeat, and where the user has
// not opened the first notification a repeat takes its place (android.notification.tag, apns-collapse-id).
package fcm

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
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

const (
	scope      = "https://www.googleapis.com/auth/firebase.messaging"
	maxPayload = 4096                // bytes of notification and data
	maxTTL     = 28 * 24 * time.Hour // FCM keeps nothing longer
)

// Driver offers FCM for registration tokens of Android and iOS apps.
var Driver = tidings.Driver{
	Provider: "fcm", Channel: tidings.App, Bound: true,
	Fields: []tidings.Field{
		{Name: "service_account", Secret: true, Required: true, Help: "the key file of a service account, JSON, that may send messages"},
		{Name: "project", Help: "the Firebase project's id; empty: the key file's"},
		{Name: "url", Default: "https://fcm.googleapis.com", Help: "scheme and host of the API"},
		{Name: "token_url", Help: "where access tokens are fetched; empty: the key file's token_uri"},
	},
	Open: open,
}

// Sender is a tidings.Sender over one project.
type Sender struct {
	url    string
	client *once.Client
	tokens *bearer.Source
	now    func() time.Time
}

// account is a service account's key file, as Google's console gives it out.
type account struct {
	Project  string `json:"project_id"`
	KeyID    string `json:"private_key_id"`
	Key      string `json:"private_key"`
	Email    string `json:"client_email"`
	TokenURI string `json:"token_uri"`
}

func open(s tidings.Setup) (tidings.Sender, error) {
	var errs tidings.FieldErrors
	var a account
	if err := json.Unmarshal([]byte(s.Values["service_account"]), &a); err != nil {
		errs.Add("service_account", "malformed", "not a key file in JSON")
		return nil, errs.Err(tidings.Invalid)
	}
	key, err := bearer.ParseKey(a.Key)
	if err != nil {
		errs.Add("service_account", "malformed", "its private_key is "+err.Error())
	}
	if a.Email == "" {
		errs.Add("service_account", "malformed", "it has no client_email")
	}
	if v := s.Values["project"]; v != "" {
		a.Project = v
	}
	if a.Project == "" {
		errs.Add("project", "required", "neither given nor in the key file")
	}
	if v := s.Values["token_url"]; v != "" {
		a.TokenURI = v
	}
	for field, value := range map[string]string{"url": s.Values["url"], "token_url": a.TokenURI} {
		if u, err := url.Parse(value); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			errs.Add(field, "malformed", "not a URL")
		}
	}
	if err := errs.Err(tidings.Invalid); err != nil {
		return nil, err
	}
	client := once.New()
	fetch := func(ctx context.Context) (string, time.Duration, error) {
		return fetchToken(ctx, client, a, key, s.Now())
	}
	return &Sender{
		url:    strings.TrimSuffix(s.Values["url"], "/") + "/v1/projects/" + url.PathEscape(a.Project) + "/messages:send",
		client: client, tokens: bearer.New(s.Now, fetch), now: s.Now,
	}, nil
}

// fetchToken exchanges a JWT for an access token (RFC 7523).
func fetchToken(ctx context.Context, client *once.Client, a account, key crypto.Signer, now time.Time) (string, time.Duration, error) {
	assertion, err := bearer.JWT(key, bearer.RS256, a.KeyID, map[string]any{"iss": a.Email, "scope": scope, "aud": a.TokenURI,
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix()})
	if err != nil {
		return "", 0, err
	}
	form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {assertion}}
	answer, err := client.Post(ctx, a.TokenURI, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, []byte(form.Encode()))
	if err != nil {
		return "", 0, err
	}
	return decodeToken(answer)
}

// Provider names the driver.
func (s *Sender) Provider() string { return "fcm" }

// Close drops the kept connections.
func (s *Sender) Close() { s.client.Close() }

// Send pushes to one registration token. A call whose access token FCM refused was certainly not taken: it is made once more with
// a new one.
func (s *Sender) Send(ctx context.Context, c tidings.Call) (tidings.Accepted, error) {
	now := s.now()
	if !c.ExpiresAt.IsZero() && !now.Before(c.ExpiresAt) {
		return tidings.Accepted{}, refused(tidings.TimeRanOut, "it expired before the call")
	}
	body, err := payload(c, now)
	if err != nil {
		return tidings.Accepted{}, err
	}
	for again := true; ; again = false {
		token, err := s.tokens.Token(ctx)
		if err != nil {
			return tidings.Accepted{}, err
		}
		answer, err := s.client.Post(ctx, s.url, http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {"application/json; charset=utf-8"}}, body)
		if err != nil {
			return tidings.Accepted{}, err
		}
		id, err := decode(answer)
		if errors.Is(err, errToken) {
			if s.tokens.Drop(token); again {
				continue
			}
		}
		return tidings.Accepted{ProviderID: id}, err
	}
}

func refused(reason tidings.Reason, why string) error {
	return &tidings.SendError{Outcome: tidings.Refused, Reason: reason, Err: errors.New(why)}
}

// message is FCM's Message, as far as we fill it.
type message struct {
	Token        string            `json:"token"`
	Notification notification      `json:"notification"`
	Data         map[string]string `json:"data"`
	Android      android           `json:"android"`
	APNS         apns              `json:"apns"`
}

type notification struct {
	Title string `json:"title,omitempty"`
	Body  string `json:"body"`
}

type android struct {
	CollapseKey  string `json:"collapse_key,omitempty"` // at most four of a device wait while it is offline: only if the application wants it
	Priority     string `json:"priority"`
	TTL          string `json:"ttl,omitempty"` // "3600s"
	Notification struct {
		Tag string `json:"tag"`
	} `json:"notification"`
}

type apns struct {
	Headers map[string]string `json:"headers"`
	Payload map[string]any    `json:"payload"`
}

func payload(c tidings.Call, now time.Time) ([]byte, error) {
	text := strings.TrimSpace(c.Content.Body)
	if text == "" {
		return nil, refused(tidings.TemplateFailed, "the text is empty")
	}
	m := message{Token: c.Address.Value, Notification: notification{c.Content.Title, text}, Data: map[string]string{"message": c.Message.String()}}
	if c.Content.URL != "" {
		m.Data["url"] = c.Content.URL
	}
	collapse := tidings.CollapseID(c)
	m.Android = android{CollapseKey: c.CollapseKey, Priority: "high"}
	m.Android.Notification.Tag = collapse
	m.APNS = apns{Headers: map[string]string{"apns-collapse-id": collapse, "apns-priority": "10"},
		Payload: map[string]any{"aps": map[string]any{"sound": "default"}}}
	if !c.ExpiresAt.IsZero() {
		left := min(c.ExpiresAt.Sub(now), maxTTL)
		m.Android.TTL = strconv.FormatInt(max(int64(left/time.Second), 1), 10) + "s"
		m.APNS.Headers["apns-expiration"] = strconv.FormatInt(now.Add(left).Unix(), 10)
	}
	shown, err := marshal(map[string]any{"notification": m.Notification, "data": m.Data})
	if err != nil {
		return nil, err
	}
	if len(shown) > maxPayload {
		return nil, refused(tidings.TooLong, fmt.Sprintf("%d bytes, at most %d are pushed", len(shown), maxPayload))
	}
	return marshal(map[string]any{"message": m})
}

// marshal leaves < and & as they are: as six bytes each they would make the payload longer than it is.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
