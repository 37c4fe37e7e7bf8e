package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"

	"tidings"
)

// A key is written "<prefix><id>_<secret>": the id is public and finds the row, the secret is 32 random bytes.
const (
	prefixLength = 4
	idLength     = 10
	secretLength = 43 // of 32 bytes in base64url without padding
	keyLength    = prefixLength + idLength + 1 + secretLength
)

const idLetters = "0123456789abcdefghjkmnpqrstvwxyz" // Crockford's base 32, as in tidings.ID

func prefixOf(kind tidings.KeyKind) string {
	switch kind {
	case tidings.MerchantKey:
		return "tdm_"
	case tidings.AdminKey:
		return "tda_"
	default:
		return "tdk_"
	}
}

// NewKey makes a key of kind. written is the whole key as its holder sends it, to be shown once; the Key holds only its
// hash and its last four characters, and the caller fills in the rest.
func NewKey(kind tidings.KeyKind) (k tidings.Key, written string) {
	id := make([]byte, idLength)
	random := make([]byte, 32)
	rand.Read(id)     // never fails (crypto/rand since Go 1.24)
	rand.Read(random) // nor does this
	for i := range id {
		id[i] = idLetters[id[i]&31]
	}
	secret := base64.RawURLEncoding.EncodeToString(random)
	k = tidings.Key{ID: string(id), Kind: kind, Scopes: []string{}, Hash: hash(secret), Last4: secret[secretLength-4:]}
	return k, prefixOf(kind) + k.ID + "_" + secret
}

// Matches tells whether secret is the key's, in a time that does not depend on where they differ.
func Matches(k tidings.Key, secret string) bool {
	return subtle.ConstantTimeCompare([]byte(k.Hash), []byte(hash(secret))) == 1
}

func hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// splitKey takes a written key apart. Anything that has not exactly the form of a key is refused before SQL is asked.
func splitKey(s string) (id, secret string, ok bool) {
	if len(s) != keyLength || s[prefixLength+idLength] != '_' {
		return "", "", false
	}
	switch s[:prefixLength] {
	case "tdk_", "tdm_", "tda_":
	default:
		return "", "", false
	}
	for i := prefixLength; i < prefixLength+idLength; i++ {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return "", "", false
		}
	}
	return s[prefixLength : prefixLength+idLength], s[prefixLength+idLength+1:], true
}
