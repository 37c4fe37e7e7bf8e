package tidings

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// DeadStates are the states in which a delivery ended without a success, and from which it can be sent again.
var DeadStates = []State{Failed, UnknownEnd, Expired, Suppressed}

// MendedReasons are those for which a suppressed delivery can be sent again: its means were lacking, and may be there now. What a user did not
// want, or a rule spared him, stays as it is.
var MendedReasons = []Reason{NoAddress, OverQuota, OverBudget}

// DefaultDead are the dead letters that are shown to who names no states: that a user has no address is seldom worth a look.
var DefaultDead = []State{Failed, UnknownEnd, Expired}

// Limits of a replay.
const (
	MaxReplayDeliveries = 1000 // that a filter names one by one, and that an answer shows
	// UnknownRest is how long a delivery must have been unknown before it is sent again: a claim and a call have run out by then.
	UnknownRest = 20 * time.Second
)

// DeliveryKey names a delivery.
type DeliveryKey struct {
	Message ID      `json:"message"`
	User    string  `json:"user"`
	Channel Channel `json:"channel"`
}

// String writes the key as message/user/channel.
func (k DeliveryKey) String() string {
	return k.Message.String() + "/" + k.User + "/" + string(k.Channel)
}

// ParseDelivery reads what String wrote.
func ParseDelivery(text string) (k DeliveryKey, err error) {
	parts := strings.Split(text, "/")
	if len(parts) == 3 {
		if k.Message, err = ParseID(parts[0]); err == nil {
			k.User, k.Channel = parts[1], Channel(parts[2])
		}
	}
	if len(parts) != 3 || err != nil || k.Message == 0 || !ValidName(k.User) || !k.Channel.Valid() {
		return DeliveryKey{}, fmt.Errorf("%q is no delivery: MESSAGE/USER/CHANNEL", text)
	}
	return k, nil
}

// ReplayFilter selects deliveries that ended without a success. Empty fields select everything.
type ReplayFilter struct {
	States   []State   `json:"states,omitempty"`
	Reasons  []Reason  `json:"reasons,omitempty"`
	Channels []Channel `json:"channels,omitempty"`
	Type     string    `json:"type,omitempty"`
	Message  ID        `json:"message,omitzero"`
	// Since and Until bound when a delivery ended.
	Since      time.Time     `json:"since,omitzero"`
	Until      time.Time     `json:"until,omitzero"`
	Deliveries []DeliveryKey `json:"deliveries,omitempty"`
}

// Validate checks a filter and returns what is wrong, by field. What is selected must be said: by state, or one by one.
func (f ReplayFilter) Validate() (errs FieldErrors) {
	if len(f.States) == 0 && len(f.Deliveries) == 0 {
		errs.Add("filter.states", "missing", "some of "+Names(DeadStates)+", or deliveries one by one")
	}
	if i := slices.IndexFunc(f.States, func(s State) bool { return !slices.Contains(DeadStates, s) }); i >= 0 {
		errs.Add("filter.states", "unknown", "of "+Names(DeadStates))
	}
	if slices.ContainsFunc(f.Reasons, func(r Reason) bool { return !slices.Contains(Reasons, r) }) {
		errs.Add("filter.reasons", "unknown", "of "+Names(Reasons))
	}
	if slices.ContainsFunc(f.Channels, func(c Channel) bool { return !c.Valid() }) {
		errs.Add("filter.channels", "unknown", "of "+Names(Channels))
	}
	if f.Type != "" && !ValidName(f.Type) {
		errs.Add("filter.type", "malformed", "it is no message type")
	}
	if !f.Since.IsZero() && !f.Until.IsZero() && !f.Until.After(f.Since) {
		errs.Add("filter.until", "out_of_range", "later than since")
	}
	if len(f.Deliveries) > MaxReplayDeliveries {
		errs.Add("filter.deliveries", "too_many", "at most 1000; a filter selects more")
	}
	if slices.ContainsFunc(f.Deliveries, func(k DeliveryKey) bool { return k.Message == 0 || !ValidName(k.User) || !k.Channel.Valid() }) {
		errs.Add("filter.deliveries", "malformed", "each with message, user and channel")
	}
	return errs
}

// ReplayState is how far a replay is.
type ReplayState string

// The states of a replay.
const (
	ReplayRunning  ReplayState = "running"
	ReplayDone     ReplayState = "done"
	ReplayCanceled ReplayState = "canceled" // what it had put on the road until then stays there
)

// Replay is a decision to send again what ended without a success: who took it, for which deliveries, and what came of it.
type Replay struct {
	ID          ID           `json:"id"`
	Application string       `json:"application,omitempty"` // "": of all
	Filter      ReplayFilter `json:"filter"`
	// ExpiresAt is the new end of those whose time ran out or would run out earlier; zero: they keep theirs.
	ExpiresAt time.Time   `json:"expires_at,omitzero"`
	State     ReplayState `json:"state"`
	MadeBy    string      `json:"made_by"`
	MadeAt    time.Time   `json:"made_at"`
	EndedAt   time.Time   `json:"ended_at,omitzero"`
	Replayed  int         `json:"replayed"` // deliveries put on the road again
	LeftOut   int         `json:"left_out"`
	Parts     int         `json:"sms_parts"` // of those
	// Why counts those left out, and Now the deliveries of the replay by the state in which they are. Of a list of replays they are not known.
	Why map[LeftOut]int `json:"left_out_why,omitempty"`
	Now map[State]int   `json:"now,omitempty"`

	Key, Hash string `json:"-"` // the Idempotency-Key under which it was made, and what it stood for
}

// Validate checks a replay that is to be made, and returns what is wrong, by field.
func (r Replay) Validate(now time.Time) FieldErrors {
	errs := r.Filter.Validate()
	if !r.ExpiresAt.IsZero() && (!r.ExpiresAt.After(now) || r.ExpiresAt.Sub(now) > MaxSendAhead) {
		errs.Add("expires_at", "out_of_range", "a time to come, at most 365 days ahead")
	}
	return errs
}

// ReplayPlan is what a replay would do.
type ReplayPlan struct {
	Count    int             `json:"count"`     // deliveries that would be sent again
	Parts    int             `json:"sms_parts"` // what that costs
	Channels map[Channel]int `json:"channels"`
	States   map[State]int   `json:"states"`
	Reasons  map[Reason]int  `json:"reasons"`
	Left     int             `json:"left_out"`
	Why      map[LeftOut]int `json:"left_out_why"`
	// Deliveries are the first of both, in order of their messages; More tells that there are others.
	Deliveries []DeadLetter `json:"deliveries"`
	More       bool         `json:"more"`
}

// NewReplayPlan returns the plan of a replay that selects nothing.
func NewReplayPlan() ReplayPlan {
	return ReplayPlan{Channels: map[Channel]int{}, States: map[State]int{}, Reasons: map[Reason]int{}, Why: map[LeftOut]int{}, Deliveries: []DeadLetter{}}
}

// Add counts a delivery, and keeps the first limit of them.
func (p *ReplayPlan) Add(d DeadLetter, limit int) {
	if d.LeftOut == "" {
		p.Count++
		p.Parts += d.Parts
		p.Channels[d.Channel]++
		p.States[d.State]++
		p.Reasons[d.Reason]++
	} else {
		p.Left++
		p.Why[d.LeftOut]++
	}
	if p.More = p.More || len(p.Deliveries) >= limit; !p.More {
		p.Deliveries = append(p.Deliveries, d)
	}
}

// DeadLetter is a delivery that ended without a success, with what is needed to judge whether it can be sent again.
type DeadLetter struct {
	DeliveryKey
	Application string    `json:"application"`
	Type        string    `json:"type"`
	Lane        Lane      `json:"lane"`
	State       State     `json:"state"`
	Reason      Reason    `json:"reason,omitempty"`
	Detail      string    `json:"detail,omitempty"` // what the provider, or the renderer, said last
	Attempts    int       `json:"attempts"`
	Integration string    `json:"integration,omitempty"` // of the last attempt
	Provider    string    `json:"provider,omitempty"`    // likewise
	EndedAt     time.Time `json:"ended_at"`
	ExpiresAt   time.Time `json:"expires_at"`
	Parts       int       `json:"sms_parts,omitempty"`
	// LeftOut is why a replay that names its state leaves it out; "": it does not.
	LeftOut LeftOut `json:"left_out,omitempty"`

	Facts DeadFacts `json:"-"`
	// Fresh is its content by the templates in force, where it had none; nil: it has one, or none can be made.
	Fresh *Rendered `json:"-"`
}

// DeadFacts are what a replay asks of a delivery beside its state.
type DeadFacts struct {
	Now        time.Time // of the database
	Taken      bool      // a provider has taken one of its attempts
	Waits      bool      // it is looked at again of itself
	Canceled   bool      // its message is
	Read       bool      // the user has read it, or somebody whose read ends it
	Collapsed  bool      // a newer one took its place
	Digest     bool      // it belongs into a digest
	UserGone   bool
	HasContent bool
	HasAddress bool
}

// ReplayedDelivery is a delivery that a replay selected.
type ReplayedDelivery struct {
	DeliveryKey
	State     State   `json:"state"` // before
	Reason    Reason  `json:"reason,omitempty"`
	Attempts  int     `json:"attempts"` // made before
	Parts     int     `json:"sms_parts,omitempty"`
	LeftOut   LeftOut `json:"left_out,omitempty"`
	Now       State   `json:"now"`
	ReasonNow Reason  `json:"reason_now,omitempty"`
}

// LeftOut says why a replay does not send a delivery again.
type LeftOut string

// Why a delivery is left out.
const (
	LeftSucceeded  LeftOut = "succeeded"   // it was taken or has arrived
	LeftUnderWay   LeftOut = "under_way"   // it is on the road, or tried again of itself
	LeftCanceled   LeftOut = "canceled"    // the application took it back
	LeftByRule     LeftOut = "by_rule"     // a rule or the user's wish stopped it
	LeftUnknown    LeftOut = "unknown"     // it may have arrived, and the filter does not name the state unknown
	LeftTooSoon    LeftOut = "too_soon"    // it is unknown since less than 20 s, and its call may still be under way
	LeftExpired    LeftOut = "expired"     // its time ran out, and no new expires_at is given
	LeftRead       LeftOut = "read"        // the user has read it
	LeftCollapsed  LeftOut = "collapsed"   // a newer one took its place
	LeftDigest     LeftOut = "digest"      // it belongs into a digest
	LeftUserGone   LeftOut = "user_gone"   // the user left the directory
	LeftNoContent  LeftOut = "no_content"  // it has no content, and the templates in force make none either
	LeftNoAddress  LeftOut = "no_address"  // the user has no address on the channel
	LeftOverQuota  LeftOut = "over_quota"  // the application has no deliveries left for the day
	LeftOverBudget LeftOut = "over_budget" // the application has no SMS parts left for the month
)

// LeftOuts lists them all.
var LeftOuts = []LeftOut{LeftSucceeded, LeftUnderWay, LeftCanceled, LeftByRule, LeftUnknown, LeftTooSoon, LeftExpired, LeftRead, LeftCollapsed,
	LeftDigest, LeftUserGone, LeftNoContent, LeftNoAddress, LeftOverQuota, LeftOverBudget}

// Decide says whether a replay sends a delivery again: "", or why not. expires is the replay's new end; quota and budget are asked apart.
func (d DeadLetter) Decide(f ReplayFilter, expires time.Time) LeftOut {
	facts := d.Facts
	unknown := d.State == UnknownEnd
	for _, c := range []struct {
		out  LeftOut
		when bool
	}{
		{LeftSucceeded, d.State == Sent || d.State == Delivered || facts.Taken},
		{LeftUnderWay, !d.State.Final() || facts.Waits},
		{LeftCanceled, d.State == Canceled || facts.Canceled},
		{LeftByRule, d.State == Suppressed && !slices.Contains(MendedReasons, d.Reason)},
		{LeftUnknown, unknown && !slices.Contains(f.States, UnknownEnd)},
		{LeftTooSoon, unknown && facts.Now.Sub(d.EndedAt) < UnknownRest},
		{LeftRead, facts.Read},
		{LeftCollapsed, facts.Collapsed},
		{LeftDigest, facts.Digest},
		{LeftUserGone, facts.UserGone},
		{LeftNoContent, !facts.HasContent},
		{LeftNoAddress, !facts.HasAddress},
		{LeftExpired, !d.ExpiresAt.After(facts.Now) && !expires.After(facts.Now)},
	} {
		if c.when {
			return c.out
		}
	}
	return ""
}

// Requeued is the delivery as a replay puts it on the road.
func (d DeadLetter) Requeued() Delivery {
	return Delivery{Message: d.Message, User: d.User, Channel: d.Channel, State: Queued, Parts: d.Parts}
}

// DeadLetterQuery asks for a page of dead letters, those of the newest messages first.
type DeadLetterQuery struct {
	Application string
	ReplayFilter
	Before DeliveryKey // only those behind this one; its zero value: from the start
	Limit  int
}
