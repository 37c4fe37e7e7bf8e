package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
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

// crowds are the client processes.
type crowds struct {
	all []*crowdProcess
	on  int // so many of them have been told to connect
}

type crowdProcess struct {
	command *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Scanner
	count   int        // its clients
	stand   crowdStand // the last that it said
}

// So many crowds connect at once, and so many connections are being made at once to each server process: processes that
// take turns on two cores do more in each turn so.
const (
	crowdsAtOnce = 2
	inFlightEach = 64
)

// startCrowds starts as many as the descriptor limit asks for, two at least; they connect once they are told to.
func startCrowds(h *host, n, limit, back int) (*crowds, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	count, servers := max(2, (n+limit-201)/(limit-200)), 1
	if h.pids != nil {
		servers = len(h.pids())
	}
	c := &crowds{}
	for i := range count {
		first, end := n*i/count, n*(i+1)/count
		spec, err := json.Marshal(crowdSpec{Addresses: h.addresses, Sources: sourcesOf(i), First: first,
			Count: end - first, Path: h.path, Secret: h.secret, InFlight: inFlightEach * max(1, len(h.addresses), servers) / crowdsAtOnce, Back: back, Nap: 200 * count})
		if err != nil {
			return nil, err
		}
		p := &crowdProcess{command: exec.Command(program, "crowd", "-spec", string(spec)), count: end - first}
		p.command.Env, p.command.Stderr = append(os.Environ(), "GOGC=50", "GODEBUG=asyncpreemptoff=1"), os.Stderr
		if p.in, err = p.command.StdinPipe(); err != nil {
			return nil, err
		}
		out, err := p.command.StdoutPipe()
		if err != nil {
			return nil, err
		}
		p.out = bufio.NewScanner(out)
		p.out.Buffer(nil, 1<<20)
		if err := p.command.Start(); err != nil {
			c.close()
			return nil, err
		}
		c.all = append(c.all, p)
	}
	return c, nil
}

// crowdSources is from how many addresses a crowd connects: more than its ports ask for. With 20,000 ports of one address taken the
// kernel looked for the next free one for a third of the time that two cores had.
const crowdSources = 16

func sourcesOf(crowd int) (addresses []string) {
	for i := range crowdSources {
		addresses = append(addresses, fmt.Sprintf("127.%d.%d.%d", 1+i, crowd/250, 1+crowd%250))
	}
	return addresses
}

// ask gives each crowd a command and adds up how they stand.
func (c *crowds) ask(word string) (sum crowdStand, err error) {
	for _, p := range c.all {
		if _, err := io.WriteString(p.in, word+"\n"); err != nil {
			return sum, fmt.Errorf("a crowd has gone: %w", err)
		}
	}
	sum.Histogram = make([]int32, buckets)
	for _, p := range c.all {
		if !p.out.Scan() {
			return sum, fmt.Errorf("a crowd has gone: %w", p.out.Err())
		}
		if p.stand = (crowdStand{}); json.Unmarshal(p.out.Bytes(), &p.stand) != nil {
			return sum, fmt.Errorf("a crowd says %.60q", p.out.Bytes())
		}
		sum.add(p.stand)
	}
	return sum, nil
}

// goOn has the next crowds connect when those before them are through.
func (c *crowds) goOn() error {
	busy := 0
	for _, p := range c.all[:c.on] {
		if p.stand.Tried < p.count {
			busy++
		}
	}
	for ; busy < crowdsAtOnce && c.on < len(c.all); busy++ {
		p := c.all[c.on]
		if _, err := io.WriteString(p.in, "go\n"); err != nil || !p.out.Scan() {
			return fmt.Errorf("a crowd has gone: %w", errors.Join(err, p.out.Err()))
		}
		c.on++
	}
	return nil
}

func (s *crowdStand) add(o crowdStand) {
	s.Open, s.Received, s.Lost, s.Doubled = s.Open+o.Open, s.Received+o.Received, s.Lost+o.Lost, s.Doubled+o.Doubled
	s.Tried += o.Tried
	s.Resets, s.Ended, s.Refused = s.Resets+o.Resets, s.Ended+o.Ended, s.Refused+o.Refused
	s.Last, s.LastOpen = max(s.Last, o.Last), max(s.LastOpen, o.LastOpen)
	for i, n := range o.Histogram {
		s.Histogram[i] += n
	}
	if s.Error == "" {
		s.Error = o.Error
	}
}

// sayEvery is how often progress is shown.
const sayEvery = 20 * time.Second

// leastFree is the memory that is left alone: connecting stops there. Few connections need less of it.
func leastFree(n int) int64 { return min(3<<30, int64(n)<<16) }

// connected waits until n are connected, or no more come, or the time is up, or memory is short.
func (c *crowds) connected(ctx context.Context, n int, within time.Duration) (s crowdStand, err error) {
	began := time.Now()
	for last, still, said := 0, 0, began; ; {
		if s, err = c.ask("stat"); err != nil {
			return s, err
		}
		if err := c.goOn(); err != nil {
			return s, err
		}
		if still++; s.Open != last {
			last, still = s.Open, 0
		}
		if time.Since(said) > sayEvery {
			said = time.Now()
			say("%d of %d, %d MiB of memory left", s.Open, n, meminfo("MemAvailable")>>20)
		}
		if s.Open >= n || still > 150 {
			return s, nil
		}
		if free := meminfo("MemAvailable"); free < leastFree(n) || time.Since(began) > within {
			say("%d MiB of memory are left, and %s have passed: no more connections", free>>20, time.Since(began).Round(time.Second))
			if _, err := c.ask("stop"); err != nil {
				return s, err
			}
			if err := pause(ctx, 2*time.Second); err != nil {
				return s, err
			}
			return c.ask("stat")
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return s, err
		}
	}
}

// received waits until so many messages have come, or none comes any more.
func (c *crowds) received(ctx context.Context, n int) (s crowdStand, err error) {
	for last, still := 0, 0; ; {
		if s, err = c.ask("stat"); err != nil {
			return s, err
		}
		if still++; s.Received != last {
			last, still = s.Received, 0
		}
		if s.Received >= n || still > 100 {
			return s, nil
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return s, err
		}
	}
}

// whole is how many users from the first on are all connected.
func (c *crowds) whole() (n int) {
	for _, p := range c.all {
		if p.stand.Open < p.count {
			return n
		}
		n += p.count
	}
	return n
}

func (c *crowds) close() {
	for _, p := range c.all {
		_ = p.in.Close()
	}
	for _, p := range c.all {
		_ = p.command.Wait()
	}
}

func (c *crowds) pids() (pids []int) {
	for _, p := range c.all {
		pids = append(pids, p.command.Process.Pid)
	}
	return pids
}

// bucketOf is the bucket of a delay in ms.
func bucketOf(ms float64) int {
	if ms <= 0.01 {
		return 0
	}
	return min(buckets-1, int(math.Log(ms/0.01)/math.Log(bucketBase)))
}

// quantile is a delay in ms, 2 % exact.
func (s *crowdStand) quantile(q float64) float64 {
	total, seen := 0, 0
	for _, n := range s.Histogram {
		total += int(n)
	}
	for i, n := range s.Histogram {
		if seen += int(n); total > 0 && float64(seen) >= q*float64(total) {
			return 0.01 * math.Pow(bucketBase, float64(i)+0.5)
		}
	}
	return 0
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
