package tencent

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// signer makes signatures of TC3-HMAC-SHA256 (Tencent Cloud API, "Signature v3").
type signer struct{ key, secret, service string }

// add signs a POST to / and sets the headers that go with it.
func (s signer) add(h http.Header, host, action string, body []byte, now time.Time) {
	now = now.UTC()
	date := now.Format("2006-01-02")
	stamp := strconv.FormatInt(now.Unix(), 10)
	const list = "content-type;host;x-tc-action"
	lines := "content-type:" + strings.ToLower(h.Get("Content-Type")) + "\nhost:" + host + "\nx-tc-action:" + strings.ToLower(action) + "\n"
	signature, scope := s.signature(list, lines, body, date, stamp)
	h.Set("X-TC-Action", action)
	h.Set("X-TC-Timestamp", stamp)
	h.Set("Authorization", "TC3-HMAC-SHA256 Credential="+s.key+"/"+scope+", SignedHeaders="+list+", Signature="+signature)
}

func (s signer) signature(list, lines string, body []byte, date, stamp string) (signature, scope string) {
	canonical := strings.Join([]string{http.MethodPost, "/", "", lines, list, hexSum(body)}, "\n")
	scope = date + "/" + s.service + "/tc3_request"
	key := sum([]byte("TC3"+s.secret), date)
	for _, part := range []string{s.service, "tc3_request"} {
		key = sum(key, part)
	}
	return hex.EncodeToString(sum(key, "TC3-HMAC-SHA256\n"+stamp+"\n"+scope+"\n"+hexSum([]byte(canonical)))), scope
}

func sum(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

func hexSum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}
