// Package gateway simulates an SMS gateway that speaks the sendsms interface of Kannel 1.4.5, for demonstrations on
// machines without one. It prints every SMS, keeps a record, and sends delivery reports to the URL that came with the SMS.
package gateway

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf16"
)

// Config says how the gateway behaves.
type Config struct {
	User, Password string        // both empty: everyone may send
	ReportAfter    time.Duration // between taking an SMS and the report that it was delivered
	Log            io.Writer     // a line for each SMS; nil: none
}

// Gateway is the simulator. It is an http.Handler.
type Gateway struct {
	config Config
	mux    *http.ServeMux
	client *http.Client
	ctx    context.Context
	stop   context.CancelFunc
	work   sync.WaitGroup

	mu      sync.Mutex
	records []Record
	faults  []*Fault
}

// Record is an SMS that was taken.
type Record struct {
	From      string    `json:"from"`
	To        string    `json:"to"`
	Text      string    `json:"text"`
	Coding    int       `json:"coding"`
	Validity  int       `json:"validity,omitempty"` // minutes
	ReportURL string    `json:"report_url,omitempty"`
	At        time.Time `json:"at"`
}

// New returns a gateway that takes everything and reports it delivered.
func New(c Config) *Gateway {
	ctx, stop := context.WithCancel(context.Background())
	g := &Gateway{config: c, mux: http.NewServeMux(), client: &http.Client{Timeout: 5 * time.Second}, ctx: ctx, stop: stop}
	g.mux.HandleFunc("/cgi-bin/sendsms", g.sendsms)
	g.mux.HandleFunc("GET /_sim/records", func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, g.Records()) })
	g.mux.HandleFunc("POST /_sim/faults", g.addFault)
	g.mux.HandleFunc("POST /_sim/reset", func(http.ResponseWriter, *http.Request) { g.Reset() })
	return g
}

// Close drops the reports that wait and ends the ones under way.
func (g *Gateway) Close() {
	g.mu.Lock()
	g.stop()
	g.mu.Unlock() // from here on nothing joins the work
	g.work.Wait()
}

func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) { g.mux.ServeHTTP(w, r) }

// sms is a request as sendsms reads it, by header or by query.
type sms struct {
	Record
	user, password string
	mask           int
}

func (g *Gateway) sendsms(w http.ResponseWriter, r *http.Request) {
	m, status, problem := readSMS(r)
	if problem == "" {
		status, problem = g.check(m)
	}
	if problem != "" {
		say(w, status, problem)
		return
	}
	fault := g.fault(m)
	if fault.DelayMS > 0 && !g.pause(r.Context(), time.Duration(fault.DelayMS)*time.Millisecond) {
		return
	}
	switch fault.Kind {
	case "status":
		say(w, fault.Status, map[bool]string{true: "Temporal failure, try again later.", false: fault.Body}[fault.Status == 503 && fault.Body == ""])
		return
	case "hang":
		g.pause(r.Context(), time.Hour)
		return
	case "reset_before_accept":
		panic(http.ErrAbortHandler)
	}
	g.accept(m, fault)
	if fault.Kind == "reset_after_accept" {
		panic(http.ErrAbortHandler)
	}
	say(w, http.StatusAccepted, "0: Accepted for delivery")
}

// say answers as Kannel does: text without a line feed.
func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(status)
	io.WriteString(w, text)
}

func readSMS(r *http.Request) (m sms, status int, problem string) {
	if r.Method != http.MethodPost {
		return readQuery(r.URL.Query())
	}
	kind, parameters, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if strings.TrimSpace(kind) != "text/plain" && strings.TrimSpace(kind) != "application/octet-stream" {
		return m, http.StatusBadRequest, "Unsupported content-type, rejected"
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	if err != nil {
		return m, http.StatusBadRequest, "Charset or body misformed, rejected"
	}
	_, charset, _ := strings.Cut(strings.ToLower(parameters), "charset=")
	v := url.Values{"text": {string(body)}, "charset": {strings.Trim(charset, ` "`)}}
	for query, header := range map[string]string{"username": "Username", "password": "Password", "to": "To", "from": "From",
		"coding": "Coding", "dlr-mask": "DLR-Mask", "dlr-url": "DLR-Url", "validity": "Validity"} {
		v.Set(query, r.Header.Get("X-Kannel-"+header))
	}
	return readQuery(v)
}

func readQuery(v url.Values) (m sms, status int, problem string) {
	m.From, m.To, m.ReportURL = v.Get("from"), v.Get("to"), v.Get("dlr-url")
	m.user, m.password = v.Get("username"), v.Get("password")
	for name, into := range map[string]*int{"coding": &m.Coding, "validity": &m.Validity, "dlr-mask": &m.mask} {
		if s := v.Get(name); s != "" {
			n, err := strconv.Atoi(s)
			if err != nil && name != "dlr-mask" { // Kannel takes any dlr-mask and sends no report then
				return m, http.StatusBadRequest, name + " field misformed, rejected"
			}
			*into = n
		}
	}
	m.Text = readText(v.Get("text"), m.Coding, v.Get("charset"), v.Get("coding") == "")
	return m, 0, ""
}

// readText makes the same silent mistakes as Kannel: without a coding every character outside of Latin 1 becomes "?", and
// in coding 2 without a charset the bytes are taken for UTF-16.
func readText(text string, coding int, charset string, uncoded bool) string {
	utf8Named := strings.EqualFold(charset, "utf-8")
	switch {
	case coding == 2 && !utf8Named:
		units := make([]uint16, len(text)/2)
		for i := range units {
			units[i] = uint16(text[2*i])<<8 | uint16(text[2*i+1])
		}
		return string(utf16.Decode(units))
	case uncoded:
		return strings.Map(func(r rune) rune {
			if r > 0xFF {
				return '?'
			}
			return r
		}, text)
	}
	return text
}

func (g *Gateway) check(m sms) (status int, problem string) {
	switch {
	case g.config.User != "" && (m.user != g.config.User || m.password != g.config.Password):
		return http.StatusForbidden, "Authorization failed for sendsms"
	case m.To == "":
		return http.StatusBadRequest, "Missing receiver number, rejected"
	case strings.Trim(m.To, "0123456789 +-") != "":
		return http.StatusBadRequest, "Number(s) has/have been denied by white- and/or black-lists."
	}
	return 0, ""
}

// accept records the SMS and prepares its reports: the operator took it (8), then it was delivered (1) or not (2).
func (g *Gateway) accept(m sms, f Fault) {
	m.At = time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.records = append(g.records, m.Record)
	if g.config.Log != nil {
		fmt.Fprintf(g.config.Log, "SMS to %s: %s\n", m.To, m.Text)
	}
	if m.ReportURL == "" || f.Kind == "no_report" || g.ctx.Err() != nil {
		return
	}
	final, reply := 1, "id:0 stat:DELIVRD err:000"
	if f.Kind == "undelivered" {
		final, reply = 2, "id:0 stat:UNDELIV err:001"
	}
	g.work.Go(func() {
		g.report(m, 8, "ACK/")
		if g.pause(g.ctx, g.config.ReportAfter) {
			g.report(m, final, reply)
		}
	})
}

// report calls the report URL once, as Kannel does by default.
func (g *Gateway) report(m sms, kind int, reply string) {
	if m.mask&kind == 0 {
		return
	}
	u := fill(m, kind, reply)
	request, err := http.NewRequestWithContext(g.ctx, http.MethodGet, u, nil)
	if err != nil {
		return // not a URL: Kannel logs it and goes on
	}
	response, err := g.client.Do(request)
	if err != nil {
		return
	}
	io.Copy(io.Discard, response.Body)
	response.Body.Close()
}

// fill puts values for Kannel's escapes into the report URL (user guide, "Delivery reports").
func fill(m sms, kind int, reply string) string {
	return strings.NewReplacer("%%", "%", "%d", strconv.Itoa(kind), "%A", url.QueryEscape(reply), "%p", url.QueryEscape(m.To),
		"%P", url.QueryEscape(m.From), "%F", "0", "%i", "simulator", "%T", strconv.FormatInt(m.At.Unix(), 10)).Replace(m.ReportURL)
}

// pause waits unless the call or the gateway ends first.
func (g *Gateway) pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-g.ctx.Done():
	}
	return false
}

// Records lists what was taken.
func (g *Gateway) Records() []Record {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.records)
}

// Reset forgets records and faults.
func (g *Gateway) Reset() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.records, g.faults = nil, nil
}

func answerJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

// Run serves a gateway until ctx ends. It prints the URL of sendsms.
func Run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("gateway", flag.ContinueOnError)
	flags.SetOutput(out)
	listen := flags.String("listen", "127.0.0.1:0", "address to listen on")
	user := flags.String("user", "", "user that may send; empty: everyone")
	password := flags.String("password", "", "the user's password")
	after := flags.Duration("report-after", 300*time.Millisecond, "between taking an SMS and reporting it delivered")
	if err := flags.Parse(args); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	g := New(Config{User: *user, Password: *password, ReportAfter: *after, Log: out})
	defer g.Close()
	fmt.Fprintf(out, "SMS gateway simulator listens on http://%s/cgi-bin/sendsms\n", listener.Addr())
	server := &http.Server{Handler: g, ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(listener); ctx.Err() == nil {
		return err
	}
	return nil
}
