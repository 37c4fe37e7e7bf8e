package tidings

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// Planning is what a routing decision looks at. Everything in it is data, so that the route stage and the preview call the
// same function and come to the same answer.
type Planning struct {
	Now       time.Time
	Channels  []Channel // of the type, narrowed by the message
	SendAt    time.Time
	ExpiresAt time.Time
	Canceled  bool
	Contents  map[Channel]PlannedContent
	Addresses map[Channel]bool // the channels on which the user has an address; the web needs none
	Quiet     *QuietHours      // of the type
	// What the user prefers, and the type that may or may not heed it. No Preferences: the user has none.
	Preferences *Preferences
	Type        *MessageType
	// Caps are the application's; CollapseKey is the message's, and DedupKey what its type takes for the same.
	Caps        []Cap
	CollapseKey string
	DedupKey    string
	Stores      []Store // through which alone the user was reached, see StoresOf: whose hours the type may heed
	Child       bool    // it is itself a step of a route, to others: all its channels at once, and no digest
}

// PlannedContent is what the render stage left for a channel and the user's locale.
type PlannedContent struct {
	Locale string
	Reason Reason // why there is no content, or none
	Parts  int    // sms
}

// Plan decides which way a notification goes: one decision for each channel, each with its reason. What is left of the day's
// quota and the month's budget, and what others that are decided on at the same time come to, is known only to the commit, which
// decides on these after it: see Past and Allowance.
func Plan(p Planning) []Delivery {
	ds, _ := p.plan()
	return ds
}

// plan walks the steps of the route, or all channels at once.
func (p Planning) plan() (ds []Delivery, es []Escalation) {
	at := p.Now
	if at.Before(p.SendAt) {
		at = p.SendAt
	}
	if p.Type == nil || p.Type.Route == nil || p.Child {
		ds = make([]Delivery, 0, len(p.Channels))
		for _, c := range p.Channels {
			ds = append(ds, p.delivery(c, at))
		}
		return ds, nil
	}
	for i, s := range p.Type.Route.Steps {
		due := at.Add(s.After.Duration())
		if s.To != "" {
			e := Escalation{Step: i + 1, To: s.To, Channels: s.Channels, DueAt: due, State: Held}
			if !p.ExpiresAt.IsZero() && !due.Before(p.ExpiresAt) {
				e.State, e.Reason = Expired, TimeRanOut
			}
			if !p.Canceled {
				es = append(es, e)
			}
			at = due
			continue
		}
		var first time.Time // when the step leaves; zero: it reaches him nowhere, and takes no time
		for _, c := range s.Channels {
			if !slices.Contains(p.Channels, c) {
				continue
			}
			d := p.delivery(c, due)
			if leaves := d.leaves(due); d.Pending() && (first.IsZero() || leaves.Before(first)) {
				first = leaves
			}
			ds = append(ds, d)
		}
		if !first.IsZero() {
			at = first
		}
	}
	return ds, es
}

// delivery decides on one channel of a step that begins at a time.
func (p Planning) delivery(c Channel, at time.Time) Delivery {
	content := p.Contents[c]
	d := Delivery{Channel: c, State: Queued, ExpiresAt: p.ExpiresAt, Locale: content.Locale, Parts: content.Parts}
	switch {
	case p.Canceled:
		d.stop(RuleCanceled, Canceled, CanceledByApp, "")
	case !p.ExpiresAt.IsZero() && !p.Now.Before(p.ExpiresAt):
		d.stop(RuleExpiry, Expired, TimeRanOut, "it was to be sent before "+shownAt(p.ExpiresAt))
	case content.Reason != NoReason:
		d.stop(RuleTemplate, Failed, content.Reason, "")
	case c != Web && !p.Addresses[c]:
		d.stop(RuleAddress, Suppressed, NoAddress, "")
	case p.muted(c):
		d.stop(RuleMuted, Suppressed, Muted, "")
	default:
		p.time(&d, at)
		if d.Pending() {
			d.Back = p.lookback(c)
		}
	}
	return d
}

// time holds a delivery whose time has not come: at is when its step begins.
func (p Planning) time(d *Delivery, at time.Time) {
	if p.Now.Before(p.SendAt) {
		d.hold(RuleSendAt, NotYetDue, p.SendAt)
	}
	if at.After(p.Now) && at.After(p.SendAt) && !p.wait(d, RuleRoute, RouteStep, at) {
		return
	}
	closed, at, ok := p.free(d, at)
	if !ok || p.Type == nil || p.Type.Digest == nil || p.Child || !slices.Contains(p.Type.Digest.Channels, d.Channel) {
		return
	}
	next, gathered := p.Type.Digest.Next(at, p.Stores)
	if closed && p.Type.Hours == HoursSummary {
		next, gathered = at, true
	}
	if !gathered {
		return
	}
	d.ReadyAt = at
	if p.wait(d, RuleDigest, InDigest, next) {
		_, _, _ = p.free(d, next) // a summary does not come at night either
	}
}

// free holds a delivery until the store is open and nothing is quiet, both at once, and tells when that is. ok is false when
// that is too late.
func (p Planning) free(d *Delivery, at time.Time) (closed bool, free time.Time, ok bool) {
	for range maxHolidays {
		begun := at
		if p.Type != nil && p.Type.Hours.closed() && d.Channel != Web {
			next, opens := firstOpening(p.Stores, at, false)
			if !opens {
				d.stop(RuleHours, Suppressed, StoreClosed, "no opening is known within a year")
				return closed, at, false
			}
			if next.After(at) {
				closed, at = true, next
				if !p.wait(d, RuleHours, StoreClosed, at) {
					return closed, at, false
				}
			}
		}
		if at, ok = p.loud(d, at); !ok {
			return closed, at, false
		}
		if at.Equal(begun) {
			break
		}
	}
	return closed, at, true
}

// loud holds a delivery until neither the type's nor the user's quiet hours do.
func (p Planning) loud(d *Delivery, at time.Time) (end time.Time, ok bool) {
	end, ofType, ofUser, ok := p.quietUntil(d.Channel, at)
	rule := RuleQuiet
	if !ofType {
		rule = RuleUserQuiet
	}
	switch {
	case !ofType && !ofUser:
		return at, true
	case !ok:
		d.stop(rule, Suppressed, QuietTime, "its time runs out before they end")
		return end, false
	case !p.wait(d, rule, QuietTime, end):
		return end, false
	}
	if ofType && ofUser {
		d.hold(RuleUserQuiet, QuietTime, end)
	}
	return end, true
}

// wait holds a delivery until a time, or stops it if that would be too late.
func (p Planning) wait(d *Delivery, r Rule, why Reason, until time.Time) bool {
	if !p.ExpiresAt.IsZero() && !until.Before(p.ExpiresAt) {
		d.stop(r, Suppressed, why, "its time runs out before "+shownAt(until))
		return false
	}
	d.hold(r, why, until)
	return true
}

// leaves is when a delivery of a step that begins at a time can go out.
func (d Delivery) leaves(at time.Time) time.Time {
	if d.DueAt.IsZero() {
		return at
	}
	return d.DueAt
}

// muted tells whether the user does not want the type on a channel, where that is his to say.
func (p Planning) muted(c Channel) bool {
	return p.Preferences != nil && p.Type != nil && !p.Type.Must(c) && p.Preferences.Mutes(p.Type.Application, p.Type.Name, c)
}

// Rule is a question that the route stage asks of every delivery.
type Rule string

// The rules, in the order in which they are asked. The first that stops a delivery ends the asking.
const (
	RuleCanceled  Rule = "canceled"         // did the application take it back?
	RuleExpiry    Rule = "expires_at"       // is there time left?
	RuleTemplate  Rule = "template"         // is there content?
	RuleAddress   Rule = "address"          // has the user an address on the channel?
	RuleMuted     Rule = "muted"            // does the user want the type on the channel?
	RuleSendAt    Rule = "send_at"          // has its time come?
	RuleRoute     Rule = "route"            // has its step of the route come?
	RuleHours     Rule = "hours"            // is the store open?
	RuleQuiet     Rule = "quiet_hours"      // may the type be sent at that hour?
	RuleUserQuiet Rule = "user_quiet_hours" // does the user want it at that hour?
	RuleDigest    Rule = "digest"           // does it go out by itself?
	RuleSending   Rule = "suspended"        // may the application send for now?
	RuleCollapse  Rule = "collapse"         // has no newer one taken its place?
	RuleDuplicate Rule = "duplicate"        // has nothing said the same before?
	RuleCap       Rule = "cap"              // has the user not had enough of the type, or of the application?
	RuleQuota     Rule = "daily_quota"      // has the application deliveries left today?
	RuleBudget    Rule = "sms_budget"       // has the application SMS parts left this month?
)

// Rules lists every rule in its order.
var Rules = []Rule{RuleCanceled, RuleExpiry, RuleTemplate, RuleAddress, RuleMuted, RuleSendAt, RuleRoute, RuleHours, RuleQuiet, RuleUserQuiet,
	RuleDigest, RuleSending, RuleCollapse, RuleDuplicate, RuleCap, RuleQuota, RuleBudget}

// Decision is what one rule said of a delivery.
type Decision struct {
	Rule    Rule    `json:"rule"`
	Outcome Verdict `json:"outcome"`
	Reason  Reason  `json:"reason,omitempty"`
	Detail  string  `json:"detail,omitempty"`
}

// Verdict is the outcome of a rule.
type Verdict string

// The verdicts.
const (
	Passes Verdict = "passed"
	Holds  Verdict = "held"    // not before a time, which is the detail
	Stops  Verdict = "stopped" // it is not sent
	Unsaid Verdict = "skipped" // an earlier rule stopped it, so that this one was not asked
)

func (d *Delivery) stop(r Rule, s State, why Reason, detail string) {
	d.State, d.Reason, d.DueAt = s, why, time.Time{}
	d.decide(r, Stops, why, detail)
}

func (d *Delivery) hold(r Rule, why Reason, until time.Time) {
	if d.Reason != NotYetDue { // what waits for send_at too is not to be seen before
		d.Reason = why
	}
	d.State, d.DueAt = Held, until
	d.decide(r, Holds, why, shownAt(until))
}

// Suspend holds a delivery of an application that may not send for now. It is looked at again at a time, and when the
// application is resumed.
func (d *Delivery) Suspend(until time.Time) {
	d.State, d.Reason, d.DueAt = Held, AppSuspended, until
	d.decide(RuleSending, Holds, AppSuspended, "until the application is resumed")
}

// shownAt writes a time in a decision.
func shownAt(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// decide notes what a rule said that is more than that it passed. Most deliveries pass every rule, and keep nothing.
func (d *Delivery) decide(r Rule, v Verdict, why Reason, detail string) {
	if d.Decided != "" {
		d.Decided += "\n"
	}
	d.Decided += string(r) + " " + string(v) + " " + string(why) + " " + detail
}

// Decisions tells, rule by rule, what was decided on a delivery of the channel. decided is its Delivery.Decided.
func Decisions(c Channel, decided string) []Decision {
	said := map[Rule]Decision{}
	for line := range strings.SplitSeq(decided, "\n") {
		if words := strings.SplitN(line, " ", 4); len(words) == 4 {
			said[Rule(words[0])] = Decision{Rule(words[0]), Verdict(words[1]), Reason(words[2]), words[3]}
		}
	}
	ds := make([]Decision, 0, len(Rules))
	stopped := false
	for _, r := range Rules {
		if r == RuleAddress && c == Web || r == RuleBudget && c != SMS {
			continue
		}
		d, ok := said[r]
		switch {
		case stopped:
			d = Decision{Rule: r, Outcome: Unsaid}
		case !ok:
			d = Decision{Rule: r, Outcome: Passes}
		}
		stopped = stopped || d.Outcome == Stops
		ds = append(ds, d)
	}
	return ds
}

// Allowance is what is left of an application's quota while deliveries are decided on.
type Allowance struct {
	Quota Quota
	Used  map[Channel]int // deliveries of the day
	Parts int             // SMS parts of the month, reserved and spent
}

// Limited tells whether the quota has a say in what is sent on a channel.
func (q Quota) Limited(c Channel) bool { return q.Daily[c] > 0 || c == SMS && q.SMSBudget > 0 }

// Admit takes what a delivery needs from the allowance, or stops it. What will not be sent needs nothing.
func (a *Allowance) Admit(d *Delivery) {
	if !d.Pending() || !a.Quota.Limited(d.Channel) {
		return
	}
	limit, budget := a.Quota.Daily[d.Channel], a.Quota.SMSBudget
	switch {
	case limit > 0 && a.Used[d.Channel] >= limit:
		d.stop(RuleQuota, Suppressed, OverQuota, "all "+strconv.Itoa(limit)+" deliveries of the day are used")
		return
	case d.Channel == SMS && budget > 0 && a.Parts+d.Parts > budget:
		d.stop(RuleBudget, Suppressed, OverBudget, strconv.Itoa(max(0, budget-a.Parts))+" of "+strconv.Itoa(budget)+" parts are left this month, and it needs "+strconv.Itoa(d.Parts))
		return
	}
	if a.Used == nil {
		a.Used = map[Channel]int{}
	}
	a.Used[d.Channel]++
	if d.Channel == SMS {
		a.Parts += d.Parts
	}
}

// Pending tells whether a planned delivery goes out, now or later.
func (d Delivery) Pending() bool { return d.State == Queued || d.State == Held || d.Number > 0 }

// Exhausted tells whether the quota leaves nothing at all for any of the channels, and which rule says so of the last.
func (a Allowance) Exhausted(cs []Channel) (why Reason, ok bool) {
	for _, c := range cs {
		switch limit := a.Quota.Daily[c]; {
		case limit > 0 && a.Used[c] >= limit:
			why = OverQuota
		case c == SMS && a.Quota.SMSBudget > 0 && a.Parts >= a.Quota.SMSBudget:
			why = OverBudget
		default:
			return NoReason, false
		}
	}
	return why, len(cs) > 0
}

// InTrial tells whether a user gets a version that is published to a percentage of the stores: all users of a store get the
// same one. One who was not reached through a store counts by himself.
func InTrial(user string, via []string, percent int) bool {
	name := user
	if i := slices.IndexFunc(via, func(v string) bool { return strings.HasPrefix(v, ViaStore) }); i >= 0 {
		name = via[i]
	}
	sum := uint32(2166136261) // FNV-1a: the same in every process and for ever
	for i := 0; i < len(name); i++ {
		sum = (sum ^ uint32(name[i])) * 16777619
	}
	return int(sum%100) < percent
}

// Trial tells whether the version is published to a part of the stores, beside one for all.
func (t Template) Trial() bool { return t.Percent > 0 && t.Percent < 100 }

// TrialLocale names the content of a version that is published to a percentage of the stores, beside that of the version for
// all, which has the bare locale: "zh-CN@7.20" is version 7 for 20 percent. Whoever picks needs to look nothing up, and a
// message keeps to the percentage under which it was rendered.
func TrialLocale(locale string, version, percent int) string {
	return locale + "@" + strconv.Itoa(version) + "." + strconv.Itoa(percent)
}

// trialOf takes the name of a content apart. percent is 0 for a version for all.
func trialOf(name string) (locale string, percent int) {
	locale, trial, ok := strings.Cut(name, "@")
	if !ok {
		return name, 0
	}
	_, share, _ := strings.Cut(trial, ".")
	percent, _ = strconv.Atoi(share)
	return locale, percent
}

// InTrials tells whether any of the contents is of a version for a part of the stores, so that it has to be known through
// which dimensions each user was reached.
func InTrials(rs []Rendered) bool {
	return slices.ContainsFunc(rs, func(r Rendered) bool { return strings.Contains(r.Locale, "@") })
}

// ChooseContents picks, for a user, the content of each channel. rs is in order of channel and locale; via is only looked at
// where a version is for a part of the stores.
func ChooseContents(user, locale string, via []string, rs []Rendered) map[Channel]PlannedContent {
	chosen := make(map[Channel]PlannedContent, 3)
	for len(rs) > 0 {
		n := 1
		for n < len(rs) && rs[n].Channel == rs[0].Channel {
			n++
		}
		r := rs[0]
		if n > 1 {
			r = chooseContent(user, locale, via, rs[:n])
		}
		chosen[r.Channel] = PlannedContent{Locale: r.Locale, Reason: r.Reason, Parts: r.Parts}
		rs = rs[n:]
	}
	return chosen
}

// chooseContent prefers a content that exists to the note ("" locale) that none was published when an earlier segment was
// rendered.
func chooseContent(user, locale string, via []string, rs []Rendered) Rendered {
	if rs[0].Locale == "" {
		rs = rs[1:]
	}
	offered := make([]string, len(rs))
	for i, r := range rs {
		offered[i], _ = trialOf(r.Locale)
	}
	want := ChooseLocale(locale, offered)
	chosen := rs[slices.Index(offered, want)]
	for i, r := range rs {
		if _, percent := trialOf(r.Locale); offered[i] == want && percent > 0 && InTrial(user, via, percent) {
			chosen = r
		}
	}
	return chosen
}
