package aliyun

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"time"
)

// signer makes signatures of version 3 (Aliyun, "V3 request body and signature mechanism").
type signer struct{ key, secret string }

func nonce() string { return rand.Text() }

// add signs a POST to / and sets the headers that go with it. query is the canonical one.
func (s signer) add(h http.Header, host, action, version, query string, body []byte, now time.Time, nonce string) {
	hash := hexSum(body)
	signed := map[string]string{"host": host, "x-acs-action": action, "x-acs-version": version, "x-acs-signature-nonce": nonce,
		"x-acs-date": now.UTC().Format("2006-01-02T15:04:05Z"), "x-acs-content-sha256": hash}
	names := make([]string, 0, len(signed)+1)
	for name, value := range signed {
		names = append(names, name)
		if name != "host" {
			h.Set(name, value)
		}
	}
	if kind := h.Get("Content-Type"); kind != "" {
		names, signed["content-type"] = append(names, "content-type"), kind
	}
	slices.Sort(names)
	var lines strings.Builder
	for _, name := range names {
		lines.WriteString(name + ":" + strings.TrimSpace(signed[name]) + "\n")
	}
	list := strings.Join(names, ";")
	canonical := strings.Join([]string{http.MethodPost, "/", query, lines.String(), list, hash}, "\n")
	mac := hmac.New(sha256.New, []byte(s.secret))
	mac.Write([]byte("ACS3-HMAC-SHA256\n" + hexSum([]byte(canonical))))
	h.Set("Authorization", "ACS3-HMAC-SHA256 Credential="+s.key+",SignedHeaders="+list+",Signature="+hex.EncodeToString(mac.Sum(nil)))
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
