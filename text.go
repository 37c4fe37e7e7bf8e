package tidings

import "strings"

// Clip keeps what somebody else wrote from filling a table or an answer: at most n bytes of s, and of these what every database takes:
// PostgreSQL refuses NUL and what is not UTF-8, as half a character at the cut.
func Clip(s string, n int) string {
	s = strings.ReplaceAll(s, "\x00", "")
	return strings.ToValidUTF8(s[:min(len(s), n)], "")
}
