package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// What a layout of Redis needs, for doctor and for the start of a process. All of it is read from INFO and from what members
// and sentinels say of themselves rather than from CONFIG, which managed services forbid.

// eachMaster calls f for every server that holds our keys.
func eachMaster(ctx context.Context, c redis.UniversalClient, f func(context.Context, redis.Cmdable) error) error {
	if cluster, ok := c.(*redis.ClusterClient); ok {
		return cluster.ForEachMaster(ctx, func(ctx context.Context, m *redis.Client) error { return f(ctx, m) })
	}
	return f(ctx, c)
}

// infoOf reads sections of INFO.
func infoOf(ctx context.Context, c redis.Cmdable, sections ...string) (map[string]string, error) {
	info := map[string]string{}
	for _, section := range sections {
		text, err := c.Info(ctx, section).Result()
		if err != nil {
			return nil, fmt.Errorf("Redis: %w", err)
		}
		for line := range strings.Lines(text) {
			if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
				info[name] = value
			}
		}
	}
	return info, nil
}

// oldestOfCluster is the major version from which a cluster has SPUBLISH, with which comet's bells are rung there.
const oldestOfCluster = 7

// requireFit refuses a Redis that drops keys when its memory is full, since asynq's queues and our streams would lose
// entries silently, and the sweep would bring them back only to see them dropped again; and a cluster that is too old.
func requireFit(ctx context.Context, c redis.UniversalClient) error {
	_, clustered := c.(*redis.ClusterClient)
	return eachMaster(ctx, c, func(ctx context.Context, m redis.Cmdable) error {
		info, err := infoOf(ctx, m, "server", "memory")
		if err != nil {
			return err
		}
		if policy := info["maxmemory_policy"]; policy != "" && policy != "noeviction" {
			return fmt.Errorf("Redis has maxmemory-policy %s and would drop queued work when its memory is full\n"+
				"  set it: redis-cli CONFIG SET maxmemory-policy noeviction (and in redis.conf)", policy)
		}
		major, _, _ := strings.Cut(info["redis_version"], ".")
		if n, err := strconv.Atoi(major); clustered && err == nil && n < oldestOfCluster {
			return fmt.Errorf("a member of the cluster is Redis %s; sharded pub/sub, which wakes the pages, came with 7.0\n"+
				"  upgrade the cluster, or use one Redis or Sentinel, which may be 6.2", info["redis_version"])
		}
		return nil
	})
}

// layoutCheck is what doctor looks at beyond requireFit: what the layout needs to come back from a fault by itself.
func layoutCheck(ctx context.Context, c redis.UniversalClient, o *redis.UniversalOptions) (string, error) {
	switch cluster, ok := c.(*redis.ClusterClient); {
	case ok:
		return clusterCheck(ctx, cluster)
	case o.MasterName != "":
		return sentinelCheck(ctx, c, o)
	}
	return "one server: while it is away messages are accepted and wait in SQL", nil
}

// clusterCheck asks whether every slot is served and every master has a replica.
func clusterCheck(ctx context.Context, c *redis.ClusterClient) (string, error) {
	text, err := c.ClusterInfo(ctx).Result()
	if err != nil {
		return "", err
	}
	if !strings.Contains(text, "cluster_state:ok") {
		return "", fmt.Errorf("the cluster says that it is down: not every slot is served, or too few masters see each other\n" +
			"  look: redis-cli --cluster check HOST:PORT, and mend it: redis-cli --cluster fix HOST:PORT")
	}
	masters, alone := 0, 0
	var mu sync.Mutex
	err = c.ForEachMaster(ctx, func(ctx context.Context, m *redis.Client) error {
		info, err := infoOf(ctx, m, "replication")
		mu.Lock()
		defer mu.Unlock()
		masters++
		if info["connected_slaves"] == "0" {
			alone++
		}
		return err
	})
	if err != nil {
		return "", err
	}
	detail := fmt.Sprintf("a cluster of %d masters, every slot served", masters)
	if alone > 0 {
		detail += fmt.Sprintf("; %d without a replica: when one dies, all waits until it is back (CLUSTER REPLICATE gives it one)", alone)
	}
	return detail, nil
}

// sentinelCheck asks every sentinel whether enough of them agree to fail over, and the master whether it has a replica.
func sentinelCheck(ctx context.Context, c redis.UniversalClient, o *redis.UniversalOptions) (string, error) {
	well := 0
	var fault error
	for _, address := range o.Addrs {
		s := redis.NewSentinelClient(&redis.Options{Addr: address, Username: o.SentinelUsername, Password: o.SentinelPassword, TLSConfig: o.TLSConfig,
			MaxRetries: -1, DialerRetries: 1}) // one that is away is told, not waited for
		err := s.CkQuorum(ctx, o.MasterName).Err()
		_ = s.Close()
		if err == nil {
			well++
		} else {
			fault = fmt.Errorf("sentinel %s: %w", address, err)
		}
	}
	if well <= len(o.Addrs)/2 {
		return "", fmt.Errorf("%d of %d sentinels could start a failover: %w", well, len(o.Addrs), fault)
	}
	info, err := infoOf(ctx, c, "replication")
	if err != nil {
		return "", err
	}
	notes := []string{fmt.Sprintf("%s, %d of %d sentinels well, replicas %s", o.MasterName, well, len(o.Addrs), info["connected_slaves"])}
	if len(o.Addrs) < 3 {
		notes = append(notes, "name three sentinels: fewer cannot agree when one is away")
	}
	if info["connected_slaves"] == "0" {
		notes = append(notes, "no replica, so there is nothing to fail over to")
	}
	if info["min_slaves_good_slaves"] == "" {
		notes = append(notes, "set min-replicas-to-write 1 and min-replicas-max-lag 3, so that a master that was cut off takes no more writes")
	}
	return strings.Join(notes, "; "), nil
}

// persistenceCheck tells what a restart of Redis costs. It is no fault: SQL has everything.
func persistenceCheck(ctx context.Context, c redis.UniversalClient, _ *redis.UniversalOptions) (string, error) {
	var mu sync.Mutex
	servers, without := 0, 0
	err := eachMaster(ctx, c, func(ctx context.Context, m redis.Cmdable) error {
		info, err := infoOf(ctx, m, "persistence")
		mu.Lock()
		defer mu.Unlock()
		servers++
		if info["aof_enabled"] != "1" {
			without++
		}
		return err
	})
	if err != nil {
		return "", err
	}
	if without > 0 {
		return fmt.Sprintf("%d of %d servers without an append-only file: a restart forgets what is on its way, and the sweep brings it back "+
			"from SQL within 10 s; 'appendonly yes' spares that", without, servers), nil
	}
	return "append-only file", nil
}
