package tidings

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// The directory: the enterprise account has two dimensions, the merchant and its stores. It is the company's, shared by
// all applications, and every id in it is the company's own.

// Merchant is an enterprise account.
type Merchant struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Attributes map[string]string `json:"attributes,omitempty"`
}

// Store belongs to a merchant.
type Store struct {
	ID         string            `json:"id"`
	Merchant   string            `json:"merchant"`
	Name       string            `json:"name"`
	Region     string            `json:"region,omitempty"`
	Timezone   string            `json:"timezone,omitempty"` // IANA name; empty: DefaultTimezone
	Hours      Hours             `json:"hours,omitempty"`
	Holidays   []string          `json:"holidays,omitempty"` // days on which it is closed: "2026-10-01"
	Attributes map[string]string `json:"attributes,omitempty"`
}

// User is a person who works for a merchant, for some of its stores, or both.
type User struct {
	ID          string       `json:"id"`
	Name        string       `json:"name"`
	Locale      string       `json:"locale,omitempty"` // BCP 47; empty: DefaultLocale
	Memberships []Membership `json:"memberships"`
}

// DefaultLocale is the locale of a user who has none, and of templates where the user's own is missing.
const DefaultLocale = "zh-CN"

// Membership ties a user to a merchant or to one store, with a role. Exactly one of Merchant and Store is set.
type Membership struct {
	Merchant string `json:"merchant,omitempty"`
	Store    string `json:"store,omitempty"`
	Role     string `json:"role"`
}

// Dimension is the membership's dimension: "m:<merchant>" or "s:<store>".
func (m Membership) Dimension() string {
	if m.Store != "" {
		return ViaStore + m.Store
	}
	return ViaMerchant + m.Merchant
}

// Address is where a user is reached on a channel. Addresses are kept sealed and are never given back to applications. What Value
// is depends on the channel: see ValidateAddresses.
type Address struct {
	Channel  Channel `json:"channel"`
	Value    string  `json:"value"`
	Provider string  `json:"provider,omitempty"` // app: "baidu", "webpush"; bot: "dingtalk"
	Platform string  `json:"platform,omitempty"` // app: "android", "ios", "harmony"
}

// Limits of the directory's fields.
const (
	maxText        = 200  // bytes of a name, region or time zone
	maxAttributes  = 64   // of one merchant or store
	maxMemberships = 1000 // of one user
)

// Validate checks a merchant and returns what is wrong, by field.
func (m Merchant) Validate() FieldErrors {
	var errs FieldErrors
	errs.name("id", m.ID)
	errs.text("name", m.Name)
	errs.attributes(m.Attributes)
	return errs
}

// Validate checks a store and returns what is wrong, by field.
func (s Store) Validate() FieldErrors {
	var errs FieldErrors
	errs.name("id", s.ID)
	errs.name("merchant", s.Merchant)
	errs.text("name", s.Name)
	errs.text("region", s.Region)
	if _, err := time.LoadLocation(s.Timezone); err != nil || len(s.Timezone) > maxText || s.Timezone == "Local" {
		errs.Add("timezone", "unknown", "an IANA time zone such as Asia/Shanghai")
	}
	errs.hours(s.Hours)
	errs.holidays(s.Holidays)
	errs.attributes(s.Attributes)
	return errs
}

// Validate checks a user and returns what is wrong, by field.
func (u User) Validate() FieldErrors {
	var errs FieldErrors
	errs.name("id", u.ID)
	errs.text("name", u.Name)
	if u.Locale != "" && !ValidLocale(u.Locale) {
		errs.Add("locale", "malformed", "a language tag such as zh-CN")
	}
	if len(u.Memberships) > maxMemberships {
		errs.Add("memberships", "too_many", "at most 1000")
	}
	seen := map[string]bool{}
	for i, m := range u.Memberships {
		field := "memberships[" + strconv.Itoa(i) + "]"
		if (m.Merchant == "") == (m.Store == "") || !ValidName(m.Merchant+m.Store) {
			errs.Add(field, "malformed", "name either a merchant or a store")
		}
		if seen[m.Dimension()] {
			errs.Add(field, "repeated", "the user has this membership already")
		}
		seen[m.Dimension()] = true
		errs.name(field+".role", m.Role)
	}
	return errs
}

// ValidateAddresses checks a user's addresses, at most one for each channel, and returns what is wrong, by field. It never
// repeats an address: what it returns stands in answers and logs.
func ValidateAddresses(as []Address) FieldErrors {
	var errs FieldErrors
	seen := map[Channel]bool{}
	for i, a := range as {
		field := "addresses[" + strconv.Itoa(i) + "]"
		if !slices.Contains(Addressed, a.Channel) {
			errs.Add(field+".channel", "unknown", "one of "+Names(Addressed)+"; the web needs no address")
		}
		if seen[a.Channel] {
			errs.Add(field+".channel", "repeated", "a user has one address on a channel")
		}
		seen[a.Channel] = true
		if wrong := a.wrong(); wrong != "" {
			errs.Add(field+".value", "malformed", wrong)
		}
		if a.Channel == Bot && !slices.Contains(Bots, a.Provider) {
			errs.Add(field+".provider", "unknown", "one of "+strings.Join(Bots, ", "))
		}
		if a.Provider != "" {
			errs.name(field+".provider", a.Provider)
		}
		if !slices.Contains([]string{"", "android", "ios", "harmony"}, a.Platform) {
			errs.Add(field+".platform", "unknown", "android, ios or harmony")
		}
	}
	return errs
}

// ValidLocale tells whether s has the form of a BCP 47 language tag: letters, then parts of letters and digits.
func ValidLocale(s string) bool {
	for i, part := range strings.Split(s, "-") {
		if part == "" || len(part) > 8 || i == 0 && len(part) < 2 {
			return false
		}
		for _, c := range []byte(part) {
			letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
			if !letter && (i == 0 || c < '0' || c > '9') {
				return false
			}
		}
	}
	return len(s) <= 35
}

func (f *FieldErrors) name(field, s string) {
	if !ValidName(s) {
		f.Add(field, "malformed", "1 to 64 letters, digits and ._:@-, beginning with a letter or digit")
	}
}

func (f *FieldErrors) text(field, s string) {
	if len(s) > maxText {
		f.Add(field, "too_long", "at most 200 bytes")
	}
}

func (f *FieldErrors) attributes(as map[string]string) {
	if len(as) > maxAttributes {
		f.Add("attributes", "too_many", "at most 64")
	}
	for name, value := range as {
		if !ValidName(name) || len(value) > maxText {
			f.Add("attributes", "malformed", "names are ids, values at most 200 bytes")
			return
		}
	}
}
