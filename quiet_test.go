package tidings_test

import (
	"testing"
	"time"

	"tidings"
)

func TestQuietHoursEndByTheClockOnTheWall(t *testing.T) {
	for _, c := range []struct {
		name, from, to, zone string
		at, end              string // end "": nothing is quiet then
	}{
		{"before", "22:00", "08:00", "Asia/Shanghai", "2026-11-23T21:59:59+08:00", ""},
		{"at the beginning", "22:00", "08:00", "Asia/Shanghai", "2026-11-23T22:00:00+08:00", "2026-11-24T08:00:00+08:00"},
		{"in the evening", "22:00", "08:00", "Asia/Shanghai", "2026-11-23T23:30:15+08:00", "2026-11-24T08:00:00+08:00"},
		{"after midnight", "22:00", "08:00", "Asia/Shanghai", "2026-11-24T07:59:59.999+08:00", "2026-11-24T08:00:00+08:00"},
		{"at the end", "22:00", "08:00", "Asia/Shanghai", "2026-11-24T08:00:00+08:00", ""},
		{"as another zone tells it", "22:00", "08:00", "Asia/Shanghai", "2026-11-23T15:00:00Z", "2026-11-24T00:00:00Z"},
		{"within a day", "12:00", "14:30", "Asia/Shanghai", "2026-11-23T13:00:00+08:00", "2026-11-23T14:30:00+08:00"},
		{"within a day, outside", "12:00", "14:30", "Asia/Shanghai", "2026-11-23T23:00:00+08:00", ""},
		{"a zone of three quarters", "22:00", "08:00", "Asia/Kathmandu", "2026-11-23T23:30:00+05:45", "2026-11-24T08:00:00+05:45"},
		{"the clocks go forward in the night", "22:00", "08:00", "Europe/Berlin", "2026-03-28T23:00:00+01:00", "2026-03-29T08:00:00+02:00"},
		{"the clocks go back in the night", "22:00", "08:00", "Europe/Berlin", "2026-10-24T23:00:00+02:00", "2026-10-25T08:00:00+01:00"},
		{"the clocks jump over the end", "22:00", "02:30", "Europe/Berlin", "2026-03-29T01:50:00+01:00", "2026-03-29T03:00:00+02:00"},
		{"the clocks jump over all of it", "02:00", "03:00", "Europe/Berlin", "2026-03-29T03:00:00+02:00", ""},
		{"the clocks jump to the end", "22:00", "03:00", "Europe/Berlin", "2026-03-29T01:59:00+01:00", "2026-03-29T03:00:00+02:00"},
		{"an end that comes twice: the first", "22:00", "02:30", "Europe/Berlin", "2026-10-25T01:00:00+02:00", "2026-10-25T02:30:00+02:00"},
		{"an end that comes twice: between them", "22:00", "02:30", "Europe/Berlin", "2026-10-25T02:45:00+02:00", ""},
		{"an end that comes twice: the second", "22:00", "02:30", "Europe/Berlin", "2026-10-25T02:10:00+01:00", "2026-10-25T02:30:00+01:00"},
		{"the end is when the clocks go back", "22:00", "03:00", "Europe/Berlin", "2026-10-25T02:50:00+02:00", "2026-10-25T03:00:00+01:00"},
		{"the beginning comes twice", "02:15", "06:00", "America/New_York", "2026-11-01T05:30:00Z", ""},
		{"half an hour of summer time", "22:00", "02:15", "Australia/Lord_Howe", "2026-10-04T01:30:00+10:30", "2026-10-04T02:30:00+11:00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := &tidings.QuietHours{From: c.from, To: c.to, Timezone: c.zone, Channels: []tidings.Channel{tidings.SMS}}
			at, err := time.Parse(time.RFC3339, c.at)
			if err != nil {
				t.Fatal(err)
			}
			end, ok := q.Until(tidings.SMS, at)
			if ok != (c.end != "") {
				t.Fatalf("quiet: %v until %s", ok, end)
			}
			if ok {
				if want, err := time.Parse(time.RFC3339, c.end); err != nil || !end.Equal(want) {
					t.Errorf("until %s, want %s", end, c.end)
				}
				if later, still := q.Until(tidings.SMS, end); still {
					t.Errorf("at its end it is quiet until %s", later)
				}
			}
			if _, ok := q.Until(tidings.Web, at); ok {
				t.Error("a channel that it does not name is quiet too")
			}
		})
	}
}

// TestQuietHoursAreExactlyThoseOfTheClock walks through two nights in which the clocks change, minute by minute.
func TestQuietHoursAreExactlyThoseOfTheClock(t *testing.T) {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, hours := range [][2]string{{"22:00", "08:00"}, {"01:30", "02:30"}, {"02:10", "02:50"}, {"03:00", "02:00"}} {
		q := &tidings.QuietHours{From: hours[0], To: hours[1], Timezone: "Europe/Berlin", Channels: []tidings.Channel{tidings.App}}
		inside := func(at time.Time) bool {
			clock := at.In(zone).Format("15:04")
			if q.From < q.To {
				return q.From <= clock && clock < q.To
			}
			return clock >= q.From || clock < q.To
		}
		for _, start := range []time.Time{time.Date(2026, 3, 28, 20, 0, 0, 0, zone), time.Date(2026, 10, 24, 20, 0, 0, 0, zone)} {
			for at := start; at.Before(start.Add(16 * time.Hour)); at = at.Add(time.Minute) {
				end, ok := q.Until(tidings.App, at)
				want := at
				for inside(want) {
					want = want.Add(time.Minute)
				}
				if ok != inside(at) || ok && !end.Equal(want) {
					t.Fatalf("%v at %s: %v until %s, want %s", hours, at, ok, end, want)
				}
			}
		}
	}
}

func TestQuietHoursThatAreNoneHoldNothing(t *testing.T) {
	at := time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)
	for _, q := range []*tidings.QuietHours{nil, {}, {From: "00:00", To: "00:00", Timezone: "UTC"}, {From: "22:00", To: "8:00", Timezone: "UTC"},
		{From: "22:00", To: "24:00", Timezone: "UTC"}, {From: "22:00", To: "08:00", Timezone: "Nowhere/At_All"}} {
		if q != nil {
			q.Channels = []tidings.Channel{tidings.SMS}
		}
		if end, ok := q.Until(tidings.SMS, at); ok {
			t.Errorf("%+v: until %s", q, end)
		}
	}
}
