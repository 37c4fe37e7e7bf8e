package tidings

import (
	"errors"
	"strings"
	"time"
	"unicode/utf8"
)

// Storable tells whether every database takes s as it is: PostgreSQL refuses NUL and what is not UTF-8.
func Storable(s string) bool { return utf8.ValidString(s) && !strings.Contains(s, "\x00") }

// Clip keeps what somebody else wrote from filling a table or an answer: at most n bytes of s, and of these what is Storable, which half a
// character at the cut is not.
func Clip(s string, n int) string {
	s = strings.ReplaceAll(s, "\x00", "")
	return strings.ToValidUTF8(s[:min(len(s), n)], "")
}

// ParseTime reads a time (RFC 3339) that we can say again: in UTC, and of a year that has four digits on every clock. Go reads offsets of 24 hours and
// more, which it refuses to write.
func ParseTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, err
	}
	if t = t.UTC(); t.Year() < 1 || t.Year() > 9998 {
		return time.Time{}, errors.New("a time beyond the year 9998")
	}
	return t, nil
}
