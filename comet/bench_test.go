package comet

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidings"
	"tidings/auth"
)

// hold opens n connections of server-sent events, each of a user of its own, says so, and keeps them until its input ends. It runs as a child, so
// that the memory of the clients is not counted with the server's.
func hold(b *testing.B, address string, n int) {
	g := &rig{t: b, tokens: auth.NewTokens(secret)}
	conns := make([]net.Conn, n)
	for i := range conns {
		c, err := net.Dial("tcp", address)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Fprintf(c, "GET /comet/events?client=c HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", g.token(userOf(i)))
		if _, err := bufio.NewReaderSize(c, 16).ReadString('\n'); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		conns[i] = c
	}
	fmt.Println("held")
	_, _ = os.Stdin.Read(make([]byte, 1))
	runtime.KeepAlive(conns)
}

// BenchmarkParked measures what a held connection costs the server: b.N connections, in bytes of resident memory.
//
//	go test -run '^$' -bench Parked -benchtime 5000x ./comet
func BenchmarkParked(b *testing.B) {
	if address := os.Getenv("TIDINGS_HOLD"); address != "" {
		n, _ := strconv.Atoi(os.Getenv("TIDINGS_HOLD_N"))
		hold(b, address, n)
		os.Exit(0)
	}
	g := newRig(b)
	s := g.node(func(o *Options) { o.MaxConnections, o.Tick, o.Changes = 1<<20, 0, 0 })
	s.open("/comet/events?client=warm", g.token("ann")).frame()
	before := resident()
	command := exec.Command(os.Args[0], "-test.run", "^$", "-test.bench", "Parked", "-test.benchtime", "1x")
	command.Env = append(os.Environ(), "TIDINGS_HOLD="+strings.TrimPrefix(s.url, "http://"), "TIDINGS_HOLD_N="+strconv.Itoa(b.N))
	in, err := command.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := command.Start(); err != nil {
		b.Fatal(err)
	}
	defer command.Wait() //nolint:errcheck // it is told to end
	defer in.Close()
	b.ResetTimer()
	for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "held"; {
		if strings.Contains(lines.Text(), "refused") {
			b.Fatal(lines.Text())
		}
	}
	b.StopTimer()
	g.until("all are parked", func() bool { return s.Connections() >= b.N })
	b.ReportMetric(float64(resident()-before)/float64(b.N), "B/conn")
	b.ReportMetric(float64(runtime.NumGoroutine()), "goroutines")
	began := time.Now()
	entries := make([]tidings.UserEntry, b.N)
	for i := range entries {
		entries[i] = g.list.commit(userOf(i), "to all")
	}
	if err := s.Streams.Append(b.Context(), entries); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(time.Since(began).Milliseconds()), "ms-append")
	g.until("all have it", func() bool {
		for _, c := range s.shards.conns(nil) {
			c.mu.Lock()
			waits := c.queued
			c.mu.Unlock()
			if waits || c.next < 2 && c.client == "c" {
				return false
			}
		}
		return true
	})
	b.ReportMetric(float64(time.Since(began).Milliseconds()), "ms-to-all")
}

func userOf(i int) string { return "user" + strconv.Itoa(i) }

// resident is the process's resident memory after garbage is returned.
func resident() int64 {
	debug.FreeOSMemory()
	text, _ := os.ReadFile("/proc/self/statm")
	pages, _ := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	return pages * int64(os.Getpagesize())
}
