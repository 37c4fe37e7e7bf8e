package tidings

import (
	"slices"
	"strconv"
	"time"
)

// Digest gathers what a message type sends to one user, on channels that would disturb him each time, into one message. When it
// goes out is one of Window, Times and Opening; none of them where the type's hours are "summary": then what comes while the
// store is closed is gathered until it opens, and nothing else.
type Digest struct {
	Window   Seconds  `json:"window,omitempty"` // since the first of those gathered
	Times    []string `json:"times,omitempty"`  // of the day, such as 09:00
	Timezone string   `json:"timezone,omitempty"`
	Opening  bool     `json:"opening,omitempty"` // when the store opens next
	// Channels never hold the web: there each event has its own place at once.
	Channels []Channel `json:"channels"`
	// Type is the message type that the summary is: its templates get count (number: the events gathered), items (list: the newest,
	// each with title, id and at) and more (number: those beyond the list).
	Type string `json:"type"`
}

// MaxDigestItems bounds the events that a digest names; it counts all.
const MaxDigestItems = 10

const maxDigestWindow = 7 * 24 * time.Hour

func (d *Digest) validate(t MessageType, errs *FieldErrors) {
	if d == nil {
		if t.Hours == HoursSummary {
			errs.Add("digest", "missing", "hours summary needs it: which channels, and which message type writes the summary")
		}
		return
	}
	ways := 0
	for _, there := range []bool{d.Window != 0, len(d.Times) > 0, d.Opening} {
		if there {
			ways++
		}
	}
	if ways > 1 || ways == 0 && t.Hours != HoursSummary {
		errs.Add("digest", "out_of_range", "one of window, times and opening")
	}
	if d.Window < 0 || d.Window.Duration() > maxDigestWindow {
		errs.Add("digest.window", "out_of_range", "1 to 604800 seconds")
	}
	if len(d.Times) > maxSpans*3 {
		errs.Add("digest.times", "too_many", "at most "+strconv.Itoa(maxSpans*3))
	}
	for _, s := range d.Times {
		if _, ok := minuteOfDay(s); !ok {
			errs.Add("digest.times", "malformed", "a time of day such as 09:00")
			break
		}
	}
	if len(d.Times) > 0 && (d.Timezone == "" || d.Timezone == "Local" || location(d.Timezone) == nil) {
		errs.Add("digest.timezone", "unknown", "a time zone such as Asia/Shanghai")
	}
	if len(d.Channels) == 0 {
		errs.Add("digest.channels", "empty", "at least one channel of the type, and not the web")
	}
	for _, c := range d.Channels {
		if c == Web || !slices.Contains(t.Channels, c) {
			errs.Add("digest.channels", "unknown", "a channel of the type, and not the web")
		}
	}
	if !ValidName(d.Type) || d.Type == t.Name {
		errs.Add("digest.type", "malformed", "another message type of the application, which writes the summary")
	}
}

// Next is when what would leave at a time is summarised; ok is false where it goes out by itself.
func (d *Digest) Next(at time.Time, stores []Store) (next time.Time, ok bool) {
	switch {
	case d.Window > 0:
		return at.Add(d.Window.Duration()), true
	case len(d.Times) > 0:
		zone := location(d.Timezone)
		if zone == nil {
			return next, false
		}
		for day := -1; day <= 2 && next.IsZero(); day++ {
			for _, s := range d.Times {
				t := clockAt(at.In(zone), day, s)
				if t.After(at) && (next.IsZero() || t.Before(next)) {
					next = t
				}
			}
		}
		return next, !next.IsZero()
	case d.Opening:
		return firstOpening(stores, at, true)
	}
	return next, false
}

// clockAt is the moment at which the clock on the wall shows "09:00", days after the day of t. A time that the clocks jump over
// is the moment of the jump.
func clockAt(t time.Time, days int, text string) time.Time {
	minute, _ := minuteOfDay(text)
	at := time.Date(t.Year(), t.Month(), t.Day()+days, 0, minute, 0, 0, t.Location())
	if minutes(at) == minute {
		return at
	}
	_, change := at.Add(-3 * time.Hour).ZoneBounds()
	return change
}
