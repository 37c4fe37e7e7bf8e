// Package baidu simulates the server of Baidu Cloud Push, REST API 3.0: signatures, parameters, error codes, limits, and the
// ways in which a far side fails. It reads the signature by its own code, so that an error in our client's does not
// agree with itself. It never drops a repeat: nothing says that Baidu does.
//
// What Baidu answers is known by error code; its HTTP status codes mostly are not, and are settings here (Config.Plain) so
// that no test depends on them.
package baidu

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Config says how the simulator behaves.
type Config struct {
	Apps   []App
	Hosts  []string // hosts that signatures may name besides the one that was called
	Strict bool     // refuse callers whose User-Agent is not an SDK's
	// Plain answers every error with 200 or 400 instead of a status by its kind, for the codes whose status is unknown.
	Plain    int
	NumberID bool // msg_id as a number instead of a string; Baidu's documents show both
	Now      func() time.Time
	Log      io.Writer // a line for each push that is taken; nil: none
}

// App is a registered application.
type App struct {
	Key, Secret string
	Android     bool
	IOS         bool
	Rate        float64 // calls a second, with a burst of one second; 0: no limit
	Quota       int     // pushes a day; 0: no limit
	NoUnicast   bool
	Unapproved  bool
	AnyDevice   bool // takes every well-formed channel_id as a device of its
}

// DefaultHosts are Baidu's.
var DefaultHosts = []string{"api.tuisong.baidu.com", "api.push.baidu.com", "channel.api.duapp.com"}

// Simulator is the server. It is an http.Handler.
type Simulator struct {
	config Config
	mux    *http.ServeMux
	ctx    context.Context
	stop   context.CancelFunc

	mu       sync.Mutex
	apps     map[string]*app
	offset   time.Duration // of the simulator's clock
	request  uint32
	next     int64 // message ids
	records  []Record
	seen     map[string]int // accepted pushes by app, channel and message id
	faults   []*Fault
	stats    map[string]int
	messages map[string]message // by msg_id
}

// app is an App and what it used up.
type app struct {
	App
	devices map[string]bool
	tags    map[string]map[string]bool
	timers  map[string]bool
	tokens  float64
	filled  time.Time
	day     string
	used    int
}

type message struct {
	unicast bool
	sent    time.Time
}

// New returns a simulator. An App without a platform is an Android one.
func New(c Config) *Simulator {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Hosts == nil {
		c.Hosts = DefaultHosts
	}
	ctx, stop := context.WithCancel(context.Background())
	s := &Simulator{config: c, mux: http.NewServeMux(), ctx: ctx, stop: stop, apps: map[string]*app{}, next: 24234532453245, request: 123456789}
	for _, a := range c.Apps {
		a.Android = a.Android || !a.IOS
		s.apps[a.Key] = &app{App: a, devices: map[string]bool{}, tags: map[string]map[string]bool{}, timers: map[string]bool{}, tokens: a.Rate}
	}
	s.Reset()
	s.inspection()
	s.mux.HandleFunc("/", s.serve)
	return s
}

// Close ends the calls that hang.
func (s *Simulator) Close() { s.stop() }

func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Host != "" { // a client that takes us for its proxy
		r.Host = r.URL.Host
	}
	s.mux.ServeHTTP(w, r)
}

// call is a request that is being checked.
type call struct {
	method     string // "push/single_device"
	parameters url.Values
	app        *app
	now        time.Time
}

// serve is a call of the API: checks, then the fault that may be set, then the method.
func (s *Simulator) serve(w http.ResponseWriter, r *http.Request) {
	c, problem := s.check(r)
	if problem == nil {
		problem = s.admit(c)
	}
	if problem != nil {
		s.refuse(w, problem)
		return
	}
	fault := s.fault(c)
	if !s.before(w, r, fault) {
		return
	}
	result, problem := methods[c.method].run(s, c)
	if problem != nil {
		s.refuse(w, problem)
		return
	}
	s.after(w, fault, result)
}

// check is everything that does not depend on what the app used before, in the order in which the service is taken to do it.
func (s *Simulator) check(r *http.Request) (*call, *problem) {
	name, ok := strings.CutPrefix(r.URL.Path, "/rest/3.0/")
	m, known := methods[name]
	if !ok || !known {
		return nil, &problem{code: notFound, status: 404}
	}
	if r.Method != http.MethodPost && (!m.query || r.Method != http.MethodGet) {
		return nil, &problem{code: methodNotAllowed, status: 405}
	}
	parameters, bad := readParameters(r)
	if bad != nil {
		return nil, bad
	}
	for _, required := range []string{"apikey", "timestamp", "sign"} {
		if parameters.Get(required) == "" {
			return nil, invalid(required)
		}
	}
	for _, number := range []string{"timestamp", "expires", "device_type"} {
		if v := parameters.Get(number); v != "" && !isNumber(v) {
			return nil, invalid(number)
		}
	}
	s.mu.Lock()
	a := s.apps[parameters.Get("apikey")]
	now := s.config.Now().Add(s.offset)
	s.mu.Unlock()
	c := &call{method: name, parameters: parameters, app: a, now: now}
	if a == nil || !s.signed(r, parameters, a.Secret) {
		return nil, &problem{code: unauthenticated, status: 403}
	}
	return c, s.checkCaller(r, c)
}

func (s *Simulator) checkCaller(r *http.Request, c *call) *problem {
	timestamp, expires := integer(c.parameters.Get("timestamp")), integer(c.parameters.Get("expires"))
	if expires == 0 {
		expires = timestamp + 600
	}
	if now := c.now.Unix(); now > expires || timestamp > now+600 {
		return &problem{code: requestExpired, status: 403}
	}
	switch platform := c.parameters.Get("device_type"); {
	case platform == "" && c.app.Android && c.app.IOS, platform != "" && platform != "3" && platform != "4",
		platform == "3" && !c.app.Android, platform == "4" && !c.app.IOS:
		return invalid("device_type")
	}
	if !strings.HasPrefix(r.UserAgent(), "BCCS_SDK/3.0") {
		s.count("foreign_user_agent")
		if s.config.Strict {
			return &problem{code: unauthenticated, status: 403}
		}
	}
	return nil
}

// readParameters reads query and form. Only a form in valid UTF-8 is one.
func readParameters(r *http.Request) (url.Values, *problem) {
	parameters, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, invalid("query")
	}
	if r.Method == http.MethodPost {
		kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
		body, err := io.ReadAll(io.LimitReader(r.Body, 4<<20))
		if err != nil || !strings.EqualFold(strings.TrimSpace(kind), "application/x-www-form-urlencoded") {
			return nil, invalid("content-type")
		}
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, invalid("body")
		}
		for name, values := range form {
			parameters[name] = append(parameters[name], values...)
		}
	}
	for name, values := range parameters {
		if len(values) != 1 || !utf8.ValidString(name+values[0]) {
			return nil, invalid(name)
		}
	}
	return parameters, nil
}

// admit takes the call off the app's rate and quota.
func (s *Simulator) admit(c *call) *problem {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := c.app
	if a.Rate > 0 {
		if !a.filled.IsZero() {
			a.tokens = min(a.Rate, a.tokens+c.now.Sub(a.filled).Seconds()*a.Rate)
		}
		a.filled = c.now
		if a.tokens < 1 {
			return &problem{code: tooFrequent, status: 503}
		}
		a.tokens--
	}
	if !strings.HasPrefix(c.method, "push/") {
		return nil
	}
	if day := c.now.UTC().Format(time.DateOnly); day != a.day {
		a.day, a.used = day, 0
	}
	if a.Quota > 0 && a.used >= a.Quota {
		return &problem{code: quotaUsedUp, status: 402}
	}
	switch {
	case a.Unapproved:
		return &problem{code: notApproved, status: 403}
	case a.NoUnicast && c.method == "push/single_device":
		return &problem{code: noUnicast, status: 403}
	}
	a.used++
	return nil
}

func isNumber(s string) bool {
	_, err := strconv.ParseInt(s, 10, 64)
	return err == nil
}

// integer reads a number that was checked before; 0 if it is absent.
func integer(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}
