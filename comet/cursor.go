package comet

import (
	"crypto/rand"
	"strconv"
	"strings"

	"tidings"
)

// Cursor says where a client stands in the numbered list: it has everything up to Number of Epoch. It is written
// "<epoch>.<number>". Without the epoch a list that was lost and written anew would go unnoticed: a client at 3 would
// miss what the new list's 1 to 3 say.
type Cursor struct {
	Epoch  string
	Number int64
}

// String writes the cursor.
func (c Cursor) String() string { return c.Epoch + "." + strconv.FormatInt(c.Number, 10) }

// ParseCursor reads what String wrote. The error is the caller's mistake.
func ParseCursor(s string) (Cursor, error) {
	epoch, digits, ok := strings.Cut(s, ".")
	if !ok || !word(epoch) {
		return Cursor{}, badCursor()
	}
	n, ok := parseNumber(digits)
	if !ok {
		return Cursor{}, badCursor()
	}
	return Cursor{Epoch: epoch, Number: n}, nil
}

func badCursor() error {
	return tidings.FieldErrors{{
		Field: "cursor", Code: "malformed", Detail: "give the cursor of an earlier answer unchanged, or none to begin at the end",
	}}.Err(tidings.Invalid)
}

// word tells whether s is 1 to 64 letters, digits, - and _.
func word(s string) bool {
	return tidings.ValidName(s) && !strings.ContainsAny(s, ".:@")
}

// parseNumber reads a number as we write it: digits without sign and leading zeros, so that each has one spelling.
func parseNumber(s string) (int64, bool) {
	if s == "" || len(s) > 1 && s[0] == '0' || s[0] < '0' || s[0] > '9' {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// randomWord makes n letters and digits of 5 random bits each.
func randomWord(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails (crypto/rand since Go 1.24)
	for i := range b {
		b[i] = "0123456789abcdefghjkmnpqrstvwxyz"[b[i]&31]
	}
	return string(b)
}
