package once

import (
	"strings"
	"unicode"
)

const maxExcerpt = 200 // runes

// Excerpt makes a provider's words fit for a row or a log: one line, printable, short.
func Excerpt(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, strings.ToValidUTF8(s, ""))
	if runes := []rune(s); len(runes) > maxExcerpt {
		s = string(runes[:maxExcerpt])
	}
	return s
}
