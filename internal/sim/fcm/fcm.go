// Package fcm simulates Firebase Cloud Messaging, HTTP v1, and Google's token endpoint beside it: service accounts' JWTs, access
// tokens and their end, registration tokens, limits, FCM's errors. It checks signatures by its own code. It never drops a repeat,
// because FCM does not; what a device shows at the end is told by Shown, where a repeat with the same tag replaces the first.
package fcm

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Config says how the simulator behaves.
type Config struct {
	Project   string
	Devices   []string // registration tokens; empty: every well-formed one
	TokenLife time.Duration
	Now       func() time.Time
	Log       io.Writer // a line for each push that is taken; nil: none
}

// Record is a push that was taken.
type Record struct {
	Name     string            `json:"name"`
	Token    string            `json:"token"`
	Title    string            `json:"title"`
	Body     string            `json:"body"`
	Data     map[string]string `json:"data"`
	Tag      string            `json:"tag"`
	Collapse string            `json:"collapse_key"`
	TTL      string            `json:"ttl"`
	APNS     map[string]string `json:"apns_headers"`
}

// Fault is what becomes of the next pushes: an error with one of FCM's codes, or an answer that is lost.
type Fault struct {
	Code       string `json:"code"`        // "UNAVAILABLE"; a canonical code ("INTERNAL") without FCM's own if Plain
	Plain      bool   `json:"plain"`       // the fault lies before FCM: no error.details
	RetryAfter int    `json:"retry_after"` // seconds
	Lose       bool   `json:"lose"`        // take the push and close the connection without an answer
	Count      int    `json:"count"`       // how many pushes; 0: one
}

// Simulator is the server. It is an http.Handler.
type Simulator struct {
	config Config
	mux    *http.ServeMux

	mu      sync.Mutex
	tokens  map[string]time.Time // access tokens and their end
	issued  int
	records []Record
	faults  []*Fault
}

// New returns a simulator.
func New(c Config) *Simulator {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.TokenLife == 0 {
		c.TokenLife = time.Hour
	}
	s := &Simulator{config: c, mux: http.NewServeMux(), tokens: map[string]time.Time{}}
	s.mux.HandleFunc("POST /token", s.token)
	s.mux.HandleFunc("POST /v1/projects/{project}/{method}", s.send)
	s.mux.HandleFunc("GET /_sim/records", func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, s.Records()) })
	s.mux.HandleFunc("POST /_sim/faults", s.addFault)
	return s
}

func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Records lists every push that was taken.
func (s *Simulator) Records() []Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Record{}, s.records...)
}

// Shown lists what stands on a device's screen: the last push of each tag.
func (s *Simulator) Shown(token string) (bodies []string) {
	last := map[string]string{}
	for _, r := range s.Records() {
		if r.Token == token {
			last[r.Tag] = r.Body
		}
	}
	for _, body := range last {
		bodies = append(bodies, body)
	}
	slices.Sort(bodies)
	return bodies
}

// Issued counts the access tokens that were given out.
func (s *Simulator) Issued() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.issued
}

// Revoke ends all access tokens.
func (s *Simulator) Revoke() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.tokens)
}

// Fail sets a fault.
func (s *Simulator) Fail(f Fault) {
	f.Count = max(f.Count, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
}

func (s *Simulator) addFault(w http.ResponseWriter, r *http.Request) {
	var f Fault
	if err := json.NewDecoder(r.Body).Decode(&f); err != nil {
		http.Error(w, "a fault has code, plain, retry_after, lose, count", http.StatusBadRequest)
		return
	}
	s.Fail(f)
}

func (s *Simulator) fault() *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.faults {
		if f.Count > 0 {
			f.Count--
			return f
		}
	}
	return nil
}

// canonical are Google's codes by their HTTP status (google.rpc.Code), and FCM's own codes by the canonical one they come with.
var (
	statuses = map[string]int{"INVALID_ARGUMENT": 400, "UNAUTHENTICATED": 401, "PERMISSION_DENIED": 403, "NOT_FOUND": 404,
		"RESOURCE_EXHAUSTED": 429, "INTERNAL": 500, "UNAVAILABLE": 503, "DEADLINE_EXCEEDED": 504}
	canonical = map[string]string{"UNREGISTERED": "NOT_FOUND", "SENDER_ID_MISMATCH": "PERMISSION_DENIED", "QUOTA_EXCEEDED": "RESOURCE_EXHAUSTED",
		"THIRD_PARTY_AUTH_ERROR": "UNAUTHENTICATED"}
)

// refuse answers an error as the API does; field is what a request's violation is about.
func refuse(w http.ResponseWriter, code string, plain bool, field, text string) {
	status := code
	if c, ok := canonical[code]; ok {
		status = c
	}
	details := []any{}
	if !plain {
		details = append(details, map[string]any{"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code})
	}
	if field != "" {
		details = append(details, map[string]any{"@type": "type.googleapis.com/google.rpc.BadRequest",
			"fieldViolations": []any{map[string]any{"field": field, "description": text}}})
	}
	number := statuses[status]
	if number == 0 {
		number, status = 500, "UNKNOWN"
	}
	answer(w, number, map[string]any{"error": map[string]any{"code": number, "message": text, "status": status, "details": details}})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

// push is a request's body, of which unknown fields are refused as Google does.
type push struct {
	Message struct {
		Token        string `json:"token"`
		Notification struct {
			Title string `json:"title"`
			Body  string `json:"body"`
		} `json:"notification"`
		Data    map[string]string `json:"data"`
		Android struct {
			CollapseKey  string `json:"collapse_key"`
			Priority     string `json:"priority"`
			TTL          string `json:"ttl"`
			Notification struct {
				Tag string `json:"tag"`
			} `json:"notification"`
		} `json:"android"`
		APNS struct {
			Headers map[string]string `json:"headers"`
			Payload map[string]any    `json:"payload"`
		} `json:"apns"`
	} `json:"message"`
}

var (
	wellFormed = regexp.MustCompile(`^[A-Za-z0-9_:-]{20,}$`)
	duration   = regexp.MustCompile(`^([0-9]+)(\.[0-9]+)?s$`)
)

func (s *Simulator) send(w http.ResponseWriter, r *http.Request) {
	bearer, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	s.mu.Lock()
	ends, known := s.tokens[bearer]
	s.mu.Unlock()
	switch {
	case !known || !s.config.Now().Before(ends):
		refuse(w, "UNAUTHENTICATED", true, "", "Request had invalid authentication credentials. Expected OAuth 2 access token.")
		return
	case r.PathValue("project") != s.config.Project || r.PathValue("method") != "messages:send":
		refuse(w, "NOT_FOUND", true, "", "Requested entity was not found.")
		return
	}
	var p push
	decoder := json.NewDecoder(io.LimitReader(r.Body, 1<<20))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&p); err != nil {
		refuse(w, "INVALID_ARGUMENT", true, "", "Invalid JSON payload received.")
		return
	}
	fault := s.fault()
	if fault != nil && !fault.Lose {
		if fault.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(fault.RetryAfter))
		}
		refuse(w, fault.Code, fault.Plain, "", "simulated")
		return
	}
	if field, text := s.invalid(p); text != "" {
		refuse(w, "INVALID_ARGUMENT", false, field, text)
		return
	}
	if len(s.config.Devices) > 0 && !slices.Contains(s.config.Devices, p.Message.Token) {
		refuse(w, "UNREGISTERED", false, "", "Requested entity was not found.")
		return
	}
	record := s.take(p)
	if fault != nil {
		panic(http.ErrAbortHandler)
	}
	answer(w, 200, map[string]string{"name": record.Name})
}

// invalid says what of a message FCM would not take.
func (s *Simulator) invalid(p push) (field, text string) {
	m := p.Message
	size := len(m.Notification.Title) + len(m.Notification.Body)
	for k, v := range m.Data {
		size += len(k) + len(v)
		if k == "from" || k == "message_type" || strings.HasPrefix(k, "google") || strings.HasPrefix(k, "gcm") {
			return "message.data", "a reserved key"
		}
	}
	ttl := duration.FindStringSubmatch(m.Android.TTL)
	switch {
	case !wellFormed.MatchString(m.Token):
		return "message.token", "The registration token is not a valid FCM registration token"
	case size > 4096:
		return "message", "the payload is too big"
	case m.Android.TTL != "" && ttl == nil:
		return "message.android.ttl", "not a duration"
	case ttl != nil && (len(ttl[1]) > 7 || atoi(ttl[1]) > 2_419_200):
		return "message.android.ttl", "more than four weeks"
	case len(m.APNS.Headers["apns-collapse-id"]) > 64:
		return "message.apns.headers", "apns-collapse-id is too long"
	}
	return "", ""
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}

func (s *Simulator) take(p push) Record {
	m := p.Message
	r := Record{Name: "projects/" + s.config.Project + "/messages/" + rand.Text(), Token: m.Token, Title: m.Notification.Title, Body: m.Notification.Body,
		Data: m.Data, Tag: m.Android.Notification.Tag, Collapse: m.Android.CollapseKey, TTL: m.Android.TTL, APNS: m.APNS.Headers}
	s.mu.Lock()
	s.records = append(s.records, r)
	s.mu.Unlock()
	if s.config.Log != nil {
		fmt.Fprintf(s.config.Log, "fcm: to %s: %s %s\n", r.Token, r.Title, r.Body)
	}
	return r
}
