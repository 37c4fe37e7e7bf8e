package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"text/tabwriter"
	"time"
)

// holdOptions is what 'bench comet' measures.
type holdOptions struct {
	n, processes, rate int
	span, connect      time.Duration
	heartbeat          string
	all, nchan, kill   bool
	profile            string
}

// host is what holds the connections: ours, or Nchan.
type host struct {
	name      string
	addresses []string
	path      string // of a stream; "%d" is the user's number
	secret    string // signs tokens; "": none are asked for
	admin     string // of one of our processes
	pids      func() []int
	heap      func(context.Context) uint64 // of Go; nil for others
	send      func(ctx context.Context, batch []post) error
	stop      func() error
}

// post is a message to one user.
type post struct {
	user, number int
	stamp        int64 // when it is sent, Unix ns
}

// held is what was measured of a host.
type held struct {
	Name                string  `json:"name"`
	Held                int     `json:"held"`
	Reached             int     `json:"reached"` // the first so many users are connected, and get messages
	Processes           int     `json:"processes"`
	Seconds             float64 `json:"connect_seconds"`
	PSS, RSS            float64 // bytes a connection, of the servers' growth
	Whole               float64 // bytes a connection, of all that the servers have (PSS)
	Heap                float64 // bytes a connection, of Go's heap
	Kernel, Sockets     float64 // bytes a connection, both ends: slab, and what waits in sockets
	Clients             float64 // bytes a connection, of the load clients
	P50, P99            float64 // ms
	Sent, Lost, Doubled int
	All                 float64 // ms until the last has a message that goes to each
	AllLost             int
}

// comet measures held connections; see scripts/bench.
func cometBench(ctx context.Context, args []string) error {
	var o holdOptions
	flags := flag.NewFlagSet("comet", flag.ContinueOnError)
	flags.IntVar(&o.n, "n", 20000, "connections to hold")
	flags.IntVar(&o.processes, "processes", 0, "server processes; 0: as many as the descriptor limit asks for")
	flags.IntVar(&o.rate, "rate", 1000, "messages/s to random users")
	flags.DurationVar(&o.span, "span", 10*time.Second, "how long messages are sent")
	flags.DurationVar(&o.connect, "connect", time.Hour, "after so long nothing more is connected, and what is held is measured")
	flags.StringVar(&o.heartbeat, "heartbeat", "25s", "longest silence on a connection")
	flags.BoolVar(&o.all, "all", true, "also send each user one message")
	flags.BoolVar(&o.nchan, "nchan", false, "measure Nchan beside it (scripts/setup bench installs it)")
	flags.BoolVar(&o.kill, "kill", false, "three nodes, of which one is killed with -9")
	flags.StringVar(&o.profile, "profile", "", "file for a heap profile of one server that holds its share")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if err := ownNetwork(o.n); err != nil {
		return err
	}
	limit, err := raiseLimits(&o)
	if err != nil {
		return err
	}
	if o.kill {
		return killed(ctx, o, limit)
	}
	dir, err := os.MkdirTemp("", "tidings-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	hosts := []func(context.Context, string, holdOptions) (*host, error){startTidings}
	if o.nchan {
		hosts = append(hosts, startNchan)
	}
	var all []held
	for _, start := range hosts {
		h, err := start(ctx, dir, o)
		if err != nil {
			return err
		}
		measured, err := measure(ctx, h, o, limit)
		if err = errors.Join(err, h.stop()); err != nil {
			return err
		}
		all = append(all, measured)
	}
	printHeld(os.Stdout, all)
	return nil
}

// measure connects the crowds, and then asks what they cost and how fast they are reached.
func measure(ctx context.Context, h *host, o holdOptions, limit int) (held, error) {
	m := held{Name: h.name, Processes: len(h.pids())}
	before, err := memoryOf(ctx, h, nil)
	if err != nil {
		return m, err
	}
	crowds, err := startCrowds(h, o.n, limit, 0)
	if err != nil {
		return m, err
	}
	defer crowds.close()
	began := time.Now()
	stand, err := crowds.connected(ctx, o.n, o.connect)
	if err != nil {
		return m, err
	}
	m.Held, m.Seconds = stand.Open, time.Unix(0, stand.LastOpen).Sub(began).Seconds()
	say("%s holds %d of %d (refused %d, ended %d) %s", h.name, stand.Open, o.n, stand.Refused, stand.Ended, stand.Error)
	if m.Held == 0 {
		return m, errors.New("nothing is held: " + stand.Error)
	}
	if err := pause(ctx, holdSettle); err != nil {
		return m, err
	}
	after, err := memoryOf(ctx, h, crowds)
	if err != nil {
		return m, err
	}
	m.cost(before, after)
	if o.profile != "" && h.heap != nil {
		if err := saveProfile(ctx, h, o.profile); err != nil {
			return m, err
		}
	}
	if m.Reached = crowds.whole(); m.Reached == 0 {
		return m, errors.New("no crowd is connected whole: " + stand.Error)
	}
	numbers := make([]int, o.n)
	if err := m.latency(ctx, h, crowds, numbers, o); err != nil || !o.all {
		return m, err
	}
	return m, m.toAll(ctx, h, crowds, numbers)
}

// holdSettle is how long a server that was just connected to is left alone before its memory is read.
const holdSettle = 15 * time.Second

func (m *held) cost(before, after memory) {
	n := float64(m.Held)
	m.PSS, m.RSS, m.Whole = float64(after.pss-before.pss)/n, float64(after.rss-before.rss)/n, float64(after.pss)/n
	m.Heap = (float64(after.heap) - float64(before.heap)) / n
	m.Kernel, m.Sockets = float64(after.slab-before.slab)/n, float64(after.sockets-before.sockets)/n
	m.Clients = float64(after.clients) / n
}

// latency sends at a rate to random users. Each message carries the time at which it was due, so that a sender that is late
// does not hide it.
func (m *held) latency(ctx context.Context, h *host, crowds *crowds, numbers []int, o holdOptions) error {
	if _, err := crowds.ask("clear"); err != nil {
		return err
	}
	say("%d messages/s to random users, %s", o.rate, o.span)
	sent, err := sendAt(ctx, h, numbers, m.Reached, o.rate, o.span)
	if err != nil {
		return err
	}
	stand, err := crowds.received(ctx, sent)
	m.Sent, m.Lost, m.Doubled = sent, sent-stand.Received, stand.Doubled
	m.P50, m.P99 = stand.quantile(0.5), stand.quantile(0.99)
	return err
}

// sendAt sends to random users until span has passed, and returns how many it sent.
func sendAt(ctx context.Context, h *host, numbers []int, users, rate int, span time.Duration) (sent int, err error) {
	began := time.Now()
	for tick := time.Tick(2 * time.Millisecond); time.Since(began) < span; {
		select {
		case <-ctx.Done():
			return sent, ctx.Err()
		case <-tick:
		}
		var batch []post
		for due := int(time.Since(began).Seconds() * float64(rate)); sent < due; sent++ {
			u := rand.IntN(users)
			numbers[u]++
			at := began.Add(time.Duration(sent) * time.Second / time.Duration(rate))
			batch = append(batch, post{u, numbers[u], at.UnixNano()})
		}
		if err := h.send(ctx, batch); err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// toAll sends each user one message and waits for the last to have it.
func (m *held) toAll(ctx context.Context, h *host, crowds *crowds, numbers []int) error {
	if _, err := crowds.ask("clear"); err != nil {
		return err
	}
	say("one message to each")
	began := time.Now()
	batch := make([]post, 0, 500)
	for u := range m.Reached {
		numbers[u]++
		batch = append(batch, post{u, numbers[u], time.Now().UnixNano()})
		if len(batch) == cap(batch) || u == m.Reached-1 {
			if err := h.send(ctx, batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	stand, err := crowds.received(ctx, m.Reached)
	m.All, m.AllLost = time.Unix(0, stand.Last).Sub(began).Seconds()*1000, m.Reached-stand.Received
	m.Doubled += stand.Doubled
	return err
}

// printHeld prints what was measured, and how many times ours the others take.
func printHeld(out io.Writer, all []held) {
	w := tabwriter.NewWriter(out, 2, 0, 2, ' ', 0)
	row := func(name, format string, value func(held) float64) {
		fmt.Fprint(w, name)
		for i, m := range all {
			fmt.Fprintf(w, "\t"+format, value(m))
			if i > 0 && value(all[0]) > 0 {
				fmt.Fprintf(w, " (%.1f x)", value(m)/value(all[0]))
			}
		}
		fmt.Fprintln(w)
	}
	fmt.Fprint(w, "HELD")
	for _, m := range all {
		fmt.Fprint(w, "\t"+m.Name)
	}
	fmt.Fprintln(w)
	row("connections", "%.0f", func(m held) float64 { return float64(m.Held) })
	row("server processes", "%.0f", func(m held) float64 { return float64(m.Processes) })
	row("connects per second", "%.0f", func(m held) float64 { return float64(m.Held) / m.Seconds })
	row("server, bytes each (PSS, growth)", "%.0f", func(m held) float64 { return m.PSS })
	row("server, bytes each (RSS, growth)", "%.0f", func(m held) float64 { return m.RSS })
	row("server, bytes each (PSS, with all it had before)", "%.0f", func(m held) float64 { return m.Whole })
	row("  of that Go's heap in use, growth", "%.0f", func(m held) float64 { return m.Heap })
	row("kernel, bytes each, both ends (slab)", "%.0f", func(m held) float64 { return m.Kernel })
	row("kernel, bytes each, in socket buffers", "%.0f", func(m held) float64 { return m.Sockets })
	row("load client, bytes each", "%.0f", func(m held) float64 { return m.Clients })
	row("p50 ms", "%.2f", func(m held) float64 { return m.P50 })
	row("p99 ms", "%.2f", func(m held) float64 { return m.P99 })
	row("one to each, last ms", "%.0f", func(m held) float64 { return m.All })
	for _, line := range []struct {
		name  string
		value func(held) int
	}{
		{"sent at the rate", func(m held) int { return m.Sent }}, {"lost", func(m held) int { return m.Lost + m.AllLost }},
		{"doubled", func(m held) int { return m.Doubled }},
	} {
		fmt.Fprint(w, line.name)
		for _, m := range all {
			fmt.Fprint(w, "\t"+strconv.Itoa(line.value(m)))
		}
		fmt.Fprintln(w)
	}
	_ = w.Flush() // to a terminal or a pipe: nothing is left to do if it is gone
}
