package tidings

import (
	"slices"
	"sync"
	"time"
)

// Until tells when the quiet hours end on a channel for what would be sent at a time; ok is false when nothing is quiet
// then. They are hours of the clock on the wall: a night in which the clocks change is quiet for an hour less or more, and
// an end that the clocks jump over is the moment of the jump.
func (q *QuietHours) Until(c Channel, at time.Time) (end time.Time, ok bool) {
	if q == nil || !slices.Contains(q.Channels, c) {
		return time.Time{}, false
	}
	from, okFrom := minuteOfDay(q.From)
	to, okTo := minuteOfDay(q.To)
	zone := location(q.Timezone)
	if !okFrom || !okTo || from == to || zone == nil {
		return time.Time{}, false
	}
	for t := at.In(zone); ; {
		since := (minutes(t) - from + day) % day
		if since >= (to-from+day)%day {
			return t, ok
		}
		ok = true
		left := (to - minutes(t) + day) % day
		end := t.Truncate(time.Minute).Add(time.Duration(left) * time.Minute)
		_, change := t.ZoneBounds()
		if change.IsZero() || end.Before(change) {
			return end, true
		}
		t = change // the clocks change before: ask again from there
	}
}

const day = 24 * 60

func minutes(t time.Time) int { return t.Hour()*60 + t.Minute() }

// minuteOfDay reads "22:00".
func minuteOfDay(s string) (int, bool) {
	if len(s) != 5 || s[2] != ':' {
		return 0, false
	}
	for _, i := range []int{0, 1, 3, 4} {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	h, m := int(s[0]-'0')*10+int(s[1]-'0'), int(s[3]-'0')*10+int(s[4]-'0')
	return h*60 + m, h < 24 && m < 60
}

// locations are the time zones that were asked for: to load one reads a file.
var locations sync.Map

// location is the time zone of that name, nil if there is none.
func location(name string) *time.Location {
	if known, ok := locations.Load(name); ok {
		return known.(*time.Location)
	}
	zone, err := time.LoadLocation(name)
	if err != nil || len(name) > maxText {
		return nil
	}
	locations.Store(name, zone)
	return zone
}
