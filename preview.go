package tidings

import "time"

// Preview is what would become of a message if it were sent now. Nothing of it is kept, and nothing is reserved.
type Preview struct {
	Users   int `json:"users"`   // the audience
	Planned int `json:"planned"` // of these, the first of whom the rest of the preview speaks
	// Recipients are the first PreviewRecipients of them, in order of their ids.
	Recipients []PreviewRecipient        `json:"recipients"`
	Contents   []PreviewContent          `json:"contents"`
	Counts     map[Channel]map[State]int `json:"counts"` // of the planned
	Cost       PreviewCost               `json:"cost"`
	// Escalations are the steps of the route to others, which follow if it is not read by then. Whom they reach is resolved then.
	Escalations []Escalation `json:"escalations,omitempty"`
}

// Limits of a preview.
const (
	PreviewUsers      = 1000 // planned
	PreviewRecipients = 20   // shown one by one
)

// PreviewRecipient is a user whom the message would reach.
type PreviewRecipient struct {
	User       string            `json:"user"`
	Locale     string            `json:"locale"`
	Via        []string          `json:"via"` // "m:acme", "s:acme-1", "u"
	Deliveries []PreviewDelivery `json:"deliveries"`
}

// PreviewDelivery is which way the message would go to a user on a channel, and why.
type PreviewDelivery struct {
	Channel   Channel    `json:"channel"`
	State     State      `json:"state"` // queued: it would go out at once
	Reason    Reason     `json:"reason,omitempty"`
	DueAt     time.Time  `json:"due_at,omitzero"`
	Locale    string     `json:"locale,omitempty"` // of its content: see PreviewContent
	Version   int        `json:"version,omitempty"`
	Parts     int        `json:"parts,omitempty"` // sms
	Decisions []Decision `json:"decisions"`
}

// PreviewContent is what users would see on a channel.
type PreviewContent struct {
	Channel  Channel `json:"channel"`
	Locale   string  `json:"locale"`
	Version  int     `json:"version,omitempty"`
	Percent  int     `json:"percent,omitempty"` // of the stores that get this version; 0: all that no other takes
	Content  Content `json:"content"`
	Parts    int     `json:"parts,omitempty"`    // sms
	Encoding string  `json:"encoding,omitempty"` // sms: "gsm7" or "ucs2"
	Reason   Reason  `json:"reason,omitempty"`   // why there is no content
	Detail   string  `json:"detail,omitempty"`
	Users    int     `json:"users"` // of the planned, who would get it
}

// PreviewCost is what the message would cost.
type PreviewCost struct {
	Parts     int  `json:"sms_parts"`
	Estimated bool `json:"estimated"`                // from the planned, for the whole audience
	Left      *int `json:"sms_parts_left,omitempty"` // of the month's budget, before it; none: there is no budget
}

// Preview makes what is shown of a content.
func (r Rendered) Preview() PreviewContent {
	p := PreviewContent{Channel: r.Channel, Version: r.Version, Content: r.Content, Reason: r.Reason, Detail: r.Detail}
	p.Locale, p.Percent = trialOf(r.Locale)
	if r.Channel == SMS && r.Reason == NoReason {
		p.Parts, p.Encoding = r.Content.SMS()
	}
	return p
}
