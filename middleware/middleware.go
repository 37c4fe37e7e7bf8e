// Package middleware holds what every HTTP door shares: handlers that return errors and the one place that answers them,
// request ids, body limits, strict JSON, security headers, CORS, and the limit of requests in flight.
package middleware

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"tidings"
)

// Handler is an HTTP handler that returns what went wrong instead of answering it. A *tidings.Error is told to the
// caller; any other error is ours and only logged.
type Handler func(http.ResponseWriter, *http.Request) error

// Config sets up a Door.
type Config struct {
	Logger *slog.Logger
	// Origins tells whether pages of a foreign origin may call this door; nil: none may. Pages that this door serves
	// itself always may.
	Origins func(ctx context.Context, origin string) bool
	// TrustedProxies are the networks whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix
	// MaxInFlight is how many requests are worked on at once; one more is answered 503 before any work. 0: no limit (for
	// doors that hold requests open).
	MaxInFlight int
	// Grace is how long a client may take for a small body, or for the next piece of an answer, where MaxInFlight is set. 0: 15 s.
	Grace time.Duration
	// Observe is told of every answer: the route's pattern ("" when none matched), the status and how long it took.
	Observe func(pattern string, status int, took time.Duration)
}

// Door answers for a group of routes.
type Door struct {
	Config
	inFlight atomic.Int64
	sequence atomic.Uint64
	start    string // sets this process's request ids apart from another's
}

// NewDoor returns a Door.
func NewDoor(c Config) *Door {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Observe == nil {
		c.Observe = func(string, int, time.Duration) {}
	}
	c.Grace = cmp.Or(c.Grace, defaultGrace)
	var b [5]byte
	rand.Read(b[:]) // never fails (crypto/rand since Go 1.24)
	return &Door{Config: c, start: hex.EncodeToString(b[:])}
}

// Wrap puts around a whole mux what each request needs once: its id, security headers, CORS, the limit of requests in
// flight, and a recover that turns a panic into a 500.
func (d *Door) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started := time.Now()
		t := &trackedWriter{ResponseWriter: w}
		d.number(t, r)
		defer func() { d.Observe(r.Pattern, t.status, time.Since(started)) }()
		defer d.recover(t, r)
		if done := d.cors(t, r); done {
			return
		}
		if !tidings.Storable(r.URL.Path) { // nothing has such a name
			d.Answer(t, r, tidings.Errorf(tidings.NotFound, "the path is not UTF-8, or holds NUL"))
			return
		}
		if d.MaxInFlight > 0 {
			defer d.inFlight.Add(-1)
			if d.inFlight.Add(1) > int64(d.MaxInFlight) {
				d.Answer(t, r, &tidings.Error{Code: tidings.Unavailable, Detail: "too many requests are under way", After: time.Second})
				return
			}
			t.control, t.grace = http.NewResponseController(w), d.Grace
			paced(t.control, r, d.Grace)
		}
		next.ServeHTTP(t, r)
	})
}

// Serve makes an http.Handler of h whose errors are answered in one place.
func (d *Door) Serve(h Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			d.Answer(w, r, err)
		}
	})
}

// RequestID is the id of the request that w answers.
func RequestID(w http.ResponseWriter) string { return w.Header().Get("X-Request-Id") }

// number gives the request its id, the caller's own if it is harmless, and the headers that every answer carries. The id
// lives in the answer's headers and not in a context, which would copy the request for each message.
func (d *Door) number(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get("X-Request-Id")
	if !harmless(id) {
		id = fmt.Sprintf("%s-%x", d.start, d.sequence.Add(1))
	}
	h := w.Header()
	h.Set("X-Request-Id", id)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'") // pages set their own
}

// harmless tells whether a caller's request id may stand in our log and headers.
func harmless(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	for i := 0; i < len(id); i++ {
		c := id[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}

func (d *Door) recover(w http.ResponseWriter, r *http.Request) {
	v := recover()
	if v == nil {
		return
	}
	if v == http.ErrAbortHandler { //nolint:errorlint // net/http compares it so
		panic(v)
	}
	d.Logger.Error("a handler panicked", "panic", v, "request_id", RequestID(w), "method", r.Method, "path", r.URL.Path,
		"stack", string(debug.Stack()))
	answer(w, Problem{Title: "Internal error", Status: http.StatusInternalServerError, Code: "internal", Detail: ours})
}

// ClientIP is the address of the client: of the connection, or behind trusted proxies the last address in X-Forwarded-For
// that is not theirs. What a client writes in front of that is never believed.
func (d *Door) ClientIP(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil { // a unix socket
		return netip.Addr{}
	}
	ip := peer.Addr().Unmap()
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && d.trusted(ip); i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		ip = hop.Unmap()
	}
	return ip
}

func (d *Door) trusted(ip netip.Addr) bool {
	for _, p := range d.TrustedProxies {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// trackedWriter remembers what was answered. It unwraps for http.ResponseController (flush, hijack, deadlines).
type trackedWriter struct {
	http.ResponseWriter
	status  int                      // 0: nothing was answered yet
	control *http.ResponseController // nil: the client may take what is written as slowly as it likes
	grace   time.Duration
}

// pace gives the client time for what is written next. net/http takes it back with the answer's end.
func (t *trackedWriter) pace() {
	if t.control != nil {
		_ = t.control.SetWriteDeadline(time.Now().Add(t.grace)) // not every writer has deadlines
	}
}

func (t *trackedWriter) WriteHeader(status int) {
	if t.status == 0 {
		t.status = status
	}
	t.pace()
	t.ResponseWriter.WriteHeader(status)
}

func (t *trackedWriter) Write(b []byte) (int, error) {
	if t.status == 0 {
		t.status = http.StatusOK
	}
	t.pace()
	return t.ResponseWriter.Write(b)
}

// Unwrap gives http.ResponseController the writer below.
func (t *trackedWriter) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// begun tells whether an answer is under way, so that no problem can be answered any more.
func begun(w http.ResponseWriter) bool {
	t, ok := w.(*trackedWriter)
	return ok && t.status != 0
}
