package tidings

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
	Timezone   string            `json:"timezone,omitempty"` // IANA name; empty: Asia/Shanghai
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

// Address is where a user is reached on a channel: a phone number (E.164) for sms, a channel id of the push provider
// for app. Addresses are kept sealed and are never given back to applications.
type Address struct {
	Channel  Channel `json:"channel"`
	Value    string  `json:"value"`
	Provider string  `json:"provider,omitempty"` // app: "baidu"
	Platform string  `json:"platform,omitempty"` // app: "android", "ios"
}
