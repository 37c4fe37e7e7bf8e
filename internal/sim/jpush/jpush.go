// Package jpush simulates JPush's push and report APIs, v3: Basic authentication, cids, registration ids, limits, error codes. A cid is
// good for a day; a push with one that was used is answered with the first push's result and goes to nobody.
package jpush

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Config says how the simulator behaves.
type Config struct {
	Key, Secret string
	Devices     []string // registration ids; empty: every one
	Rate        int      // calls a minute; 0: no limit
	Now         func() time.Time
	Log         io.Writer // a line for each push that is taken; nil: none
}

// Record is a push that was taken.
type Record struct {
	ID        string         `json:"msg_id"`
	CID       string         `json:"cid"`
	Devices   []string       `json:"devices"` // those that the app has
	Platforms []string       `json:"platforms"`
	Body      string         `json:"body"`
	Extras    map[string]any `json:"extras"`
	Options   map[string]any `json:"options"`
}

// Fault is what becomes of the next pushes: an error code, or an answer that is lost.
type Fault struct {
	Code   int  `json:"code"`
	Status int  `json:"status"` // 0: 400
	Lose   bool `json:"lose"`   // take the push and close the connection without an answer
	Count  int  `json:"count"`  // how many pushes; 0: one
}

// Simulator is the server. It is an http.Handler.
type Simulator struct {
	config Config
	mux    *http.ServeMux

	mu      sync.Mutex
	next    int64
	issued  map[string]time.Time // cids
	results map[string]string    // the push of each cid that was used
	records []Record
	arrived map[string]int // by msg_id and device: what the report says
	faults  []*Fault
	minute  int64
	calls   int
}

// New returns a simulator.
func New(c Config) *Simulator {
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Simulator{config: c, mux: http.NewServeMux(), next: 18_100_287_654_321, issued: map[string]time.Time{}, results: map[string]string{}, arrived: map[string]int{}}
	s.mux.HandleFunc("GET /v3/push/cid", s.cids)
	s.mux.HandleFunc("POST /v3/push", s.push)
	s.mux.HandleFunc("POST /v3/status/message", s.status)
	s.mux.HandleFunc("GET /_sim/records", func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, s.Records()) })
	s.mux.HandleFunc("POST /_sim/faults", func(w http.ResponseWriter, r *http.Request) {
		var f Fault
		if err := json.NewDecoder(r.Body).Decode(&f); err != nil {
			http.Error(w, "a fault has code, status, lose, count", http.StatusBadRequest)
			return
		}
		s.Fail(f)
	})
	return s
}

func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if key, secret, ok := r.BasicAuth(); !strings.HasPrefix(r.URL.Path, "/_sim/") && (!ok || key != s.config.Key || secret != s.config.Secret) {
		refuse(w, 401, 1004, "Authen failed")
		return
	}
	s.mux.ServeHTTP(w, r)
}

// Records lists every push that was taken.
func (s *Simulator) Records() []Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Record{}, s.records...)
}

// Issued counts the cids that were handed out.
func (s *Simulator) Issued() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.issued)
}

// Report sets what the report API says of a push on a device: 0 delivered, 1 not delivered, 2 and 3 not a target, 4 an error.
func (s *Simulator) Report(id, device string, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arrived[id+" "+device] = status
}

// Fail sets a fault.
func (s *Simulator) Fail(f Fault) {
	f.Count = max(f.Count, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
}

func (s *Simulator) fault() *Fault {
	for _, f := range s.faults {
		if f.Count > 0 {
			f.Count--
			return f
		}
	}
	return nil
}

func refuse(w http.ResponseWriter, status, code int, text string) {
	answer(w, status, map[string]any{"error": map[string]any{"code": code, "message": text}})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

func (s *Simulator) cids(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.URL.Query().Get("count"))
	if err != nil || n < 1 || n > 10 {
		refuse(w, 400, 1003, "count is invalid")
		return
	}
	list := make([]string, n)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range list {
		list[i] = s.config.Key + "-" + rand.Text()
		s.issued[list[i]] = s.config.Now()
	}
	answer(w, 200, map[string]any{"cidlist": list})
}

// request is a push's body.
type request struct {
	CID      string          `json:"cid"`
	Platform json.RawMessage `json:"platform"` // "all" or a list
	Audience struct {
		IDs []string `json:"registration_id"`
	} `json:"audience"`
	Notification map[string]struct {
		Title  string          `json:"title"`
		Alert  json.RawMessage `json:"alert"` // a string; iOS: or an object
		Sound  string          `json:"sound"`
		Extras map[string]any  `json:"extras"`
	} `json:"notification"`
	Options map[string]any `json:"options"`
}

func (s *Simulator) push(w http.ResponseWriter, r *http.Request) {
	var q request
	decoder := json.NewDecoder(io.LimitReader(r.Body, 1<<20))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&q); err != nil {
		refuse(w, 400, 1003, "not a push: "+err.Error())
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.config.Now()
	if minute := now.Unix() / 60; minute != s.minute {
		s.minute, s.calls = minute, 0
	}
	if s.calls++; s.config.Rate > 0 && s.calls > s.config.Rate {
		w.Header().Set("X-Rate-Limit-Limit", strconv.Itoa(s.config.Rate))
		w.Header().Set("X-Rate-Limit-Remaining", "0")
		w.Header().Set("X-Rate-Limit-Reset", strconv.FormatInt(60-now.Unix()%60, 10))
		refuse(w, 429, 2002, "Rate limit exceeded")
		return
	}
	fault := s.fault()
	if fault != nil && !fault.Lose {
		refuse(w, max(fault.Status, 400), fault.Code, "simulated")
		return
	}
	if q.CID != "" {
		issued, ok := s.issued[q.CID]
		if !ok || now.Sub(issued) > 24*time.Hour {
			refuse(w, 400, 1003, "cid is invalid")
			return
		}
		if id, used := s.results[q.CID]; used {
			answer(w, 200, map[string]string{"sendno": "0", "msg_id": id})
			return
		}
	}
	id, status, code, text := s.take(q)
	if text != "" {
		refuse(w, status, code, text)
		return
	}
	if fault != nil {
		panic(http.ErrAbortHandler)
	}
	answer(w, 200, map[string]string{"sendno": "0", "msg_id": id})
}

// take checks a push and records it, under the lock.
func (s *Simulator) take(q request) (id string, status, code int, text string) {
	var platforms []string
	if json.Unmarshal(q.Platform, &platforms) != nil && string(q.Platform) != `"all"` {
		return "", 400, 1003, "platform is invalid"
	}
	record := Record{CID: q.CID, Platforms: platforms, Options: q.Options}
	for _, p := range platforms {
		n, ok := q.Notification[p]
		if !ok || !slices.Contains([]string{"android", "ios", "hmos"}, p) {
			return "", 400, 1003, "platform " + p + " is invalid"
		}
		var alert struct{ Title, Body string }
		if json.Unmarshal(n.Alert, &alert.Body) != nil && json.Unmarshal(n.Alert, &alert) != nil {
			return "", 400, 1003, "alert is invalid"
		}
		if len(n.Title)+len(n.Alert) > 4000 {
			return "", 400, 1005, "Message too long"
		}
		record.Body, record.Extras = alert.Body, n.Extras
	}
	if ttl, ok := q.Options["time_to_live"].(float64); ok && (ttl < 0 || ttl > 864_000) {
		return "", 400, 1003, "time_to_live is invalid"
	}
	if len(q.Audience.IDs) == 0 || len(q.Audience.IDs) > 1000 {
		return "", 400, 1003, "registration_id is invalid"
	}
	for _, d := range q.Audience.IDs {
		if len(s.config.Devices) == 0 || slices.Contains(s.config.Devices, d) {
			record.Devices = append(record.Devices, d)
		}
	}
	if len(record.Devices) == 0 {
		return "", 400, 1011, "cannot find user by this audience"
	}
	s.next++
	record.ID = strconv.FormatInt(s.next, 10)
	s.records = append(s.records, record)
	if q.CID != "" {
		s.results[q.CID] = record.ID
	}
	if s.config.Log != nil {
		fmt.Fprintf(s.config.Log, "jpush: to %s: %s\n", strings.Join(record.Devices, ","), record.Body)
	}
	return record.ID, 0, 0, ""
}

// status is the report on a push on some devices, for VIP accounts.
func (s *Simulator) status(w http.ResponseWriter, r *http.Request) {
	var q struct {
		ID      int64    `json:"msg_id"`
		Devices []string `json:"registration_ids"`
		Date    string   `json:"date"`
	}
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil || q.ID == 0 {
		refuse(w, 400, 3002, "msg_id is invalid")
		return
	}
	if _, err := time.Parse(time.DateOnly, q.Date); err != nil {
		refuse(w, 400, 3002, "date is invalid")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]any{}
	for _, d := range q.Devices {
		status, ok := s.arrived[strconv.FormatInt(q.ID, 10)+" "+d]
		if !ok {
			status = 1
		}
		out[d] = map[string]int{"status": status}
	}
	answer(w, 200, out)
}

// Run serves a simulator until ctx ends. It prints the URL on which it listens.
func Run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("jpush", flag.ContinueOnError)
	flags.SetOutput(out)
	listen := flags.String("listen", "127.0.0.1:0", "address to listen on")
	c := Config{Log: out}
	flags.StringVar(&c.Key, "key", "demo", "the app's AppKey")
	flags.StringVar(&c.Secret, "secret", "demo", "the app's Master Secret")
	flags.IntVar(&c.Rate, "rate", 0, "pushes a minute; 0: no limit")
	devices := flags.String("devices", "", "registration ids, separated by commas; empty: every one is a device")
	if err := flags.Parse(args); err != nil {
		return err
	}
	c.Devices = strings.FieldsFunc(*devices, func(r rune) bool { return r == ',' })
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "JPush simulator listens on http://%s\n", listener.Addr())
	server := &http.Server{Handler: New(c), ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(listener); ctx.Err() == nil {
		return err
	}
	return nil
}
