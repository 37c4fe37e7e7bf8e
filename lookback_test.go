package tidings_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"tidings"
)

// TestNoStretchOfTimeHasMoreThanItsCap decides on deliveries one after another, at any hours, and looks at every stretch.
func TestNoStretchOfTimeHasMoreThanItsCap(t *testing.T) {
	for range 300 {
		limit := tidings.Cap{Channel: tidings.SMS, Count: 1 + rand.IntN(4), Window: tidings.Seconds(3600 * (1 + rand.IntN(24)))}
		typ := &tidings.MessageType{Application: "orders", Name: "ad", Lane: tidings.Bulk, Caps: []tidings.Cap{limit}}
		var remembered []tidings.Remembered
		var times []time.Time
		for n := range 40 {
			now := noon.Add(time.Duration(n) * time.Duration(rand.IntN(7200)) * time.Second)
			p := tidings.Planning{Now: now, Channels: []tidings.Channel{tidings.SMS}, Addresses: map[tidings.Channel]bool{tidings.SMS: true},
				Contents: map[tidings.Channel]tidings.PlannedContent{}, Type: typ}
			if rand.IntN(2) == 0 {
				p.SendAt = now.Add(time.Duration(rand.IntN(48*3600)) * time.Second)
			}
			ds := tidings.Plan(p)
			ds[0].Message, ds[0].User = tidings.ID(n+1), "u"
			tidings.NewPast(now, remembered).Decide(ds, nil)
			if !ds[0].Pending() {
				if ds[0].Reason != tidings.OverCap || ds[0].State != tidings.Suppressed {
					t.Fatalf("%+v", ds[0])
				}
				continue
			}
			kept := ds[0].Remembered(now)
			if rand.IntN(5) == 0 {
				kept[0].State = tidings.Failed // as if its provider had refused it: it counts no more
			} else {
				times = append(times, kept[0].At)
			}
			remembered = append(remembered, kept...)
		}
		for _, from := range times {
			n := 0
			for _, at := range times {
				if d := at.Sub(from); d >= 0 && d < limit.Window.Duration() {
					n++
				}
			}
			if n > limit.Count {
				t.Fatalf("%d within %s, and the cap is %d", n, limit.Window.Duration(), limit.Count)
			}
		}
		if len(times) < limit.Count {
			t.Fatalf("%d of %d went out", len(times), limit.Count)
		}
	}
}

// keyed plans a message for user u on the web and by SMS.
func keyed(id tidings.ID, typ *tidings.MessageType, now time.Time, change func(*tidings.Planning)) []tidings.Delivery {
	p := tidings.Planning{Now: now, Channels: []tidings.Channel{tidings.Web, tidings.SMS}, Addresses: map[tidings.Channel]bool{tidings.SMS: true},
		ExpiresAt: now.Add(72 * time.Hour), Contents: map[tidings.Channel]tidings.PlannedContent{}, Type: typ}
	change(&p)
	ds := tidings.Plan(p)
	for i := range ds {
		ds[i].Message, ds[i].User = id, "u"
	}
	return ds
}

func TestTheSameIsSaidOnceWithinItsWindow(t *testing.T) {
	typ := &tidings.MessageType{Application: "orders", Name: "alarm", Dedup: &tidings.Dedup{Window: 3600}}
	same := func(p *tidings.Planning) { p.DedupKey = "printer" }
	first := keyed(1, typ, noon, same)
	past := tidings.NewPast(noon, nil)
	past.Decide(first, nil)
	var remembered []tidings.Remembered
	for _, d := range first {
		if !d.Pending() {
			t.Fatalf("%+v", d)
		}
		remembered = append(remembered, d.Remembered(noon)...)
	}
	for _, c := range []struct {
		name  string
		after time.Duration
		key   string
		first tidings.State
		spare bool
	}{
		{"at once, while the first is under way", 0, "printer", tidings.Queued, true}, {"within the window", 59 * time.Minute, "printer", tidings.Delivered, true},
		{"nobody knows whether the first arrived", time.Minute, "printer", tidings.UnknownEnd, true},
		{"after the window", time.Hour, "printer", tidings.Delivered, false}, {"another", 0, "till", tidings.Delivered, false},
		{"the first failed", time.Minute, "printer", tidings.Failed, false}, {"the first was canceled", time.Minute, "printer", tidings.Canceled, false},
	} {
		for i := range remembered {
			remembered[i].State = c.first
		}
		now := noon.Add(c.after)
		second := keyed(2, typ, now, func(p *tidings.Planning) { p.DedupKey = c.key })
		tidings.NewPast(now, remembered).Decide(second, nil)
		for _, d := range second {
			if spared := d.State == tidings.Suppressed && d.Reason == tidings.Duplicate; spared != c.spare || !spared && !d.Pending() {
				t.Errorf("%s: %+v", c.name, d)
			}
		}
	}
	remembered = remembered[:1] // on the web alone
	remembered[0].State = tidings.Delivered
	second := keyed(2, typ, noon, same)
	tidings.NewPast(noon, remembered).Decide(second, nil)
	if second[0].Reason != tidings.Duplicate || !second[1].Pending() {
		t.Errorf("what succeeded on one channel says nothing of the other: %+v", second)
	}
}

func TestTheNewerReplacesTheOlderInWhateverOrderTheyAreDecidedOn(t *testing.T) {
	typ := &tidings.MessageType{Application: "orders", Name: "status", Replace: true}
	collapse := func(p *tidings.Planning) { p.CollapseKey = "order 7" }
	// In one commit, the newer first.
	both := append(keyed(2, typ, noon, collapse), keyed(1, typ, noon, collapse)...)
	if older := tidings.NewPast(noon, nil).Decide(both, nil); len(older) > 0 {
		t.Errorf("%+v", older)
	}
	for _, d := range both {
		if d.Message == 1 && (d.State != tidings.Canceled || d.Reason != tidings.Collapsed) || d.Message == 2 && !d.Pending() {
			t.Errorf("%+v", d)
		}
	}
	for _, c := range []struct {
		id    tidings.ID // of what is remembered; 5 is decided on
		state tidings.State
		older int
		lives bool
	}{
		{4, tidings.Held, 2, true}, {4, tidings.Queued, 2, true}, {4, tidings.Sent, 1, true}, {4, tidings.Sending, 1, true}, {4, tidings.Failed, 0, true},
		{6, tidings.Held, 0, false}, {6, tidings.Sent, 0, false}, {6, tidings.Failed, 0, true}, {6, tidings.Canceled, 0, true},
	} {
		var remembered []tidings.Remembered
		for _, d := range keyed(c.id, typ, noon, collapse) {
			d.State = tidings.Queued
			for _, r := range d.Remembered(noon) {
				r.State = c.state
				remembered = append(remembered, r)
			}
		}
		ds := keyed(5, typ, noon, collapse)
		older := tidings.NewPast(noon, remembered).Decide(ds, nil)
		if len(older) != c.older || ds[0].Pending() != c.lives || ds[1].Pending() != c.lives {
			t.Errorf("%+v: %+v, %+v", c, older, ds)
		}
	}
}

func TestWhatIsStoppedReplacesNothing(t *testing.T) {
	typ := &tidings.MessageType{Application: "orders", Name: "status", Caps: []tidings.Cap{{Channel: tidings.SMS, Count: 1, Window: 3600}}}
	ds := append(keyed(1, typ, noon, func(p *tidings.Planning) { p.CollapseKey = "k" }), keyed(2, typ, noon, func(p *tidings.Planning) { p.CollapseKey = "k" })...)
	tidings.NewPast(noon, nil).Decide(ds, nil)
	got := ""
	for _, d := range ds {
		got += fmt.Sprintf("%d %s %s %s, ", int64(d.Message), d.Channel, d.State, d.Reason)
	}
	want := "1 web canceled collapsed, 1 sms queued , 2 web queued , 2 sms suppressed over_cap, "
	if got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestTypesWithoutAnyOfItLookBackOnNothing(t *testing.T) {
	for _, d := range keyed(1, &tidings.MessageType{Application: "orders", Name: "plain"}, noon, func(*tidings.Planning) {}) {
		if d.Back != nil {
			t.Errorf("%+v", d.Back)
		}
	}
	capped := &tidings.MessageType{Application: "orders", Name: "code", Lane: tidings.Critical, Caps: []tidings.Cap{{Channel: tidings.SMS, Count: 1, Window: 60}}}
	for _, d := range keyed(1, capped, noon, func(p *tidings.Planning) { p.Caps = capped.Caps }) {
		if d.Back != nil {
			t.Errorf("urgent, and capped: %+v", d.Back)
		}
	}
}

func TestACapIsReadAsItIsWritten(t *testing.T) {
	for text, want := range map[string]string{"sms=3/24h": "sms=3/24h", "web=1/90m": "web=1/1h30m", "app=2/45s": "app=2/45s", "sms=1/10m": "sms=1/10m", "web=9/1h0m5s": "web=9/1h0m5s", "sms=1/20h": "sms=1/20h", "sms=2/1h10m": "sms=2/1h10m"} {
		c, err := tidings.ParseCap(text)
		if err != nil || c.String() != want {
			t.Errorf("%s: %s, %v", text, c, err)
		}
	}
	for _, text := range []string{"", "sms", "sms=3", "sms=x/1h", "fax=1/1h", "sms=3/h", "sms=3/1d"} {
		if c, err := tidings.ParseCap(text); err == nil {
			t.Errorf("%q is taken as %s", text, c)
		}
	}
}
