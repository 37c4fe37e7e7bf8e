package once_test

import (
	"strings"
	"testing"

	"tidings/channels/once"
)

func TestAnExcerptIsOneShortLineWithoutNumbers(t *testing.T) {
	for said, want := range map[string]string{
		"bad\r\n\tnumber +8613800138000\x00\xff": "bad number +#",
		"  code 123456 ":                         "code 123456",
		strings.Repeat("长", 300):                 strings.Repeat("长", 200),
	} {
		if got := once.Excerpt(said); got != want {
			t.Errorf("%q becomes %q", said, got)
		}
	}
}
