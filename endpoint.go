package tidings

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Endpoint is a URL of an application that is told, by webhooks, what becomes of the application's deliveries and notifications.
type Endpoint struct {
	ID          ID             `json:"id"`
	Application string         `json:"application"`
	Name        string         `json:"name,omitempty"`
	URL         string         `json:"url"`
	Events      []EventType    `json:"events"` // what it is told of
	State       EndpointState  `json:"state"`
	Reason      EndpointReason `json:"reason,omitempty"` // why it is disabled
	CreatedAt   time.Time      `json:"created_at"`
	ChangedAt   time.Time      `json:"changed_at"`
	// OldSecretUntil is until when the secret before the present one signs beside it; zero: none does.
	OldSecretUntil time.Time      `json:"old_secret_until,omitzero"`
	Health         EndpointHealth `json:"health"`
}

// EndpointState tells whether an endpoint is called.
type EndpointState string

// The states of an endpoint.
const (
	EndpointActive   EndpointState = "active"
	EndpointDisabled EndpointState = "disabled" // nothing is noted for it, and what waits stays
)

// EndpointReason says why an endpoint is disabled.
type EndpointReason string

// The reasons.
const (
	EndpointByHand  EndpointReason = "by_hand" // somebody disabled it
	EndpointGone    EndpointReason = "gone"    // it answered 410
	EndpointFailing EndpointReason = "failing" // nothing but failures for EndpointPatience
)

// EndpointHealth is how the calls to an endpoint fare.
type EndpointHealth struct {
	Pending      int       `json:"pending"`                // events that wait for a call
	Failed       int       `json:"failed"`                 // events that were given up and are still kept
	Failures     int       `json:"failures"`               // calls that failed since the last one that did not
	FailingSince time.Time `json:"failing_since,omitzero"` // the first of them
	SucceededAt  time.Time `json:"succeeded_at,omitzero"`  // the last call that did not fail
	CalledAt     time.Time `json:"called_at,omitzero"`     // the last call
	NextAt       time.Time `json:"next_at,omitzero"`       // not before then is it called again
	Error        string    `json:"error,omitempty"`        // of the last call that failed
}

// EventType names what an endpoint can be told of.
type EventType string

// The events that are not of a delivery. Those of deliveries are made of their states, see EventOf.
const (
	EventRead     EventType = "notification.read" // the user read it, on whatever channel
	EventEnded    EventType = "message.ended"     // its audience was nobody, or it ended before that was known
	EventDisabled EventType = "endpoint.disabled" // another endpoint of the application was disabled
	EventTest     EventType = "endpoint.test"     // somebody asked for it; every endpoint gets its own
)

// EventOf is the event of a delivery that comes to state s.
func EventOf(s State) EventType { return EventType("delivery." + string(s)) }

// EventTypes are what an endpoint can ask for: a delivery under way is no event.
var EventTypes = []EventType{EventOf(Sent), EventOf(Delivered), EventOf(Failed), EventOf(UnknownEnd), EventOf(Suppressed), EventOf(Expired),
	EventOf(Canceled), EventRead, EventEnded, EventDisabled}

// Event is one thing that one endpoint is told of, in one webhook.
type Event struct {
	ID          ID         `json:"id"` // in the order in which they were noted
	Endpoint    ID         `json:"endpoint"`
	Application string     `json:"-"`
	Type        EventType  `json:"type"`
	Message     ID         `json:"message,omitzero"`
	MessageType string     `json:"message_type,omitempty"`
	User        string     `json:"user,omitempty"`
	Channel     Channel    `json:"channel,omitempty"`
	Reason      string     `json:"reason,omitempty"`
	Subject     ID         `json:"subject,omitzero"` // the endpoint that it is about
	At          time.Time  `json:"at"`               // when it happened
	State       EventState `json:"state"`
	Calls       int        `json:"calls"` // since it was noted or replayed last
	DueAt       time.Time  `json:"due_at,omitzero"`
	Until       time.Time  `json:"-"` // it is given up then
	CalledAt    time.Time  `json:"called_at,omitzero"`
	Status      int        `json:"status,omitempty"` // of the last answer
	Error       string     `json:"error,omitempty"`
	Claim       int64      `json:"-"` // fences the worker that calls
	Webhook     string     `json:"webhook_id"`
}

// EventState tells what became of an event.
type EventState string

// The states of an event.
const (
	EventPending   EventState = "pending"
	EventDelivered EventState = "delivered" // the endpoint answered 2xx
	EventFailed    EventState = "failed"    // given up after EventPatience
)

// EventStates lists them.
var EventStates = []EventState{EventPending, EventDelivered, EventFailed}

// EventQuery asks for events of an endpoint, the newest first.
type EventQuery struct {
	Application string
	Endpoint    ID
	State       EventState // "": all
	PageQuery
}

// EventReplay asks that an endpoint be told again.
type EventReplay struct {
	Application string
	Endpoint    ID
	Since       time.Time // what was noted from then on
	Until       time.Time // and before then; zero: now
	State       EventState
}

const (
	// EventPatience is how long an event is tried.
	EventPatience = 3 * 24 * time.Hour
	// EndpointPatience is how long an endpoint may do nothing but fail before it is disabled.
	EndpointPatience = EventPatience
	// EventsKept is how long events stand in the record and can be replayed.
	EventsKept = 30 * 24 * time.Hour
	// SecretOverlap is how long the secret before the present one signs beside it.
	SecretOverlap = 24 * time.Hour
	// MaxEndpoints is how many an application may have.
	MaxEndpoints = 10

	maxEndpointURL  = 1024
	maxEndpointName = 200
)

// eventDelays are the waits between the calls for one event; the last one goes on until EventPatience.
var eventDelays = []time.Duration{5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour}

// EventDelay is the longest wait after so many calls for an event; the caller takes a random part of it, so that retries do not
// come in step.
func EventDelay(calls int) time.Duration {
	return eventDelays[min(max(calls, 1), len(eventDelays))-1]
}

// EndpointDelay is how long an endpoint that failed so many times in a row is left alone: its other events would meet the same.
// From then on it is probed by one call at a time until one succeeds.
func EndpointDelay(failures int) time.Duration {
	if failures < 3 {
		return 0
	}
	return min(5*time.Second<<min(failures-3, 10), 5*time.Minute)
}

// Body is the webhook's body, the same in every call. It names things by their ids and holds nothing personal.
func (e Event) Body() ([]byte, error) {
	data := eventData{Application: e.Application, Message: e.Message, MessageType: e.MessageType, User: e.User, Channel: e.Channel, Reason: e.Reason,
		Endpoint: e.Subject}
	if state, ok := strings.CutPrefix(string(e.Type), "delivery."); ok {
		data.State = State(state)
	}
	return json.Marshal(struct {
		Type      EventType `json:"type"`
		Timestamp time.Time `json:"timestamp"`
		Data      eventData `json:"data"`
	}{e.Type, e.At.UTC(), data})
}

type eventData struct {
	Application string  `json:"application"`
	Message     ID      `json:"message,omitzero"`
	MessageType string  `json:"message_type,omitempty"`
	User        string  `json:"user,omitempty"`
	Channel     Channel `json:"channel,omitempty"`
	State       State   `json:"state,omitempty"`
	Reason      string  `json:"reason,omitempty"`
	Endpoint    ID      `json:"endpoint,omitzero"`
}

// Validate says what is wrong with what an application wants of an endpoint. plain: http may be called as well.
func (e Endpoint) Validate(plain bool) (errs FieldErrors) {
	u, err := url.Parse(e.URL)
	switch {
	case err != nil || !callable(u) || u.Fragment != "" || !visible(e.URL, maxEndpointURL):
		errs.Add("url", "malformed", "a URL such as https://orders.example/tidings, without user or fragment, at most 1024 bytes")
	case u.Scheme != "https" && !plain:
		errs.Add("url", "not_allowed", "https only")
	}
	if len(e.Name) > maxEndpointName {
		errs.Add("name", "too_long", "at most 200 bytes")
	}
	if len(e.Events) == 0 {
		errs.Add("events", "missing", "at least one of "+Names(EventTypes))
	}
	for i, t := range e.Events {
		if !slices.Contains(EventTypes, t) || slices.Contains(e.Events[:i], t) {
			errs.Add("events", "unknown", "once each of "+Names(EventTypes))
			break
		}
	}
	return errs
}

// Hook is one webhook on its way to a URL.
type Hook struct {
	URL     string
	Secrets []string // each signs
	ID      string   // the same whenever it is sent again
	Body    []byte
}

// EndpointWork is what a worker has to call one endpoint for.
type EndpointWork struct {
	Endpoint ID
	URL      string
	Secrets  []string
	Events   []Event
}

// EventResult is what became of the call for an event.
type EventResult struct {
	Event  Event
	OK     bool
	Gone   bool // the endpoint wants no more: 410
	Status int
	Error  string        // what a person should read; nothing of the answer's content
	After  time.Duration // the endpoint asked to be left alone so long
	Retry  time.Duration // until the next call for this event
}
