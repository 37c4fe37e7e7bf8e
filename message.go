package tidings

import (
	"encoding/json"
	"time"
)

// Message is one accepted request. It is immutable once accepted.
type Message struct {
	ID          ID
	Batch       ID
	Application string
	Type        string
	Lane        Lane
	Audience    Audience
	Data        json.RawMessage // the values of the type's variables, a JSON object
	Channels    []Channel       // a narrowing of the type's channels; none means all of them
	SendAt      time.Time       // zero: at once
	ExpiresAt   time.Time       // never sent after this
	// CollapseKey lets a newer notification take the place of an older one of the application with the same key: while it waits,
	// in the inbox if the type says so, and at a provider that can.
	CollapseKey string
	// CancellationKey lets the application cancel what is pending without knowing the message's id.
	CancellationKey string
	AcceptedAt      time.Time
	// Broadcast is set when the message is accepted as a broadcast, and when the audience of one is resolved.
	Broadcast *Broadcast
}

// Limits of a message. They are part of the API (openapi.yaml) and refused with a 4xx that names the field.
const (
	MaxBody       = 256 << 10            // bytes of one POST /v1/messages body
	MaxBatchBody  = 4 << 20              // bytes of one POST /v1/messages/batch body
	MaxBatch      = 500                  // messages in one batch POST
	MaxAudience   = 1000                 // ids named in one audience
	MaxData       = 64 << 10             // bytes of data
	MaxList       = 1000                 // elements of one array in data: bounds a template's loops
	MaxKey        = 255                  // characters of an Idempotency-Key, collapse key or cancellation key
	MaxSendAhead  = 365 * 24 * time.Hour // how far ahead send_at may lie
	DefaultExpiry = 72 * time.Hour       // when neither type nor message says when it expires
)

// Notification is a message for one user: what the inbox and the history show. Seen, read and archived are facts about
// it, apart from delivery.
type Notification struct {
	Message ID
	User    string
	Locale  string
	Via     []string // every dimension through which the user was reached: "m:acme", "s:acme-1", "u"
}

// Entry is a notification as the merchant's page receives it: a line of the numbered list that is the inbox.
type Entry struct {
	Number      int64     `json:"number"`
	ID          ID        `json:"id"` // the message
	Application string    `json:"application,omitempty"`
	Type        string    `json:"type,omitempty"`
	Title       string    `json:"title,omitempty"`
	Body        string    `json:"body,omitempty"`
	URL         string    `json:"url,omitempty"`
	Via         []string  `json:"via,omitempty"` // "m:acme", "s:acme-1", "u"
	At          time.Time `json:"at,omitzero"`   // when it was accepted
	// Replaces says that an older entry may be gone from the list: see MessageType.Replace. A page that is open reads it anew.
	Replaces bool `json:"replaces,omitempty"`
}

// UserEntry is an entry of a user's inbox.
type UserEntry struct {
	User  string
	Entry Entry
}

// Gone is what stands in the list for an entry that the user may no longer see: the number stays, so that the list has
// no hole, and the content does not.
type Gone struct {
	Number int64 `json:"number"`
	Gone   bool  `json:"gone"` // always true
}
