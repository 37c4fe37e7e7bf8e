package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"text/tabwriter"
	"time"

	"tidings/internal/fleet"
)

// cast is one broadcast to everyone, from before its POST until the last notification is in SQL, and in the stream of a user who was here lately.
type cast struct {
	Users  string         `json:"users"`
	Load   load           `json:"load"`
	Memory map[string]rss `json:"memory"` // of our processes
	Redis  int64          `json:"redis_bytes_grown"`
}

// rss is a process's resident memory in bytes.
type rss struct {
	Before int64 `json:"before"`
	Peak   int64 `json:"peak"`
}

// castUsers is how many users are made by one request.
const castUsers = 20_000

// broadcasts sends one message to everyone, twice: the first time nobody was here for a day, as it is with most of a large audience, and the
// second time everybody was, so that a million streams are written.
func broadcasts(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("broadcast", flag.ContinueOnError)
	n := flags.Int("n", 100_000, "users, rounded up to 20,000")
	out := flags.String("json", "", "file for the figures as JSON")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var casts []cast
	err := onSite(ctx, func(s *site) error {
		everyone, err := s.populate(ctx, *n)
		if err != nil {
			return err
		}
		for _, who := range []string{"not here for a day", "here today"} {
			if who == "here today" {
				if err := s.hereLately(ctx, everyone); err != nil {
					return err
				}
			}
			say("broadcast to %d users, %s", users+len(everyone), who)
			c, err := s.cast(ctx, users+len(everyone))
			if err != nil {
				return err
			}
			c.Users = who
			casts = append(casts, c)
		}
		return nil
	})
	if err != nil {
		return err
	}
	printCasts(casts)
	return write(*out, casts)
}

// populate makes n users beside those of every site.
func (s *site) populate(ctx context.Context, n int) (ids []string, err error) {
	began := time.Now()
	for chunk := 0; len(ids) < n; chunk++ {
		prefix := fmt.Sprintf("c%d-", chunk)
		if err := s.app.Users(ctx, "crowd", prefix, castUsers, false); err != nil {
			return nil, err
		}
		for i := range castUsers {
			ids = append(ids, prefix+strconv.Itoa(i))
		}
		if chunk%10 == 9 {
			say("%d users are made, %.0f/s", len(ids), float64(len(ids))/time.Since(began).Seconds())
		}
	}
	if _, err := s.db.Exec(ctx, "VACUUM ANALYZE"); err != nil { // as autovacuum would have done long ago
		return nil, err
	}
	return ids, s.believed(ctx)
}

// cast sends a message to everyone and looks at the memory of our processes until all have it.
func (s *site) cast(ctx context.Context, everyone int) (c cast, err error) {
	heads, err := s.heads(ctx)
	if err != nil {
		return c, err
	}
	redisBefore, err := s.redisBytes(ctx)
	if err != nil {
		return c, err
	}
	before, err := s.cpu()
	if err != nil {
		return c, err
	}
	c.Memory = map[string]rss{}
	s.watchMemory(c.Memory)
	began := time.Now()
	admin := fleet.NewClient(s.api.URL, fleet.AdminToken, 1)
	body := `{"type":"note","audience":{"everyone":true},"data":{"text":"` + text + `"}}`
	if _, err := admin.Do(ctx, "POST", "/v1/broadcasts?application="+application, []byte(body), nil); err != nil {
		return c, err
	}
	for said := began; !s.finished(ctx); {
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return c, err
		}
		s.watchMemory(c.Memory)
		switch now := time.Now(); {
		case now.Sub(began) > 20*time.Minute:
			return c, errors.New("not all have it after 20 minutes: " + s.standing(ctx))
		case now.Sub(said) > 3*time.Second:
			said = now
			say("after %.0f s segments are open: %s", now.Sub(began).Seconds(), s.underWay(ctx))
		}
	}
	turn := load{Messages: int64(everyone), Seconds: time.Since(began).Seconds()}
	if turn.CPU, err = s.used(before, 1); err != nil {
		return c, err
	}
	c.Load.add(turn)
	after, err := s.heads(ctx)
	if err != nil {
		return c, err
	}
	if after-heads != int64(everyone) {
		return c, fmt.Errorf("%d notifications for %d users: %s", after-heads, everyone, s.standing(ctx))
	}
	if err := s.streamed(ctx); err != nil {
		return c, err
	}
	redisAfter, err := s.redisBytes(ctx)
	c.Redis = redisAfter - redisBefore
	return c, err
}

// underWay counts the open segments of each stage, which disturbs little.
func (s *site) underWay(ctx context.Context) (text string) {
	err := s.db.QueryRow(ctx, `SELECT coalesce(string_agg(stage || channel || ' ' || n, ', '), '')
		FROM (SELECT stage, channel, count(*) AS n FROM segments WHERE finished_at IS NULL GROUP BY stage, channel) o`).Scan(&text)
	if err != nil {
		return err.Error()
	}
	return text
}

// watchMemory takes in how large our processes are now.
func (s *site) watchMemory(seen map[string]rss) {
	for _, name := range []string{"api", "worker", "comet"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.pids[name]))
		if err != nil {
			continue // it has died, which the broadcast will show
		}
		now := field(string(text), "VmRSS:") << 10
		m, ok := seen[name]
		if !ok {
			m.Before = now
		}
		m.Peak = max(m.Peak, now)
		seen[name] = m
	}
}

func (s *site) redisBytes(ctx context.Context) (int64, error) {
	text, err := s.redis.Client.Info(ctx, "memory").Result()
	return field(text, "used_memory:"), err
}

func printCasts(casts []cast) {
	w := tabwriter.NewWriter(os.Stdout, 2, 0, 2, ' ', 0)
	fmt.Fprintln(w, "BROADCAST TO USERS\tNUMBER\tSECONDS\tPER SECOND\tSERVER CPU\tCPU BY PROCESS (us/notification)\tWORKER MEMORY\tREDIS, EACH")
	for _, c := range casts {
		m := c.Memory["worker"]
		fmt.Fprintf(w, "%s\t%d\t%.1f\t%.0f\t%.0f us\t%s\t%.0f MB, at most %.0f MB\t%d bytes\n", c.Users, c.Load.Messages, c.Load.Seconds, c.Load.PerSecond, c.Load.CPUMicros,
			byProcess(c.Load.CPU, "%.1f"), float64(m.Before)/1e6, float64(m.Peak)/1e6, c.Redis/max(1, c.Load.Messages))
	}
	_ = w.Flush() // to a terminal or a pipe: nothing is left to do if it is gone
	fmt.Println("\nweb, from before the POST until each notification is in SQL, and in the stream of a user who was here within a day; DESIGN 6 asks for 50,000 a second and flat memory")
}
