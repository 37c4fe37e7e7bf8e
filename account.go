package tidings

import "time"

// Role says what a person may do.
type Role string

// The roles.
const (
	RoleAdmin     Role = "admin"     // everything
	RoleOperator  Role = "operator"  // reads everything; suspends, cancels, pauses, discards
	RoleApprover  Role = "approver"  // reads everything; approves and rejects applications and templates
	RoleDeveloper Role = "developer" // of one application: its types, templates, keys and messages
	RoleViewer    Role = "viewer"    // reads: one application, or everything
)

// Roles lists every role.
var Roles = []Role{RoleAdmin, RoleOperator, RoleApprover, RoleDeveloper, RoleViewer}

// Account is a person. He signs in to the console with a password, and uses CLI and API with keys of his account.
type Account struct {
	ID          string       `json:"id"`
	Name        string       `json:"name"`
	Role        Role         `json:"role"`
	Application string       `json:"application,omitempty"` // of developers; of viewers: "" sees all
	Locale      string       `json:"locale,omitempty"`      // of the console: "zh" or "en"
	State       AccountState `json:"state"`
	Hash        string       `json:"-"` // argon2id; "": no password was set
	CreatedAt   time.Time    `json:"created_at,omitzero"`
	SignedInAt  time.Time    `json:"signed_in_at,omitzero"`
}

// AccountState tells whether an account gets in.
type AccountState string

// The states of an account.
const (
	AccountActive   AccountState = "active"
	AccountDisabled AccountState = "disabled"
)

// RootAccount is who comes with the bootstrap admin token. No account may be named so.
const RootAccount = "root"

// Session is a signed-in browser. Token is known by its hash alone.
type Session struct {
	Hash       string // hex SHA-256 of the token
	Account    string
	Credential string // what a session without an account was opened with, as a hash; it ends with that
	CreatedAt  time.Time
	SeenAt     time.Time
	ExpiresAt  time.Time
}
