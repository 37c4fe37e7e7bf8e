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
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
	}
	if limit.Cur < limit.Max {
		limit.Cur = limit.Max
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			return 0, err
		}
	}
	descriptors := int(min(limit.Cur, 1<<20)) //nolint:gosec // bounded
	// The kernel spreads connections over the servers by chance: room for that.
	if need := (o.n + descriptors*92/100 - 1) / (descriptors * 92 / 100); o.processes == 0 {
		o.processes = max(1, need)
	}
	say("%d descriptors a process: %d servers (more a process: raise the hard limit, 'ulimit -Hn' or LimitNOFILE=)", descriptors, o.processes)
	for _, want := range []struct {
		name  string
		least int
	}{
		{"fs/file-max", 2*o.n + 100_000}, {"fs/epoll/max_user_watches", 2*o.n + 10_000}, {"net/core/somaxconn", 1024},
		{"net/netfilter/nf_conntrack_max", 2*o.n + 10_000}, {"user/max_pid_namespaces", 0},
	} {
		path := "/proc/sys/" + want.name
		text, err := os.ReadFile(path)
		if err != nil {
			continue // this kernel has none
		}
		if now, err := strconv.Atoi(strings.TrimSpace(string(text))); err != nil || now >= want.least {
			continue
		}
		if err := os.WriteFile(path, []byte(strconv.Itoa(want.least)), 0o644); err != nil {
			say("too low, and may not be raised here: sysctl -w %s=%d", strings.ReplaceAll(want.name, "/", "."), want.least)
		}
	}
	return descriptors, nil
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
