package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"tidings/internal/fleet"
)

// latencies measures one rate after another.
func (s *site) latencies(ctx context.Context, span time.Duration, rates ...int) (ls latencies, err error) {
	for _, rate := range rates {
		say("latency at %d messages/s, %s", rate, span)
		l, err := s.latency(ctx, rate, span)
		if err != nil {
			return ls, err
		}
		ls = append(ls, l)
	}
	return ls, nil
}

// latency sends at a rate to users whose pages are open, and measures from before the POST to the frame.
func (s *site) latency(ctx context.Context, rate int, span time.Duration) (l latency, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	arrived := &arrivals{at: map[string]time.Time{}}
	if err := s.listen(ctx, arrived); err != nil {
		return l, err
	}
	before, err := s.cpu()
	if err != nil {
		return l, err
	}
	began := make(map[string]time.Time)
	var mu sync.Mutex
	var failure atomic.Value
	var wg sync.WaitGroup
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	total := rate * int(span.Seconds())
	for i := range total {
		<-tick.C
		wg.Go(func() {
			start := time.Now()
			var answer struct {
				ID string `json:"id"`
			}
			if _, err := s.app.Do(ctx, "POST", "/v1/messages", []byte(message(i%listeners)), &answer); err != nil {
				failure.Store(err)
				return
			}
			mu.Lock()
			began[answer.ID] = start
			mu.Unlock()
		})
	}
	wg.Wait()
	if err, ok := failure.Load().(error); ok {
		return l, err
	}
	for deadline := time.Now().Add(20 * time.Second); arrived.count() < total; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			return l, fmt.Errorf("%d of %d frames arrived", arrived.count(), total)
		}
	}
	l = latency{Rate: rate, Messages: total}
	if l.CPU, err = s.used(before, 1e6/float64(total)); err != nil {
		return l, err
	}
	var times []float64
	for id, start := range began {
		times = append(times, arrived.at[id].Sub(start).Seconds()*1000)
	}
	l.P50, l.P99 = quantile(times, 0.5), quantile(times, 0.99)
	return l, nil
}

type arrivals struct {
	mu sync.Mutex
	at map[string]time.Time
}

func (a *arrivals) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.at)
}

// listen opens a stream for each listener and returns when all are attached.
func (s *site) listen(ctx context.Context, arrived *arrivals) error {
	attached := make(chan error, listeners)
	client := &http.Client{Transport: &http.Transport{}}
	for i := range listeners {
		token, err := s.app.Token(ctx, "u"+strconv.Itoa(i))
		if err != nil {
			return err
		}
		go func() {
			var once sync.Once
			err := fleet.Stream(ctx, client, s.comet.URL, token, "bench"+url.QueryEscape(strconv.Itoa(i)), "", func(f fleet.Frame) {
				now := time.Now()
				once.Do(func() { attached <- nil })
				arrived.mu.Lock()
				defer arrived.mu.Unlock()
				for _, m := range f.Messages {
					arrived.at[m.ID] = now
				}
			})
			once.Do(func() { attached <- err })
		}()
	}
	for range listeners {
		if err := <-attached; err != nil {
			return err
		}
	}
	return nil
}

// settle is how long the garbage of a load and its connections may take to go before there is nothing to do.
const settle = 5 * time.Second

// idle measures what everything costs when nothing happens.
func (s *site) idle(ctx context.Context, span time.Duration) (i idle, err error) {
	if err := pause(ctx, settle); err != nil {
		return i, err
	}
	before, err := s.cpu()
	if err != nil {
		return i, err
	}
	if err := pause(ctx, span); err != nil {
		return i, err
	}
	if i.By, err = s.used(before, 100/span.Seconds()); err != nil {
		return i, err
	}
	i.Tidings = i.By["api"] + i.By["worker"] + i.By["comet"]
	return i, nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
