package comet

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"tidings"
)

// used is the processor time of this process.
func used() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// usedBy is the processor time of Redis in seconds.
func usedBy(tb testing.TB, c redis.UniversalClient) (seconds float64) {
	tb.Helper()
	info := infoOf(tb, c, "cpu")
	var user, system float64
	_, _ = fmt.Sscan(info["used_cpu_user"], &user)
	_, _ = fmt.Sscan(info["used_cpu_sys"], &system)
	return user + system
}

func infoOf(tb testing.TB, c redis.UniversalClient, section string) map[string]string {
	tb.Helper()
	text, err := c.Info(tb.Context(), section).Result()
	if err != nil {
		tb.Fatal(err)
	}
	info := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[name] = value
		}
	}
	return info
}

// BenchmarkIdle measures what a node and its streams cost when nothing happens: per cent of a core, theirs and Redis'.
//
//	go test -run '^$' -bench Idle -benchtime 1x ./comet
func BenchmarkIdle(b *testing.B) {
	g := newRig(b)
	g.node(func(o *Options) { o.Tick, o.Changes = 0, 0 })
	const seconds = 8
	for range b.N {
		own, theirs := used(), usedBy(b, g.redis)
		<-time.After(seconds * time.Second)
		b.ReportMetric(100*(used()-own).Seconds()/seconds, "%core")
		b.ReportMetric(100*(usedBy(b, g.redis)-theirs)/seconds, "%core-redis")
	}
}

// BenchmarkAppend measures an entry to a user who is not connected, 500 users at once: what it costs here and in Redis.
func BenchmarkAppend(b *testing.B) {
	g := newRig(b)
	s, stop := g.streams()
	defer stop()
	if err := s.watch.ready(b.Context()); err != nil {
		b.Fatal(err)
	}
	g.redis.ConfigResetStat(b.Context())
	own := used()
	b.ResetTimer()
	for done, round := 0, int64(1); done < b.N; round++ {
		batch := make([]tidings.UserEntry, 0, 500)
		for ; len(batch) < cap(batch) && done < b.N; done++ {
			batch = append(batch, tidings.UserEntry{User: userOf(len(batch)), Entry: tidings.Entry{
				Number: round, ID: tidings.ID(done), Application: "shop", Type: "order.refund_requested", Title: "Refund requested",
				Body: "Order 4711: the customer wants 12.50 back.", URL: "https://shop.example/orders/4711", Via: []string{"s:acme-1"}, At: time.Now(),
			}})
		}
		if err := s.Append(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64((used()-own).Microseconds())/float64(b.N), "us-cpu/entry")
	stats := infoOf(b, g.redis, "commandstats")["cmdstat_evalsha"]
	var calls, took, per float64
	_, _ = fmt.Sscanf(stats, "calls=%g,usec=%g,usec_per_call=%g", &calls, &took, &per)
	b.ReportMetric(per, "us-redis/entry")
	b.ReportMetric(calls/float64(b.N), "calls/entry")
}
