package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"tidings/internal/proctest"
	"tidings/internal/redistest"
)

// post sends the demo's example until it is accepted.
func (u *up) post(t *testing.T) {
	t.Helper()
	err := proctest.Until(20*time.Second, func() error {
		r, err := http.NewRequest(http.MethodPost, u.url+"/v1/messages", strings.NewReader(u.env["TIDINGS_EXAMPLE"]))
		if err != nil {
			return err
		}
		r.Header.Set("Authorization", "Bearer "+u.env["TIDINGS_KEY"])
		r.Header.Set("Content-Type", "application/json")
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			return err
		}
		defer answer.Body.Close() //nolint:errcheck // only the status is of interest
		if answer.StatusCode != http.StatusAccepted {
			return fmt.Errorf("POST: %s", answer.Status)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// page opens a stream of the demo's user and returns the numbers it hears, as they come.
func (u *up) page(t *testing.T) <-chan int64 {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, u.url+"/comet/stream?client=c1", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+u.env["TIDINGS_TOKEN"])
	var answer *http.Response
	err = proctest.Until(20*time.Second, func() (err error) {
		if answer, err = http.DefaultClient.Do(r); err == nil && answer.StatusCode != http.StatusOK { // it has not subscribed yet
			_ = answer.Body.Close()
			err = fmt.Errorf("GET: %s", answer.Status)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(answer.Body)
	if _, err := lines.ReadString('\n'); err != nil { // the hello: from here on it hears everything
		t.Fatal(err)
	}
	numbers := make(chan int64, 1000)
	go func() {
		defer close(numbers)
		defer answer.Body.Close() //nolint:errcheck // read to its end
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			var frame struct{ Messages []struct{ Number int64 } }
			if json.Unmarshal([]byte(line), &frame) == nil {
				for _, m := range frame.Messages {
					numbers <- m.Number
				}
			}
		}
	}()
	return numbers
}

// hears waits for n numbers, the next ones after the last, and returns the last of them.
func hears(t *testing.T, numbers <-chan int64, last int64, n int) int64 {
	t.Helper()
	limit := time.After(2 * time.Minute)
	for range n {
		select {
		case got := <-numbers:
			if got != last+1 {
				t.Fatalf("%d came after %d", got, last)
			}
			last = got
		case <-limit:
			t.Fatalf("nothing came after %d", last)
		}
	}
	return last
}

// layout is a Redis with what doctor says of it, and a blow.
type layout struct {
	url    string
	doctor string
	strike func()
}

func TestOnEveryLayoutOfRedisAMessageReachesThePageAndAFailoverLosesNone(t *testing.T) {
	for name, start := range map[string]func(t *testing.T) layout{
		"single": func(t *testing.T) layout {
			s := redistest.Start(t)
			return layout{url: s.URL, doctor: "one server", strike: func() { s.Kill(t); s.Restart(t) }}
		},
		"sentinel": func(t *testing.T) layout {
			s := redistest.Sentinel(t)
			return layout{url: s.URL, doctor: "3 of 3 sentinels well, replicas 1; set min-replicas-to-write", strike: func() { s.Master.Kill(t) }}
		},
		"cluster": func(t *testing.T) layout {
			c := redistest.Cluster(t, 1)
			return layout{url: c.URL, doctor: "3 masters, every slot served; 2 without a replica", strike: func() { c.Masters[0].Kill(t) }}
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := start(t)
			doctorSays(t, l.url, layoutCheck, l.doctor)
			doctorSays(t, l.url, persistenceCheck, "without an append-only file")
			u := startDemoUp(t, map[string]string{"TIDINGS_REDIS_URL": l.url})
			numbers := u.page(t)
			u.post(t)
			u.post(t)
			last := hears(t, numbers, 0, 2)
			l.strike()
			began := time.Now()
			for range 5 {
				u.post(t)
			}
			last = hears(t, numbers, last, 5)
			t.Logf("all came within %s of the blow", time.Since(began).Round(10*time.Millisecond))
			u.post(t)
			hears(t, numbers, last, 1)
		})
	}
}

func doctorSays(t *testing.T, url string, check func(context.Context, redis.UniversalClient, *redis.UniversalOptions) (string, error), want string) {
	t.Helper()
	err := proctest.Until(30*time.Second, func() error { // sentinels may take each other for down for a moment
		detail, err := onRedis(&config{RedisURL: url}, check)(t.Context())
		if err != nil || !strings.Contains(detail, want) {
			return fmt.Errorf("of %s doctor says %q, %v; want %q", url, detail, err, want)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestDoctorFindsWhatKeepsALayoutOfRedisFromWorking(t *testing.T) {
	s := redistest.Sentinel(t)
	_, err := onRedis(&config{RedisURL: strings.TrimSuffix(s.URL, s.Name) + "other"}, layoutCheck)(t.Context())
	if err == nil || !strings.Contains(err.Error(), `no master "other"`) {
		t.Errorf("a name that the sentinels do not know: %v", err)
	}
	s.Watchers[0].Kill(t)
	doctorSays(t, s.URL, layoutCheck, "2 of 3 sentinels well")
	s.Watchers[1].Kill(t)
	if detail, err := onRedis(&config{RedisURL: s.URL}, layoutCheck)(t.Context()); err == nil || !strings.Contains(err.Error(), "could start a failover") {
		t.Errorf("one sentinel of three: %q, %v", detail, err)
	}
}
