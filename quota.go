package tidings

import (
	"math"
	"time"
)

// Quota is how much an application may send. What is 0 has no limit.
type Quota struct {
	Application string          `json:"application"`
	Rate        float64         `json:"rate,omitempty"`       // messages a second, in each api process
	Burst       int             `json:"burst,omitempty"`      // messages at once; 0: one second's
	Daily       map[Channel]int `json:"daily,omitempty"`      // deliveries a day
	SMSBudget   int             `json:"sms_budget,omitempty"` // SMS parts a calendar month
	Timezone    string          `json:"timezone,omitempty"`   // in which days and months begin; "": DefaultTimezone
	Caps        []Cap           `json:"caps,omitempty"`       // deliveries of all its types to one user
}

// DefaultTimezone is the time zone of stores and quotas that name none.
const DefaultTimezone = "Asia/Shanghai"

// Limits of a quota's fields: far beyond what anybody sends, and safe to add up.
const maxQuota = 1_000_000_000

// Validate checks a quota and returns what is wrong, by field.
func (q Quota) Validate() FieldErrors {
	var errs FieldErrors
	if !(q.Rate >= 0 && q.Rate <= maxQuota) {
		errs.Add("rate", "out_of_range", "messages a second, 0 for no limit")
	}
	if q.Burst < 0 || q.Burst > maxQuota || q.Burst > 0 && q.Rate == 0 {
		errs.Add("burst", "out_of_range", "messages at once, beside a rate")
	}
	for c, n := range q.Daily {
		if !c.Valid() {
			errs.Add("daily", "unknown", "one of "+Names(Channels))
		}
		if n < 0 || n > maxQuota {
			errs.Add("daily."+string(c), "out_of_range", "deliveries a day, 0 for no limit")
		}
	}
	if q.SMSBudget < 0 || q.SMSBudget > maxQuota {
		errs.Add("sms_budget", "out_of_range", "SMS parts a month, 0 for no limit")
	}
	errs.caps(q.Caps)
	if q.Timezone == "Local" || location(q.zone()) == nil {
		errs.Add("timezone", "unknown", "an IANA time zone such as Asia/Shanghai")
	}
	return errs
}

func (q Quota) zone() string {
	if q.Timezone == "" {
		return DefaultTimezone
	}
	return q.Timezone
}

// Counts tells whether anything is counted for the application: deliveries of a day or SMS parts of a month.
func (q Quota) Counts() bool {
	for _, c := range Channels {
		if q.Limited(c) {
			return true
		}
	}
	return false
}

// Day and Month name the periods in which a time lies: "2026-11-23" and "2026-11".
func (q Quota) Day(at time.Time) string { return q.local(at).Format(time.DateOnly) }

// Month names the calendar month in which a time lies.
func (q Quota) Month(at time.Time) string { return q.local(at).Format("2006-01") }

func (q Quota) local(at time.Time) time.Time {
	if zone := location(q.zone()); zone != nil {
		return at.In(zone)
	}
	return at.UTC()
}

// Renews is when there is something left again of what a reason says is used up.
func (q Quota) Renews(why Reason, at time.Time) time.Time {
	t := q.local(at)
	if why == OverBudget {
		return time.Date(t.Year(), t.Month()+1, 1, 0, 0, 0, 0, t.Location())
	}
	return time.Date(t.Year(), t.Month(), t.Day()+1, 0, 0, 0, 0, t.Location())
}

// Bucket is a token bucket: a message takes a token, and tokens come back at the quota's rate up to its burst. Its zero value
// is full.
type Bucket struct {
	used float64 // tokens taken and not come back
	at   time.Time
}

// Take takes n tokens. With too few it takes none, and says after what time there will be enough. A request of more messages
// than the burst is let through by a full bucket, and those after it wait the longer.
func (b *Bucket) Take(q Quota, n int, now time.Time) (wait time.Duration, ok bool) {
	burst := max(float64(q.Burst), 1)
	if q.Burst == 0 {
		burst = max(q.Rate, 1)
	}
	if passed := now.Sub(b.at).Seconds(); passed > 0 {
		b.used = max(0, b.used-passed*q.Rate)
	}
	b.at = now
	if missing := b.used + min(float64(n), burst) - burst; missing > 1e-9 {
		seconds := missing / q.Rate
		return time.Duration(min(math.Ceil(seconds*1000-1e-6), 1e9)) * time.Millisecond, false
	}
	b.used += float64(n)
	return 0, true
}

// Usage is what an application has sent, day by day, and how its quota stands.
type Usage struct {
	Application string          `json:"application"`
	Quota       *Quota          `json:"quota,omitempty"` // none: it has no limits
	Today       string          `json:"today"`
	Used        map[Channel]int `json:"used"` // deliveries of today that the quota counts; of limited channels
	Month       string          `json:"month"`
	Budget      Budget          `json:"sms_budget"`
	Days        []UsageDay      `json:"days"` // the oldest first
}

// UsageDay is how many deliveries of a day's messages are in each state, by channel.
type UsageDay struct {
	Day    string                    `json:"day"` // in the quota's time zone
	Counts map[Channel]map[State]int `json:"counts"`
}

// Budget is how an application's SMS budget of a month stands, in SMS parts. Reserved and spent together never exceed the
// limit: parts are reserved when a delivery is planned, and spent or refunded when it is known what became of it.
type Budget struct {
	Limit    int `json:"limit"` // 0: none
	Reserved int `json:"reserved"`
	Spent    int `json:"spent"`
	Refunded int `json:"refunded"`
}

// Warn is the share of a budget from which it is warned that it runs out.
const Warn = 0.8

// Low tells whether a warning is due.
func (b Budget) Low() bool {
	return b.Limit > 0 && float64(b.Reserved+b.Spent) >= Warn*float64(b.Limit)
}
