package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
)

// config is what a process was set to.
type config struct {
	DatabaseURL, RedisURL                             string
	Listen, AdminListen, PublicURL                    string
	Data, AdminToken, Secret, SecretOld               string
	Lanes, Channels, Concurrency, ReceiptWindow, Node string
	Processes, Heartbeat                              string
	MaxConnections, UserConnections                   string
	IPConnections, IPRate, TrustedProxies             string
	KannelURL, KannelUser                             string
	KannelPassword, KannelFrom                        string
	BaiduURL, BaiduKey, BaiduSecret                   string
	BaiduDeviceType                                   string
	EndpointNetworks                                  string
	LogLevel, LogFormat                               string
	URL, CometURL, Token, Key                         string
	Demo                                              string
}

// setting is one thing that can be set: --name, TIDINGS_NAME or name in tidings.yaml.
type setting struct {
	name     string // in words joined by a hyphen
	fallback string // the default; a process may know a better one
	reason   string // why this is the default, for the operator who wonders
	group    string // which commands take it as a flag
	secret   bool
	field    func(*config) *string
}

// env is the setting's name in the environment.
func (s setting) env() string {
	return "TIDINGS_" + strings.ToUpper(strings.ReplaceAll(s.name, "-", "_"))
}

// key is the setting's name in tidings.yaml.
func (s setting) key() string { return strings.ReplaceAll(s.name, "-", "_") }

// Groups of settings.
const (
	forStores  = "stores"  // where the truth and the conveyor are
	forDoors   = "doors"   // what a server listens on
	forWorkers = "workers" // what a worker serves, and the providers
	forClients = "clients" // where a client command goes, and as whom
	forComet   = "comet"   // how comet is spread
	forLogs    = "logs"
)

// settings is the one table from which flags, environment, file, 'tidings config' and docs/settings.md are made.
var settings = []setting{
	{name: "database-url", group: forStores, fallback: "", field: func(c *config) *string { return &c.DatabaseURL }, secret: true,
		reason: "sqlite:PATH or postgres://...; 'up' keeps SQLite in the data directory, so that nothing needs to be installed; api, worker and comet need PostgreSQL, because SQLite belongs to one process"},
	{name: "redis-url", group: forStores, fallback: "", field: func(c *config) *string { return &c.RedisURL }, secret: true,
		reason: "redis://[USER:PASSWORD@]HOST:PORT[/DB], rediss:// (TLS), unix://PATH[?db=N], redis-sentinel://HOST:PORT,.../MASTER[/DB][?sentinel_password=...] or redis-cluster://HOST:PORT,... (either of these with ?tls=true); see operations.md; 'up' starts a Redis of its own; Redis may vanish at any time, SQL is the truth"},
	{name: "data", group: forStores, fallback: "data", field: func(c *config) *string { return &c.Data },
		reason: "directory of SQLite, the embedded Redis, the master secret and demo.env; a relative path, so that a trial leaves nothing elsewhere"},
	{name: "secret", group: forStores, fallback: "", field: func(c *config) *string { return &c.Secret }, secret: true,
		reason: "master secret of 32 or more characters: seals addresses, signs user tokens and receipt URLs; without it the file 'secret' in the data directory is made once; every process needs the same one"},
	{name: "secret-old", group: forStores, fallback: "", field: func(c *config) *string { return &c.SecretOld }, secret: true,
		reason: "the master secret before this one, or the next one on its way: what it sealed and signed is still taken; see 'tidings keys rotate'"},
	{name: "listen", group: forDoors, fallback: "", field: func(c *config) *string { return &c.Listen },
		reason: "the public door: up and api :8080, comet :8081, worker none"},
	{name: "admin-listen", group: forDoors, fallback: "", field: func(c *config) *string { return &c.AdminListen },
		reason: "metrics, health and pprof: up and api 127.0.0.1:9080, comet 127.0.0.1:9081, worker 127.0.0.1:9082; loopback, because pprof and metrics tell much"},
	{name: "trusted-proxies", group: forDoors, fallback: "", field: func(c *config) *string { return &c.TrustedProxies },
		reason: "networks of your proxies: 10.0.0.0/24,10.1.0.7; their X-Forwarded-For tells who the client is; empty, because whoever may write that header could choose the address that limits and failed sign-ins are counted for"},
	{name: "admin-token", group: forDoors, fallback: "", field: func(c *config) *string { return &c.AdminToken }, secret: true,
		reason: "lets the first admin in; 'up' makes one and keeps it in the data directory; api has none unless set, so that no door is open by default"},
	{name: "public-url", group: forWorkers, fallback: "http://127.0.0.1:8080", field: func(c *config) *string { return &c.PublicURL },
		reason: "where providers reach this system with delivery reports, and users with unsubscribe links; right when the gateway runs on the same machine and nobody gets links"},
	{name: "demo", group: forDoors, fallback: "", field: func(c *config) *string { return &c.Demo },
		reason: "true serves the page /demo, on which anyone who reaches it is one of the demo's users; never where real users are"},
	{name: "lanes", group: forWorkers, fallback: "critical,normal,bulk", field: func(c *config) *string { return &c.Lanes },
		reason: "which lanes a worker serves; all, so that one worker is enough; give critical a worker of its own when bulk is heavy"},
	{name: "channels", group: forWorkers, fallback: "", field: func(c *config) *string { return &c.Channels },
		reason: "which channels a worker delivers on; empty is every channel that is configured: web always, sms with a Kannel user, app with a Baidu key"},
	{name: "concurrency", group: forWorkers, fallback: "64", field: func(c *config) *string { return &c.Concurrency },
		reason: "segments of a lane and channel that are handed to providers at once; twice what one integration bears, so that calls which hang leave room for those to another"},
	{name: "receipt-window", group: forWorkers, fallback: "60s", field: func(c *config) *string { return &c.ReceiptWindow },
		reason: "how long an attempt of unknown outcome waits for a receipt before its type's policy decides; 18s at least, so that nothing of the first call can be under way"},
	{name: "node", group: forWorkers, fallback: "", field: func(c *config) *string { return &c.Node },
		reason: "name of this comet node in leases and bells; empty is the host's name and the process id, which no other process shares"},
	{name: "processes", group: forComet, fallback: "0", field: func(c *config) *string { return &c.Processes },
		reason: "comet processes on one port, kept by a parent; 0 is this one process alone, which holds as many connections as it may have descriptors"},
	{name: "endpoint-networks", group: forWorkers, fallback: "", field: func(c *config) *string { return &c.EndpointNetworks },
		reason: "networks in which endpoints of applications may be called besides public addresses, also by http: 10.20.0.0/16; empty, because whoever makes an endpoint could else reach into ours"},
	{name: "heartbeat", group: forComet, fallback: "25s", field: func(c *config) *string { return &c.Heartbeat },
		reason: "the longest silence on a held connection; proxies cut silent ones after 60s, some mobile networks after 30s; 55s costs half as much with very many connections"},
	{name: "max-connections", group: forComet, fallback: "0", field: func(c *config) *string { return &c.MaxConnections },
		reason: "connections that a comet process holds, one more is answered 503; 0 is 95 % of the descriptors that it may have"},
	{name: "user-connections", group: forComet, fallback: "10", field: func(c *config) *string { return &c.UserConnections },
		reason: "connections of one user on all nodes, one more closes the oldest; all tabs of a browser need one together"},
	{name: "ip-connections", group: forComet, fallback: "1000", field: func(c *config) *string { return &c.IPConnections },
		reason: "connections of clients at one IP address (or IPv6 /64) that a comet process holds, one more is answered 429; 0 is no limit; whole offices and mobile networks stand behind one address, and one machine must not take all places; loopback has no limit"},
	{name: "ip-rate", group: forComet, fallback: "50", field: func(c *config) *string { return &c.IPRate },
		reason: "new connections a second of clients at one IP address to a comet process, more in ten seconds are answered 429; of polls, which are asked again after each answer, ten times as many; 0 is no limit"},
	{name: "kannel-url", group: forWorkers, fallback: "http://127.0.0.1:13013/cgi-bin/sendsms", field: func(c *config) *string { return &c.KannelURL },
		reason: "Kannel's own default port on this machine"},
	{name: "kannel-user", group: forWorkers, fallback: "", field: func(c *config) *string { return &c.KannelUser },
		reason: "user of Kannel's group sendsms-user; empty leaves the channel sms unconfigured"},
	{name: "kannel-password", group: forWorkers, fallback: "", field: func(c *config) *string { return &c.KannelPassword }, secret: true,
		reason: "password of that user"},
	{name: "kannel-from", group: forWorkers, fallback: "", field: func(c *config) *string { return &c.KannelFrom },
		reason: "sender shown on the phone; empty is the gateway's own"},
	{name: "baidu-url", group: forWorkers, fallback: "https://api.tuisong.baidu.com", field: func(c *config) *string { return &c.BaiduURL },
		reason: "Baidu Cloud Push's REST 3.0 service; TLS, because the request carries the message"},
	{name: "baidu-key", group: forWorkers, fallback: "", field: func(c *config) *string { return &c.BaiduKey },
		reason: "API key of the app at Baidu; empty leaves the channel app unconfigured"},
	{name: "baidu-secret", group: forWorkers, fallback: "", field: func(c *config) *string { return &c.BaiduSecret }, secret: true,
		reason: "secret key of the app at Baidu, with which requests are signed"},
	{name: "baidu-device-type", group: forWorkers, fallback: "", field: func(c *config) *string { return &c.BaiduDeviceType },
		reason: "3 for Android, 4 for iOS; empty lets Baidu take the app's only platform"},
	{name: "log-level", group: forLogs, fallback: "info", field: func(c *config) *string { return &c.LogLevel },
		reason: "debug, info, warn or error; info is a line for each start, stop and fault, none for each message"},
	{name: "log-format", group: forLogs, fallback: "text", field: func(c *config) *string { return &c.LogFormat },
		reason: "text for people, json for collectors"},
	{name: "url", group: forClients, fallback: "http://127.0.0.1:8080", field: func(c *config) *string { return &c.URL },
		reason: "the API that client commands talk to: where 'tidings up' listens"},
	{name: "comet-url", group: forClients, fallback: "", field: func(c *config) *string { return &c.CometURL },
		reason: "where pages and 'tidings tail' reach comet; empty is the same place as the API, as with 'up' or behind one proxy"},
	{name: "token", group: forClients, fallback: "", field: func(c *config) *string { return &c.Token }, secret: true,
		reason: "a user token, for what a merchant's user may do: tail, history"},
	{name: "key", group: forClients, fallback: "", field: func(c *config) *string { return &c.Key }, secret: true,
		reason: "an application's, merchant's or admin's key (tdk_, tdm_, tda_), for all else; without it the admin token is used"},
}

// value is what a setting is set to, and where that was said.
type value struct {
	setting
	text   string
	source string // "flag", "environment", the file's name or "default"
}

// withSettings gives a command the flags of groups of settings.
func withSettings(c *cobra.Command, groups ...string) *cobra.Command {
	for _, s := range settings {
		if slices.Contains(groups, s.group) {
			usage, _, _ := strings.Cut(s.reason, ";")
			c.Flags().String(s.name, "", usage+" ["+s.env()+"]")
			if s.name == "demo" {
				c.Flags().Lookup(s.name).NoOptDefVal = "true"
			}
		}
	}
	return c
}

// load reads every setting: flags before the environment before tidings.yaml before the default.
func load(c *cobra.Command, getenv func(string) string) (*config, []value, error) {
	file, name, err := readSettings(c, getenv)
	if err != nil {
		return nil, nil, err
	}
	cfg, values := &config{}, make([]value, 0, len(settings))
	for _, s := range settings {
		v := value{setting: s, text: s.fallback, source: "default"}
		if text, ok := file[s.key()]; ok {
			v.text, v.source = text, name
		}
		if text := getenv(s.env()); text != "" {
			v.text, v.source = text, "environment"
		}
		if f := c.Flags().Lookup(s.name); f != nil && f.Changed {
			v.text, v.source = f.Value.String(), "flag"
		}
		*s.field(cfg) = v.text
		values = append(values, v)
	}
	return cfg, values, nil
}

// readSettings reads tidings.yaml, or the file that --config or TIDINGS_CONFIG names. A key that is no setting is refused:
// it is most often a misspelt one, and silence would leave the default in force.
func readSettings(c *cobra.Command, getenv func(string) string) (map[string]string, string, error) {
	name, _ := c.Flags().GetString("config")
	if name == "" {
		name = getenv("TIDINGS_CONFIG")
	}
	named := name != ""
	if !named {
		name = "tidings.yaml"
	}
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) && !named {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	found := map[string]any{}
	if err := yaml.Unmarshal(text, &found); err != nil {
		return nil, "", fmt.Errorf("%s: %w", name, err)
	}
	values := map[string]string{}
	for key, v := range found {
		if !slices.ContainsFunc(settings, func(s setting) bool { return s.key() == key }) {
			return nil, "", fmt.Errorf("%s: no setting is called %q; 'tidings config' lists them", name, key)
		}
		if values[key], err = scalar(v); err != nil {
			return nil, "", fmt.Errorf("%s: %s: %w", name, key, err)
		}
	}
	return values, filepath.Base(name), nil
}

// scalar writes a value of tidings.yaml as a flag would have it; a list is joined by commas.
func scalar(v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", nil
	case string, bool, int64, uint64, int, float64:
		return fmt.Sprint(v), nil
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = fmt.Sprint(e)
		}
		return strings.Join(parts, ","), nil
	}
	return "", errors.New("must be a text, a number or a list")
}
