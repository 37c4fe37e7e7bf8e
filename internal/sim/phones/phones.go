// Package phones is the side of the simulated SMS providers that has nothing to do with their protocols: the SMS that arrived,
// what is to go wrong, the reports that follow, and a door to look at all of it.
package phones

import (
	"context"
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

// SMS is one that was taken, for one number.
type SMS struct {
	ID        string            `json:"id"` // the provider's
	To        string            `json:"to"`
	Text      string            `json:"text,omitempty"`
	Template  string            `json:"template,omitempty"`
	Signature string            `json:"signature,omitempty"`
	Params    map[string]string `json:"params,omitempty"`    // by name, or by place from "1"
	Reference string            `json:"reference,omitempty"` // the caller's own id, that reports repeat
	ReportURL string            `json:"report_url,omitempty"`
	At        time.Time         `json:"at"`
	State     string            `json:"state"` // taken, delivered or undelivered
}

// Fault is something that goes wrong with the next SMS it matches.
type Fault struct {
	To string `json:"to,omitempty"` // only to numbers that end so; empty: any
	// Kind is one of reject, undelivered, no_report, reset_before_accept, reset_after_accept, hang; empty with DelayMS: late, but
	// taken.
	Kind    string `json:"kind"`
	Code    string `json:"code,omitempty"`     // of kind reject: the provider's error code
	Status  int    `json:"status,omitempty"`   // of kind reject: of HTTP; 0: the provider's own
	DelayMS int    `json:"delay_ms,omitempty"` // before anything else
	Count   int    `json:"count,omitempty"`    // how many SMS it hits; 0: one; negative: all
}

var kinds = []string{"", "reject", "undelivered", "no_report", "reset_before_accept", "reset_after_accept", "hang"}

// Config says what happens to an SMS after it was taken.
type Config struct {
	ReportAfter time.Duration // between taking an SMS and its report
	Log         io.Writer     // a line for each SMS; nil: none
}

// Phones are the phones of everybody. They are safe for use by several goroutines.
type Phones struct {
	config Config
	client *http.Client
	ctx    context.Context
	stop   context.CancelFunc
	work   sync.WaitGroup

	mu     sync.Mutex
	taken  []*SMS
	faults []*Fault
}

// New returns phones that take everything.
func New(c Config) *Phones {
	ctx, stop := context.WithCancel(context.Background())
	return &Phones{config: c, client: &http.Client{Timeout: 5 * time.Second}, ctx: ctx, stop: stop}
}

// Close drops the reports that wait and ends the ones under way.
func (p *Phones) Close() {
	p.mu.Lock()
	p.stop()
	p.mu.Unlock() // from here on nothing joins the work
	p.work.Wait()
}

// Route adds the doors for people and tests.
func (p *Phones) Route(mux *http.ServeMux) {
	mux.HandleFunc("GET /_sim/records", func(w http.ResponseWriter, _ *http.Request) { JSON(w, 200, p.Records()) })
	mux.HandleFunc("POST /_sim/reset", func(http.ResponseWriter, *http.Request) { p.Reset() })
	mux.HandleFunc("POST /_sim/faults", func(w http.ResponseWriter, r *http.Request) {
		var f Fault
		decoder := json.NewDecoder(r.Body)
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&f); err != nil || !slices.Contains(kinds, f.Kind) || f.Kind == "reject" && f.Code == "" {
			http.Error(w, "a fault has to, kind, code, status, delay_ms, count", http.StatusBadRequest)
			return
		}
		p.Fail(f)
	})
}

// JSON answers.
func JSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json;charset=utf-8")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

// Fail makes the next SMS that f matches go wrong.
func (p *Phones) Fail(f Fault) {
	if f.Count == 0 {
		f.Count = 1
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, &f)
}

// Fault takes the first fault that matches the number and suffers what every provider suffers alike: a delay, silence, a
// connection that dies. What is left is for the provider.
func (p *Phones) Fault(ctx context.Context, to string) Fault {
	f := p.match(to)
	if f.DelayMS > 0 && !p.pause(ctx, time.Duration(f.DelayMS)*time.Millisecond) {
		panic(http.ErrAbortHandler)
	}
	switch f.Kind {
	case "hang":
		p.pause(ctx, time.Hour)
		panic(http.ErrAbortHandler)
	case "reset_before_accept":
		panic(http.ErrAbortHandler)
	}
	return f
}

func (p *Phones) match(to string) Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.faults {
		if f.Count != 0 && strings.HasSuffix(to, f.To) {
			f.Count--
			return *f
		}
	}
	return Fault{}
}

// Take records an SMS and lets report tell of it later, when its state is known.
func (p *Phones) Take(s SMS, f Fault, report func(SMS)) {
	s.At, s.State = time.Now(), "taken"
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken = append(p.taken, &s)
	if p.config.Log != nil {
		fmt.Fprintf(p.config.Log, "SMS to %s: %s%s %v\n", s.To, s.Text, s.Template, s.Params)
	}
	if p.ctx.Err() != nil {
		return
	}
	kept := p.taken[len(p.taken)-1]
	p.work.Go(func() {
		if !p.pause(p.ctx, p.config.ReportAfter) {
			return
		}
		p.mu.Lock()
		kept.State = map[bool]string{true: "undelivered", false: "delivered"}[f.Kind == "undelivered"]
		now := *kept
		p.mu.Unlock()
		if report != nil && f.Kind != "no_report" {
			report(now)
		}
	})
}

// Post calls a report URL once and returns the answer's body.
func (p *Phones) Post(url string, header http.Header, body string) (string, error) {
	request, err := http.NewRequestWithContext(p.ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	request.Header = header
	response, err := p.client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	return strconv.Itoa(response.StatusCode) + " " + string(answer), err
}

// pause waits unless the call or the simulator ends first.
func (p *Phones) pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-p.ctx.Done():
	}
	return false
}

// Records lists what was taken.
func (p *Phones) Records() []SMS {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]SMS, len(p.taken))
	for i, s := range p.taken {
		out[i] = *s
	}
	return out
}

// Reset forgets SMS and faults.
func (p *Phones) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.taken, p.faults = nil, nil
}

// Run serves a simulator until ctx ends, and prints where. flags has the simulator's own flags already; open is called when they
// are read.
func Run(ctx context.Context, flags *flag.FlagSet, args []string, out io.Writer, open func(Config) (http.Handler, func())) error {
	flags.SetOutput(out)
	listen := flags.String("listen", "127.0.0.1:0", "address to listen on")
	after := flags.Duration("report-after", 300*time.Millisecond, "between taking an SMS and reporting it")
	if err := flags.Parse(args); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	handler, end := open(Config{ReportAfter: *after, Log: out})
	defer end()
	fmt.Fprintf(out, "%s simulator listens on http://%s\n", flags.Name(), listener.Addr())
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(listener); ctx.Err() == nil {
		return err
	}
	return nil
}
