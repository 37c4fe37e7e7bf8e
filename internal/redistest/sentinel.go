package redistest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

const (
	wait       = 90 * time.Second // for what servers agree on: a sentinel whose machine stood still for 2 s does nothing for 30 s (TILT)
	masterName = "main"
	sentinels  = 3
)

// Sentinels is a master with a replica that three sentinels watch.
type Sentinels struct {
	URL       string // redis-sentinel://...
	Addresses []string
	Name      string  // the master's
	Master    *Server // at the beginning
	Replica   *Server
	Watchers  []*Server
}

// Sentinel starts one. It takes a master that is silent for half a second for down. What else is given goes to master and
// replica, as to Start.
func Sentinel(t testing.TB, args ...string) *Sentinels {
	t.Helper()
	s := &Sentinels{Name: masterName, Master: startTCP(t, args...)}
	s.Replica = startTCP(t, append([]string{"--replicaof", "127.0.0.1", s.Master.port()}, args...)...)
	until(t, "the replica follows", s.followed)
	for i := range sentinels {
		s.Watchers = append(s.Watchers, startSentinel(t, s.config(i)...))
		s.Addresses = append(s.Addresses, s.Watchers[i].Address())
	}
	s.URL = "redis-sentinel://" + strings.Join(s.Addresses, ",") + "/" + masterName
	until(t, "the sentinels know each other", func() error {
		for _, w := range s.Watchers {
			if err := w.Client.Do(context.Background(), "SENTINEL", "CKQUORUM", masterName).Err(); err != nil {
				return err
			}
		}
		return nil
	})
	return s
}

// config says what a sentinel would else find out within ten seconds: who its earlier fellows are and who the replica is.
func (s *Sentinels) config(i int) []string {
	c := []string{
		fmt.Sprintf("sentinel monitor %s 127.0.0.1 %s %d", masterName, s.Master.port(), sentinels/2+1),
		"sentinel down-after-milliseconds " + masterName + " 500",
		"sentinel failover-timeout " + masterName + " 4000",
		"sentinel known-replica " + masterName + " 127.0.0.1 " + s.Replica.port(),
		"sentinel myid " + sentinelID(i),
	}
	for j := range i {
		c = append(c, fmt.Sprintf("sentinel known-sentinel %s 127.0.0.1 %s %s", masterName, s.Watchers[j].port(), sentinelID(j)))
	}
	return c
}

func sentinelID(i int) string { return fmt.Sprintf("%040x", i+1) }

// followed is nil when the replica has a sound link to the master.
func (s *Sentinels) followed() error {
	info, err := s.Replica.Client.Info(context.Background(), "replication").Result()
	if err == nil && !strings.Contains(info, "master_link_status:up") {
		err = errors.New("the link is not up")
	}
	return err
}

// Promoted waits until every sentinel takes the replica for the master.
func (s *Sentinels) Promoted(t testing.TB) {
	t.Helper()
	until(t, "the replica is promoted", func() error {
		for _, w := range s.Watchers {
			at, err := w.Client.Do(context.Background(), "SENTINEL", "GET-MASTER-ADDR-BY-NAME", masterName).StringSlice()
			if err == nil && (len(at) != 2 || at[1] != s.Replica.port()) {
				err = fmt.Errorf("a sentinel names %v", at)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}
