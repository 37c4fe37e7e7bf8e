package tidings_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"tidings"
)

func TestTheMostSpecificRuleCounts(t *testing.T) {
	rules := []tidings.Preference{
		{Muted: true},
		{Channel: tidings.App},
		{Application: "orders"},
		{Application: "orders", Channel: tidings.SMS, Muted: true},
		{Application: "orders", Type: "paid", Channel: tidings.SMS},
		{Application: "orders", Type: "ad", Muted: true},
		{Application: "orders", Type: "ad", Channel: tidings.Web},
	}
	p := &tidings.Preferences{Rules: rules}
	for _, c := range []struct {
		application, typ string
		channel          tidings.Channel
		muted            bool
	}{
		{"other", "x", tidings.Web, true}, {"other", "x", tidings.App, false},
		{"orders", "x", tidings.Web, false}, {"orders", "x", tidings.SMS, true}, {"orders", "x", tidings.App, false},
		{"orders", "paid", tidings.SMS, false}, {"orders", "ad", tidings.App, true}, {"orders", "ad", tidings.Web, false},
		{"orders", "ad", tidings.SMS, true}, // of the type, before the application's of the channel
	} {
		for range 5 {
			rand.Shuffle(len(rules), func(i, j int) { rules[i], rules[j] = rules[j], rules[i] })
			if got := p.Mutes(c.application, c.typ, c.channel); got != c.muted {
				t.Fatalf("%+v: %v with %+v", c, got, rules)
			}
		}
	}
	if (*tidings.Preferences)(nil).Mutes("orders", "ad", tidings.Web) {
		t.Error("one who prefers nothing mutes")
	}
	muted := p.Mute("orders", "paid", "", true)
	for _, c := range tidings.Channels {
		if !muted.Mutes("orders", "paid", c) {
			t.Errorf("%s is not muted", c)
		}
	}
}

// TestPreferencesNeverLetMoreThrough asks Plan of random users and types, with and without what they prefer.
func TestPreferencesNeverLetMoreThrough(t *testing.T) {
	pick := func(n int) int { return rand.IntN(n) }
	hour := func() string { return fmt.Sprintf("%02d:%02d", pick(24), pick(60)) }
	zones := []string{"Asia/Shanghai", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"}
	quiet := func() *tidings.QuietHours {
		if pick(2) == 0 {
			return nil
		}
		return &tidings.QuietHours{From: hour(), To: hour(), Timezone: zones[pick(len(zones))], Channels: tidings.Channels[:1+pick(3)]}
	}
	for range 3000 {
		// The nights in which clocks change are among these.
		now := time.Date(2026, time.March, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(pick(300*24*3600)) * time.Second)
		typ := &tidings.MessageType{Application: "orders", Name: "paid", Lane: tidings.Lanes[pick(3)], Channels: tidings.Channels, Mandatory: tidings.Channels[:pick(4)]}
		p := tidings.Planning{Now: now, Channels: tidings.Channels, ExpiresAt: now.Add(time.Duration(1+pick(80)) * time.Hour), Quiet: quiet(), Type: typ,
			Contents: map[tidings.Channel]tidings.PlannedContent{}, Addresses: map[tidings.Channel]bool{tidings.SMS: pick(4) > 0, tidings.App: true}}
		if pick(3) == 0 {
			p.SendAt = now.Add(time.Duration(pick(int(p.ExpiresAt.Sub(now)))))
		}
		without := tidings.Plan(p)
		p.Preferences = &tidings.Preferences{Quiet: quiet(), Rules: []tidings.Preference{
			{Channel: tidings.Channels[pick(3)], Muted: pick(2) == 0}, {Application: "orders", Type: []string{"paid", ""}[pick(2)], Muted: pick(2) == 0}}}
		for i, d := range tidings.Plan(p) {
			before, c := without[i], d.Channel
			muted, urgent := p.Preferences.Mutes("orders", "paid", c) && !typ.Must(c), typ.Lane == tidings.Critical || typ.Must(c)
			switch {
			case d.Reason == tidings.Muted && !muted, muted && d.Pending():
				t.Fatalf("muted %v: %+v of %+v", muted, d, p)
			case !before.Pending() && d.Pending():
				t.Fatalf("what is stopped without preferences goes out with them: %+v", d)
			case urgent && !muted && (d.State != before.State || !d.DueAt.Equal(before.DueAt)):
				t.Fatalf("quiet hours of the user held what is urgent: %+v, %+v", d, before)
			case d.Pending():
				at := now
				if !d.DueAt.IsZero() {
					at = d.DueAt
				}
				_, typeQuiet := p.Quiet.Until(c, at)
				_, userQuiet := p.Preferences.Quiet.Until(c, at)
				if typeQuiet || userQuiet && !urgent || at.Before(before.DueAt) || !at.Before(p.ExpiresAt) {
					t.Fatalf("it goes out at %s: %+v of %+v", at, d, p)
				}
			}
		}
	}
}

func TestTheUsersQuietHoursAreThoseOfHisClockOnTheNightItChanges(t *testing.T) {
	typ := &tidings.MessageType{Application: "orders", Name: "paid", Lane: tidings.Normal}
	own := &tidings.QuietHours{From: "22:00", To: "07:00", Timezone: "Europe/Berlin", Channels: []tidings.Channel{tidings.SMS}}
	berlin, _ := time.LoadLocation("Europe/Berlin")
	p := tidings.Planning{Channels: []tidings.Channel{tidings.SMS}, Addresses: map[tidings.Channel]bool{tidings.SMS: true}, Type: typ,
		Contents: map[tidings.Channel]tidings.PlannedContent{}, Preferences: &tidings.Preferences{Quiet: own}}
	for _, c := range []struct {
		now   time.Time
		hours time.Duration
	}{
		{time.Date(2026, 10, 24, 23, 0, 0, 0, berlin), 9 * time.Hour}, // the clocks go back
		{time.Date(2026, 3, 28, 23, 0, 0, 0, berlin), 7 * time.Hour},  // and forward
		{time.Date(2026, 6, 1, 23, 0, 0, 0, berlin), 8 * time.Hour},
	} {
		p.Now, p.ExpiresAt = c.now, c.now.Add(72*time.Hour)
		d := tidings.Plan(p)[0]
		if d.State != tidings.Held || d.Reason != tidings.QuietTime || !d.DueAt.Equal(c.now.Add(c.hours)) {
			t.Errorf("%s: %+v", c.now, d)
		}
		p.ExpiresAt = c.now.Add(c.hours)
		if d := tidings.Plan(p)[0]; d.State != tidings.Suppressed || d.Reason != tidings.QuietTime {
			t.Errorf("it would be too late: %+v", d)
		}
		p.Quiet = &tidings.QuietHours{From: "06:00", To: "09:00", Timezone: "Europe/Berlin", Channels: own.Channels} // of the type, beyond the user's
		p.ExpiresAt = c.now.Add(72 * time.Hour)
		d = tidings.Plan(p)[0]
		if !d.DueAt.Equal(c.now.Add(c.hours + 2*time.Hour)) {
			t.Errorf("the type's hours follow the user's: %+v", d)
		}
		p.Quiet = nil
	}
}
