package tidings

import (
	"strings"
	"unicode"
	"unicode/utf16"
)

// The encodings of an SMS. A text has the first if every character of it is in the GSM 03.38 basic set or its extension,
// else the second.
const (
	GSM7 = "gsm7"
	UCS2 = "ucs2"
)

// What one SMS, and one part of a longer one, holds: septets in GSM7, UTF-16 units in UCS2 (3GPP TS 23.038 and 23.040;
// a part of a longer one loses six bytes to the header that says which part it is).
const (
	gsmWhole, gsmPart = 160, 153
	ucsWhole, ucsPart = 70, 67
)

const gsmBasic = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿" +
	"abcdefghijklmnopqrstuvwxyzäöñüà"

const gsmExtension = "\f^{}\\[~]|€" // each is sent as an escape and a second septet

var septets = func() map[rune]int {
	m := make(map[rune]int, 140)
	for _, r := range gsmBasic {
		m[r] = 1
	}
	for _, r := range gsmExtension {
		m[r] = 2
	}
	return m
}()

// SMSParts counts the parts into which the gateway cuts text and names the encoding. Each part is charged as one SMS. Text is
// counted as Send sends it: see CleanSMS and PadSMS. An empty text has no parts.
func SMSParts(text string) (parts int, encoding string) {
	if text == "" {
		return 0, GSM7
	}
	if units, ok := gsmUnits(text); ok {
		return countParts(units, gsmWhole, gsmPart), GSM7
	}
	// The gateway cuts between any two units, also inside a surrogate pair. PadSMS keeps pairs off the borders, so plain
	// division counts what will be sent.
	units := len(utf16.Encode([]rune(PadSMS(text))))
	if units <= ucsWhole {
		return 1, UCS2
	}
	return (units + ucsPart - 1) / ucsPart, UCS2
}

// gsmUnits gives the septets of each character, or false if one is outside of the set.
func gsmUnits(text string) ([]int, bool) {
	units := make([]int, 0, len(text))
	for _, r := range text {
		n := septets[r]
		if n == 0 {
			return nil, false
		}
		units = append(units, n)
	}
	return units, true
}

// countParts fills parts with characters of the given widths; a character is never cut.
func countParts(units []int, whole, part int) int {
	total := 0
	for _, n := range units {
		total += n
	}
	if total <= whole {
		return 1
	}
	parts, used := 1, 0
	for _, n := range units {
		if used+n > part {
			parts, used = parts+1, 0
		}
		used += n
	}
	return parts
}

// PadSMS puts a space before each character beyond U+FFFF (an emoji) whose two UTF-16 units the gateway would send in different
// parts: phones that decode each part by itself show two broken characters then. A space is the one character that every
// phone shows as nothing much. It goes before the whole sequence that the emoji belongs to (skin tones, families, flags),
// so that the sequence stays together. Text of one part, or without such characters, comes back as it was.
func PadSMS(text string) string {
	if !strings.ContainsFunc(text, func(r rune) bool { return r > 0xFFFF }) {
		return text
	}
	runes := []rune(text)
	if len(utf16.Encode(runes)) <= ucsWhole {
		return text
	}
	padded := make([]rune, 0, len(runes)+4)
	part := 0 // where the current part begins in padded
	used := 0 // its UTF-16 units
	for _, r := range runes {
		width := utf16.RuneLen(r)
		if used+width > ucsPart {
			if used < ucsPart { // the pair would straddle
				at := sequenceStart(padded, part, r)
				padded = append(padded[:at], append([]rune{' '}, padded[at:]...)...)
			}
			part, used = len(padded), 0
		}
		padded = append(padded, r)
		used += width
	}
	return string(padded)
}

// sequenceStart is where in runes the sequence begins that next continues, but not before from.
func sequenceStart(runes []rune, from int, next rune) int {
	at := len(runes)
	for at > from && joinedRunes(runes[at-1], next) {
		at--
		next = runes[at]
	}
	if at == from { // nothing but one endless sequence: its own character is all that is kept whole
		return len(runes)
	}
	return at
}

// joinedRunes tells whether a and b are shown as parts of one character.
func joinedRunes(a, b rune) bool {
	const zeroWidthJoiner = 0x200D
	flag := func(r rune) bool { return r >= 0x1F1E6 && r <= 0x1F1FF }
	tone := b >= 0x1F3FB && b <= 0x1F3FF
	tag := b >= 0xE0020 && b <= 0xE007F
	return a == zeroWidthJoiner || b == zeroWidthJoiner || tone || tag || unicode.Is(unicode.M, b) || flag(a) && flag(b)
}

// CleanSMS makes text fit for a phone: control characters but the line feed are dropped (a tab becomes a space), and so are
// the marks that override the direction of writing, with which a text can be made to read as another one. Invalid UTF-8
// becomes U+FFFD.
func CleanSMS(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	return strings.TrimSpace(strings.Map(cleanSMSRune, strings.ReplaceAll(text, "\r\n", "\n")))
}

func cleanSMSRune(r rune) rune {
	switch {
	case r == '\n' || r == '\r' || r == 0x2028 || r == 0x2029:
		return '\n'
	case r == '\t':
		return ' '
	case unicode.IsControl(r), r >= 0x202A && r <= 0x202E, r >= 0x2066 && r <= 0x2069, r == 0xFEFF:
		return -1
	}
	return r
}

// SMS counts the parts of c as the text of an SMS, and names its encoding.
func (c Content) SMS() (parts int, encoding string) { return SMSParts(CleanSMS(c.Body)) }
