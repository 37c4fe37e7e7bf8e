package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// raiseLimits raises what this process may, prints what it may not with the mend, and returns the descriptors a process may have.
func raiseLimits(o *holdOptions) (int, error) {
	descriptors, err := raiseDescriptors(2*o.n + 1000)
	if err != nil {
		return 0, err
	}
	// The kernel spreads connections over the servers by chance: room for that.
	if need := (o.n + descriptors*92/100 - 1) / (descriptors * 92 / 100); o.processes == 0 {
		o.processes = max(1, need)
	}
	say("%d descriptors a process: %d servers (more a process: raise the hard limit, 'ulimit -Hn' or LimitNOFILE=)", descriptors, o.processes)
	for _, want := range []struct {
		name  string
		least []int
	}{
		{"fs/file-max", []int{2*o.n + 100_000}}, {"fs/epoll/max_user_watches", []int{2*o.n + 10_000}}, {"net/core/somaxconn", []int{4096}},
		{"net/ipv4/tcp_max_syn_backlog", []int{4096}}, {"net/netfilter/nf_conntrack_max", []int{2*o.n + 10_000}},
		{"net/ipv4/tcp_mem", []int{o.n / 2, o.n, 2 * o.n}}, // pages: a message that waits at each end is still no pressure
	} {
		raise(want.name, want.least)
	}
	return min(descriptors, sourcePorts()), nil
}

// raiseDescriptors raises the limit of this process, and of those it starts, to what is wanted or as far as it may.
func raiseDescriptors(want int) (int, error) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
	}
	if open, err := os.ReadFile("/proc/sys/fs/nr_open"); err == nil { // the hard limit can be raised by the privileged
		most, _ := strconv.Atoi(strings.TrimSpace(string(open)))
		if want := uint64(min(want, most)); limit.Max < want { //nolint:gosec // both are positive
			if unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: want, Max: want}) == nil {
				return int(want), nil //nolint:gosec // as above
			}
		}
	}
	if limit.Cur < limit.Max {
		limit.Cur = limit.Max
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			return 0, err
		}
	}
	return int(min(limit.Cur, 1<<20)), nil //nolint:gosec // bounded
}

// raise raises a kernel setting of one or more numbers where one is too low.
func raise(name string, least []int) {
	path := "/proc/sys/" + name
	text, err := os.ReadFile(path)
	if err != nil {
		return // this kernel has none
	}
	var words []string
	low := false
	for i, word := range strings.Fields(string(text)) {
		now, err := strconv.Atoi(word)
		if err != nil || i >= len(least) {
			return
		}
		low = low || now < least[i]
		words = append(words, strconv.Itoa(max(now, least[i])))
	}
	if !low {
		return
	}
	value := strings.Join(words, " ")
	if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
		say("too low, and may not be raised here: sysctl -w %s=%q", strings.ReplaceAll(name, "/", "."), value)
	}
}

// sourcePorts is how many connections to one server may come from a crowd's addresses. The servers here listen below the range.
func sourcePorts() int {
	low, high := 32768, 60999 // the kernel's own range
	if text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		_, _ = fmt.Sscan(string(text), &low, &high)
	}
	return (high - low) * 95 / 100 * crowdSources
}

// memory is what a host takes, in bytes.
type memory struct {
	pss, rss int64
	heap     uint64
	slab     int64 // of the kernel, for everything
	sockets  int64 // what waits in TCP's buffers
	clients  int64
}

func memoryOf(ctx context.Context, h *host, crowds *crowds) (m memory, err error) {
	for _, pid := range h.pids() {
		pss, rss, err := resident(pid)
		if err != nil {
			return m, err
		}
		m.pss, m.rss = m.pss+pss, m.rss+rss
	}
	if crowds != nil {
		for _, pid := range crowds.pids() {
			pss, _, err := resident(pid)
			if err != nil {
				return m, err
			}
			m.clients += pss
		}
	}
	if h.heap != nil {
		m.heap = h.heap(ctx)
	}
	m.slab, m.sockets = meminfo("Slab"), socketMemory()
	return m, nil
}

// resident is a process's memory: its share of what several have (Pss), and all that it sees (Rss). See proc_pid_smaps(5).
func resident(pid int) (pss, rss int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	return field(string(text), "Pss:") << 10, field(string(text), "Rss:") << 10, err
}

// meminfo is a line of /proc/meminfo in bytes.
func meminfo(name string) int64 {
	text, _ := os.ReadFile("/proc/meminfo")
	return field(string(text), name+":") << 10
}

// field is the number behind a name at the begin of a line.
func field(text, name string) int64 {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return n
		}
	}
	return 0
}

// socketMemory is what TCP's buffers take, in bytes: "TCP: inuse 5 orphan 0 tw 0 alloc 7 mem 3", mem in pages.
func socketMemory() int64 {
	text, _ := os.ReadFile("/proc/net/sockstat")
	for line := range strings.Lines(string(text)) {
		if _, pages, ok := strings.Cut(line, " mem "); ok && strings.HasPrefix(line, "TCP:") {
			n, _ := strconv.ParseInt(strings.TrimSpace(pages), 10, 64)
			return n * int64(os.Getpagesize())
		}
	}
	return 0
}
