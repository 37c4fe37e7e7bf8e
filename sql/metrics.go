package sql

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts the group commits, and the attempts of which nobody knows.
type Metrics struct {
	unknowns *prometheus.CounterVec
	settles  *prometheus.CounterVec
	batches  prometheus.Histogram
	commits  prometheus.Histogram
	replayed prometheus.Counter
	split    prometheus.Counter
}

// NewMetrics registers the store's metrics with r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		batches: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "tidings_accept_batch_messages",
			Help: "Messages in one group commit.", Buckets: prometheus.ExponentialBuckets(1, 2, 12)}),
		commits: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "tidings_accept_commit_seconds",
			Help: "From BEGIN to the answer of COMMIT.", Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14)}),
		replayed: prometheus.NewCounter(prometheus.CounterOpts{Name: "tidings_accept_replayed_total",
			Help: "Requests answered from a stored answer."}),
		split: prometheus.NewCounter(prometheus.CounterOpts{Name: "tidings_accept_split_total",
			Help: "Group commits that failed and were tried again in halves."}),
	}
	m.unknowns = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tidings_attempts_unknown_total",
		Help: "Attempts that ended without anybody knowing whether the provider took them."}, []string{"channel", "provider"})
	m.settles = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tidings_attempts_settled_total",
		Help: "Unknown attempts that were settled, by receipt (the provider reported), query (it was asked) or policy (sent again)."},
		[]string{"channel", "provider", "by"})
	r.MustRegister(m.batches, m.commits, m.replayed, m.split, m.unknowns, m.settles)
	return m
}

func (m *Metrics) unknown(channel, provider string) {
	if m != nil {
		m.unknowns.WithLabelValues(channel, provider).Inc()
	}
}

func (m *Metrics) settled(channel, provider, by string, n int) {
	if m != nil {
		m.settles.WithLabelValues(channel, provider, by).Add(float64(n))
	}
}
