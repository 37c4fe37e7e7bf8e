package redistest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	slots   = 16384
	masters = 3
)

// Clustered is a Redis Cluster of three masters, each with as many replicas as were asked for.
type Clustered struct {
	URL      string // redis-cluster://...
	Client   *redis.ClusterClient
	Masters  []*Server // each has a third of the slots, in this order
	Replicas []*Server // of the first master first
}

// Cluster starts one. A master that is silent for a second is taken for down; of the first ones, so many have a replica.
func Cluster(t testing.TB, replicas int) *Clustered {
	t.Helper()
	c := &Clustered{}
	for range masters {
		c.Masters = append(c.Masters, startMember(t))
	}
	for range replicas {
		c.Replicas = append(c.Replicas, startMember(t))
	}
	ctx := context.Background()
	var addresses []string
	for i, m := range c.Masters {
		addresses = append(addresses, m.address)
		from, to := i*slots/masters, (i+1)*slots/masters-1
		must(t, m.Client.ClusterAddSlotsRange(ctx, from, to).Err())
		must(t, m.Client.Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", i+1).Err())
	}
	for _, m := range c.members()[1:] {
		must(t, c.Masters[0].Client.Do(ctx, "CLUSTER", "MEET", "127.0.0.1", m.port(), m.bus()).Err())
	}
	until(t, "the members know each other", func() error { return c.all("cluster_known_nodes:" + strconv.Itoa(len(c.members()))) })
	for i, r := range c.Replicas {
		must(t, r.Client.ClusterReplicate(ctx, c.ID(t, c.Masters[i])).Err())
	}
	until(t, "the cluster is up", c.up)
	c.URL = "redis-cluster://" + strings.Join(addresses, ",")
	c.Client = redis.NewClusterClient(&redis.ClusterOptions{Addrs: addresses, MaintNotificationsConfig: silent, ClusterStateReloadInterval: time.Second})
	t.Cleanup(func() { must(t, c.Client.Close()) })
	return c
}

func startMember(t testing.TB) *Server {
	t.Helper()
	bus := freePort(t)
	return startTCP(t, "--cluster-port", bus, "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "1000",
		"--cluster-replica-validity-factor", "0")
}

// bus is the port on which a member talks to its fellows.
func (s *Server) bus() string {
	for i, arg := range s.command {
		if arg == "--cluster-port" {
			return s.command[i+1]
		}
	}
	return ""
}

func (c *Clustered) members() []*Server {
	return append(append([]*Server{}, c.Masters...), c.Replicas...)
}

// all is nil when every member says a line of CLUSTER INFO.
func (c *Clustered) all(line string) error {
	for _, m := range c.members() {
		info, err := m.Client.ClusterInfo(context.Background()).Result()
		if err == nil && !strings.Contains(info, line+"\r\n") {
			err = fmt.Errorf("%s does not say %s: %s", m.address, line, info)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// up is nil when every member takes the cluster for sound and the replicas follow.
func (c *Clustered) up() error {
	for _, r := range c.Replicas {
		info, err := r.Client.Info(context.Background(), "replication").Result()
		if err == nil && !strings.Contains(info, "master_link_status:up") {
			err = errors.New("a replica does not follow")
		}
		if err != nil {
			return err
		}
	}
	return c.all("cluster_state:ok")
}

// ID is a member's name within the cluster.
func (c *Clustered) ID(t testing.TB, m *Server) string {
	t.Helper()
	id, err := m.Client.Do(context.Background(), "CLUSTER", "MYID").Text()
	must(t, err)
	return id
}

// Owner is the master that had a key's slot at the beginning.
func (c *Clustered) Owner(t testing.TB, key string) *Server {
	t.Helper()
	slot, err := c.Masters[0].Client.ClusterKeySlot(context.Background(), key).Result()
	must(t, err)
	for i, m := range c.Masters {
		if int(slot) < (i+1)*slots/masters {
			return m
		}
	}
	return nil
}

// Promoted waits until a replica has taken over from its master.
func (c *Clustered) Promoted(t testing.TB, replica *Server) {
	t.Helper()
	until(t, "the replica has taken over", func() error {
		info, err := replica.Client.Info(context.Background(), "replication").Result()
		if err == nil && !strings.Contains(info, "role:master") {
			err = errors.New("it is a replica still")
		}
		if err != nil {
			return err
		}
		state, err := replica.Client.ClusterInfo(context.Background()).Result()
		if err == nil && !strings.Contains(state, "cluster_state:ok") {
			err = errors.New("the cluster is not sound")
		}
		return err
	})
}

// Move gives a slot with its keys from one master to another, as redis-cli --cluster reshard does.
func (c *Clustered) Move(t testing.TB, slot int, from, to *Server) {
	t.Helper()
	ctx := context.Background()
	must(t, to.Client.Do(ctx, "CLUSTER", "SETSLOT", slot, "IMPORTING", c.ID(t, from)).Err())
	must(t, from.Client.Do(ctx, "CLUSTER", "SETSLOT", slot, "MIGRATING", c.ID(t, to)).Err())
	for {
		keys, err := from.Client.ClusterGetKeysInSlot(ctx, slot, 100).Result()
		must(t, err)
		if len(keys) == 0 {
			break
		}
		args := []any{"MIGRATE", "127.0.0.1", to.port(), "", 0, 5000, "KEYS"}
		for _, k := range keys {
			args = append(args, k)
		}
		must(t, from.Client.Do(ctx, args...).Err())
	}
	for _, m := range []*Server{to, from} {
		must(t, m.Client.Do(ctx, "CLUSTER", "SETSLOT", slot, "NODE", c.ID(t, to)).Err())
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
