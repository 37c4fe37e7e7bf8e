package tidings

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// Broadcast is a message to many that can be watched and steered while it is on its way: paused, resumed, canceled, slowed. It is a message
// of the bulk lane with the same id.
type Broadcast struct {
	ID          ID             `json:"id"`
	Application string         `json:"application"`
	Type        string         `json:"type"`
	State       BroadcastState `json:"state"`
	Rate        int            `json:"rate,omitempty"` // notifications a second over all workers; 0: as fast as can be
	MustRead    bool           `json:"must_read"`      // every recipient is to read it: places are kept, reads are counted
	Parent      ID             `json:"reminder_of,omitzero"`
	CreatedBy   string         `json:"created_by,omitempty"` // the account, or the application by its key
	AcceptedAt  time.Time      `json:"accepted_at"`
	SendAt      time.Time      `json:"send_at,omitzero"`
	ExpiresAt   time.Time      `json:"expires_at"`
	Audience    Audience       `json:"audience"`
	Channels    []Channel      `json:"channels"`
	Reminders   []Reminder     `json:"reminders,omitempty"`
	Progress    *Progress      `json:"progress,omitempty"`

	Estimated int  `json:"-"` // users counted when it was accepted
	Pace      Pace `json:"-"`
}

// BroadcastState is where a broadcast stands.
type BroadcastState string

// The states of a broadcast.
const (
	BroadcastRunning  BroadcastState = "running" // also while it waits for send_at
	BroadcastPaused   BroadcastState = "paused"
	BroadcastDone     BroadcastState = "done" // nothing is pending any more
	BroadcastCanceled BroadcastState = "canceled"
)

// Reminder is a second message of a must-read broadcast, to those who have not read it by then.
type Reminder struct {
	N        int           `json:"n"`
	DueAt    time.Time     `json:"due_at"`
	Channels []Channel     `json:"channels"`
	State    ReminderState `json:"state"`
	Message  ID            `json:"message,omitzero"`
	Users    int           `json:"users,omitempty"` // who had not read it when it was sent
}

// ReminderState is where a reminder stands.
type ReminderState string

// The states of a reminder.
const (
	ReminderWaiting  ReminderState = "waiting"
	ReminderSent     ReminderState = "sent"
	ReminderNeedless ReminderState = "needless" // everybody had read
	ReminderDropped  ReminderState = "dropped"  // the broadcast was canceled or had expired
)

// Progress is how far a broadcast has come.
type Progress struct {
	Audience  int                       `json:"audience"`            // users
	Estimated bool                      `json:"estimated,omitempty"` // not all of them are resolved yet
	Frozen    int                       `json:"frozen"`              // notifications made
	Rendered  int                       `json:"rendered"`
	Routed    int                       `json:"routed"`
	Counts    map[Channel]map[State]int `json:"counts"` // deliveries
	Read      int                       `json:"read"`   // users
	Percent   float64                   `json:"percent"`
	ETA       time.Time                 `json:"eta,omitzero"` // about when it will be done
}

// Limits of a broadcast.
const (
	MaxRate      = 1_000_000
	MaxReminders = 10
	// paceAhead is how far ahead of its rate a broadcast goes at once, and paceWait after what time it goes on: less, so that each of the
	// relay's sweeps finds it due.
	paceAhead, paceWait = time.Second, 800 * time.Millisecond
	// paceLag is how far behind its rate a broadcast may be and still catch up. What is later, as after an outage, is not made up
	// for: the far side that asked for the rate would get a flood.
	paceLag = 5 * time.Second
)

// Pace says how fast a broadcast's audience may become notifications.
type Pace struct {
	Now      time.Time // by the database's clock, like From
	Rate     int       // notifications a second; 0: no limit
	From     time.Time // since then
	Released int       // so many were made
}

// Page tells how many notifications may be made now, at most most, and when to go on: zero at once. The pace that it returns counts them.
func (p Pace) Page(most int) (n int, next time.Time, after Pace) {
	if p.Rate == 0 {
		return most, time.Time{}, p
	}
	owed := int(p.Now.Sub(p.From).Seconds()*float64(p.Rate)) - p.Released // may be negative: we are ahead
	if owed > int(paceLag.Seconds())*p.Rate {
		p.From, p.Released, owed = p.Now, 0, 0
	}
	n = min(owed+max(1, int(paceAhead.Seconds()*float64(p.Rate))), most)
	if n <= 0 {
		return 0, p.Now.Add(paceWait), p
	}
	p.Released += n
	if n < most {
		next = p.Now.Add(paceWait)
	}
	return n, next, p
}

// NewReminder is a reminder as the API takes it: after a time, or at one.
type NewReminder struct {
	After    string    `json:"after,omitempty"` // "24h", counted from send_at or from now
	At       string    `json:"at,omitempty"`    // RFC 3339
	Channels []Channel `json:"channels,omitempty"`
}

// ParseReminder reads a reminder as people write it: a time, and channels if not on all, such as 24h or 48h=sms+app.
func ParseReminder(text string) NewReminder {
	after, channels, _ := strings.Cut(text, "=")
	r := NewReminder{After: after}
	for name := range strings.FieldsFuncSeq(channels, func(r rune) bool { return r == '+' }) {
		r.Channels = append(r.Channels, Channel(name))
	}
	return r
}

// ReadReminders checks reminders of a message that goes out at start, and puts them in order of time.
func ReadReminders(rs []NewReminder, m Message, start time.Time) (out []Reminder, errs FieldErrors) {
	if len(rs) > MaxReminders {
		errs.Add("reminders", "too_many", "at most "+strconv.Itoa(MaxReminders))
		return nil, errs
	}
	for i, r := range rs {
		field := "reminders[" + strconv.Itoa(i) + "]"
		made := Reminder{Channels: r.Channels, State: ReminderWaiting}
		switch after, err := time.ParseDuration(r.After); {
		case (r.After == "") == (r.At == ""):
			errs.Add(field, "malformed", "give after or at")
		case r.After != "" && (err != nil || after < time.Minute):
			errs.Add(field+".after", "malformed", "a duration of a minute or more, such as 24h")
		case r.After != "":
			made.DueAt = start.Add(after)
		default:
			if made.DueAt, err = ParseTime(r.At); err != nil {
				errs.Add(field+".at", "malformed", "a time such as 2026-01-02T15:04:05+08:00")
			}
		}
		if !made.DueAt.IsZero() && (!made.DueAt.After(start) || !made.DueAt.Before(m.ExpiresAt)) {
			errs.Add(field, "out_of_range", "must lie between send_at and expires_at")
		}
		if len(r.Channels) == 0 {
			made.Channels = m.Channels
		}
		for _, c := range made.Channels {
			if !slices.Contains(m.Channels, c) {
				errs.Add(field+".channels", "not_allowed", "the message does not use the channel "+string(c))
			}
		}
		out = append(out, made)
	}
	slices.SortStableFunc(out, func(a, b Reminder) int { return a.DueAt.Compare(b.DueAt) })
	for i := range out {
		out[i].N = i + 1
		if i > 0 && out[i].DueAt.Equal(out[i-1].DueAt) {
			errs.Add("reminders", "repeated", "two reminders at the same time")
		}
	}
	return out, errs
}

// ReadQuery asks for a node of a broadcast's read-rate tree: none of the names for its regions, a region for its merchants, a merchant (of the region, or
// of all) for its stores, a store for its people. An empty name that is set is a place without one: a merchant's own members belong to no store.
type ReadQuery struct {
	Region, Merchant, Store *string
	After                   string // the last name of the page before
	Limit                   int
}

// Level tells what the nodes below the one that is asked for are.
func (q ReadQuery) Level() string {
	switch {
	case q.Store != nil:
		return "person"
	case q.Merchant != nil:
		return "store"
	case q.Region != nil:
		return "merchant"
	}
	return "region"
}

// Reads is a node of the tree with those below it. A person who belongs to several places counts in each, and once in what stands above them.
type Reads struct {
	Level string     `json:"level"` // of nodes: region, merchant, store, person
	Total int        `json:"total"` // people at this node
	Read  int        `json:"read"`
	Nodes []ReadNode `json:"nodes"`
	More  bool       `json:"has_more"`
}

// ReadNode is one line of the tree. A person has the time at which he read it.
type ReadNode struct {
	ID     string    `json:"id"`
	Name   string    `json:"name,omitempty"`
	Total  int       `json:"total"`
	Read   int       `json:"read"`
	SeenAt time.Time `json:"seen_at,omitzero"`
	ReadAt time.Time `json:"read_at,omitzero"`
}

// ProofLine is a recipient at a place, with what is known of each delivery to him.
type ProofLine struct {
	User       string          `json:"user"`
	Region     string          `json:"region"`
	Merchant   string          `json:"merchant"`
	Store      string          `json:"store"`
	Deliveries []ProofDelivery `json:"deliveries"`
	SeenAt     time.Time       `json:"seen_at,omitzero"`
	ReadAt     time.Time       `json:"read_at,omitzero"`
}

// ProofDelivery is one delivery of a recipient: of the broadcast, or of one of its reminders.
type ProofDelivery struct {
	Reminder int       `json:"reminder,omitempty"` // 0: the broadcast itself
	Channel  Channel   `json:"channel"`
	State    State     `json:"state"`
	At       time.Time `json:"at"`
	Receipt  string    `json:"receipt,omitempty"` // web: the number in the inbox; else the provider and its id
}

// Receipted names what proves a delivery from outside: the number in the user's inbox, or what the provider calls it.
func Receipted(number int64, provider, id string) string {
	switch {
	case number > 0:
		return "inbox:" + strconv.FormatInt(number, 10)
	case provider != "":
		return provider + ":" + id
	}
	return ""
}

// Estimate fills in how much of a broadcast is done, and when all of it will be: at its rate, or as fast as it went until now. ended is zero while
// it is under way.
func (b *Broadcast) Estimate(now, ended time.Time) {
	p := b.Progress
	settled := 0 // deliveries
	for _, states := range p.Counts {
		for s, n := range states {
			if s.Final() {
				settled += n
			}
		}
	}
	all := p.Audience * max(1, len(b.Channels))
	if all > 0 {
		p.Percent = float64(min(settled, all)) * 100 / float64(all)
	}
	if b.State != BroadcastRunning || settled >= all {
		return
	}
	began := b.AcceptedAt
	if b.SendAt.After(began) {
		began = b.SendAt
	}
	if b.Rate > 0 {
		p.ETA = now.Add(time.Duration(float64(p.Audience-p.Frozen) / float64(b.Rate) * float64(time.Second)))
		if began.After(now) {
			p.ETA = p.ETA.Add(began.Sub(now))
		}
		return
	}
	if took := now.Sub(began); settled > 0 && took > 0 {
		p.ETA = now.Add(time.Duration(float64(all-settled) / float64(settled) * float64(took)))
	}
}

// Reminds tells whether the message is a reminder, whose audience is who has not read what it reminds of.
func (m Message) Reminds() bool { return m.Broadcast != nil && m.Broadcast.Parent != 0 }
