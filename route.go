package tidings

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// RoutePath is the order in which a message type tries to be read: its steps follow each other until somebody reads it. A type
// without one goes out on all its channels at once.
type RoutePath struct {
	Steps []Step `json:"steps"`
	Until Until  `json:"until,omitempty"` // "": UntilUser
}

// Step is one step of a route: some channels of the user whom the message reached, or some of others.
type Step struct {
	Channels []Channel `json:"channels"`
	// After is how long after the step before: after the moment in which the first delivery of that step could leave, so that a
	// step held over night pushes those behind it. Of the first step it is since the message is planned, or since send_at. A step
	// of the user that reaches him on none of its channels takes no time: who has no app gets the SMS at once.
	After Seconds `json:"after,omitempty"`
	// To is who it goes to: "" the user himself, "role:manager" the members with that role of the merchants and stores through
	// which he was reached, "head_office" the own users of their merchants. Others get a message of its own, with the same data.
	To string `json:"to,omitempty"`
}

// Until tells whose reading ends a route.
type Until string

// Who reads.
const (
	UntilUser   Until = "user"   // each user's own reading ends his steps; others are asked for those who have not read
	UntilAnyone Until = "anyone" // one reading by anybody it reached, also in a later step, ends all that is left
)

// ToHeadOffice is a step to a merchant's own users; ToRole is followed by a role.
const (
	ToHeadOffice = "head_office"
	ToRole       = "role:"
)

const maxSteps = 8

// Anyone tells whether one reading ends all.
func (r *RoutePath) Anyone() bool { return r.Until == UntilAnyone }

func (r *RoutePath) validate(t MessageType, errs *FieldErrors) {
	if r == nil {
		return
	}
	if r.Until != "" && r.Until != UntilUser && r.Until != UntilAnyone {
		errs.Add("route.until", "unknown", "user or anyone")
	}
	if len(r.Steps) == 0 || len(r.Steps) > maxSteps {
		errs.Add("route.steps", "out_of_range", "1 to 8 steps")
		return
	}
	taken, own, total := map[Channel]bool{}, false, Seconds(0)
	for i, s := range r.Steps {
		field := "route.steps[" + strconv.Itoa(i) + "]"
		if s.After < 0 || s.After > Seconds(MaxSendAhead/time.Second) {
			errs.Add(field+".after", "out_of_range", "0 to 31536000 seconds")
		}
		total += s.After
		role, toRole := strings.CutPrefix(s.To, ToRole)
		if s.To != "" && s.To != ToHeadOffice && !(toRole && ValidName(role)) {
			errs.Add(field+".to", "unknown", "nothing for the user himself, role:<role> or head_office")
		}
		if len(s.Channels) == 0 {
			errs.Add(field+".channels", "empty", "at least one channel of the type")
		}
		for _, c := range s.Channels {
			switch {
			case !slices.Contains(t.Channels, c):
				errs.Add(field+".channels", "unknown", "a channel of the type")
			case s.To == "" && taken[c]:
				errs.Add(field+".channels", "repeated", string(c)+" stands in an earlier step: a user gets a message once on a channel")
			}
			taken[c] = taken[c] || s.To == ""
		}
		own = own || s.To == ""
	}
	if !own {
		errs.Add("route.steps", "empty", "at least one step to the user himself")
	}
	life := t.TTL.Duration()
	if life == 0 {
		life = DefaultExpiry
	}
	if total.Duration() >= life {
		errs.Add("route.steps", "out_of_range", "the last step must come before the message's time runs out (ttl)")
	}
}

// Escalation is a step of a message's route to others than the users whom it reached.
type Escalation struct {
	Message  ID        `json:"-"`
	Step     int       `json:"step"` // its place in the route, from 1
	To       string    `json:"to"`
	Channels []Channel `json:"channels"`
	DueAt    time.Time `json:"due_at,omitzero"`
	State    State     `json:"state"` // held; expired when its time would come too late; once due: sent, suppressed or canceled
	Reason   Reason    `json:"reason,omitempty"`
	Child    ID        `json:"message,omitzero"` // the message that it became
}

// Audience is who a step to others reaches, of those through whom its users were reached: dimensions with their merchants.
func (e Escalation) Audience(merchants map[string]string) Audience {
	a := Audience{Scope: ScopeMerchant}
	for dimension, merchant := range merchants {
		switch store, ok := strings.CutPrefix(dimension, ViaStore); {
		case e.To == ToHeadOffice || !ok:
			a.Merchants = append(a.Merchants, merchant)
		default:
			a.Stores = append(a.Stores, store)
		}
	}
	if role, ok := strings.CutPrefix(e.To, ToRole); ok {
		a.Roles = []string{role}
	}
	slices.Sort(a.Merchants)
	slices.Sort(a.Stores)
	a.Merchants = slices.Compact(a.Merchants)
	return a
}

// Escalations are the steps to others that follow for one user whom the message reached.
func Escalations(p Planning) []Escalation {
	_, es := p.plan()
	return es
}

// MergeEscalations makes one of the steps that are the same for several users of a message: it waits for the last of them.
func MergeEscalations(es []Escalation) []Escalation {
	type key struct {
		message ID
		step    int
	}
	at := map[key]int{}
	var merged []Escalation
	for _, e := range es {
		i, ok := at[key{e.Message, e.Step}]
		switch {
		case !ok:
			at[key{e.Message, e.Step}] = len(merged)
			merged = append(merged, e)
		case e.State == Held && (merged[i].State != Held || e.DueAt.After(merged[i].DueAt)):
			merged[i] = e
		}
	}
	return merged
}

// Waiting is what a commit of the route stage leaves behind for later.
type Waiting struct {
	Types       map[ID]string // of the messages that have a route or whose deliveries are gathered
	Routes      map[ID]Until  // of the messages that have a route
	Escalations []Escalation
}
