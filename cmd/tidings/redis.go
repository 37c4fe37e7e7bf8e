package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"slices"
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
	for name := range q {
		if !slices.Contains([]string{"tls", "sentinel_username", "sentinel_password"}, name) {
			return nil, fmt.Errorf("TIDINGS_REDIS_URL: ?%s is not known; one of tls=true, sentinel_username, sentinel_password", name)
		}
	}
	if tls := q.Get("tls"); tls != "" && tls != "true" && tls != "false" {
		return nil, fmt.Errorf("TIDINGS_REDIS_URL: tls=%s is neither true nor false", tls)
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
	o.Addrs = slices.Clip(o.Addrs) // each cluster client appends to what it is given: with room to spare they would share it
	if q.Get("tls") == "true" {
		name, _, _ := net.SplitHostPort(o.Addrs[0])
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: name}
	}
	if scheme == "redis-cluster" {
		if path != "" {
			return nil, fmt.Errorf("TIDINGS_REDIS_URL: a cluster has one database, 0: leave out /%s", path)
		}
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
