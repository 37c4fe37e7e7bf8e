package tidings_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"tidings"
)

// zones have all that clocks do: whole, half and quarter hours, changes of 30, 60 and 120 minutes, at night and at midnight, days that were skipped, and
// places that gave it up.
var zones = []string{"UTC", "Asia/Shanghai", "Asia/Kolkata", "Asia/Kathmandu", "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Chatham", "America/St_Johns",
	"America/Havana", "America/Santiago", "America/Asuncion", "America/Sao_Paulo", "Asia/Beirut", "Africa/Cairo", "Africa/Casablanca", "Antarctica/Troll", "Pacific/Apia", "Asia/Tehran",
	"Asia/Pyongyang", "America/Caracas", "Europe/Moscow", "Asia/Gaza", "America/Nuuk", "Pacific/Kiritimati", "Australia/Eucla"}

// dice makes what a property is tried with. Its seed is in every fault.
type dice struct{ *rand.Rand }

func (d dice) zone() string { return zones[d.IntN(len(zones))] }

// instant lies between 2005 and 2040, half of the time within a day of a change of the clocks.
func (d dice) instant(zone *time.Location) time.Time {
	from := time.Date(2005, 1, 1, 0, 0, 0, 0, time.UTC)
	at := from.Add(time.Duration(d.Int64N(int64(35 * 365 * 24 * time.Hour))))
	if d.IntN(2) == 0 {
		return at
	}
	if _, change := at.In(zone).ZoneBounds(); !change.IsZero() {
		return change.Add(time.Duration(d.Int64N(int64(48*time.Hour))) - 36*time.Hour)
	}
	return at
}

func clockText(minute int) string { return fmt.Sprintf("%02d:%02d", minute/60, minute%60) }

// spans are up to three of a day, in order and apart; often around the hours in which clocks change.
func (d dice) spans() (spans []string) {
	most := 24*60 + 1
	if d.IntN(2) == 0 {
		most = 4 * 60
	}
	var edges []int
	for range 2 * d.IntN(4) {
		edges = append(edges, d.IntN(most))
	}
	slices.Sort(edges)
	edges = slices.Compact(edges)
	for i := 0; i+1 < len(edges); i += 2 {
		spans = append(spans, clockText(edges[i])+"-"+clockText(edges[i+1]))
	}
	return spans
}

func (d dice) store() tidings.Store {
	s := tidings.Store{Timezone: d.zone(), Hours: tidings.Hours{}}
	for _, day := range []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"} {
		if spans := d.spans(); len(spans) > 0 {
			s.Hours[day] = spans
		}
	}
	return s
}

func (d dice) quiet() *tidings.QuietHours {
	from := d.IntN(24 * 60)
	return &tidings.QuietHours{From: clockText(from), To: clockText((from + 1 + d.IntN(14*60)) % (24 * 60)), Timezone: d.zone(), Channels: []tidings.Channel{tidings.SMS}}
}

var places = map[string]*time.Location{}

func place(zone string) *time.Location {
	if places[zone] == nil {
		there, err := time.LoadLocation(zone)
		if err != nil {
			panic(err)
		}
		places[zone] = there
	}
	return places[zone]
}

// wall is what a clock on the wall of a place shows, and which day.
func wall(at time.Time, zone string) (weekday, clock string) {
	local := at.In(place(zone))
	return []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}[local.Weekday()], local.Format("15:04")
}

// openBy and quietBy say by the clock on the wall alone what may be sent at a moment.
func openBy(s tidings.Store, at time.Time) bool {
	day, clock := wall(at, s.Timezone)
	return len(s.Hours) == 0 || slices.ContainsFunc(s.Hours[day], func(span string) bool { return span[:5] <= clock && clock < span[6:] })
}

func quietBy(q *tidings.QuietHours, at time.Time) bool {
	_, clock := wall(at, q.Timezone)
	if q.From < q.To {
		return q.From <= clock && clock < q.To
	}
	return clock >= q.From || clock < q.To
}

// TestWhatIsHeldLeavesAtTheFirstFreeMoment holds deliveries by the hours of stores, the quiet hours of the type and those of the user, all in places of their
// own: it never leaves while one of them holds it, and never later than at the first moment in which none does.
func TestWhatIsHeldLeavesAtTheFirstFreeMoment(t *testing.T) {
	const tries, horizon = 2000, 3 * 24 * time.Hour
	held := 0
	for seed := range uint64(tries) {
		d := dice{rand.New(rand.NewPCG(seed, 1))}
		stores := []tidings.Store{d.store(), d.store()}[:1+d.IntN(2)]
		now := d.instant(place(stores[0].Timezone))
		p := tidings.Planning{Now: now, ExpiresAt: now.Add(horizon), Channels: []tidings.Channel{tidings.SMS}, Stores: stores, Contents: map[tidings.Channel]tidings.PlannedContent{tidings.SMS: {}},
			Addresses: map[tidings.Channel]bool{tidings.SMS: true}, Type: &tidings.MessageType{Application: "a", Name: "t", Lane: tidings.Normal, Channels: []tidings.Channel{tidings.SMS}, Hours: tidings.HoursHold}}
		var quiet []*tidings.QuietHours
		if d.IntN(2) == 0 {
			p.Quiet = d.quiet()
			quiet = append(quiet, p.Quiet)
		}
		if d.IntN(2) == 0 {
			p.Preferences = &tidings.Preferences{User: "u", Quiet: d.quiet()}
			quiet = append(quiet, p.Preferences.Quiet)
		}
		free := func(at time.Time) bool {
			return slices.ContainsFunc(stores, func(s tidings.Store) bool { return openBy(s, at) }) &&
				!slices.ContainsFunc(quiet, func(q *tidings.QuietHours) bool { return quietBy(q, at) })
		}
		// What clocks show changes with whole minutes: the moment itself, and those in which a minute begins.
		want, ok := now, free(now)
		for at := now.Truncate(time.Minute).Add(time.Minute); !ok && at.Before(p.ExpiresAt); at = at.Add(time.Minute) {
			want, ok = at, free(at)
		}
		got := tidings.Plan(p)[0]
		leaves := got.DueAt
		if leaves.IsZero() {
			leaves = now
		}
		if got.State == tidings.Held {
			held++
		}
		if (got.State == tidings.Suppressed) == ok || ok && !leaves.Equal(want) {
			t.Fatalf("seed %d: at %s it is %s (%s) until %s, and the first free moment is %s (%t)\nstores %+v\nquiet %+v %+v", seed, now, got.State, got.Reason, leaves, want.UTC(), ok, stores, p.Quiet, p.Preferences)
		}
	}
	if held < tries/4 {
		t.Errorf("only %d of %d were held: that shows little", held, tries)
	}
}
