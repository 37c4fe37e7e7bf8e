package baidu

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Record is a push that was taken.
type Record struct {
	MsgID      string    `json:"msg_id"`
	App        string    `json:"app"`
	Method     string    `json:"method"`
	Channels   []string  `json:"channels"`         // the devices it went to
	Failed     int       `json:"failed,omitempty"` // unknown devices of a batch
	Msg        string    `json:"msg"`
	Message    string    `json:"message"` // the sender's own id of it, in the content
	Attempt    int       `json:"attempt"` // how often that message came to one of the devices by now
	MsgExpires int64     `json:"msg_expires,omitempty"`
	DeviceType string    `json:"device_type,omitempty"`
	Topic      string    `json:"topic_id,omitempty"`
	At         time.Time `json:"at"`
}

// Duplicate is a message that came to a device more than once.
type Duplicate struct {
	App     string `json:"app"`
	Channel string `json:"channel_id"`
	Message string `json:"message"`
	Times   int    `json:"times"`
}

func (s *Simulator) inspection() {
	show := func(path string, what func() any) {
		s.mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, what()) })
	}
	show("/_sim/records", func() any { return s.Records() })
	show("/_sim/duplicates", func() any { return s.Duplicates() })
	show("/_sim/stats", func() any { return s.Stats() })
	s.mux.HandleFunc("POST /_sim/faults", s.addFault)
	s.mux.HandleFunc("POST /_sim/devices", s.addDevices)
	s.mux.HandleFunc("POST /_sim/clock", s.setClock)
	s.mux.HandleFunc("POST /_sim/reset", func(http.ResponseWriter, *http.Request) { s.Reset() })
}

// Bind registers devices of an app. It tells whether there is such an app.
func (s *Simulator) Bind(key string, channels ...string) bool {
	return s.register(key, channels, true)
}

// Unbind forgets devices of an app. It tells whether there is such an app.
func (s *Simulator) Unbind(key string, channels ...string) bool {
	return s.register(key, channels, false)
}

// Tag gives devices of an app a tag, as the app does.
func (s *Simulator) Tag(key, tag string, channels ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.apps[key]
	if a.tags[tag] == nil {
		a.tags[tag] = map[string]bool{}
	}
	for _, c := range channels {
		a.tags[tag][c] = true
	}
}

func (s *Simulator) register(key string, channels []string, bound bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.apps[key]
	if a == nil {
		return false
	}
	for _, c := range channels {
		delete(a.devices, c)
		if bound {
			a.devices[c] = true
		}
	}
	return true
}

func (s *Simulator) addDevices(w http.ResponseWriter, r *http.Request) {
	var in struct {
		App      string   `json:"app"`
		Channels []string `json:"channel_ids"`
		Unbind   bool     `json:"unbind"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || !s.register(in.App, in.Channels, !in.Unbind) {
		http.Error(w, "devices have app (a known one), channel_ids, unbind", http.StatusBadRequest)
	}
}

func (s *Simulator) setClock(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Offset int64 `json:"offset_s"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		http.Error(w, "the clock has offset_s", http.StatusBadRequest)
		return
	}
	s.SetClock(time.Duration(in.Offset) * time.Second)
}

// SetClock sets how far the simulator's clock is ahead.
func (s *Simulator) SetClock(offset time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.offset = offset
}

// Reset forgets records, faults and the clock's offset. Devices and tags stay.
func (s *Simulator) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records, s.faults, s.offset = nil, nil, 0
	s.seen, s.stats, s.messages = map[string]int{}, map[string]int{}, map[string]message{}
}

// Records lists every push that was taken.
func (s *Simulator) Records() []Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.records)
}

// Stats counts calls: accepted, refused, foreign_user_agent.
func (s *Simulator) Stats() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.stats)
}

// Duplicates lists messages that came to one device more than once.
func (s *Simulator) Duplicates() []Duplicate {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []Duplicate{}
	for _, key := range sorted(s.seen) {
		if parts := strings.SplitN(key, " ", 3); s.seen[key] > 1 && parts[2] != "" {
			list = append(list, Duplicate{App: parts[0], Channel: parts[1], Message: parts[2], Times: s.seen[key]})
		}
	}
	return list
}

// Run serves a simulator with one app until ctx ends. It prints the URL on which it listens.
func Run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("baidu", flag.ContinueOnError)
	flags.SetOutput(out)
	listen := flags.String("listen", "127.0.0.1:0", "address to listen on")
	c := Config{Log: out}
	var a App
	flags.StringVar(&a.Key, "key", "demo", "the app's key")
	flags.StringVar(&a.Secret, "secret", "demo", "the app's secret")
	flags.BoolVar(&a.Android, "android", true, "the app is registered for Android")
	flags.BoolVar(&a.IOS, "ios", false, "the app is registered for iOS")
	flags.Float64Var(&a.Rate, "rate", 0, "calls a second; 0: no limit")
	flags.IntVar(&a.Quota, "quota", 0, "pushes a day; 0: no limit")
	flags.BoolVar(&a.NoUnicast, "no-unicast", false, "the app may not push to single devices")
	flags.BoolVar(&a.Unapproved, "unapproved", false, "the app is not approved")
	devices := flags.String("devices", "", "channel ids, separated by commas; empty: every well-formed one is a device")
	flags.BoolVar(&c.Strict, "strict", false, "refuse a User-Agent that is not an SDK's")
	flags.IntVar(&c.Plain, "status", 0, "HTTP status of every refusal; 0: by its kind")
	flags.BoolVar(&c.NumberID, "number-id", false, "msg_id as a number")
	if err := flags.Parse(args); err != nil {
		return err
	}
	a.AnyDevice = *devices == ""
	c.Apps = []App{a}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	s := New(c)
	s.Bind(a.Key, strings.FieldsFunc(*devices, func(r rune) bool { return r == ',' })...)
	defer s.Close()
	fmt.Fprintf(out, "Baidu Push simulator listens on http://%s\n", listener.Addr())
	server := &http.Server{Handler: s, ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(listener); ctx.Err() == nil {
		return err
	}
	return nil
}
