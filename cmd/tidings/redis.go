package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// parseRedisURL reads TIDINGS_REDIS_URL: redis://[user:password@]host:port[/db], rediss:// (TLS),
// unix://PATH[?db=N], redis-sentinel://[user:password@]host:port,.../master[/db][?sentinel_password=] and
// redis-cluster://host:port,... Either of the last two with ?tls=true speaks TLS.
func parseRedisURL(text string) (*redis.UniversalOptions, error) {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return nil, fmt.Errorf("TIDINGS_REDIS_URL: no scheme; one of redis://, rediss://, unix://, redis-sentinel://, redis-cluster://")
	}
	switch scheme {
	case "redis", "rediss", "unix":
		return parseSingle(text)
	case "redis-sentinel", "redis-cluster":
		return parseMany(scheme, rest)
	}
	return nil, fmt.Errorf("TIDINGS_REDIS_URL: unknown scheme %q; one of redis, rediss, unix, redis-sentinel, redis-cluster", scheme)
}

func parseSingle(text string) (*redis.UniversalOptions, error) {
	o, err := redis.ParseURL(text)
	if err != nil {
		return nil, fmt.Errorf("TIDINGS_REDIS_URL: %w", err)
	}
	return &redis.UniversalOptions{Addrs: []string{o.Addr}, DB: o.DB, Username: o.Username, Password: o.Password, TLSConfig: o.TLSConfig,
		PoolSize: o.PoolSize, DialTimeout: o.DialTimeout, ReadTimeout: o.ReadTimeout, WriteTimeout: o.WriteTimeout}, nil
}

// parseMany reads the two forms that name several nodes, which net/url cannot: a list of hosts with ports.
func parseMany(scheme, rest string) (*redis.UniversalOptions, error) {
	rest, query, _ := strings.Cut(rest, "?")
	q, err := url.ParseQuery(query)
	if err != nil {
		return nil, fmt.Errorf("TIDINGS_REDIS_URL: %w", err)
	}
	o := &redis.UniversalOptions{SentinelUsername: q.Get("sentinel_username"), SentinelPassword: q.Get("sentinel_password")}
	if at := strings.LastIndex(rest, "@"); at >= 0 {
		who, err := url.Parse("redis://" + rest[:at] + "@host")
		if err != nil {
			return nil, fmt.Errorf("TIDINGS_REDIS_URL: user and password must be percent-encoded")
		}
		o.Username = who.User.Username()
		o.Password, _ = who.User.Password()
		rest = rest[at+1:]
	}
	hosts, path, _ := strings.Cut(rest, "/")
	port := "6379"
	if scheme == "redis-sentinel" {
		port = "26379"
	}
	if o.Addrs, err = addresses(hosts, port); err != nil {
		return nil, err
	}
	if q.Get("tls") == "true" {
		name, _, _ := net.SplitHostPort(o.Addrs[0])
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: name}
	}
	if scheme == "redis-cluster" {
		o.IsClusterMode = true // even when one address is given
		return o, nil
	}
	return o, sentinelPath(o, path)
}

// sentinelPath reads master[/db].
func sentinelPath(o *redis.UniversalOptions, path string) error {
	master, db, _ := strings.Cut(path, "/")
	if master == "" {
		return fmt.Errorf("TIDINGS_REDIS_URL: redis-sentinel://host:port,.../MASTER: the master's name is missing")
	}
	o.MasterName = master
	if db == "" {
		return nil
	}
	n, err := strconv.Atoi(db)
	if err != nil || n < 0 {
		return fmt.Errorf("TIDINGS_REDIS_URL: %q is no database number", db)
	}
	o.DB = n
	return nil
}

func addresses(hosts, port string) ([]string, error) {
	var addrs []string
	for h := range strings.SplitSeq(hosts, ",") {
		if h == "" {
			return nil, fmt.Errorf("TIDINGS_REDIS_URL: a host is missing")
		}
		if _, _, err := net.SplitHostPort(h); err != nil {
			h = net.JoinHostPort(strings.Trim(h, "[]"), port)
		}
		addrs = append(addrs, h)
	}
	return addrs, nil
}

// newRedis is a client of any of these. One of a cluster asks for the map of it every second while it works: by itself it
// would go on for a minute with a member that is dead.
func newRedis(o *redis.UniversalOptions) redis.UniversalClient {
	if o.IsClusterMode {
		c := o.Cluster()
		c.ClusterStateReloadInterval = time.Second
		return redis.NewClusterClient(c)
	}
	return redis.NewUniversalClient(o)
}

// redisConnection hands connections to what asks for them in asynq's way, asynqmon and the inspector.
type redisConnection struct{ options *redis.UniversalOptions }

// MakeRedisClient returns a client that the caller closes.
func (c redisConnection) MakeRedisClient() any { return newRedis(c.options) }

// requireNoEviction refuses a Redis that drops keys when its memory is full. asynq's queues and our streams would
// lose entries silently, and the sweep would bring them back only to see them dropped again.
func requireNoEviction(ctx context.Context, c redis.UniversalClient) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 10*time.Second, fmt.Errorf("Redis did not answer within 10 s"))
	defer cancel()
	if cluster, ok := c.(*redis.ClusterClient); ok {
		return cluster.ForEachMaster(ctx, func(ctx context.Context, m *redis.Client) error { return nodeEvictsNothing(ctx, m) })
	}
	return nodeEvictsNothing(ctx, c)
}

// nodeEvictsNothing reads INFO rather than CONFIG, which managed services forbid.
func nodeEvictsNothing(ctx context.Context, c redis.Cmdable) error {
	info, err := c.Info(ctx, "memory").Result()
	if err != nil {
		return fmt.Errorf("Redis: %w", err)
	}
	for line := range strings.Lines(info) {
		policy, ok := strings.CutPrefix(strings.TrimSpace(line), "maxmemory_policy:")
		if ok && policy != "noeviction" {
			return fmt.Errorf("Redis has maxmemory-policy %s and would drop queued work when its memory is full\n"+
				"  set it: redis-cli CONFIG SET maxmemory-policy noeviction (and in redis.conf)", policy)
		}
	}
	return nil
}
