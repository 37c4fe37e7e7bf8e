package auth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"

	"tidings"
)

// sealed values begin with the version of their form, so that another cipher or key can be told apart later.
const sealVersion = "1:"

// Sealer keeps addresses unreadable at rest: AES-256-GCM for the value, and a keyed hash (blind index) by which a value
// can be found without being read.
type Sealer struct {
	aead  cipher.AEAD
	blind []byte
}

// NewSealer returns a Sealer with keys derived from the master secret.
func NewSealer(master []byte) *Sealer {
	block, err := aes.NewCipher(derive(master, "seal"))
	if err != nil { // only for keys of another length than derive makes
		panic(err)
	}
	// Random nonces: safe up to 2^32 values under one key (NIST SP 800-38D), far above the addresses of one company.
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return &Sealer{aead: aead, blind: derive(master, "blind")}
}

// Seal encrypts s. Two seals of the same value differ.
func (s *Sealer) Seal(value string) string {
	return sealVersion + base64.RawStdEncoding.EncodeToString(s.aead.Seal(nil, nil, []byte(value), nil))
}

// Open decrypts what Seal made. It fails when the value was changed or sealed under another master secret.
func (s *Sealer) Open(sealed string) (string, error) {
	text, ok := strings.CutPrefix(sealed, sealVersion)
	if !ok {
		return "", errors.New("open a sealed value: unknown form")
	}
	raw, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return "", errors.New("open a sealed value: not base64")
	}
	value, err := s.aead.Open(nil, nil, raw, nil)
	if err != nil {
		return "", errors.New("open a sealed value: it was changed, or TIDINGS_SECRET is not the one it was sealed with")
	}
	return string(value), nil
}

// Blind is the keyed hash of value: the same value always has the same, and nobody without the secret can try values.
func (s *Sealer) Blind(value string) string {
	mac := hmac.New(sha256.New, s.blind)
	mac.Write([]byte(value))
	return hex.EncodeToString(mac.Sum(nil))
}

// SignReceipt is the signature that the URL of an attempt's delivery report carries, 32 hex characters. The SMS gateway
// signs nothing itself, so what it calls back must not be guessable.
func SignReceipt(master []byte, attempt tidings.ID) string {
	mac := hmac.New(sha256.New, derive(master, "receipt"))
	mac.Write([]byte(attempt.String()))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// VerifyReceipt tells whether SignReceipt made signature for attempt.
func VerifyReceipt(master []byte, attempt tidings.ID, signature string) bool {
	return hmac.Equal([]byte(signature), []byte(SignReceipt(master, attempt)))
}
