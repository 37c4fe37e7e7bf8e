package tidings

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Hours are the opening hours of a week: for each weekday, "mon" to "sun", the spans in which a store is open, such as
// "09:00-12:30". A span ends after it begins, at 24:00 at the latest; a night is written as two spans. A weekday that is not
// named is closed, and so is one without spans. Empty hours say nothing.
type Hours map[string][]string

// weekdays in the order of a week, with the index of time.Weekday for each.
var weekdays = []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}

const (
	maxSpans    = 8   // of one day
	maxHolidays = 400 // of one store: a year of them and what is left of this one
)

func (f *FieldErrors) hours(h Hours) {
	for _, day := range slices.Sorted(maps.Keys(h)) {
		field, spans := "hours."+day, h[day]
		if !slices.Contains(weekdays, day) {
			f.Add(field, "unknown", "a weekday is one of mon, tue, wed, thu, fri, sat, sun")
			continue
		}
		if len(spans) > maxSpans {
			f.Add(field, "too_many", fmt.Sprintf("at most %d spans a day", maxSpans))
			continue
		}
		end := -1
		for _, s := range spans {
			from, to, ok := span(s)
			if !ok || from >= to || from < end {
				f.Add(field, "malformed", "spans such as 09:00-12:30, in order and apart from each other, until 24:00 at the latest")
				break
			}
			end = to
		}
	}
}

// span reads "09:00-12:30" as minutes of the day.
func span(s string) (from, to int, ok bool) {
	a, b, _ := strings.Cut(s, "-")
	from, ok1 := clock(a)
	to, ok2 := clock(b)
	return from, to, ok1 && ok2
}

func clock(s string) (minutes int, ok bool) {
	if s == "24:00" {
		return 24 * 60, true
	}
	t, err := time.Parse("15:04", s)
	return t.Hour()*60 + t.Minute(), err == nil && len(s) == 5
}

func (f *FieldErrors) holidays(days []string) {
	if len(days) > maxHolidays {
		f.Add("holidays", "too_many", fmt.Sprintf("at most %d", maxHolidays))
	}
	seen := map[string]bool{}
	for _, d := range days {
		if _, err := time.Parse(time.DateOnly, d); err != nil {
			f.Add("holidays", "malformed", "days such as 2026-10-01")
			return
		}
		if seen[d] {
			f.Add("holidays", "repeated", d+" is there already")
			return
		}
		seen[d] = true
	}
}

// Open tells whether the store is open at a time, by the clock where it is. A store that names no hours says nothing: known is
// false, unless the day is a holiday.
func (s Store) Open(at time.Time) (open, known bool) {
	zone := s.Timezone
	if zone == "" {
		zone = DefaultTimezone
	}
	place, err := time.LoadLocation(zone)
	if err != nil {
		return false, false
	}
	local := at.In(place)
	if slices.Contains(s.Holidays, local.Format(time.DateOnly)) {
		return false, true
	}
	if len(s.Hours) == 0 {
		return false, false
	}
	minute := local.Hour()*60 + local.Minute()
	for _, text := range s.Hours[weekdays[(int(local.Weekday())+6)%7]] {
		if from, to, ok := span(text); ok && minute >= from && minute < to {
			return true, true
		}
	}
	return false, true
}

// HoursRule tells what a message type does while the store is closed through which its user was reached. Who was reached through
// several stores gets it when the first of them is open; who was reached through a merchant, or named himself, at any time. The
// web disturbs nobody, and is asked nothing.
type HoursRule string

// The rules.
const (
	HoursAlways  HoursRule = "always"  // it goes out; the default
	HoursHold    HoursRule = "hold"    // it waits until the store opens
	HoursSummary HoursRule = "summary" // it waits, and all that waited becomes one digest
)

func (h HoursRule) closed() bool { return h == HoursHold || h == HoursSummary }

// Opens tells when the store is open next: at itself if it is open then. It is Open for every moment: a span that begins in an
// hour that the clocks jump over begins with the jump, and one in an hour that they repeat is there twice. A store that names no
// hours is open on every day that is no holiday. ok is false if it does not open within a year.
func (s Store) Opens(at time.Time) (next time.Time, ok bool) { return s.opening(at, false) }

// opening finds the first moment in one of the store's spans, or, if fresh, the first after at in which one begins.
func (s Store) opening(at time.Time, fresh bool) (time.Time, bool) {
	zone := s.Timezone
	if zone == "" {
		zone = DefaultTimezone
	}
	place := location(zone)
	if place == nil {
		return at, !fresh
	}
	t := at.In(place)
	passed := wallClock(t) + 1 // what the clock has shown of this day
	for last := t.AddDate(0, 0, maxHolidays); t.Before(last); {
		wall := wallClock(t)
		end := t.Add(24*time.Hour - wall)
		if _, change := t.ZoneBounds(); !change.IsZero() && change.Before(end) {
			end = change
		}
		for _, sp := range s.spans(t) {
			from, to := time.Duration(sp[0])*time.Minute, time.Duration(sp[1])*time.Minute
			begin := max(wall, from)
			if begin < to && !(fresh && from < passed) && t.Add(begin-wall).Before(end) {
				return t.Add(begin - wall), true
			}
		}
		end = end.In(place)
		if passed = 0; end.YearDay() == t.YearDay() {
			passed = wall + end.Sub(t)
		}
		t = end
	}
	return time.Time{}, false
}

// wallClock is what the clock shows since midnight.
func wallClock(t time.Time) time.Duration {
	return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute + time.Duration(t.Second())*time.Second + time.Duration(t.Nanosecond())
}

// spans are the minutes of the day of t in which the store is open.
func (s Store) spans(t time.Time) (minutes [][2]int) {
	if slices.Contains(s.Holidays, t.Format(time.DateOnly)) {
		return nil
	}
	if len(s.Hours) == 0 {
		return [][2]int{{0, day}}
	}
	for _, text := range s.Hours[weekdays[(int(t.Weekday())+6)%7]] {
		if from, to, ok := span(text); ok {
			minutes = append(minutes, [2]int{from, to})
		}
	}
	return minutes
}

// firstOpening is when the first of the stores opens: see Store.Opens. Nobody waits for a store where there is none.
func firstOpening(stores []Store, at time.Time, fresh bool) (first time.Time, ok bool) {
	if len(stores) == 0 {
		return at, !fresh
	}
	for _, s := range stores {
		if fresh && len(s.Hours) == 0 {
			continue // it never opens anew
		}
		if t, opens := s.opening(at, fresh); opens && (!ok || t.Before(first)) {
			first, ok = t, true
		}
	}
	return first, ok
}

// StoresOf are the stores through which alone a user was reached; none where he was reached in another way too.
func StoresOf(via []string) (stores []string) {
	for _, v := range via {
		id, ok := strings.CutPrefix(v, ViaStore)
		if !ok {
			return nil
		}
		stores = append(stores, id)
	}
	return stores
}

// ParseHours reads opening hours as they stand in one cell of a table: "mon-fri 09:00-12:00 13:00-18:00; sat 10:00-14:00".
func ParseHours(text string) (Hours, error) {
	h := Hours{}
	for _, part := range strings.Split(text, ";") {
		words := strings.Fields(strings.ToLower(part))
		if len(words) == 0 {
			continue
		}
		first, last, ranged := strings.Cut(words[0], "-")
		if !ranged {
			last = first
		}
		i, j := slices.Index(weekdays, first), slices.Index(weekdays, last)
		if i < 0 || j < i {
			return nil, fmt.Errorf("%q is no weekday and no range of them: write mon-fri 09:00-18:00; sat 10:00-14:00", words[0])
		}
		for _, day := range weekdays[i : j+1] {
			h[day] = append(h[day], words[1:]...)
		}
	}
	return h, nil
}

// String writes hours as ParseHours reads them, weekdays with the same hours together.
func (h Hours) String() string {
	var parts []string
	for i := 0; i < len(weekdays); {
		j := i
		for j+1 < len(weekdays) && slices.Equal(h[weekdays[j+1]], h[weekdays[i]]) {
			j++
		}
		if spans := h[weekdays[i]]; len(spans) > 0 {
			days := weekdays[i]
			if j > i {
				days += "-" + weekdays[j]
			}
			parts = append(parts, days+" "+strings.Join(spans, " "))
		}
		i = j + 1
	}
	return strings.Join(parts, "; ")
}

// HeedsStores tells whether it matters to messages of the type when the stores are open through which their users were reached.
func (t *MessageType) HeedsStores() bool {
	return t.Hours.closed() || t.Digest != nil && t.Digest.Opening
}
