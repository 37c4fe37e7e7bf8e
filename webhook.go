package tidings

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"
)

// Webhooks follow Standard Webhooks (github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md): whoever receives one
// checks it with the libraries that exist for it.

// The headers of a webhook.
const (
	WebhookID        = "webhook-id"        // of the event: the same in every attempt, so that the receiver can drop a repeat
	WebhookTimestamp = "webhook-timestamp" // of the attempt, in Unix seconds
	WebhookSignature = "webhook-signature"
)

const webhookSecret = "whsec_" // begins a secret as it is shown

// WebhookKey reads a secret as it is shown: "whsec_" and 24 to 64 bytes in base64.
func WebhookKey(secret string) ([]byte, error) {
	rest, ok := strings.CutPrefix(secret, webhookSecret)
	key, err := base64.StdEncoding.DecodeString(rest)
	if !ok || err != nil || len(key) < minSecret || len(key) > maxSecret {
		return nil, errors.New("a webhook's secret is whsec_ and 24 to 64 bytes in base64")
	}
	return key, nil
}

// SignWebhook makes the value of WebhookSignature for the exact body that is sent: one signature for each secret, so that a
// receiver may change from one to another at leisure. id must hold no dot.
func SignWebhook(secrets []string, id string, at time.Time, body []byte) (string, error) {
	signatures := make([]string, len(secrets))
	for i, s := range secrets {
		key, err := WebhookKey(s)
		if err != nil {
			return "", err
		}
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
		mac.Write(body)
		signatures[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	return strings.Join(signatures, " "), nil
}

// NewWebhookSecret makes a secret of 32 random bytes as it is shown.
func NewWebhookSecret() string {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // it never fails (crypto/rand)
	return webhookSecret + base64.StdEncoding.EncodeToString(key)
}
