package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"tidings/platform"
)

func newDoctor(d *deps) *cobra.Command {
	c := &cobra.Command{
		Use: "doctor", Short: "Check what this process would run on, and say how to mend it", Args: noArgument,
		RunE: func(c *cobra.Command, _ []string) error { return doctor(c, d) },
	}
	return withOutput(withSettings(c, forStores, forDoors, forWorkers, forClients, forLogs))
}

// finding is the outcome of one check.
type finding struct {
	Check  string `json:"check"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

// check is one thing that doctor looks at. It tells what it found, or what is wrong and how to mend it.
type check struct {
	name string
	look func(context.Context) (string, error)
}

func doctor(c *cobra.Command, d *deps) error {
	cfg, _, err := load(c, d.getenv)
	if err != nil {
		return err
	}
	checks := []check{
		{"data directory", func(context.Context) (string, error) { return checkData(cfg) }},
		{"master secret", func(context.Context) (string, error) { return checkSecret(cfg) }},
		{"database", func(context.Context) (string, error) { return checkDatabase(c, d) }},
	}
	checks = append(checks, redisChecks(cfg)...)
	checks = append(checks, check{"integrations", func(context.Context) (string, error) { return checkIntegrations(c, d) }})
	if cfg.KannelUser != "" {
		checks = append(checks, check{"sms: kannel", func(ctx context.Context) (string, error) { return reachable(ctx, cfg.KannelURL) }})
	}
	if cfg.BaiduKey != "" {
		checks = append(checks, check{"app: baidu", func(ctx context.Context) (string, error) { return reachable(ctx, cfg.BaiduURL) }})
	}
	return printFindings(d.printer(c), look(c.Context(), checks))
}

func look(ctx context.Context, checks []check) (findings []finding) {
	for _, ch := range checks {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		detail, err := ch.look(ctx)
		cancel()
		if err != nil {
			detail = err.Error()
		}
		findings = append(findings, finding{ch.name, err == nil, detail})
	}
	return findings
}

func printFindings(p *printer, findings []finding) error {
	rows, faults := make([][]string, len(findings)), 0
	for i, f := range findings {
		mark := "ok"
		if !f.OK {
			mark, faults = "FAULT", faults+1
		}
		rows[i] = []string{mark, f.Check, f.Detail}
	}
	var err error
	if p.json {
		err = p.value(findings)
	} else {
		err = p.table([]string{"", "CHECK", "FOUND"}, rows)
	}
	if err == nil && faults > 0 {
		return errQuiet
	}
	return err
}

func checkData(cfg *config) (string, error) {
	if err := os.MkdirAll(cfg.Data, 0o700); err != nil {
		return "", err
	}
	f, err := os.CreateTemp(cfg.Data, ".doctor-")
	if err != nil {
		return "", err
	}
	_ = f.Close()
	return cfg.Data, os.Remove(f.Name())
}

func checkSecret(cfg *config) (string, error) {
	if _, err := masterSecret(cfg); err != nil {
		return "", err
	}
	if cfg.Secret != "" {
		return "from TIDINGS_SECRET", nil
	}
	return "from the data directory; on several machines set TIDINGS_SECRET to the same value on each", nil
}

func checkDatabase(c *cobra.Command, d *deps) (string, error) {
	db, cfg, err := openRecord(c, d)
	if err != nil {
		return "", err
	}
	return mask("database-url", databaseURL(cfg)) + ", schema up to date", db.Close()
}

// checkIntegrations opens every integration as a worker does, and calls nobody.
func checkIntegrations(c *cobra.Command, d *deps) (string, error) {
	db, cfg, err := openRecord(c, d)
	if err != nil {
		return "", err
	}
	defer db.Close() //nolint:errcheck // nothing is written
	p := platform.New(platform.Config{Store: db, Now: time.Now, Drivers: drivers, Environment: givenIntegrations(cfg)})
	all, err := p.Integrations(c.Context())
	if err != nil {
		return "", err
	}
	for _, i := range all {
		found, err := p.CheckIntegration(c.Context(), i.ID)
		if err != nil {
			return "", fmt.Errorf("%s: %w", i.ID, err)
		}
		if !found.OK {
			return "", fmt.Errorf("%s cannot be opened: %s; mend it with 'tidings integration put %s'", i.ID, found.Errors[0].Field+" "+found.Errors[0].Detail, i.ID)
		}
	}
	return fmt.Sprintf("%d, all can be opened", len(all)), nil
}

// redisChecks look at the Redis that is set, or tell what 'tidings up' would run.
func redisChecks(cfg *config) []check {
	if cfg.RedisURL == "" {
		return []check{{"redis", func(context.Context) (string, error) { return ownRedis(), nil }}}
	}
	return []check{
		{"redis", onRedis(cfg, func(context.Context, redis.UniversalClient, *redis.UniversalOptions) (string, error) {
			return mask("redis-url", cfg.RedisURL) + ", noeviction", nil
		})},
		{"redis: layout", onRedis(cfg, layoutCheck)},
		{"redis: persistence", onRedis(cfg, persistenceCheck)},
	}
}

func ownRedis() string {
	program, err := exec.LookPath("redis-server")
	if err != nil {
		return "none is set; 'tidings up' would use an in-process one that forgets everything at the end; install redis-server for more"
	}
	return "none is set; 'tidings up' would run " + program
}

// onRedis is a look at the Redis that is set.
func onRedis(cfg *config, look func(context.Context, redis.UniversalClient, *redis.UniversalOptions) (string, error)) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		options, err := parseRedisURL(cfg.RedisURL)
		if err != nil {
			return "", err
		}
		rdb, err := openRedis(ctx, options, true)
		if err != nil {
			return "", err
		}
		detail, err := look(ctx, rdb, options)
		return detail, errors.Join(err, rdb.Close())
	}
}

// reachable opens a connection to the host of an address and closes it: providers charge for more.
func reachable(ctx context.Context, address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	host := u.Host
	if u.Port() == "" {
		host = net.JoinHostPort(u.Hostname(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", host)
	if err != nil {
		return "", fmt.Errorf("%s cannot be reached: %w", host, err)
	}
	return host + " answers", conn.Close()
}
