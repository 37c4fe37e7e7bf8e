package tasks

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tidings"
)

// Metrics measure the road.
type Metrics struct {
	stages  *prometheus.HistogramVec
	relays  *prometheus.CounterVec
	pending *prometheus.GaugeVec
}

// NewMetrics registers the road's metrics with r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		stages: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "tidings_stage_seconds",
			Help:    "Runs of a stage by outcome: done, failed (asynq retries), stale (nothing was left to do).",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16)}, []string{"lane", "stage", "outcome"}),
		relays: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tidings_relay_segments_total",
			Help: "Segments by what the relay did: enqueued, waits (in SQL, its lane has enough), failed, again (a lost task)."}, []string{"outcome"}),
		pending: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "tidings_queue_pending",
			Help: "Tasks that wait in a queue."}, []string{"queue"}),
	}
	r.MustRegister(m.stages, m.relays, m.pending)
	return m
}

func (m *Metrics) ran(s tidings.Segment, outcome string, started time.Time) {
	m.stages.WithLabelValues(string(s.Lane), kind(s), outcome).Observe(time.Since(started).Seconds())
}

func (m *Metrics) relayed(outcome string) { m.relays.WithLabelValues(outcome).Inc() }

func (m *Metrics) depth(queue string, n int64) { m.pending.WithLabelValues(queue).Set(float64(n)) }
