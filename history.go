package tidings

import (
	"encoding/json"
	"time"
)

// PageQuery asks for a page of a list that is in order of time, the newest first. Of After and Before at most one is set.
type PageQuery struct {
	After  ID // only what is newer than this
	Before ID // only what is older than this
	Limit  int
}

// InboxQuery narrows a user's inbox.
type InboxQuery struct {
	PageQuery
	Dimension string // only what reached the user through this merchant or store; "": all
	Unread    bool   // only what is not read
	Archived  bool   // what is archived instead of what is not
	Types     []string
}

// InboxItem is a notification as the inbox and the history show it.
type InboxItem struct {
	Entry
	SeenAt     time.Time `json:"seen_at,omitzero"`
	ReadAt     time.Time `json:"read_at,omitzero"`
	ArchivedAt time.Time `json:"archived_at,omitzero"`
	// Reason is why it is in the history and not among what calls for the user's eyes: one of Spares.
	Reason Reason `json:"reason,omitempty"`
}

// Mark is a fact that a user adds to notifications of his.
type Mark string

// The marks.
const (
	MarkSeen    Mark = "seen"
	MarkRead    Mark = "read" // also seen
	MarkArchive Mark = "archive"
)

// HistoryItem is a message in the history of a merchant or a store.
type HistoryItem struct {
	ID          ID        `json:"id"`
	Application string    `json:"application"`
	Type        string    `json:"type"`
	Title       string    `json:"title,omitempty"`
	Body        string    `json:"body,omitempty"`
	URL         string    `json:"url,omitempty"`
	At          time.Time `json:"at"`
	Users       int       `json:"users"` // of the dimension, whom it reached
	Read        int       `json:"read"`  // of these, who read it
}

// MessageQuery narrows a list of an application's messages.
type MessageQuery struct {
	PageQuery
	Application string // "": all applications (admins only)
	Type        string
	Since       time.Time
	Until       time.Time
}

// MessageStatus is how a message fares.
type MessageStatus struct {
	ID          ID                        `json:"id"`
	Application string                    `json:"application"`
	Type        string                    `json:"type"`
	Lane        Lane                      `json:"lane"`
	Channels    []Channel                 `json:"channels"`
	Status      string                    `json:"status"` // accepted, processing, done, canceled, failed
	Reason      Reason                    `json:"reason,omitempty"`
	AcceptedAt  time.Time                 `json:"accepted_at"`
	SendAt      time.Time                 `json:"send_at,omitzero"`
	ExpiresAt   time.Time                 `json:"expires_at"`
	Audience    Audience                  `json:"audience"`
	Data        json.RawMessage           `json:"data,omitempty"`
	Users       int                       `json:"users"` // notifications; -1 while the audience is being resolved
	Counts      map[Channel]map[State]int `json:"counts"`
	// Parent is the message of whose route it is a step, Escalations are the steps to others of its own.
	Parent      ID           `json:"parent,omitzero"`
	Escalations []Escalation `json:"escalations,omitempty"`
}

// DeliveryTrace is a delivery with everything that happened to it.
type DeliveryTrace struct {
	User      string         `json:"user"`
	Channel   Channel        `json:"channel"`
	State     State          `json:"state"`
	Reason    Reason         `json:"reason,omitempty"`
	Detail    string         `json:"detail,omitempty"` // of the content that could not be made
	DueAt     time.Time      `json:"due_at,omitzero"`
	ChangedAt time.Time      `json:"changed_at"`
	Decisions []Decision     `json:"decisions"` // of the route stage, rule by rule
	Attempts  []AttemptTrace `json:"attempts"`
}

// AttemptTrace is one call to a provider, with what came back.
type AttemptTrace struct {
	ID       ID     `json:"id"`
	N        int    `json:"n"`
	Provider string `json:"provider"`
	// Integration is which of our accounts made it; "" of attempts older than integrations.
	Integration string         `json:"integration,omitempty"`
	State       State          `json:"state"` // sending, sent, failed, unknown
	Reason      Reason         `json:"reason,omitempty"`
	Detail      string         `json:"detail,omitempty"`
	ProviderID  string         `json:"provider_id,omitempty"`
	Parts       int            `json:"parts,omitempty"` // SMS
	StartedAt   time.Time      `json:"started_at"`
	EndedAt     time.Time      `json:"ended_at,omitzero"`
	Receipts    []ReceiptTrace `json:"receipts"`
}

// ReceiptTrace is proof from outside.
type ReceiptTrace struct {
	Kind   ReceiptKind `json:"kind"`
	Detail string      `json:"detail,omitempty"`
	At     time.Time   `json:"at"`
}

// ReceiptKind is what a receipt says.
type ReceiptKind string

// The kinds of receipts. Delivered, NotDelivered and Rejected are final; a final one beats the others in whatever order
// they come.
const (
	ReceiptDelivered    ReceiptKind = "delivered"
	ReceiptNotDelivered ReceiptKind = "not_delivered"
	ReceiptAccepted     ReceiptKind = "accepted" // the operator took it
	ReceiptRejected     ReceiptKind = "rejected" // the operator refused it
	ReceiptBuffered     ReceiptKind = "buffered" // the operator tries again later
)

// Receipt is a report about one attempt.
type Receipt struct {
	Attempt    ID     // 0: the attempt is the one that the provider gave ProviderID
	ProviderID string // the provider's own id of the hand-over, if the report names it
	Kind       ReceiptKind
	Detail     string // the provider's words, without phone numbers and texts
	Raw        string // the report as it came, kept sealed; "" of an answer
	Answer     bool   // it answers a question of ours
}

// By is how a receipt came, as the metrics count it.
func (r Receipt) By() string {
	if r.Answer {
		return "query"
	}
	return "receipt"
}

// Balance compares what each stage expected with the rows that exist.
type Balance struct {
	Messages      int64           `json:"messages"`
	Open          int64           `json:"open"` // messages that some stage still works on
	Notifications int64           `json:"notifications"`
	Deliveries    map[State]int64 `json:"deliveries"`
	Overdue       int64           `json:"overdue"` // open segments and due deliveries past their time by more than a minute
	Faults        []BalanceFault  `json:"faults"`
}

// BalanceFault is a row too few or too many.
type BalanceFault struct {
	Rule     string `json:"rule"`  // "batch", "audience", "segments", "contents", "deliveries", "inbox", "attempts", "budget", "replay", "overdue"
	Where    string `json:"where"` // the id of what does not balance
	Expected int64  `json:"expected"`
	Found    int64  `json:"found"`
}
