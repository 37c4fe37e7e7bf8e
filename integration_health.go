package tidings

import (
	"cmp"
	"slices"
	"time"
)

// Breaker is the state of a circuit breaker before an integration.
type Breaker string

// The states of a breaker.
const (
	BreakerClosed   Breaker = "closed"    // calls go through
	BreakerHalfOpen Breaker = "half_open" // a few are let through, to see
	BreakerOpen     Breaker = "open"      // none are
)

// IntegrationHealth is what one worker saw of one integration in one minute, or what all of them saw in the last minutes.
type IntegrationHealth struct {
	Integration string    `json:"-"`
	Worker      string    `json:"-"` // "" in a sum
	Minute      time.Time `json:"since"`
	Breaker     Breaker   `json:"breaker"`
	Calls       int       `json:"calls"`
	Accepted    int       `json:"accepted"`
	Refused     int       `json:"refused"`
	Busy        int       `json:"busy"`
	Unknown     int       `json:"unknown"`
	P50         int       `json:"p50_ms"` // milliseconds a call took; in a sum that of the slowest worker and minute
	P99         int       `json:"p99_ms"`
	Error       string    `json:"error,omitempty"` // the last one, without anything personal
	At          time.Time `json:"at"`              // when it was written
}

// HealthMinutes is how many minutes back the sums of health look.
const HealthMinutes = 5

// PerMinute is how many calls a minute were made in the time of a sum.
func (h IntegrationHealth) PerMinute() float64 {
	return float64(h.Calls) / max(1, h.At.Sub(h.Minute).Minutes())
}

// Success is the part of the calls that were accepted, 0 to 1; 1 when there were none.
func (h IntegrationHealth) Success() float64 {
	if h.Calls == 0 {
		return 1
	}
	return float64(h.Accepted) / float64(h.Calls)
}

// SumHealth adds up what workers saw of each integration. A breaker stands as the worst of the workers has it that wrote
// within the last minute; the others have gone.
func SumHealth(seen []IntegrationHealth, now time.Time) map[string]IntegrationHealth {
	type of struct{ integration, worker string }
	last := map[of]IntegrationHealth{}
	sums := map[string]IntegrationHealth{}
	for _, h := range slices.SortedFunc(slices.Values(seen), func(a, b IntegrationHealth) int { return a.At.Compare(b.At) }) {
		last[of{h.Integration, h.Worker}] = h
		s, ok := sums[h.Integration]
		if !ok {
			s = IntegrationHealth{Integration: h.Integration, Minute: h.Minute, Breaker: BreakerClosed}
		}
		if h.Minute.Before(s.Minute) {
			s.Minute = h.Minute
		}
		s.Calls, s.Accepted, s.Refused = s.Calls+h.Calls, s.Accepted+h.Accepted, s.Refused+h.Refused
		s.Busy, s.Unknown = s.Busy+h.Busy, s.Unknown+h.Unknown
		s.P50, s.P99, s.Error, s.At = max(s.P50, h.P50), max(s.P99, h.P99), cmp.Or(h.Error, s.Error), h.At
		sums[h.Integration] = s
	}
	worse := []Breaker{BreakerClosed, BreakerHalfOpen, BreakerOpen}
	for key, h := range last {
		s := sums[key.integration]
		if now.Sub(h.At) <= time.Minute && slices.Index(worse, h.Breaker) > slices.Index(worse, s.Breaker) {
			s.Breaker = h.Breaker
			sums[key.integration] = s
		}
	}
	return sums
}
