package tidings

import (
	"slices"
	"time"
)

// What the stages read and what they commit. Each stage reads its work, decides in Go, and commits in one transaction that
// also finishes its segment; a commit for a segment that was finished or taken over meanwhile changes nothing (ErrStale).

// Item is a notification on its way through render and route.
type Item struct {
	Message ID
	User    string
	Locale  string
	Number  int64 // of a web delivery: its place in the inbox
	// Replaces says that older entries make place for it there.
	Replaces bool
}

// Audienced is a message whose audience is to be resolved, with the progress that earlier pages made.
type Audienced struct {
	Message
	Canceled bool
	After    string // resolve users after this id
	Size     int    // users counted on earlier pages
}

// AcquirePage is the effect of one acquire step.
type AcquirePage struct {
	Notifications []Notification
	Ended         []AcquireEnd // messages whose audience is complete
	Rest          []Audienced  // what a further segment goes on with: the first from After, the others from the start
	RestAt        time.Time    // when it goes on; zero: at once
	Broadcast     *Broadcast   // all of it belongs to this one
	Pace          Pace         // and it counts the notifications
}

// AcquireEnd says how the acquiring of a message ended.
type AcquireEnd struct {
	Message ID
	Size    int // the audience, counted apart from the rows
	Reason  Reason
	Paged   bool // it took several pages
}

// RenderWork is what the render stage works on.
type RenderWork struct {
	Items    []Item
	Messages map[ID]Message
}

// Rendered is content of a message for a channel and locale, or the reason why there is none.
type Rendered struct {
	Message ID
	Channel Channel
	Locale  string
	Version int
	Content Content
	Parts   int // sms
	Reason  Reason
	Detail  string
	Segment int64 // that noted why there was none, when it is made at last
}

// RouteWork is what the route stage decides on.
type RouteWork struct {
	Now       time.Time // of the database: the one clock by which deadlines are judged
	Items     []Item
	Messages  map[ID]Audienced
	Contents  map[ID][]Rendered           // without the content itself
	Addresses map[string]map[Channel]bool // by user
}

// Outside tells whether any message goes out on a channel that needs an address.
func (w RouteWork) Outside() bool {
	for _, m := range w.Messages {
		if slices.ContainsFunc(m.Channels, func(c Channel) bool { return c != Web }) {
			return true
		}
	}
	return false
}

// Outgoing is a delivery that a claimed segment hands to a provider.
type Outgoing struct {
	Delivery
	Policy  Policy
	Attempt int // attempts made before
	Before  []Before
	Call    Call
	Sealed  bool // the address cannot be opened: it stands there, under a secret that we do not have
}

// Before is an earlier attempt of a delivery.
type Before struct {
	Integration string
	Key         string // of a Keyer, as long as its provider knows it and it may still mean the same call
	State       State
	PassedOn    bool // it was refused, and another integration was to take the delivery at once
	Replayed    bool // the delivery ended after it, and was put on the road anew by a replay
}

// Claim is a worker's hold on a deliver segment: a fencing token and when it lapses.
type Claim struct {
	Segment Segment
	Token   int64
	Until   time.Time // by this process's clock
}

// Settlement is what became of an attempt.
type Settlement struct {
	Attempt    ID
	State      State // of the attempt and, if it still waits for this attempt, of its delivery
	Reason     Reason
	Detail     string
	ProviderID string
	Parts      int
	// RetryAt is when the delivery is looked at again: Held after a busy provider, UnknownEnd before a resend; zero: never.
	RetryAt time.Duration // from now, by the database's clock
	// AskAt is when the provider is asked what became of the attempt, from now; 0: never.
	AskAt time.Duration
	// DropAddress says that the address is dead.
	DropAddress bool
	Integration string // of an interrupted attempt
	Provider    string // the driver that made it
	Message     ID
	User        string
	Channel     Channel
}
