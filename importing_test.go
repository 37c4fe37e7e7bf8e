package tidings_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"tidings"
)

func TestARecordOfATableBecomesLines(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ header, record, want string }{
		{"merchant,name,attributes", "acme,Acme,tier=gold; since=2020", `{"merchant":{"id":"acme","name":"Acme","attributes":{"since":"2020","tier":"gold"}}}`},
		{"\ufeffStore , merchant,hours,holidays", "acme-1,acme,mon-tue 09:00-12:00 13:00-18:00; sun 10:00-11:00,2026-10-01 2026-10-02",
			`{"store":{"id":"acme-1","merchant":"acme","name":"acme-1","hours":{"mon":["09:00-12:00","13:00-18:00"],"sun":["10:00-11:00"],"tue":["09:00-12:00","13:00-18:00"]},"holidays":["2026-10-01","2026-10-02"]}}`},
		{"user,memberships,sms", "u-lin,m:acme:owner s:a:1:clerk,+8613800138000",
			`{"user":{"id":"u-lin","name":"u-lin","memberships":[{"merchant":"acme","role":"owner"},{"store":"a:1","role":"clerk"}]}}` +
				`{"addresses":{"user":"u-lin","addresses":[{"channel":"sms","value":"+8613800138000"}]}}`},
		{"user,sms,deleted", "u-lin,,yes", `{"user":{"id":"u-lin","name":"u-lin","memberships":[],"deleted":true}}`},
		{"store,hours,deleted", "s,someday 9-10,maybe", "deleted malformed, hours malformed"},
		{"merchant,attributes", "m,tier", "attributes malformed"},
		{"merchant,name", "m", " malformed"},
		{"user,memberships", "u,acme", "memberships malformed"},
	} {
		h, err := tidings.ParseImportHeader(strings.Split(c.header, ","))
		if err != nil {
			t.Fatal(err)
		}
		lines, errs := h.Lines(strings.Split(c.record, ","))
		got := errs.String()
		for _, l := range lines {
			if len(errs) > 0 {
				break
			}
			text, err := json.Marshal(l)
			if err != nil {
				t.Fatal(err)
			}
			got += string(text)
		}
		if got != c.want {
			t.Errorf("%s\n%s, want\n%s", c.record, got, c.want)
		}
	}
	for _, header := range []string{"", "shop,name", "merchant,colour", "user,sms,sms"} {
		if h, err := tidings.ParseImportHeader(strings.Split(header, ",")); err == nil {
			t.Errorf("%q passed: %v", header, h)
		}
	}
}

func TestATombstoneNeedsItsIDOnly(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"store":{"id":"s","deleted":true}}`:      "",
		`{"user":{"id":"","deleted":true}}`:        "id malformed",
		`{"store":{"id":"s"}}`:                     "merchant malformed",
		`{}`:                                       " malformed",
		`{"addresses":{"user":"","addresses":[]}}`: "user malformed",
	} {
		var l tidings.ImportLine
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatal(err)
		}
		if got := l.Validate().String(); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func TestAStoreIsOpenByTheClockWhereItIs(t *testing.T) {
	t.Parallel()
	s := tidings.Store{Timezone: "Europe/Berlin", Holidays: []string{"2026-12-25"},
		Hours: tidings.Hours{"mon": {"09:00-12:00", "13:00-18:00"}, "fri": {"09:00-24:00"}}}
	for at, want := range map[string]bool{
		"2026-11-23T08:30:00Z": true,  // Monday 09:30
		"2026-11-23T07:59:59Z": false, // Monday 08:59:59
		"2026-11-23T11:00:00Z": false, // Monday 12:00
		"2026-11-24T10:00:00Z": false, // Tuesday
		"2026-11-27T22:59:00Z": true,  // Friday 23:59
		"2026-07-20T07:00:00Z": true,  // Monday 09:00 in summer
		"2026-12-25T10:00:00Z": false, // a holiday on a Friday
	} {
		when, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if open, known := s.Open(when); open != want || !known {
			t.Errorf("%s: open %v, known %v", at, open, known)
		}
	}
	if _, known := (tidings.Store{}).Open(time.Now()); known {
		t.Error("a store without hours claims to know")
	}
	text := "mon-wed 09:00-12:00 13:00-18:00; sat 10:00-14:00"
	h, err := tidings.ParseHours(text)
	if err != nil || h.String() != text {
		t.Errorf("%q, %v", h.String(), err)
	}
}

func TestHoursAndHolidaysNameWhatIsWrong(t *testing.T) {
	t.Parallel()
	s := tidings.Store{ID: "s", Merchant: "m", Holidays: []string{"2026-02-30"}, Hours: tidings.Hours{
		"noday": {"09:00-10:00"}, "mon": {"10:00-09:00"}, "tue": {"09:00-12:00", "11:00-13:00"}, "wed": {"9:00-12:00"}, "thu": {"00:00-24:00"}, "fri": {"09:00-12:00", "12:00-24:01"}}}
	want := "hours.fri malformed, hours.mon malformed, hours.noday unknown, hours.tue malformed, hours.wed malformed, holidays malformed"
	if got := s.Validate().String(); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestAnAudienceAsksForAFewAttributesWithValues(t *testing.T) {
	t.Parallel()
	many := map[string]string{}
	for _, name := range strings.Split("abcdefghi", "") {
		many[name] = "x"
	}
	for want, attributes := range map[string]map[string]string{
		"":                              {"tier": "gold", "a.b": "中"},
		"audience.attributes malformed": {"tier": ""},
		"audience.attributes too_many":  many,
	} {
		if got := (tidings.Audience{Everyone: true, Attributes: attributes}).Validate().String(); got != want {
			t.Errorf("%v: %s, want %s", attributes, got, want)
		}
	}
	if (tidings.Audience{Users: []string{"u"}, Attributes: map[string]string{"tier": "gold"}}).OnlyUsers() {
		t.Error("users narrowed by an attribute are not just users")
	}
	if (tidings.Audience{Attributes: map[string]string{"tier": "gold"}}).Validate().String() != "audience empty" {
		t.Error("an attribute alone addresses nobody")
	}
}
