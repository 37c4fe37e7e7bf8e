package auth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"tidings"
)

// Links makes the tokens of unsubscribe links. A token says whose messages of what type it mutes on which channel, and opens
// nothing else; it does not end, because a message may be read years later. Whoever has no secret can neither make one nor read
// who is in it.
//
// The form is that of SIV (RFC 5297: a synthetic initialization vector, which also authenticates), with HMAC-SHA256 cut to 16
// bytes in the place of S2V, and AES-256-CTR: the shortest that both hides and proves, for it stands in an SMS. The same
// subscription always has the same token, so that a repeated call to a provider says the same.
type Links struct{ keys []linkKey } // the first one makes, all open

type linkKey struct {
	mac   []byte
	block cipher.Block
}

// NewLinks returns Links with keys derived from the master secret. Links made under previous secrets still open.
func NewLinks(master []byte, previous ...[]byte) *Links {
	l := &Links{}
	for _, secret := range append([][]byte{master}, previous...) {
		block, err := aes.NewCipher(derive(secret, "link"))
		if err != nil { // only for keys of another length than derive makes
			panic(err)
		}
		l.keys = append(l.keys, linkKey{derive(secret, "link mac"), block})
	}
	return l
}

const (
	linkTag = 16  // bytes
	maxLink = 400 // characters: three names of 64 and more
)

func (k linkKey) tag(plain []byte) []byte {
	mac := hmac.New(sha256.New, k.mac)
	mac.Write(plain)
	return mac.Sum(nil)[:linkTag]
}

// Token is the token of a subscription.
func (l *Links) Token(s tidings.Subscription) string {
	k := l.keys[0]
	token := []byte(strings.Join([]string{s.User, s.Application, s.Type, string(s.Channel)}, " ")) // no name holds a space
	tag := k.tag(token)
	cipher.NewCTR(k.block, tag).XORKeyStream(token, token)
	return base64.RawURLEncoding.EncodeToString(append(tag, token...))
}

// Open reads a token. ok is false for all that Token did not make.
func (l *Links) Open(token string) (s tidings.Subscription, ok bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if len(token) > maxLink || err != nil || len(raw) <= linkTag {
		return s, false
	}
	tag, sealed := raw[:linkTag], raw[linkTag:]
	for _, k := range l.keys {
		plain := make([]byte, len(sealed))
		cipher.NewCTR(k.block, tag).XORKeyStream(plain, sealed)
		if parts := strings.Split(string(plain), " "); hmac.Equal(k.tag(plain), tag) && len(parts) == 4 {
			return tidings.Subscription{User: parts[0], Application: parts[1], Type: parts[2], Channel: tidings.Channel(parts[3])}, true
		}
	}
	return s, false
}
