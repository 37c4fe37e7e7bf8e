package tidings

import "time"

// State is where a delivery stands. The legal moves between states are Moves, drawn in docs/states.md.
type State string

// The states of a delivery.
const (
	Held       State = "held"       // waits for its due time
	Queued     State = "queued"     // on the conveyor
	Sending    State = "sending"    // an attempt is committed, its call may be under way
	Sent       State = "sent"       // web: numbered and committed; else: the provider took it
	Delivered  State = "delivered"  // a receipt says that it arrived
	Failed     State = "failed"     // will not arrive; the reason says why
	UnknownEnd State = "unknown"    // nobody knows whether the provider took it
	Suppressed State = "suppressed" // by rule not sent; the reason says which
	Expired    State = "expired"    // its time ran out before it could be sent
	Canceled   State = "canceled"   // the application took it back
)

// States lists every state, those still under way first.
var States = []State{Held, Queued, Sending, UnknownEnd, Sent, Delivered, Failed, Suppressed, Expired, Canceled}

// Moves are the legal moves of a delivery, from state to states. The empty state is the one before the route stage wrote
// the row.
var Moves = map[State][]State{
	"":         {Held, Queued, Sent, Failed, Suppressed, Expired, Canceled},
	Held:       {Queued, Suppressed, Expired, Canceled, Delivered},
	Queued:     {Held, Sending, Sent, Failed, Suppressed, Expired, Canceled, Delivered},
	Sending:    {Sent, Delivered, Failed, UnknownEnd, Held, Queued},
	UnknownEnd: {Sent, Delivered, Failed, Queued},
	Sent:       {Delivered, Failed},
	Failed:     {Queued},
	Expired:    {Queued},
	Suppressed: {Queued},
}

// Final tells whether nothing further is done for a delivery in state s of itself: a receipt may still tell more.
func (s State) Final() bool { return s != Held && s != Queued && s != Sending }

// Reason says why a delivery or attempt is in a state that is not a success. The list is closed: the same word stands in
// history, API, console and metrics.
type Reason string

// The reasons.
const (
	NoReason        Reason = ""
	NoAddress       Reason = "no_address"          // the user has no address on the channel
	NoTemplate      Reason = "no_template"         // no version is published for the channel
	TemplateFailed  Reason = "template_failed"     // the template could not be rendered with the data
	TooLong         Reason = "too_long"            // the content exceeds what the channel can carry
	NotYetDue       Reason = "send_at"             // held until send_at
	TimeRanOut      Reason = "expired"             // past expires_at
	CanceledByApp   Reason = "canceled"            // the application took it back
	ProviderRefused Reason = "provider_refused"    // the provider said no
	AddressRefused  Reason = "address_refused"     // the provider knows no such address, or the user blocked us
	ProviderBusy    Reason = "provider_busy"       // too many requests or a passing fault; tried again
	ProviderDown    Reason = "provider_down"       // could not be reached; tried again
	ProviderSilent  Reason = "provider_silent"     // the request was written and never answered
	Misconfigured   Reason = "misconfigured"       // our account at the provider is at fault
	Interrupted     Reason = "interrupted"         // our process died while the call may have been under way
	NotDelivered    Reason = "not_delivered"       // a delivery report says that it did not arrive
	NoChannel       Reason = "channel_unavailable" // no integration is configured for the channel
	UserGone        Reason = "user_gone"           // the user left the directory before it was sent
	NoRecipients    Reason = "no_recipients"       // a message whose audience turned out to be nobody
	AppSuspended    Reason = "suspended"           // held: the application may not send for now
	Discarded       Reason = "discarded"           // its template version was discarded
	QuietTime       Reason = "quiet_hours"         // held until the type's or the user's quiet hours end, or it would be too late then
	Muted           Reason = "muted"               // the user does not want it
	OverCap         Reason = "over_cap"            // the user has had as many as the type or the application may send him
	Duplicate       Reason = "duplicate"           // another one said the same within the type's dedup window
	Collapsed       Reason = "collapsed"           // a newer one took its place
	OverQuota       Reason = "over_quota"          // the application has no deliveries left for the day on the channel
	OverBudget      Reason = "over_budget"         // the application has no SMS parts left for the month
	RouteStep       Reason = "route_step"          // held until its step of the route, or it would be too late then
	WasRead         Reason = "read"                // somebody read it before its step came
	StoreClosed     Reason = "store_closed"        // held until the store opens, or it would be too late then
	InDigest        Reason = "digest"              // held until the digest it is gathered in, or it would be too late then
	Digested        Reason = "digested"            // it went out as part of a digest, which its decisions name
)

// Reasons lists every reason.
var Reasons = []Reason{NoAddress, NoTemplate, TemplateFailed, TooLong, NotYetDue, TimeRanOut, CanceledByApp, ProviderRefused,
	AddressRefused, ProviderBusy, ProviderDown, ProviderSilent, Misconfigured, Interrupted, NotDelivered, NoChannel, UserGone,
	NoRecipients, AppSuspended, Discarded, QuietTime, Muted, OverCap, Duplicate, Collapsed, OverQuota, OverBudget,
	RouteStep, WasRead, StoreClosed, InDigest, Digested}

// Spares are the reasons for which a user is spared a notification on the web. It stands in the history all the same.
var Spares = []Reason{Muted, OverCap, Duplicate, Collapsed}

// Delivery is one notification on one channel. There is exactly one for each (message, user, channel).
type Delivery struct {
	Message   ID
	User      string
	Channel   Channel
	State     State
	Reason    Reason
	DueAt     time.Time // held, or waiting for a retry or a receipt: when to look again
	ExpiresAt time.Time
	Locale    string // of the content chosen for it
	Number    int64  // web: its place in the inbox, once it is sent
	Parts     int    // sms: how many the content has
	Decided   string // the rules that did not simply pass; see Decisions
	Back      *Lookback
	ReadyAt   time.Time // in a digest: from when on it may be gathered; zero: it is in none
}

// Back-off of a delivery whose provider was busy: doubled for each attempt, between a base and a cap, of which the caller
// takes a random part so that retries do not come in step.
func Backoff(l Lane, attempt int) time.Duration {
	base, top := 5*time.Second, 10*time.Minute
	if l == Critical { // a one-time code is worthless after minutes
		base, top = time.Second, 8*time.Second
	}
	for d := base; ; d *= 2 {
		if attempt <= 1 || d >= top {
			return min(d, top)
		}
		attempt--
	}
}
