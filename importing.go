package tidings

import (
	"fmt"
	"slices"
	"strings"
)

// ImportLine is one line of an import of the directory: exactly one of its fields is set. A line that is marked deleted is a
// tombstone: it needs the id only, and what it names leaves the directory.
type ImportLine struct {
	Merchant  *ImportMerchant  `json:"merchant,omitempty"`
	Store     *ImportStore     `json:"store,omitempty"`
	User      *ImportUser      `json:"user,omitempty"`
	Addresses *ImportAddresses `json:"addresses,omitempty"`
}

// ImportMerchant is a merchant or its tombstone.
type ImportMerchant struct {
	Merchant
	Deleted bool `json:"deleted,omitempty"`
}

// ImportStore is a store or its tombstone.
type ImportStore struct {
	Store
	Deleted bool `json:"deleted,omitempty"`
}

// ImportUser is a user or its tombstone.
type ImportUser struct {
	User
	Deleted bool `json:"deleted,omitempty"`
}

// ImportAddresses are all addresses of a user.
type ImportAddresses struct {
	User      string    `json:"user"`
	Addresses []Address `json:"addresses"`
}

// Names tells what a line is about: its kind (merchant, store, user or addresses) and id. A line that has no field or several
// is about nothing.
func (l ImportLine) Names() (kind, id string) {
	n := 0
	if l.Merchant != nil {
		n, kind, id = n+1, "merchant", l.Merchant.ID
	}
	if l.Store != nil {
		n, kind, id = n+1, "store", l.Store.ID
	}
	if l.User != nil {
		n, kind, id = n+1, "user", l.User.ID
	}
	if l.Addresses != nil {
		n, kind, id = n+1, "addresses", l.Addresses.User
	}
	if n != 1 {
		return "", ""
	}
	return kind, id
}

// Deletes tells whether the line is a tombstone.
func (l ImportLine) Deletes() bool {
	return l.Merchant != nil && l.Merchant.Deleted || l.Store != nil && l.Store.Deleted || l.User != nil && l.User.Deleted
}

// Validate checks what the line brings and returns what is wrong, by field.
func (l ImportLine) Validate() (errs FieldErrors) {
	kind, id := l.Names()
	switch {
	case kind == "":
		errs.Add("", "malformed", "a line has exactly one of merchant, store, user, addresses")
	case l.Deletes():
		errs.name("id", id)
	case kind == "merchant":
		return l.Merchant.Validate()
	case kind == "store":
		return l.Store.Validate()
	case kind == "user":
		return l.User.Validate()
	default:
		errs.name("user", id)
		return append(errs, ValidateAddresses(l.Addresses.Addresses)...)
	}
	return errs
}

// importColumns are those that a CSV file may have, by its first one.
var importColumns = map[string][]string{
	"merchant": {"merchant", "name", "attributes", "deleted"},
	"store":    {"store", "merchant", "name", "region", "timezone", "hours", "holidays", "attributes", "deleted"},
	"user":     {"user", "name", "locale", "memberships", "sms", "app", "provider", "platform", "email", "webhook", "bot", "deleted"},
}

// ImportHeader is the header of a CSV file of the directory: which column is what.
type ImportHeader []string

// ParseImportHeader reads the first record of a CSV file. Its first column says what the file holds.
func ParseImportHeader(record []string) (ImportHeader, error) {
	h := make(ImportHeader, len(record))
	for i, column := range record {
		h[i] = strings.ToLower(strings.TrimSpace(strings.TrimPrefix(column, "\ufeff"))) // as spreadsheets write it
	}
	if len(h) == 0 || importColumns[h[0]] == nil {
		return nil, fmt.Errorf("the first column is %q and must be merchant, store or user", strings.Join(h[:min(1, len(h))], ""))
	}
	known := importColumns[h[0]]
	for i, column := range h {
		if !slices.Contains(known, column) {
			return nil, fmt.Errorf("no column %q is known for a %s; there are %s", column, h[0], strings.Join(known, ", "))
		}
		if slices.Contains(h[:i], column) {
			return nil, fmt.Errorf("there are two columns %q", column)
		}
	}
	return h, nil
}

// Lines turns a record into lines of the import, and tells what is wrong by column. A user's addresses are a line of their own,
// and are only replaced where the file has columns for them.
func (h ImportHeader) Lines(record []string) ([]ImportLine, FieldErrors) {
	var errs FieldErrors
	if len(record) != len(h) {
		errs.Add("", "malformed", fmt.Sprintf("has %d columns, the header %d", len(record), len(h)))
		return nil, errs
	}
	v := map[string]string{}
	for i, column := range h {
		if !Storable(record[i]) {
			errs.Add(column, "malformed", "is not UTF-8 text; save the table as UTF-8")
			return nil, errs
		}
		v[column] = strings.TrimSpace(record[i])
	}
	id := v[h[0]]
	deleted := errs.truth("deleted", v["deleted"])
	line := ImportLine{}
	switch h[0] {
	case "merchant":
		line.Merchant = &ImportMerchant{Merchant: Merchant{ID: id, Name: either(v["name"], id), Attributes: errs.pairs(v["attributes"])}, Deleted: deleted}
	case "store":
		hours, err := ParseHours(v["hours"])
		errs.failure("hours", err)
		line.Store = &ImportStore{Deleted: deleted, Store: Store{ID: id, Merchant: v["merchant"], Name: either(v["name"], id), Region: v["region"],
			Timezone: v["timezone"], Hours: hours, Holidays: strings.Fields(v["holidays"]), Attributes: errs.pairs(v["attributes"])}}
	default:
		memberships, err := ParseMemberships(strings.Fields(v["memberships"]))
		errs.failure("memberships", err)
		line.User = &ImportUser{User: User{ID: id, Name: either(v["name"], id), Locale: v["locale"], Memberships: memberships}, Deleted: deleted}
	}
	lines := []ImportLine{line}
	if h[0] == "user" && !deleted && slices.ContainsFunc(Addressed, func(c Channel) bool { return slices.Contains(h, string(c)) }) {
		lines = append(lines, ImportLine{Addresses: &ImportAddresses{User: id, Addresses: UserAddresses(v)}})
	}
	return lines, errs
}

// truth reads a cell of yes and no.
func (f *FieldErrors) truth(column, text string) bool {
	switch strings.ToLower(text) {
	case "", "0", "no", "false":
		return false
	case "1", "yes", "true":
		return true
	}
	f.Add(column, "malformed", "yes or no")
	return false
}

// pairs reads attributes as they stand in one cell: "tier=gold; floor=2".
func (f *FieldErrors) pairs(text string) map[string]string {
	attributes := map[string]string{}
	for part := range strings.SplitSeq(text, ";") {
		name, value, ok := strings.Cut(part, "=")
		if name = strings.TrimSpace(name); name == "" && !ok {
			continue
		}
		if _, twice := attributes[name]; !ok || twice {
			f.Add("attributes", "malformed", "write them tier=gold; floor=2, each once")
			return nil
		}
		attributes[name] = strings.TrimSpace(value)
	}
	return attributes
}

func (f *FieldErrors) failure(column string, err error) {
	if err != nil {
		f.Add(column, "malformed", err.Error())
	}
}

// ParseMemberships reads m:MERCHANT:ROLE and s:STORE:ROLE. An id may hold colons, a role may not.
func ParseMemberships(texts []string) ([]Membership, error) {
	ms := []Membership{}
	for _, text := range texts {
		kind, rest, _ := strings.Cut(text, ":")
		i := strings.LastIndex(rest, ":")
		if i < 1 || kind != "m" && kind != "s" {
			return nil, fmt.Errorf("%s: write it m:MERCHANT:ROLE or s:STORE:ROLE", text)
		}
		m := Membership{Role: rest[i+1:]}
		if kind == "m" {
			m.Merchant = rest[:i]
		} else {
			m.Store = rest[:i]
		}
		ms = append(ms, m)
	}
	return ms, nil
}

// UserAddresses are the addresses of a user as a row of a table or flags give them: values by channel, and for app the push provider (Baidu where none is named) and the
// platform.
// A bot is written PROVIDER:VALUE. What is missing is no address.
func UserAddresses(values map[string]string) []Address {
	addresses := []Address{}
	for _, c := range Addressed {
		a := Address{Channel: c, Value: values[string(c)]}
		switch {
		case a.Value == "":
			continue
		case c == App:
			a.Provider, a.Platform = either(values["provider"], "baidu"), values["platform"]
			if a.Provider == "baidu" {
				a.Platform = either(a.Platform, "android")
			}
		case c == Bot:
			if provider, value, ok := strings.Cut(a.Value, ":"); ok {
				a.Provider, a.Value = provider, value
			}
		}
		addresses = append(addresses, a)
	}
	return addresses
}

func either(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
