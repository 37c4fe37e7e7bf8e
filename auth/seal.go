package auth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"tidings"
)

// Sealed values begin with the version of their form. Form 3 names its key, "3:<key id>:<base64>", and is bound to its place. Form 2, which
// was written until then, names its key alone; form 1, until secrets could be rotated, names none: every key is tried.
const (
	sealForm  = "3:"
	unbound   = "2:"
	unboundV1 = "1:"
)

// Sealer keeps what must not be read at rest unreadable (addresses, secrets of integrations): AES-256-GCM for the value, and
// a keyed hash (blind index) by which a value can be found without being read.
type Sealer struct {
	keys  []sealKey // the first one seals, all open
	blind []byte
}

type sealKey struct {
	id   string
	aead cipher.AEAD
}

// NewSealer returns a Sealer with keys derived from the master secret. What was sealed under previous ones is still opened, so
// that the secret can be changed while processes run.
func NewSealer(master []byte, previous ...[]byte) *Sealer {
	s := &Sealer{blind: derive(master, "blind")}
	for _, secret := range append([][]byte{master}, previous...) {
		block, err := aes.NewCipher(derive(secret, "seal"))
		if err != nil { // only for keys of another length than derive makes
			panic(err)
		}
		// Random nonces: safe up to 2^32 values under one key (NIST SP 800-38D), far above the addresses of one company.
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			panic(err)
		}
		// The id tells keys apart and nothing about them.
		s.keys = append(s.keys, sealKey{hex.EncodeToString(derive(secret, "seal id")[:4]), aead})
	}
	return s
}

// Prefix is what values begin with that are sealed under the current key, and others do not.
func (s *Sealer) Prefix() string { return sealForm + s.keys[0].id + ":" }

// Seal encrypts value for a place, the name of the row that keeps it. Two seals of the same value differ.
func (s *Sealer) Seal(place, value string) string {
	return s.Prefix() + base64.RawStdEncoding.EncodeToString(s.keys[0].aead.Seal(nil, nil, []byte(value), []byte(place)))
}

// Open decrypts what Seal made for the same place. It fails when the value was changed, stood elsewhere, or was sealed under a master
// secret that is not known here.
func (s *Sealer) Open(place, sealed string) (string, error) {
	id, bound := "", []byte(place)
	text, ok := strings.CutPrefix(sealed, sealForm)
	if !ok {
		bound = nil
		text, ok = strings.CutPrefix(sealed, unbound)
	}
	if ok {
		id, text, ok = strings.Cut(text, ":")
		ok = ok && id != ""
	} else {
		text, ok = strings.CutPrefix(sealed, unboundV1)
	}
	if !ok {
		return "", errors.New("open a sealed value: unknown form")
	}
	raw, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return "", errors.New("open a sealed value: not base64")
	}
	for _, k := range s.keys {
		if id != "" && id != k.id {
			continue
		}
		if value, err := k.aead.Open(nil, nil, raw, bound); err == nil {
			return string(value), nil
		}
	}
	return "", errors.New("open a sealed value: it was changed or moved, or neither TIDINGS_SECRET nor TIDINGS_SECRET_OLD is the one it was sealed with")
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
	return signURL(master, "receipt", attempt.String())
}

// VerifyReceipt tells whether SignReceipt made signature for attempt under one of the master secrets.
func VerifyReceipt(master []byte, attempt tidings.ID, signature string, previous ...[]byte) bool {
	return verifyURL(master, previous, "receipt", attempt.String(), signature)
}

// SignReports is the key in the URL to which a provider reports on all of an integration's attempts, 32 hex characters.
func SignReports(master []byte, integration string) string {
	return signURL(master, "reports", integration)
}

// VerifyReports tells whether SignReports made key for integration under one of the master secrets.
func VerifyReports(master []byte, integration, key string, previous ...[]byte) bool {
	return verifyURL(master, previous, "reports", integration, key)
}

func signURL(master []byte, purpose, subject string) string {
	mac := hmac.New(sha256.New, derive(master, purpose))
	mac.Write([]byte(subject))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

func verifyURL(master []byte, previous [][]byte, purpose, subject, signature string) bool {
	ok := hmac.Equal([]byte(signature), []byte(signURL(master, purpose, subject)))
	for _, secret := range previous {
		ok = ok || hmac.Equal([]byte(signature), []byte(signURL(secret, purpose, subject)))
	}
	return ok
}

// SignProof is the signature under a broadcast's proof, 64 hex characters.
func SignProof(master []byte, s tidings.ProofSeal) string {
	mac := hmac.New(sha256.New, derive(master, "broadcast-proof"))
	fmt.Fprintf(mac, "%s\n%d\n%s", s.Broadcast, s.Lines, s.Hash)
	return hex.EncodeToString(mac.Sum(nil))
}

// VerifyProof tells whether SignProof made the seal's signature under one of the master secrets.
func VerifyProof(master []byte, s tidings.ProofSeal, previous ...[]byte) bool {
	ok := hmac.Equal([]byte(s.Signature), []byte(SignProof(master, s)))
	for _, secret := range previous {
		ok = ok || hmac.Equal([]byte(s.Signature), []byte(SignProof(secret, s)))
	}
	return ok
}
