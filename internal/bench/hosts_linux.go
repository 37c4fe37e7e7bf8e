package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"tidings"
	"tidings/auth"
	"tidings/comet"
	"tidings/internal/fleet"
	"tidings/internal/proctest"
	"tidings/internal/redistest"
	"tidings/internal/sqltest"
	"tidings/sql"
)

// stores are what a fleet of comets stands on, and the workers' end of it: what appends to the streams.
type stores struct {
	database string
	redis    *redistest.Server
	db       *sql.DB
	streams  *comet.Streams
	end      context.CancelFunc
}

func openStores(ctx context.Context, settings ...string) (*stores, error) {
	server, err := sqltest.Start(append(settings, "max_connections=1000")...)
	if err != nil {
		return nil, err
	}
	rds, err := redistest.Run("--stream-node-max-bytes", "512", "--maxclients", "10000")
	if err != nil {
		return nil, err
	}
	s := &stores{database: server, redis: rds}
	if s.db, err = sql.Open(ctx, sql.Options{URL: server, Sealer: auth.NewSealer([]byte(fleetSecret))}); err != nil {
		return nil, err
	}
	ctx, s.end = context.WithCancel(ctx)
	s.streams = comet.NewStreams(rds.Client, s.db, nil)
	go func() { _ = s.streams.Run(ctx) }()
	return s, nil
}

func (s *stores) close() error {
	s.end()
	return s.db.Close()
}

// send appends entries to the users' streams, as the deliver stage does once they are committed.
func (s *stores) send(ctx context.Context, batch []post) error {
	entries := make([]tidings.UserEntry, len(batch))
	for i, p := range batch {
		entries[i] = tidings.UserEntry{User: "u" + strconv.Itoa(p.user), Entry: tidings.Entry{Number: int64(p.number), ID: tidings.ID(p.stamp),
			Application: application, Type: "note", Title: strconv.FormatInt(p.stamp, 10), Body: text, Via: []string{"m:m"}}}
	}
	return s.streams.Append(ctx, entries)
}

// startTidings starts 'tidings comet --processes'.
func startTidings(ctx context.Context, dir string, o holdOptions) (*host, error) {
	say("starting PostgreSQL, Redis and %d comet processes", o.processes)
	s, err := openStores(ctx)
	if err != nil {
		return nil, err
	}
	binary, err := fleet.Build(dir)
	if err != nil {
		return nil, err
	}
	f := fleet.New(dir, binary, s.database, s.redis.URL, "TIDINGS_HEARTBEAT="+o.heartbeat, "TIDINGS_IP_RATE=0")
	p, err := f.Start("comet", "comet", "--processes", strconv.Itoa(o.processes))
	if err != nil {
		return nil, err
	}
	host := &host{name: "tidings", addresses: []string{strings.TrimPrefix(p.URL, "http://")}, path: "/comet/events?client=c%d", secret: fleetSecret,
		admin: p.Admin, pids: func() []int { return childrenOf(p.PID()) }, send: s.send}
	host.heap = func(ctx context.Context) (sum uint64) {
		for i := range o.processes {
			sum += heapInUse(ctx, portAfter(p.Admin, i))
		}
		return sum
	}
	err = proctest.Until(time.Minute, func() error {
		for i := range o.processes {
			if err := fleet.Ready(portAfter(p.Admin, i)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, f.Logs())
	}
	host.stop = func() error { return errors.Join(f.Stop(), s.close()) }
	return host, nil
}

// childrenOf are the process ids of a process's children.
func childrenOf(pid int) (pids []int) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, name := range tasks {
		list, _ := os.ReadFile(name)
		for _, word := range strings.Fields(string(list)) {
			if child, err := strconv.Atoi(word); err == nil {
				pids = append(pids, child)
			}
		}
	}
	return pids
}

// portAfter is an admin door some ports after the first one.
func portAfter(url string, by int) string {
	at := strings.LastIndexByte(url, ':')
	port, _ := strconv.Atoi(url[at+1:])
	return url[:at+1] + strconv.Itoa(port+by)
}

// heapInUse asks a process for what its Go heap holds, garbage included.
func heapInUse(ctx context.Context, admin string) uint64 {
	text, err := fetch(ctx, admin+"/metrics")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "go_memstats_heap_inuse_bytes "); ok {
			n, _ := strconv.ParseFloat(strings.TrimSpace(value), 64)
			return uint64(n)
		}
	}
	return 0
}

func fetch(ctx context.Context, url string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close() //nolint:errcheck // read whole
	return io.ReadAll(answer.Body)
}

// saveProfile writes the heap profile of one server.
func saveProfile(ctx context.Context, h *host, name string) error {
	text, err := fetch(ctx, h.admin+"/debug/pprof/heap?gc=1")
	if err != nil {
		return err
	}
	return os.WriteFile(name, text, 0o644)
}

const nchanConfig = `worker_processes %d;
worker_rlimit_nofile %d;
daemon off;
master_process on;
pid nginx.pid;
error_log error.log;
load_module %s;
events { worker_connections %d; }
http {
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  nchan_shared_memory_size 2048M;
  keepalive_requests 100000000;
  server {
    listen 127.0.0.1:%d reuseport backlog=4096;
    location = /sub { nchan_subscriber eventsource; nchan_channel_id $arg_id; nchan_subscriber_first_message newest; }
    location = /pub { nchan_publisher; nchan_channel_id $arg_id; nchan_message_buffer_length 10; nchan_message_timeout 60s; }
  }
}
`

// startNchan starts Debian's nginx with Nchan, its store in memory, with as many workers as descriptors ask for.
func startNchan(_ context.Context, dir string, o holdOptions) (*host, error) {
	module := "/usr/lib/nginx/modules/ngx_nchan_module.so"
	if _, err := os.Stat(module); err != nil {
		return nil, fmt.Errorf("Nchan is missing: scripts/setup bench: %w", err)
	}
	port, err := fleet.Port()
	if err != nil {
		return nil, err
	}
	at := filepath.Join(dir, "nginx")
	if err := os.MkdirAll(at, 0o755); err != nil {
		return nil, err
	}
	limit := 20_000
	config := fmt.Sprintf(nchanConfig, max(2, o.processes), limit, module, limit-100, port)
	if err := os.WriteFile(filepath.Join(at, "nginx.conf"), []byte(config), 0o644); err != nil {
		return nil, err
	}
	p, err := proctest.Start(proctest.Spec{Command: []string{"nginx", "-p", at, "-e", filepath.Join(at, "error.log"), "-c", filepath.Join(at, "nginx.conf")}, Dir: at, End: 15})
	if err != nil {
		return nil, err
	}
	address := "127.0.0.1:" + strconv.Itoa(port)
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	h := &host{name: "Nchan", addresses: []string{address}, path: "/sub?id=u%d", pids: func() []int { return childrenOf(p.PID()) }, stop: p.Stop}
	h.send = func(ctx context.Context, batch []post) error { return publish(ctx, client, address, batch) }
	return h, proctest.Until(10*time.Second, func() error {
		if len(h.pids()) == 0 {
			return errors.New("nginx has no workers: " + p.Log())
		}
		return h.send(context.Background(), []post{{-1, 1, 1}})
	})
}

// publish posts a batch, 32 at once.
func publish(ctx context.Context, client *http.Client, address string, batch []post) error {
	next := make(chan post)
	errs := make(chan error, 32)
	var wg sync.WaitGroup
	for range min(32, len(batch)) {
		wg.Go(func() {
			for p := range next {
				body := fmt.Sprintf(`{"messages":[{"number":%d,"type":"note","title":"%d","body":"%s"}]}`, p.number, p.stamp, text)
				r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/pub?id=u"+strconv.Itoa(p.user), bytes.NewReader([]byte(body)))
				if err == nil {
					var answer *http.Response
					if answer, err = client.Do(r); err == nil {
						_, _ = io.Copy(io.Discard, answer.Body)
						_ = answer.Body.Close()
						if answer.StatusCode >= 300 {
							err = errors.New(answer.Status)
						}
					}
				}
				if err != nil {
					select {
					case errs <- err:
					default:
					}
				}
			}
		})
	}
	for _, p := range batch {
		next <- p
	}
	close(next)
	wg.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}
