package sql

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts the group commits.
type Metrics struct {
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
	r.MustRegister(m.batches, m.commits, m.replayed, m.split)
	return m
}
