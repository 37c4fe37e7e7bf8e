package chaos

import (
	"context"
	"fmt"
	"time"
)

// blow is one thing that the nemesis does.
type blow struct {
	name string
	deal func() error
}

// blows are dealt in this order, again and again: every process and every store of the conveyor, with the loss of all of
// Redis among them.
func (s *site) blows() []blow {
	kill := func(name string, f func() error) blow { return blow{"kill -9 " + name, f} }
	return []blow{
		kill("worker0", s.worker[0].KillAndRestart),
		kill("comet0", s.comet[0].KillAndRestart),
		{"lose an answer of Kannel and of Baidu", func() error { s.sms.lose(1); s.push.lose(1); return nil }},
		kill("api", s.api.KillAndRestart),
		kill("redis", func() error { return s.redis.kill(s.t) }),
		kill("worker1", s.worker[1].KillAndRestart),
		{"FLUSHALL", s.redis.flush},
		kill("comet1", s.comet[1].KillAndRestart),
		kill("api", s.api.KillAndRestart),
		kill("worker0", s.worker[0].KillAndRestart),
		kill("redis", func() error { return s.redis.kill(s.t) }),
		kill("comet0", s.comet[0].KillAndRestart),
		kill("worker1", s.worker[1].KillAndRestart),
	}
}

// nemesis deals a blow every so often until ctx is done, and returns what it did.
func (s *site) nemesis(ctx context.Context, every time.Duration) (done []string, err error) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	blows := s.blows()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return done, nil
		case <-tick.C:
		}
		b := blows[i%len(blows)]
		if err := b.deal(); err != nil {
			return done, fmt.Errorf("%s: %w", b.name, err)
		}
		s.t.Logf("%s  %s", time.Now().Format("15:04:05"), b.name)
		done = append(done, b.name)
		s.dealt.Add(1)
	}
}
