package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"time"
)

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
			Count: end - first, Path: h.path, Secret: h.secret, InFlight: inFlightEach * max(1, len(h.addresses), servers) / crowdsAtOnce, Back: back, Nap: 4 * count * count})
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
