package comet

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// holding is how many connections are held, by transport.
type holding [transports]atomic.Int64

// metrics are the node's. Every label has a closed list of values.
type metrics struct {
	frames   [transports]prometheus.Counter
	messages [transports]prometheus.Counter
	filled   *prometheus.CounterVec
	closes   *prometheus.CounterVec
	resets   prometheus.Counter
	refused  *prometheus.CounterVec
	acks     prometheus.Counter
	rechecks prometheus.Counter
}

func newMetrics(r prometheus.Registerer, held *holding) *metrics {
	frames := counters("frames_total", "Frames written to pages, by transport.", "transport")
	messages := counters("messages_total", "Messages written to pages, by transport.", "transport")
	m := &metrics{
		filled:   counters("filled_total", "Numbers that no bell brought, by where they were read.", "source"),
		closes:   counters("closes_total", "Connections closed by the node, by reason.", "reason"),
		resets:   counter("resets_total", "Clients told to reload the inbox."),
		refused:  counters("refused_total", "Connections refused for a limit: of the node, of a client's IP, or of new ones from it.", "limit"),
		acks:     counter("acks_total", "Acknowledgements received."),
		rechecks: counter("rechecks_total", "Times that all connected users were compared with the heads of their lists."),
	}
	for t := range transports {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tidings_comet_connections", Help: "Connections that are held, by transport.", ConstLabels: prometheus.Labels{"transport": t.String()},
		}, func() float64 { return float64(held[t].Load()) }))
		m.frames[t] = frames.WithLabelValues(t.String())
		m.messages[t] = messages.WithLabelValues(t.String())
	}
	r.MustRegister(frames, messages, m.filled, m.closes, m.resets, m.refused, m.acks, m.rechecks)
	return m
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "tidings", Subsystem: "comet", Name: name, Help: help})
}

func counters(name, help, label string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "tidings", Subsystem: "comet", Name: name, Help: help}, []string{label})
}
