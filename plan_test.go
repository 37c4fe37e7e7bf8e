package tidings_test

import (
	"slices"
	"testing"
	"time"

	"tidings"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func TestEachDeliverySaysWhichRuleDecided(t *testing.T) {
	quiet := &tidings.QuietHours{From: "11:00", To: "14:00", Timezone: "UTC", Channels: []tidings.Channel{tidings.SMS}}
	base := func() tidings.Planning {
		return tidings.Planning{Now: noon, Channels: []tidings.Channel{tidings.SMS}, ExpiresAt: noon.Add(72 * time.Hour),
			Contents: map[tidings.Channel]tidings.PlannedContent{tidings.SMS: {Locale: "zh-CN", Parts: 2}}, Addresses: map[tidings.Channel]bool{tidings.SMS: true}}
	}
	for _, c := range []struct {
		name   string
		change func(*tidings.Planning)
		state  tidings.State
		reason tidings.Reason
		rule   tidings.Rule // the last that did not simply pass
		due    time.Time
	}{
		{"all pass", func(*tidings.Planning) {}, tidings.Queued, tidings.NoReason, "", time.Time{}},
		{"taken back", func(p *tidings.Planning) { p.Canceled = true }, tidings.Canceled, tidings.CanceledByApp, tidings.RuleCanceled, time.Time{}},
		{"too late", func(p *tidings.Planning) { p.ExpiresAt = noon }, tidings.Expired, tidings.TimeRanOut, tidings.RuleExpiry, time.Time{}},
		{"no content", func(p *tidings.Planning) {
			p.Contents = map[tidings.Channel]tidings.PlannedContent{tidings.SMS: {Reason: tidings.NoTemplate}}
		}, tidings.Failed, tidings.NoTemplate, tidings.RuleTemplate, time.Time{}},
		{"no address", func(p *tidings.Planning) { p.Addresses = nil }, tidings.Suppressed, tidings.NoAddress, tidings.RuleAddress, time.Time{}},
		{"later", func(p *tidings.Planning) { p.SendAt = noon.Add(time.Hour) }, tidings.Held, tidings.NotYetDue, tidings.RuleSendAt, noon.Add(time.Hour)},
		{"quiet", func(p *tidings.Planning) { p.Quiet = quiet }, tidings.Held, tidings.QuietTime, tidings.RuleQuiet, noon.Add(2 * time.Hour)},
		{"later, and quiet then", func(p *tidings.Planning) { p.SendAt, p.Quiet = noon.Add(24*time.Hour), quiet }, tidings.Held, tidings.NotYetDue, tidings.RuleQuiet, noon.Add(26 * time.Hour)},
		{"quiet now, and later not", func(p *tidings.Planning) { p.SendAt, p.Quiet = noon.Add(3*time.Hour), quiet }, tidings.Held, tidings.NotYetDue, tidings.RuleSendAt, noon.Add(3 * time.Hour)},
		{"quiet for too long", func(p *tidings.Planning) { p.ExpiresAt, p.Quiet = noon.Add(2*time.Hour), quiet }, tidings.Suppressed, tidings.QuietTime, tidings.RuleQuiet, time.Time{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := base()
			c.change(&p)
			d := tidings.Plan(p)[0]
			if d.State != c.state || d.Reason != c.reason || !d.DueAt.Equal(c.due) {
				t.Fatalf("%+v", d)
			}
			if !slices.Contains(tidings.Moves[""], d.State) {
				t.Errorf("nothing is planned as %s", d.State)
			}
			said := tidings.Decisions(tidings.SMS, d.Decided)
			var rules []tidings.Rule
			last, stopped := tidings.Decision{}, false
			for _, s := range said {
				rules = append(rules, s.Rule)
				if stopped != (s.Outcome == tidings.Unsaid) {
					t.Errorf("%+v", said)
				}
				if s.Outcome != tidings.Passes && s.Outcome != tidings.Unsaid {
					last, stopped = s, s.Outcome == tidings.Stops
				}
			}
			if !slices.Equal(rules, tidings.Rules) || last.Rule != c.rule || last.Reason != c.reason && c.reason != tidings.NotYetDue {
				t.Errorf("%+v", said)
			}
			if d.Decided == "" != (c.rule == "") {
				t.Errorf("keeps %q", d.Decided)
			}
		})
	}
}

func TestARuleThatAChannelDoesNotHaveIsNotShown(t *testing.T) {
	for c, n := range map[tidings.Channel]int{tidings.Web: len(tidings.Rules) - 2, tidings.App: len(tidings.Rules) - 1, tidings.SMS: len(tidings.Rules)} {
		if said := tidings.Decisions(c, ""); len(said) != n {
			t.Errorf("%s: %+v", c, said)
		}
	}
}

func TestAnAllowanceGivesUntilNothingIsLeft(t *testing.T) {
	a := tidings.Allowance{Quota: tidings.Quota{Daily: map[tidings.Channel]int{tidings.Web: 1}, SMSBudget: 5}, Parts: 1}
	for _, c := range []struct {
		d    tidings.Delivery
		want tidings.Reason
	}{
		{tidings.Delivery{Channel: tidings.SMS, State: tidings.Suppressed, Reason: tidings.NoAddress, Parts: 4}, tidings.NoAddress},
		{tidings.Delivery{Channel: tidings.SMS, State: tidings.Queued, Parts: 3}, ""},
		{tidings.Delivery{Channel: tidings.SMS, State: tidings.Queued, Parts: 2}, tidings.OverBudget},
		{tidings.Delivery{Channel: tidings.SMS, State: tidings.Held, Reason: tidings.NotYetDue, Parts: 1}, tidings.NotYetDue},
		{tidings.Delivery{Channel: tidings.Web, State: tidings.Queued}, ""},
		{tidings.Delivery{Channel: tidings.Web, State: tidings.Queued}, tidings.OverQuota},
		{tidings.Delivery{Channel: tidings.App, State: tidings.Queued}, ""},
	} {
		d := c.d
		a.Admit(&d)
		if d.Reason != c.want || (d.State == tidings.Suppressed) != (c.want == tidings.OverBudget || c.want == tidings.OverQuota || c.want == tidings.NoAddress) {
			t.Errorf("%+v: %+v, want %q", c.d, d, c.want)
		}
	}
	for _, c := range []struct {
		channels []tidings.Channel
		why      tidings.Reason
	}{{[]tidings.Channel{tidings.Web}, tidings.OverQuota}, {[]tidings.Channel{tidings.SMS}, tidings.OverBudget},
		{[]tidings.Channel{tidings.Web, tidings.SMS}, tidings.OverBudget}, {[]tidings.Channel{tidings.Web, tidings.App}, ""}, {nil, ""}} {
		if why, ok := a.Exhausted(c.channels); why != c.why || ok != (c.why != "") {
			t.Errorf("%v: %s", c.channels, why)
		}
	}
}

func TestABucketFillsAtItsRate(t *testing.T) {
	q := tidings.Quota{Rate: 2, Burst: 4}
	var b tidings.Bucket
	now := noon
	for i, c := range []struct {
		after time.Duration
		n     int
		wait  time.Duration // 0: let through
	}{
		{0, 3, 0}, {0, 2, 500 * time.Millisecond}, {0, 1, 0}, {0, 1, 500 * time.Millisecond}, {400 * time.Millisecond, 1, 100 * time.Millisecond},
		{100 * time.Millisecond, 1, 0}, {time.Hour, 4, 0}, {time.Hour, 10, 0}, {0, 1, 3500 * time.Millisecond}, {5 * time.Second, 4, 0},
		{-time.Hour, 1, 500 * time.Millisecond},
	} {
		now = now.Add(c.after)
		wait, ok := b.Take(q, c.n, now)
		if ok != (c.wait == 0) || wait != c.wait {
			t.Errorf("%d: %v, wait %s, want %s", i, ok, wait, c.wait)
		}
	}
}

func TestPeriodsBeginByTheQuotasClock(t *testing.T) {
	at := time.Date(2026, 11, 30, 16, 30, 0, 0, time.UTC) // in Shanghai it is December
	shanghai, utc := tidings.Quota{}, tidings.Quota{Timezone: "UTC"}
	if shanghai.Day(at) != "2026-12-01" || shanghai.Month(at) != "2026-12" || utc.Day(at) != "2026-11-30" || utc.Month(at) != "2026-11" {
		t.Errorf("%s %s %s %s", shanghai.Day(at), shanghai.Month(at), utc.Day(at), utc.Month(at))
	}
	for _, c := range []struct {
		q    tidings.Quota
		why  tidings.Reason
		want time.Time
	}{
		{shanghai, tidings.OverQuota, time.Date(2026, 12, 1, 16, 0, 0, 0, time.UTC)},
		{shanghai, tidings.OverBudget, time.Date(2026, 12, 31, 16, 0, 0, 0, time.UTC)},
		{utc, tidings.OverQuota, time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)},
		{utc, tidings.OverBudget, time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)},
	} {
		if got := c.q.Renews(c.why, at); !got.Equal(c.want) {
			t.Errorf("%s in %q: %s, want %s", c.why, c.q.Timezone, got, c.want)
		}
	}
}

func TestQuotasThatMakeNoSenseAreRefused(t *testing.T) {
	for field, q := range map[string]tidings.Quota{
		"rate": {Rate: -1}, "burst": {Burst: 5}, "daily": {Daily: map[tidings.Channel]int{"fax": 1}}, "daily.sms": {Daily: map[tidings.Channel]int{tidings.SMS: -1}},
		"sms_budget": {SMSBudget: 2_000_000_000}, "timezone": {Timezone: "Mars/Base"},
	} {
		if errs := q.Validate(); len(errs) != 1 || errs[0].Field != field {
			t.Errorf("%+v: %v", q, errs)
		}
	}
	if errs := (tidings.Quota{Rate: 10, Burst: 50, Daily: map[tidings.Channel]int{tidings.SMS: 100}, SMSBudget: 1000}).Validate(); errs != nil {
		t.Error(errs)
	}
}

func TestATrialTakesItsShareOfTheStores(t *testing.T) {
	in := 0
	for i := range 10000 {
		store := "s:store-" + string(rune('a'+i%26)) + time.Duration(i).String()
		if tidings.InTrial("u", []string{"m:acme", store}, 20) {
			in++
			if !tidings.InTrial("another", []string{store}, 20) || !tidings.InTrial("u", []string{store}, 50) {
				t.Fatal("users of one store see different versions, or fewer with a larger share")
			}
		}
	}
	if in < 1700 || in > 2300 {
		t.Errorf("%d of 10000 at 20 %%", in)
	}
}

func TestContentsAreChosenByLocaleAndThenByTrial(t *testing.T) {
	rs := []tidings.Rendered{
		{Channel: tidings.SMS, Locale: "", Reason: tidings.NoTemplate}, {Channel: tidings.SMS, Locale: "en-US", Parts: 1},
		{Channel: tidings.SMS, Locale: "zh-CN", Parts: 2}, {Channel: tidings.SMS, Locale: tidings.TrialLocale("zh-CN", 7, 99), Parts: 3},
		{Channel: tidings.Web, Locale: "", Reason: tidings.NoTemplate},
	}
	if !tidings.InTrials(rs) || tidings.InTrials(rs[:3]) {
		t.Error("trials")
	}
	for _, c := range []struct{ locale, want string }{{"en-GB", "en-US"}, {"zh-TW", "zh-CN@7.99"}, {"fr", "zh-CN@7.99"}} {
		got := tidings.ChooseContents("u", c.locale, nil, rs)
		if got[tidings.SMS].Locale != c.want || got[tidings.Web].Reason != tidings.NoTemplate {
			t.Errorf("%s: %+v", c.locale, got)
		}
	}
	rs[3].Locale = tidings.TrialLocale("zh-CN", 7, 1)
	if got := tidings.ChooseContents("u", "zh-CN", []string{"s:acme-1"}, rs)[tidings.SMS]; got.Locale != "zh-CN" || got.Parts != 2 {
		t.Errorf("%+v", got)
	}
}
