package once

import (
	"regexp"
	"strings"
	"unicode"
)

const maxExcerpt = 200 // runes

// digits may be a phone number, which belongs into no log.
var digits = regexp.MustCompile(`[0-9]{7,}`)

// Excerpt makes a provider's words fit for a row or a log: one line, printable, short, without phone numbers.
func Excerpt(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsPrint(r):
			return r
		}
		return -1
	}, strings.ToValidUTF8(s, ""))
	s = strings.Join(strings.Fields(digits.ReplaceAllString(s, "#")), " ")
	if runes := []rune(s); len(runes) > maxExcerpt {
		s = string(runes[:maxExcerpt])
	}
	return s
}
