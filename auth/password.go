package auth

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// The cost of a password's hash (OWASP's first choice for argon2id): 19 MiB and two passes.
const (
	argonMemory  = 19 << 10 // KiB
	argonTime    = 2
	argonThreads = 1
	argonSize    = 32
	saltSize     = 16
)

// MaxPassword bounds the work of one sign-in.
const MaxPassword = 256

// argonSlots lets two hashes be computed at a time: many sign-ins at once must not take the memory of the process.
var argonSlots = make(chan struct{}, 2)

func argon(password string, salt []byte) []byte {
	argonSlots <- struct{}{}
	defer func() { <-argonSlots }()
	return argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonThreads, argonSize)
}

// HashPassword makes the text that is kept of a password: the parameters, a random salt and the argon2id hash.
func HashPassword(password string) string {
	salt := make([]byte, saltSize)
	rand.Read(salt) // never fails
	encode := base64.RawStdEncoding.EncodeToString
	return parameters() + encode(salt) + "$" + encode(argon(password, salt))
}

func parameters() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$", argon2.Version, argonMemory, argonTime, argonThreads)
}

// nobody is a hash that no password has: what is compared for an account that does not exist takes as long.
var nobody = parameters() + "AAAAAAAAAAAAAAAAAAAAAA$" + strings.Repeat("A", 43)

// CheckPassword tells whether password is the one that hash was made of. It takes as long for a hash that none has.
func CheckPassword(hash, password string) bool {
	rest, ok := strings.CutPrefix(hash, parameters())
	if !ok {
		rest, _ = strings.CutPrefix(nobody, parameters())
	}
	saltText, sumText, _ := strings.Cut(rest, "$")
	salt, err := base64.RawStdEncoding.DecodeString(saltText)
	sum, err2 := base64.RawStdEncoding.DecodeString(sumText)
	if err != nil || err2 != nil || len(password) > MaxPassword {
		return false
	}
	return subtle.ConstantTimeCompare(argon(password, salt), sum) == 1 && ok
}
