package tidings

import "time"

// Key lets a program in: an application, a merchant's own system, or an admin's tools. Its secret is shown once, when it is
// made; only a hash is kept.
type Key struct {
	ID          string    `json:"id"`
	Kind        KeyKind   `json:"kind"`
	Application string    `json:"application,omitempty"`
	Dimension   string    `json:"dimension,omitempty"` // of a merchant key: "m:acme" or "s:acme-1"
	Role        Role      `json:"role,omitempty"`      // of an admin key without an account: admin or operator
	Account     string    `json:"account,omitempty"`   // of an admin key: whose it is; it has his role
	MadeBy      string    `json:"made_by,omitempty"`   // the account that made it
	Name        string    `json:"name,omitempty"`
	Scopes      []string  `json:"scopes"`
	Types       []string  `json:"types,omitempty"`    // of an application key: the message types it may use; none: all
	Channels    []Channel `json:"channels,omitempty"` // of an application key: the channels it may use; none: all
	Hash        string    `json:"-"`                  // hex SHA-256 of the secret
	Last4       string    `json:"last4"`
	CreatedAt   time.Time `json:"created_at"`
	ExpiresAt   time.Time `json:"expires_at,omitzero"`
	RevokedAt   time.Time `json:"revoked_at,omitzero"`
	LastUsed    time.Time `json:"last_used,omitzero"` // to the minute
}

// KeyKind is who holds a key.
type KeyKind string

// The kinds of keys, with the prefix that their written form begins with.
const (
	ApplicationKey KeyKind = "application" // tdk_
	MerchantKey    KeyKind = "merchant"    // tdm_
	AdminKey       KeyKind = "admin"       // tda_
)

// The scopes of keys. Those an application may be given by itself come first; the next three only an admin grants; the
// last two are a merchant key's.
const (
	ScopeSend           = "messages:send"
	ScopeReadMessages   = "messages:read"
	ScopeTemplates      = "templates:write"
	ScopeDirectoryWrite = "directory:write"
	ScopeTokensMint     = "tokens:mint"
	ScopeReceipts       = "receipts"
	ScopeHistoryRead    = "history:read"
	ScopeInboxWrite     = "inbox:write"
)
