package tidings

import (
	"maps"
	"slices"
	"strings"
)

// Audience is who a message is addressed to: (merchants or stores or users or everyone), narrowed by roles,
// attributes and scope: a user is reached through a membership that has one of the roles and all of the attributes. He is
// taken once.
type Audience struct {
	Merchants  []string          `json:"merchants,omitempty"`
	Stores     []string          `json:"stores,omitempty"`
	Users      []string          `json:"users,omitempty"`
	Roles      []string          `json:"roles,omitempty"`      // only members with one of these roles
	Attributes map[string]string `json:"attributes,omitempty"` // only members of a store or merchant with all of these
	Scope      Scope             `json:"scope,omitempty"`      // of the merchants named: whose users
	Everyone   bool              `json:"everyone,omitempty"`
}

// Scope narrows what a merchant in the audience stands for.
type Scope string

// The scopes.
const (
	ScopeAll      Scope = "all"      // the merchant's own users and those of its stores; the default
	ScopeMerchant Scope = "merchant" // the merchant's own users
	ScopeStores   Scope = "stores"   // users of its stores
)

// Empty tells whether the audience names nobody.
func (a Audience) Empty() bool {
	return len(a.Merchants) == 0 && len(a.Stores) == 0 && len(a.Users) == 0 && !a.Everyone
}

// OnlyUsers tells whether the audience is a list of users and nothing else.
func (a Audience) OnlyUsers() bool {
	return len(a.Users) > 0 && len(a.Merchants) == 0 && len(a.Stores) == 0 && !a.Narrowed() && !a.Everyone
}

// ByThemselves tells whether every user is reached as himself and not through a merchant or a store.
func (a Audience) ByThemselves() bool { return a.OnlyUsers() || a.Everyone }

// Narrowed tells whether the audience asks for roles or attributes, which only memberships have.
func (a Audience) Narrowed() bool { return len(a.Roles) > 0 || len(a.Attributes) > 0 }

// Named is how many ids the audience names.
func (a Audience) Named() int { return len(a.Merchants) + len(a.Stores) + len(a.Users) + len(a.Roles) }

// Validate checks the audience and returns a FieldErrors that names what is wrong, or nil.
func (a Audience) Validate() FieldErrors {
	var errs FieldErrors
	if a.Empty() {
		errs.Add("audience", "empty", "name merchants, stores, users or everyone")
	}
	if a.Named() > MaxAudience {
		errs.Add("audience", "too_many", "at most 1000 ids; send to merchants or stores instead of listing users")
	}
	if a.Scope != "" && a.Scope != ScopeAll && a.Scope != ScopeMerchant && a.Scope != ScopeStores {
		errs.Add("audience.scope", "unknown", "one of all, merchant, stores")
	}
	lists := []struct {
		field string
		names []string
	}{{"audience.merchants", a.Merchants}, {"audience.stores", a.Stores}, {"audience.users", a.Users}, {"audience.roles", a.Roles}}
	for _, l := range lists {
		for _, name := range l.names {
			if !ValidName(name) {
				errs.Add(l.field, "malformed", "an id has 1 to 64 letters, digits and ._:@-")
				break
			}
		}
	}
	if len(a.Attributes) > maxWanted {
		errs.Add("audience.attributes", "too_many", "at most 8")
	}
	for _, name := range slices.Sorted(maps.Keys(a.Attributes)) {
		if value := a.Attributes[name]; !ValidName(name) || value == "" || len(value) > maxText {
			errs.Add("audience.attributes", "malformed", "names are ids, values have 1 to 200 bytes")
			break
		}
	}
	return errs
}

// maxWanted is how many attributes an audience may ask for.
const maxWanted = 8

// Has tells whether a membership has all the attributes that the audience asks for: own are those of its store (none for a
// membership in a merchant) and stand before merchant, those of its merchant.
func (a Audience) Has(own, merchant map[string]string) bool {
	for name, value := range a.Attributes {
		found, ok := own[name]
		if !ok {
			found, ok = merchant[name]
		}
		if !ok || found != value {
			return false
		}
	}
	return true
}

// Reaches tells whether the audience reaches a member through one membership: a dimension of a merchant, with a role.
// What attributes the membership has is asked by Has.
func (a Audience) Reaches(dimension, merchant, role string) bool {
	if len(a.Roles) > 0 && !slices.Contains(a.Roles, role) {
		return false
	}
	if store, ok := strings.CutPrefix(dimension, ViaStore); ok {
		return slices.Contains(a.Stores, store) || a.Scope != ScopeMerchant && slices.Contains(a.Merchants, merchant)
	}
	return a.Scope != ScopeStores && slices.Contains(a.Merchants, merchant)
}

// Recipient is a user of an audience, as the directory stands when the audience's page is resolved.
type Recipient struct {
	User   string
	Locale string
	Via    []string
}

// Directory dimensions. A notification keeps those through which its user was reached.
const (
	ViaMerchant = "m:" // followed by the merchant's id
	ViaStore    = "s:" // followed by the store's id
	ViaUser     = "u"  // named himself, or everyone was
)
