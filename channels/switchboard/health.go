package switchboard

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tidings"
)

// minute is what was seen of a line in the minute that runs.
type minute struct {
	at                               time.Time
	accepted, refused, busy, unknown int
	took                             []time.Duration
	last                             string // error
}

const sampled = 1024 // calls of a minute whose times are kept

func (m *minute) add(now time.Time, e *tidings.SendError, took time.Duration) {
	if at := now.Truncate(time.Minute); !at.Equal(m.at) {
		*m = minute{at: at, took: m.took[:0]}
	}
	if len(m.took) < sampled {
		m.took = append(m.took, took)
	}
	switch outcome(e) {
	case "accepted":
		m.accepted++
	case "refused":
		m.refused++
	case "busy":
		m.busy++
	default:
		m.unknown++
	}
	if e != nil {
		m.last = e.Error()
	}
}

func outcome(e *tidings.SendError) string {
	if e == nil {
		return "accepted"
	}
	return string(e.Outcome)
}

// Health tells how each integration fared at this worker in the minute that runs.
func (b *Board) Health(worker string) (hs []tidings.IntegrationHealth) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.config.Now()
	for _, i := range b.all {
		l := b.lines[i.ID]
		h := tidings.IntegrationHealth{Integration: i.ID, Worker: worker, Minute: now.Truncate(time.Minute), Breaker: l.breaker.state(now), At: now}
		if m := l.seen; m.at.Equal(h.Minute) {
			h.Accepted, h.Refused, h.Busy, h.Unknown, h.Error = m.accepted, m.refused, m.busy, m.unknown, m.last
			h.Calls = h.Accepted + h.Refused + h.Busy + h.Unknown
			took := slices.Sorted(slices.Values(m.took))
			h.P50, h.P99 = int(took[len(took)/2].Milliseconds()), int(took[len(took)*99/100].Milliseconds())
		}
		hs = append(hs, h)
	}
	return hs
}

// Metrics measure calls to integrations. Their labels are ids, never addresses.
type Metrics struct {
	calls   *prometheus.CounterVec
	seconds *prometheus.HistogramVec
}

// NewMetrics registers the metrics with r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tidings_integration_calls_total",
			Help: "Calls to providers by outcome: accepted, refused, busy, unknown."}, []string{"integration", "provider", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "tidings_provider_call_seconds",
			Help: "How long calls to a provider took.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 14)}, []string{"provider"}),
	}
	r.MustRegister(m.calls, m.seconds)
	return m
}

func (m *Metrics) called(l *line, err error, took time.Duration) {
	if m == nil {
		return
	}
	m.calls.WithLabelValues(l.account.ID, l.account.Provider, outcome(fault(err))).Inc()
	m.seconds.WithLabelValues(l.account.Provider).Observe(took.Seconds())
}

var (
	inFlight = prometheus.NewDesc("tidings_integration_in_flight", "Calls under way.", []string{"integration"}, nil)
	opened   = prometheus.NewDesc("tidings_integration_breaker", "The breaker: 0 closed, 1 half open, 2 open.", []string{"integration"}, nil)
)

// Describe and Collect make the Board a prometheus.Collector of how its integrations stand.
func (b *Board) Describe(c chan<- *prometheus.Desc) { c <- inFlight; c <- opened }

// Collect gives the gauges.
func (b *Board) Collect(c chan<- prometheus.Metric) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.config.Now()
	for id, l := range b.lines {
		c <- prometheus.MustNewConstMetric(inFlight, prometheus.GaugeValue, float64(len(l.calls)), id)
		state := slices.Index([]tidings.Breaker{tidings.BreakerClosed, tidings.BreakerHalfOpen, tidings.BreakerOpen}, l.breaker.state(now))
		c <- prometheus.MustNewConstMetric(opened, prometheus.GaugeValue, float64(state), id)
	}
}
