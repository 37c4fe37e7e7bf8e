package chaos

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"tidings/internal/proctest"
	"tidings/internal/redistest"
)

// conveyor is the Redis of the site in one of its layouts.
type conveyor struct {
	url   string
	pair  []*redistest.Server // the one that is killed, and the one that takes over if there is one
	other []*redistest.Server // further masters of a cluster
}

func openConveyor(t *testing.T, layout string) (*conveyor, error) {
	t.Helper()
	args := []string{"--appendonly", "yes", "--appendfsync", "everysec", "--stream-node-max-bytes", "512"}
	switch layout {
	case "single":
		s := redistest.Start(t, args...)
		return &conveyor{url: s.URL, pair: []*redistest.Server{s}}, nil
	case "sentinel":
		s := redistest.Sentinel(t, args...)
		return &conveyor{url: s.URL, pair: []*redistest.Server{s.Master, s.Replica}}, nil
	case "cluster":
		c := redistest.Cluster(t, 1)
		return &conveyor{url: c.URL, pair: []*redistest.Server{c.Masters[0], c.Replicas[0]}, other: c.Masters[1:]}, nil
	}
	return nil, fmt.Errorf("-chaos.redis %s is none of single, sentinel, cluster", layout)
}

// kill ends the master, has its replica take over, and starts it again: as the replica's replica.
func (c *conveyor) kill(t *testing.T) error {
	t.Helper()
	if len(c.pair) == 1 {
		c.pair[0].Kill(t)
		c.pair[0].Restart(t)
		return nil
	}
	master, replica := c.pair[0], c.pair[1]
	if err := says(replica, "role:slave", "master_link_status:up"); err != nil {
		return err
	}
	master.Kill(t)
	if err := says(replica, "role:master"); err != nil {
		return err
	}
	master.Restart(t)
	c.pair[0], c.pair[1] = replica, master
	return nil
}

// says waits until a server's INFO says so.
func says(s *redistest.Server, lines ...string) error {
	return proctest.Until(40*time.Second, func() error {
		info, err := s.Client.Info(context.Background(), "replication").Result()
		if err != nil {
			return err
		}
		for _, line := range lines {
			if !strings.Contains(info, line+"\r\n") {
				return errors.New("a server of Redis does not say " + line)
			}
		}
		return nil
	})
}

// flush empties every master.
func (c *conveyor) flush() error {
	for _, s := range append(append([]*redistest.Server{}, c.pair...), c.other...) {
		if err := s.Client.FlushAll(context.Background()).Err(); err != nil && !redis.HasErrorPrefix(err, "READONLY") {
			return err
		}
	}
	return nil
}
