package tidings_test

import (
	"testing"
	"time"

	"tidings"
)

func daily(zone string, spans ...string) tidings.Store {
	s := tidings.Store{Timezone: zone, Hours: tidings.Hours{}}
	for _, d := range []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"} {
		s.Hours[d] = spans
	}
	return s
}

func TestAStoreOpensAlsoInNightsWhenTheClocksChange(t *testing.T) {
	holiday := daily("Asia/Shanghai", "09:00-18:00")
	holiday.Holidays = []string{"2026-10-01", "2026-10-02"}
	for _, c := range []struct {
		name     string
		store    tidings.Store
		at, want string // RFC 3339; want "": never
	}{
		{"open", daily("Asia/Shanghai", "09:00-18:00"), "2026-06-01T02:00:00Z", "2026-06-01T02:00:00Z"},
		{"to the last second", daily("Asia/Shanghai", "09:00-18:00"), "2026-06-01T09:59:59Z", "2026-06-01T09:59:59Z"},
		{"closed at the second", daily("Asia/Shanghai", "09:00-18:00"), "2026-06-01T10:00:00Z", "2026-06-02T01:00:00Z"},
		{"half an hour off", daily("Asia/Kolkata", "10:00-18:00"), "2026-06-01T04:29:59Z", "2026-06-01T04:30:00Z"},
		{"over holidays", holiday, "2026-09-30T12:00:00Z", "2026-10-03T01:00:00Z"},
		{"New York, before the spring change", daily("America/New_York", "09:00-17:00"), "2026-03-07T23:00:00Z", "2026-03-08T13:00:00Z"},
		{"New York, the autumn change", daily("America/New_York", "09:00-17:00"), "2026-10-31T22:00:00Z", "2026-11-01T14:00:00Z"},
		{"Berlin, spring", daily("Europe/Berlin", "09:00-17:00"), "2026-03-28T20:00:00Z", "2026-03-29T07:00:00Z"},
		{"Berlin, autumn", daily("Europe/Berlin", "09:00-17:00"), "2026-10-24T20:00:00Z", "2026-10-25T08:00:00Z"},
		{"in the hour that is jumped over", daily("Europe/Berlin", "02:30-04:00"), "2026-03-28T23:00:00Z", "2026-03-29T01:00:00Z"},
		{"all of it jumped over", daily("Europe/Berlin", "02:10-02:50"), "2026-03-29T00:00:00Z", "2026-03-30T00:10:00Z"},
		{"the repeated hour, first", daily("Europe/Berlin", "02:30-02:40"), "2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z"},
		{"the repeated hour, again", daily("Europe/Berlin", "02:30-02:40"), "2026-10-25T00:45:00Z", "2026-10-25T01:30:00Z"},
		{"no hours", tidings.Store{Timezone: "Asia/Shanghai"}, "2026-06-01T02:00:00Z", "2026-06-01T02:00:00Z"},
		{"never", tidings.Store{Timezone: "Asia/Shanghai", Hours: tidings.Hours{"mon": nil}}, "2026-06-01T02:00:00Z", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			at, err := time.Parse(time.RFC3339, c.at)
			if err != nil {
				t.Fatal(err)
			}
			got, ok := c.store.Opens(at)
			if shown := got.UTC().Format(time.RFC3339); ok != (c.want != "") || ok && shown != c.want {
				t.Fatalf("opens %s %t", shown, ok)
			}
			if open, known := c.store.Open(got); ok && known && !open {
				t.Error("it is not open then")
			}
		})
	}
}

// TestOpensIsOpenForEveryMinute compares the two ways through nights when the clocks change, minute by minute.
func TestOpensIsOpenForEveryMinute(t *testing.T) {
	for _, zone := range []string{"America/New_York", "Europe/Berlin", "Asia/Shanghai", "Asia/Kolkata"} {
		for _, from := range []string{"2026-03-07T12:00:00Z", "2026-03-28T12:00:00Z", "2026-10-24T12:00:00Z", "2026-10-31T12:00:00Z"} {
			s := daily(zone, "00:30-01:15", "01:45-02:30", "02:45-03:10", "23:00-24:00")
			begin, _ := time.Parse(time.RFC3339, from)
			want := time.Time{}
			for m := 36 * 60; m >= 0; m-- {
				at := begin.Add(time.Duration(m) * time.Minute)
				if open, _ := s.Open(at); open {
					want = at
				}
				if got, ok := s.Opens(at); !want.IsZero() && (!ok || !got.Equal(want)) {
					t.Fatalf("%s at %s: opens %s, and is open %s", zone, at, got, want)
				}
			}
		}
	}
}

func TestADigestComesAtTimesOfTheDay(t *testing.T) {
	d := &tidings.Digest{Times: []string{"02:30", "17:00"}, Timezone: "Europe/Berlin"}
	for at, want := range map[string]string{
		"2026-06-01T10:00:00Z": "2026-06-01T15:00:00Z", "2026-06-01T15:00:00Z": "2026-06-02T00:30:00Z",
		"2026-03-28T20:00:00Z": "2026-03-29T01:00:00Z", // 02:30 is jumped over
	} {
		from, _ := time.Parse(time.RFC3339, at)
		if next, ok := d.Next(from, nil); !ok || next.UTC().Format(time.RFC3339) != want {
			t.Errorf("%s: %s, want %s", at, next.UTC(), want)
		}
	}
	opening := &tidings.Digest{Opening: true}
	from, _ := time.Parse(time.RFC3339, "2026-06-01T02:00:00Z")
	if next, ok := opening.Next(from, []tidings.Store{daily("Asia/Shanghai", "09:00-18:00")}); !ok || next.UTC().Format(time.RFC3339) != "2026-06-02T01:00:00Z" {
		t.Errorf("%s", next)
	}
	if _, ok := opening.Next(from, nil); ok {
		t.Error("who is of no store waits for none")
	}
}
