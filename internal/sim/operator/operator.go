// Package operator simulates the mobile operator behind a Kannel gateway: what stands at the other end of
// "smsc = http, system-type = generic". It takes each part of an SMS at /mt, decides whether to take it, puts the parts
// together as a phone does, keeps a record of every SMS, and reports delivery to Kannel later.
package operator

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// Config says where the operator reports to, and when.
type Config struct {
	// ReportURL is Kannel's port for the operator, with user and password: http://127.0.0.1:23015/sms?username=u&password=p.
	// Empty: nothing is reported.
	ReportURL   string
	ReportAfter time.Duration // between taking a part and reporting on it
	Log         io.Writer     // a line for each SMS; nil: none
}

// Operator is the simulator. It is an http.Handler.
type Operator struct {
	config Config
	mux    *http.ServeMux
	client *http.Client
	ctx    context.Context
	stop   context.CancelFunc

	mu      sync.Mutex
	next    int
	records []Record
	waiting map[string]*assembly // parts of SMS that are not whole yet
	faults  []*Fault
	reports []Report
	work    sync.WaitGroup
}

// Record is one whole SMS as the phone shows it.
type Record struct {
	From   string    `json:"from"`
	To     string    `json:"to"`
	Text   string    `json:"text"`
	Coding int       `json:"coding"` // 0 GSM-7, 2 UCS-2
	Parts  int       `json:"parts"`
	ID     string    `json:"id"` // of the first part: the one that Kannel follows
	At     time.Time `json:"at"`
	// Undecodable says that a part held no text in its coding: half of a surrogate pair at its border, say.
	Undecodable bool `json:"undecodable,omitempty"`
}

// Report is one delivery report as it was sent to Kannel.
type Report struct {
	ID     string `json:"id"`
	Mask   int    `json:"mask"`   // 1 delivered, 2 not delivered
	Status int    `json:"status"` // Kannel's answer; 404: it follows no such part; 0: not reachable
}

// New returns an operator that takes everything and reports it delivered.
func New(c Config) *Operator {
	ctx, stop := context.WithCancel(context.Background())
	o := &Operator{config: c, mux: http.NewServeMux(), client: &http.Client{Timeout: 5 * time.Second}, ctx: ctx, stop: stop,
		waiting: map[string]*assembly{}}
	o.mux.HandleFunc("/mt", o.take)
	o.mux.HandleFunc("POST /_sim/faults", o.addFault)
	o.mux.HandleFunc("POST /_sim/reset", func(http.ResponseWriter, *http.Request) { o.Reset() })
	o.mux.HandleFunc("GET /_sim/records", func(w http.ResponseWriter, _ *http.Request) { answer(w, o.Records()) })
	o.mux.HandleFunc("GET /_sim/counts", func(w http.ResponseWriter, _ *http.Request) { answer(w, o.Counts()) })
	o.mux.HandleFunc("GET /_sim/reports", func(w http.ResponseWriter, _ *http.Request) { answer(w, o.Reports()) })
	return o
}

// ReportTo sets where reports go. It is for a Kannel whose port is known only after the operator's.
func (o *Operator) ReportTo(url string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.config.ReportURL = url
}

// Close drops the reports that wait and ends the ones under way.
func (o *Operator) Close() {
	o.mu.Lock()
	o.stop()
	o.mu.Unlock() // from here on nothing joins the work
	o.work.Wait()
}

func (o *Operator) ServeHTTP(w http.ResponseWriter, r *http.Request) { o.mux.ServeHTTP(w, r) }

// take is one part from Kannel. Its answers are those of Kannel's generic HTTP SMSC: the words that
// status-success-regex, status-permfail-regex and status-tempfail-regex look for.
func (o *Operator) take(w http.ResponseWriter, r *http.Request) {
	p, err := readPart(r.URL.RawQuery)
	if err != nil {
		http.Error(w, "PERMFAIL "+err.Error(), http.StatusOK)
		return
	}
	fault := o.fault(p)
	if fault.DelayMS > 0 && !o.pause(r.Context(), time.Duration(fault.DelayMS)*time.Millisecond) {
		return
	}
	switch fault.Kind {
	case "permfail", "tempfail":
		fmt.Fprintln(w, map[string]string{"permfail": "PERMFAIL", "tempfail": "TEMPFAIL"}[fault.Kind])
		return
	case "status":
		w.WriteHeader(fault.Status)
		return
	case "reset_before_accept":
		panic(http.ErrAbortHandler)
	case "hang":
		o.pause(r.Context(), time.Hour)
		return
	}
	id := o.accept(p)
	if fault.Kind != "no_report" {
		o.reportLater(id, p, fault)
	}
	if fault.Kind == "reset_after_accept" {
		panic(http.ErrAbortHandler)
	}
	fmt.Fprintf(w, "OK <id>%s</id>\n", id)
}

// pause waits unless the call or the operator ends first.
func (o *Operator) pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-o.ctx.Done():
	}
	return false
}

// accept takes a part, and records the SMS if it is whole now.
func (o *Operator) accept(p part) (id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.next++
	id = "op-" + strconv.Itoa(o.next)
	p.id = id
	whole := []part{p}
	if p.of > 1 {
		key := p.from + " " + p.to + " " + strconv.Itoa(p.ref)
		a := o.waiting[key]
		if a == nil {
			a = &assembly{parts: make([]part, p.of)}
			o.waiting[key] = a
		}
		if !a.add(p) {
			return id
		}
		delete(o.waiting, key)
		whole = a.parts
	}
	record := join(whole)
	o.records = append(o.records, record)
	if o.config.Log != nil {
		fmt.Fprintf(o.config.Log, "SMS to %s (%d parts): %s\n", record.To, record.Parts, record.Text)
	}
	return id
}

// How often and how far apart a report is repeated that Kannel does not take.
const (
	reportTries = 10
	reportPause = 200 * time.Millisecond
)

// reportLater tells Kannel after a while what became of the part. Kannel follows the first part of an SMS alone, and
// answers 404 for the others. It answers so, too, when the report overtakes our answer to its call: that one is repeated.
func (o *Operator) reportLater(id string, p part, f Fault) {
	o.mu.Lock()
	defer o.mu.Unlock()
	base := o.config.ReportURL
	if base == "" || o.ctx.Err() != nil {
		return
	}
	mask := 1
	if f.Kind == "undelivered" {
		mask = 2
	}
	o.work.Go(func() {
		status := 0
		for try, pause := 0, o.config.ReportAfter; try < reportTries && status != http.StatusOK; try, pause = try+1, reportPause {
			if try > 0 && p.n > 1 || !o.pause(o.ctx, pause) {
				break
			}
			status = o.report(base, id, mask)
		}
		o.mu.Lock()
		o.reports = append(o.reports, Report{ID: id, Mask: mask, Status: status})
		o.mu.Unlock()
	})
}

func (o *Operator) report(base, id string, mask int) int {
	u, err := url.Parse(base)
	if err != nil {
		return 0
	}
	q := u.Query()
	for k, v := range map[string]string{"from": "0", "to": "0", "text": "", "dlr-mask": strconv.Itoa(mask), "dlr-mid": id, "dlr-err": "000"} {
		q.Set(k, v)
	}
	u.RawQuery = q.Encode()
	r, err := http.NewRequestWithContext(o.ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return 0
	}
	response, err := o.client.Do(r)
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

// Run serves an operator until ctx ends. It prints the address on which it listens.
func Run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("operator", flag.ContinueOnError)
	flags.SetOutput(out)
	listen := flags.String("listen", "127.0.0.1:0", "address to listen on")
	report := flags.String("report", "", "URL of Kannel's port for the operator, with username and password")
	after := flags.Duration("report-after", 100*time.Millisecond, "between taking a part and reporting on it")
	if err := flags.Parse(args); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	o := New(Config{ReportURL: *report, ReportAfter: *after, Log: out})
	defer o.Close()
	fmt.Fprintf(out, "operator listens on http://%s\n", listener.Addr())
	server := &http.Server{Handler: o, ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(listener); ctx.Err() == nil {
		return err
	}
	return nil
}
