package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// What must be reached, as a multiple of the raw chain: in messages/s or in server CPU per message, whichever is better.
const (
	wantSingle  = 3.0
	wantBatch   = 6.0
	wantP50     = 8.0 // ms, POST to frame at 100 messages/s
	wantIdle    = 1.0 // percent of a core
	targetWords = "DESIGN 6 asks for 5 x and 10 x later"
)

func (r *report) judge() {
	check := func(ok bool, format string, args ...any) {
		if !ok {
			r.Failed = append(r.Failed, fmt.Sprintf(format, args...))
		}
	}
	speed, cost := r.ratios(r.Single)
	check(max(speed, cost) >= wantSingle, "single POSTs %.1f x the raw chain, wanted %.0f", max(speed, cost), wantSingle)
	speed, cost = r.ratios(r.Batch)
	check(max(speed, cost) >= wantBatch, "batch POSTs %.1f x the raw chain, wanted %.0f", max(speed, cost), wantBatch)
	check(r.Latency[0].P50 <= wantP50, "p50 %.1f ms at %d/s, wanted %.0f", r.Latency[0].P50, r.Latency[0].Rate, wantP50)
	check(r.Idle.Tidings <= wantIdle, "idle %.2f %% of a core, wanted %.0f", r.Idle.Tidings, wantIdle)
}

// ratios are how much faster, and how much cheaper, than the raw chain.
func (r *report) ratios(l load) (speed, cost float64) {
	return l.PerSecond / r.Raw.PerSecond, r.Raw.CPUMicros / l.CPUMicros
}

func (r *report) print(out io.Writer) {
	w := tabwriter.NewWriter(out, 2, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ROAD\tMESSAGES\tPER SECOND\tx RAW\tSERVER CPU\tx RAW\tPOST P50\tP99\tCPU BY PROCESS (us/message)")
	for _, row := range []struct {
		name string
		load load
	}{{"raw chain", r.Raw}, {"single POSTs", r.Single}, {"batch POSTs", r.Batch}} {
		speed, cost := r.ratios(row.load)
		fmt.Fprintf(w, "%s\t%d\t%.0f\t%.1f\t%.0f us\t%.1f\t%.1f ms\t%.1f ms\t%s\n", row.name, row.load.Messages, row.load.PerSecond,
			speed, row.load.CPUMicros, cost, row.load.P50, row.load.P99, byProcess(row.load.CPU, "%.0f"))
	}
	fmt.Fprintln(w)
	_ = w.Flush() // to a terminal or a pipe: nothing is left to do if it is gone
	r.Latency.print(out)
	fmt.Fprintln(out)
	r.Idle.print(out)
	fmt.Fprintln(out, "\nweb messages, accepted with fsync, through four stages, into the user's stream; "+targetWords)
}

func (ls latencies) print(out io.Writer) {
	w := tabwriter.NewWriter(out, 2, 0, 2, ' ', 0)
	fmt.Fprintln(w, "POST TO FRAME\tMESSAGES\tP50\tP99\tCPU BY PROCESS (us/message)")
	for _, l := range ls {
		fmt.Fprintf(w, "%d/s\t%d\t%.1f ms\t%.1f ms\t%s\n", l.Rate, l.Messages, l.P50, l.P99, byProcess(l.CPU, "%.0f"))
	}
	_ = w.Flush() // see report.print
}

func (i idle) print(out io.Writer) {
	fmt.Fprintf(out, "IDLE  our processes %.2f %% of a core  %s\n", i.Tidings, byProcess(i.By, "%.2f"))
}

func byProcess(by map[string]float64, format string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(by)) {
		parts = append(parts, name+" "+fmt.Sprintf(format, by[name]))
	}
	return strings.Join(parts, "  ")
}
