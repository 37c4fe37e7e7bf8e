package tidings_test

import (
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"tidings"
)

func TestPartsAreCountedAsKannelCutsThem(t *testing.T) {
	for _, c := range []struct {
		text     string
		parts    int
		encoding string
	}{
		{"", 0, tidings.GSM7},
		{"hello", 1, tidings.GSM7},
		{strings.Repeat("a", 160), 1, tidings.GSM7},
		{strings.Repeat("a", 161), 2, tidings.GSM7},
		{strings.Repeat("a", 306), 2, tidings.GSM7},
		{strings.Repeat("a", 307), 3, tidings.GSM7},
		{strings.Repeat("€", 80), 1, tidings.GSM7},
		{strings.Repeat("€", 81), 2, tidings.GSM7},
		{strings.Repeat("a", 152) + "€" + strings.Repeat("b", 20), 2, tidings.GSM7},
		{strings.Repeat("a", 152) + "€" + strings.Repeat("b", 151), 2, tidings.GSM7},
		{strings.Repeat("a", 152) + "€" + strings.Repeat("b", 152), 3, tidings.GSM7}, // 305 septets, but the escape moves
		{"`", 1, tidings.UCS2},
		{strings.Repeat("中", 70), 1, tidings.UCS2},
		{strings.Repeat("中", 71), 2, tidings.UCS2},
		{strings.Repeat("中", 134), 2, tidings.UCS2},
		{strings.Repeat("中", 135), 3, tidings.UCS2},
		{strings.Repeat("中", 66) + "😀" + strings.Repeat("中", 10), 2, tidings.UCS2},
		{strings.Repeat("中", 66) + "😀" + strings.Repeat("中", 66), 3, tidings.UCS2}, // 134 units, 135 with the space
		{strings.Repeat("😀", 35), 1, tidings.UCS2},
		{strings.Repeat("😀", 36), 2, tidings.UCS2},
	} {
		parts, encoding := tidings.SMSParts(c.text)
		if parts != c.parts || encoding != c.encoding {
			t.Errorf("%.12q... (%d runes): %d %s, want %d %s", c.text, utf8.RuneCountInString(c.text), parts, encoding, c.parts, c.encoding)
		}
	}
}

func TestAnEmojiAtTheBorderIsMovedWholeIntoTheNextPart(t *testing.T) {
	family := "👨‍👩‍👧"
	for _, c := range []struct{ text, want string }{
		{strings.Repeat("中", 66) + "😀" + "好好好好", strings.Repeat("中", 66) + " 😀" + "好好好好"},
		{strings.Repeat("中", 68) + "😀", strings.Repeat("中", 68) + "😀"},                                                    // one SMS
		{strings.Repeat("中", 65) + "😀" + "好好好好", strings.Repeat("中", 65) + "😀" + "好好好好"},                                  // fits
		{strings.Repeat("中", 63) + family + "好好好", strings.Repeat("中", 63) + " " + family + "好好好"},                        // the second face straddles
		{strings.Repeat("中", 64) + "🇨🇳" + "好好好好", strings.Repeat("中", 64) + " 🇨🇳" + "好好好好"},                               // a flag is two pairs
		{strings.Repeat("中", 62) + "🇨🇳😀" + "好好好好", strings.Repeat("中", 62) + "🇨🇳" + " 😀" + "好好好好"},                        // the flag stays
		{strings.Repeat("中", 64) + "👍🏽" + "好好好好", strings.Repeat("中", 64) + " 👍🏽" + "好好好好"},                               // not between hand and tone
		{strings.Repeat("a", 66) + "😀" + strings.Repeat("b", 9), strings.Repeat("a", 66) + " 😀" + strings.Repeat("b", 9)}, // Latin beside an emoji
	} {
		if got := tidings.PadSMS(c.text); got != c.want {
			t.Errorf("Pad(%q)\n got %q\nwant %q", c.text, got, c.want)
		}
	}
}

func FuzzNoPairIsCutAndNothingElseChanges(f *testing.F) {
	f.Add(strings.Repeat("中", 66) + "😀" + strings.Repeat("中", 10))
	f.Add(strings.Repeat("😀", 200))
	f.Add("a" + strings.Repeat("👨‍👩‍👧", 40))
	f.Add(strings.Repeat("🇨🇳", 60) + "\x00\xff\u202e")
	f.Add(strings.Repeat("a", 152) + "€" + strings.Repeat("b", 152))
	f.Fuzz(func(t *testing.T, text string) {
		clean := tidings.CleanSMS(text)
		if !utf8.ValidString(clean) || tidings.CleanSMS(clean) != clean {
			t.Fatalf("Clean(%q) = %q is not clean", text, clean)
		}
		padded := tidings.PadSMS(clean)
		if strings.ReplaceAll(padded, " ", "") != strings.ReplaceAll(clean, " ", "") {
			t.Fatalf("Pad changed %q to %q", clean, padded)
		}
		parts, encoding := tidings.SMSParts(padded)
		if again, _ := tidings.SMSParts(clean); again != parts {
			t.Fatalf("%d parts before padding, %d after", again, parts)
		}
		units := utf16.Encode([]rune(padded))
		if encoding != tidings.UCS2 || len(units) <= 70 {
			return
		}
		if want := (len(units) + 66) / 67; parts != want {
			t.Fatalf("%d parts, want %d", parts, want)
		}
		for i := 67; i < len(units); i += 67 {
			if utf16.IsSurrogate(rune(units[i-1])) && units[i-1] < 0xDC00 {
				t.Fatalf("a pair is cut at %d of %q", i, padded)
			}
		}
	})
}
