package tidings

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/mail"
	"net/url"
	"strings"
)

// Bots are the providers of the channel bot: a robot belongs to one of them, which its address names.
var Bots = []string{"dingtalk", "wecom", "feishu"}

// WebPush is the provider of browsers that subscribed (RFC 8030): its address is a PushSubscription as JSON.
const WebPush = "webpush"

// Bounds of an address's value, in bytes.
const (
	maxDevice       = 256  // the push provider's id of a device
	maxMail         = 254  // RFC 5321, 4.5.3.1.3
	maxEndpoint     = 1024 // a URL with its secrets
	maxSubscription = 2048
	minSecret       = 24 // of a webhook, decoded (Standard Webhooks: 24 to 64)
	maxSecret       = 64
)

// wrong says what is wrong with the address's value, without repeating it; "" is nothing.
func (a Address) wrong() string {
	switch a.Channel {
	case SMS:
		if !validPhone(a.Value) {
			return "a phone number in E.164: + and 7 to 15 digits"
		}
	case App:
		if a.Provider == WebPush {
			if s, err := ParsePushSubscription(a.Value); err != nil || len(a.Value) > maxSubscription || !strings.HasPrefix(s.Endpoint, "https://") {
				return `a browser's subscription: {"endpoint":"https://...","keys":{"p256dh":"...","auth":"..."}}, at most 2048 bytes`
			}
		} else if !visible(a.Value, maxDevice) {
			return "the push provider's channel id: 1 to 256 visible ASCII characters"
		}
	case Email:
		if m, err := mail.ParseAddress(a.Value); err != nil || m.Address != a.Value || len(a.Value) > maxMail {
			return "a mail address such as lin@shop.example, without a name"
		}
	case Webhook:
		if _, _, ok := a.Endpoint(); !ok || !strings.HasPrefix(a.Value, "https://") {
			return "an https URL, # and its secret: https://shop.example/hook#whsec_..., or two secrets with a comma while it is changed"
		}
	case Bot:
		target, _, _ := strings.Cut(a.Value, "#")
		if u, err := url.Parse(target); !visible(a.Value, maxEndpoint) || err != nil || u.Scheme != "" && (u.Scheme != "https" || u.Host == "") {
			return "the robot's https URL or its token, and # and its secret if it signs"
		}
	}
	return ""
}

// Endpoint splits a webhook's address into the URL that is called and the secrets that sign, the newest first. The secrets stand in
// the URL's fragment, which is never sent to anybody.
func (a Address) Endpoint() (target string, secrets []string, ok bool) {
	target, rest, _ := strings.Cut(a.Value, "#")
	u, err := url.Parse(target)
	if err != nil || !callable(u) || !visible(a.Value, maxEndpoint) {
		return "", nil, false
	}
	secrets = strings.Split(rest, ",")
	for _, s := range secrets {
		if _, err := WebhookKey(s); err != nil {
			return "", nil, false
		}
	}
	return target, secrets, len(secrets) <= 2
}

// PushSubscription is a browser's (W3C Push API, PushSubscription.toJSON).
type PushSubscription struct {
	Endpoint string `json:"endpoint"`
	Keys     struct {
		P256dh string `json:"p256dh"` // its public key on P-256, uncompressed
		Auth   string `json:"auth"`   // 16 bytes that only it and we know
	} `json:"keys"`
}

// ParsePushSubscription reads a subscription and checks its form.
func ParsePushSubscription(text string) (s PushSubscription, err error) {
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return s, errSubscription
	}
	u, err := url.Parse(s.Endpoint)
	key, keyErr := decodeURL(s.Keys.P256dh)
	secret, secretErr := decodeURL(s.Keys.Auth)
	if err != nil || !callable(u) || keyErr != nil || len(key) != 65 || secretErr != nil || len(secret) != 16 {
		return s, errSubscription
	}
	return s, nil
}

var errSubscription = errors.New("no subscription of a browser")

// decodeURL reads base64url, with padding or without: browsers differ.
func decodeURL(s string) ([]byte, error) {
	return base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
}

// callable tells whether u names a host to be called by HTTP. Addresses are https; http is only for networks that a driver may call.
func callable(u *url.URL) bool {
	return (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "" && u.User == nil
}

func validPhone(s string) bool {
	if len(s) < 8 || len(s) > 16 || s[0] != '+' || s[1] == '0' {
		return false
	}
	return strings.Trim(s[1:], "0123456789") == ""
}

// visible tells whether s is 1 to most visible ASCII characters.
func visible(s string, most int) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != "" && len(s) <= most
}
