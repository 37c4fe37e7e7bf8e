package tidings

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"
)

// Application is an internal team that sends.
type Application struct {
	ID        string           `json:"id"`
	Name      string           `json:"name"`
	Owner     string           `json:"owner,omitempty"`
	State     ApplicationState `json:"state"`
	Origins   []string         `json:"origins,omitempty"` // pages that may open Comet connections with its tokens
	Purpose   string           `json:"purpose,omitempty"` // what it wants to send, and to whom
	Channels  []Channel        `json:"channels,omitempty"`
	Volume    int              `json:"volume,omitempty"`     // messages a day that it expects to send
	Comment   string           `json:"comment,omitempty"`    // of who decided last
	AppliedBy string           `json:"applied_by,omitempty"` // an account
	DecidedBy string           `json:"decided_by,omitempty"` // an account
}

// ApplicationState tells whether an application may send.
type ApplicationState string

// The states of an application.
const (
	ApplicationApplied   ApplicationState = "applied"
	ApplicationActive    ApplicationState = "active"
	ApplicationRejected  ApplicationState = "rejected"
	ApplicationSuspended ApplicationState = "suspended"
)

// ApplicationMoves are the legal moves of an application, drawn in docs/states.md. An admin's own application begins active.
var ApplicationMoves = map[ApplicationState][]ApplicationState{
	"":                   {ApplicationApplied, ApplicationActive},
	ApplicationApplied:   {ApplicationActive, ApplicationRejected},
	ApplicationRejected:  {ApplicationApplied},
	ApplicationActive:    {ApplicationSuspended},
	ApplicationSuspended: {ApplicationActive},
}

// MessageType is a kind of message of one application.
type MessageType struct {
	Application string             `json:"application"`
	Name        string             `json:"name"`
	Lane        Lane               `json:"lane"`
	Channels    []Channel          `json:"channels"`
	TTL         Seconds            `json:"ttl,omitempty"` // a message not sent by then is not sent late; 0: DefaultExpiry
	OnUnknown   map[Channel]Policy `json:"on_unknown,omitempty"`
	Variables   []Variable         `json:"variables,omitempty"`
	Quiet       *QuietHours        `json:"quiet,omitempty"` // the time rule; nil: at any time
	Title       string             `json:"title,omitempty"` // what its receivers call it, where they choose what they want
	// Mandatory are the channels on which users can neither mute the type nor be spared it.
	Mandatory []Channel `json:"mandatory,omitempty"`
	Caps      []Cap     `json:"caps,omitempty"`  // how many a user gets; not of lane critical, nor where it is mandatory
	Dedup     *Dedup    `json:"dedup,omitempty"` // what a user is spared
	// Replace says that in the inbox, too, a message takes the place of an older one with its collapse key.
	Replace bool       `json:"replace,omitempty"`
	Route   *RoutePath `json:"route,omitempty"` // nil: all channels at once
	Hours   HoursRule  `json:"hours,omitempty"` // "": HoursAlways
	Digest  *Digest    `json:"digest,omitempty"`
}

// QuietHours are hours of the day in which a message type is not sent on some channels: it waits for their end.
type QuietHours struct {
	From     string    `json:"from"` // "22:00"
	To       string    `json:"to"`   // "08:00", the next day when it is not after From
	Timezone string    `json:"timezone"`
	Channels []Channel `json:"channels"`
}

func (q *QuietHours) validate(errs *FieldErrors) {
	if q == nil {
		return
	}
	for field, text := range map[string]string{"quiet.from": q.From, "quiet.to": q.To} {
		if _, err := time.Parse("15:04", text); err != nil || len(text) != 5 {
			errs.Add(field, "malformed", "a time of day such as 22:00")
		}
	}
	if q.From == q.To {
		errs.Add("quiet.to", "out_of_range", "must differ from quiet.from")
	}
	if _, err := time.LoadLocation(q.Timezone); err != nil || q.Timezone == "" || q.Timezone == "Local" {
		errs.Add("quiet.timezone", "unknown", "a time zone such as Asia/Shanghai")
	}
	if len(q.Channels) == 0 {
		errs.Add("quiet.channels", "empty", "at least one of "+Names(Channels))
	}
	for _, c := range q.Channels {
		if !c.Valid() {
			errs.Add("quiet.channels", "unknown", "one of "+Names(Channels))
		}
	}
}

// Seconds is a duration in whole seconds, as the API writes it.
type Seconds int64

// Duration converts s.
func (s Seconds) Duration() time.Duration { return time.Duration(s) * time.Second }

// Policy decides what follows when nobody knows whether a provider took a delivery.
type Policy string

// The policies.
const (
	AtMostOnce  Policy = "at_most_once"  // leave it unknown, final and visible
	AtLeastOnce Policy = "at_least_once" // send again once nothing of the first call can be under way
)

// Policy is what the type asks for on channel c. An SMS costs money and annoys, so it is sent at most once unless the
// type says otherwise.
func (t MessageType) Policy(c Channel) Policy {
	if p, ok := t.OnUnknown[c]; ok {
		return p
	}
	if c == SMS {
		return AtMostOnce
	}
	return AtLeastOnce
}

// Variable is a value that a message of the type carries in its data.
type Variable struct {
	Name     string          `json:"name"`
	Type     VariableType    `json:"type"`
	Required bool            `json:"required,omitempty"`
	Example  json.RawMessage `json:"example,omitempty"`
}

// VariableType is the JSON type of a variable.
type VariableType string

// The variable types.
const (
	VariableString  VariableType = "string"
	VariableNumber  VariableType = "number"
	VariableBoolean VariableType = "boolean"
	VariableList    VariableType = "list"
	VariableObject  VariableType = "object"
)

// Validate checks a message type and returns what is wrong, by field.
func (t MessageType) Validate() FieldErrors {
	var errs FieldErrors
	if !ValidName(t.Name) {
		errs.Add("name", "malformed", "1 to 64 letters, digits and ._:@-")
	}
	if !t.Lane.Valid() {
		errs.Add("lane", "unknown", "one of critical, normal, bulk")
	}
	if len(t.Channels) == 0 {
		errs.Add("channels", "empty", "at least one of "+Names(Channels))
	}
	for _, c := range t.Channels {
		if !c.Valid() {
			errs.Add("channels", "unknown", "one of "+Names(Channels))
		}
	}
	for c, p := range t.OnUnknown {
		if !c.Valid() || p != AtMostOnce && p != AtLeastOnce {
			errs.Add("on_unknown", "unknown", "a channel and at_most_once or at_least_once")
		}
	}
	if t.TTL < 0 || t.TTL > Seconds(MaxSendAhead/time.Second) {
		errs.Add("ttl", "out_of_range", "0 to 31536000 seconds")
	}
	t.Quiet.validate(&errs)
	errs.caps(t.Caps)
	errs.dedup(t.Dedup)
	if len(t.Title) > maxText {
		errs.Add("title", "too_long", "at most 200 bytes")
	}
	for i, c := range t.Mandatory {
		if !slices.Contains(t.Channels, c) || slices.Contains(t.Mandatory[:i], c) {
			errs.Add("mandatory["+strconv.Itoa(i)+"]", "unknown", "once each of the type's channels")
		}
	}
	t.Route.validate(t, &errs)
	t.Digest.validate(t, &errs)
	if t.Hours != "" && t.Hours != HoursAlways && !t.Hours.closed() {
		errs.Add("hours", "unknown", "always, hold or summary")
	}
	seen := map[string]bool{}
	for i, v := range t.Variables {
		field := "variables[" + strconv.Itoa(i) + "]"
		if !validVariable(v.Name) || seen[v.Name] {
			errs.Add(field+".name", "malformed", "a letter or _, then letters, digits and _, once")
		}
		if v.Name == UnsubscribeVariable {
			errs.Add(field+".name", "not_allowed", "it is Tidings' own, and always there")
		}
		seen[v.Name] = true
		if v.check(nil) == "unknown type" {
			errs.Add(field+".type", "unknown", "string, number, boolean, list or object")
		}
	}
	return errs
}

func validVariable(s string) bool {
	for i, c := range s {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// CheckData compares a message's data with the variables that its type declares and returns what is wrong, by field.
// A variable the type does not declare is refused: it is most often a misspelt one.
func (t MessageType) CheckData(data json.RawMessage) FieldErrors {
	var errs FieldErrors
	var values map[string]any
	if len(data) > 0 {
		if err := json.Unmarshal(data, &values); err != nil {
			errs.Add("data", "malformed", "a JSON object")
			return errs
		}
	}
	declared := make(map[string]bool, len(t.Variables))
	for _, v := range t.Variables {
		declared[v.Name] = true
		value, ok := values[v.Name]
		switch {
		case !ok && v.Required:
			errs.Add("data."+v.Name, "missing", "the message type requires it")
		case ok:
			if problem := v.check(value); problem != "" {
				errs.Add("data."+v.Name, "type", problem)
			}
		}
	}
	for name := range values {
		if !declared[name] {
			errs.Add("data."+name, "unknown", "the message type declares no such variable")
		}
	}
	return errs
}

func (v Variable) check(value any) string {
	ok := false
	switch v.Type {
	case VariableString:
		_, ok = value.(string)
	case VariableNumber:
		_, ok = value.(float64)
	case VariableBoolean:
		_, ok = value.(bool)
	case VariableList:
		_, ok = value.([]any)
	case VariableObject:
		_, ok = value.(map[string]any)
	default:
		return "unknown type"
	}
	if !ok {
		return "must be a " + string(v.Type)
	}
	if tooLong(value) {
		return "a list holds at most 1000 elements"
	}
	return ""
}

func tooLong(value any) bool {
	switch v := value.(type) {
	case []any:
		if len(v) > MaxList {
			return true
		}
		for _, e := range v {
			if tooLong(e) {
				return true
			}
		}
	case map[string]any:
		for _, e := range v {
			if tooLong(e) {
				return true
			}
		}
	}
	return false
}
