// Package twilio simulates the part of Twilio's API 2010-04-01 that sends SMS: it takes them for an account with its auth token,
// answers as Twilio does, and posts signed status callbacks.
package twilio

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"tidings/internal/sim/phones"
)

// Config says who may send.
type Config struct {
	phones.Config
	Account, Token string
}

// Simulator is an http.Handler.
type Simulator struct {
	*phones.Phones
	config Config
	mux    *http.ServeMux
	last   atomic.Int64
}

// New returns a simulator.
func New(c Config) *Simulator {
	s := &Simulator{Phones: phones.New(c.Config), config: c, mux: http.NewServeMux()}
	s.mux.HandleFunc("POST /2010-04-01/Accounts/{account}/Messages.json", s.create)
	s.mux.HandleFunc("GET /2010-04-01/Accounts/{account}/Messages/{message}", s.fetch)
	s.Route(s.mux)
	return s
}

func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// problem answers with one of Twilio's error codes.
func problem(w http.ResponseWriter, status int, code string, message string) {
	n, _ := strconv.Atoi(code)
	phones.JSON(w, status, map[string]any{"code": n, "message": message, "more_info": "https://www.twilio.com/docs/errors/" + code, "status": status})
}

func (s *Simulator) known(w http.ResponseWriter, r *http.Request) bool {
	user, password, ok := r.BasicAuth()
	if !ok || user != s.config.Account || password != s.config.Token || r.PathValue("account") != s.config.Account {
		problem(w, http.StatusUnauthorized, "20003", "Authenticate")
		return false
	}
	return true
}

var e164 = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)

func (s *Simulator) create(w http.ResponseWriter, r *http.Request) {
	if !s.known(w, r) {
		return
	}
	if err := r.ParseForm(); err != nil {
		problem(w, http.StatusBadRequest, "20001", "the form is malformed")
		return
	}
	f := r.PostForm
	switch {
	case f.Get("To") == "":
		problem(w, http.StatusBadRequest, "21604", "A 'To' phone number is required.")
		return
	case !e164.MatchString(f.Get("To")):
		problem(w, http.StatusBadRequest, "21211", "Invalid 'To' Phone Number: "+f.Get("To"))
		return
	case f.Get("From") == "" && f.Get("MessagingServiceSid") == "":
		problem(w, http.StatusBadRequest, "21603", "A 'From' phone number is required.")
		return
	case strings.TrimSpace(f.Get("Body")) == "":
		problem(w, http.StatusBadRequest, "21602", "Message body is required.")
		return
	case len([]rune(f.Get("Body"))) > 1600:
		problem(w, http.StatusBadRequest, "21617", "The concatenated message body exceeds the 1600 character limit.")
		return
	}
	if v := f.Get("ValidityPeriod"); v != "" {
		if n, err := strconv.Atoi(v); err != nil || n < 1 || n > 36_000 {
			problem(w, http.StatusBadRequest, "21621", "ValidityPeriod is out of range")
			return
		}
	}
	fault := s.Fault(r.Context(), f.Get("To"))
	if fault.Kind == "reject" {
		problem(w, map[bool]int{true: http.StatusBadRequest, false: fault.Status}[fault.Status == 0], fault.Code, "simulated")
		return
	}
	m := phones.SMS{ID: fmt.Sprintf("SM%032x", s.last.Add(1)), To: f.Get("To"), Text: f.Get("Body"), ReportURL: f.Get("StatusCallback")}
	s.Take(m, fault, s.report)
	if fault.Kind == "reset_after_accept" {
		panic(http.ErrAbortHandler)
	}
	m.State = "queued"
	phones.JSON(w, http.StatusCreated, s.resource(m))
}

func (s *Simulator) resource(m phones.SMS) map[string]any {
	code := any(nil)
	if m.State == "undelivered" {
		code = 30003
	}
	return map[string]any{"sid": m.ID, "account_sid": s.config.Account, "to": m.To, "body": m.Text, "status": m.State,
		"num_segments": strconv.Itoa(1 + len([]rune(m.Text))/160), "error_code": code, "error_message": nil}
}

func (s *Simulator) fetch(w http.ResponseWriter, r *http.Request) {
	if !s.known(w, r) {
		return
	}
	all := s.Records()
	i := slices.IndexFunc(all, func(m phones.SMS) bool { return m.ID+".json" == r.PathValue("message") })
	if i < 0 {
		problem(w, http.StatusNotFound, "20404", "The requested resource was not found")
		return
	}
	if all[i].State == "taken" {
		all[i].State = "queued"
	}
	phones.JSON(w, http.StatusOK, s.resource(all[i]))
}

// report posts the status callbacks: sent, then the last word.
func (s *Simulator) report(m phones.SMS) {
	if m.ReportURL == "" {
		return
	}
	for _, status := range []string{"sent", m.State} {
		form := url.Values{"MessageSid": {m.ID}, "SmsSid": {m.ID}, "MessageStatus": {status}, "SmsStatus": {status}, "To": {m.To},
			"AccountSid": {s.config.Account}, "ApiVersion": {"2010-04-01"}}
		if status == "undelivered" {
			form.Set("ErrorCode", "30003")
		}
		header := http.Header{"Content-Type": {"application/x-www-form-urlencoded; charset=UTF-8"},
			"X-Twilio-Signature": {Sign(s.config.Token, m.ReportURL, form)}}
		s.Post(m.ReportURL, header, form.Encode())
	}
}

// Sign is Twilio's signature of a request: base64 of HMAC-SHA1, by the auth token, over the URL and each field's name and
// value in the order of the names (Twilio, "Validating requests").
func Sign(token, address string, form url.Values) string {
	names := make([]string, 0, len(form))
	for name := range form {
		names = append(names, name)
	}
	slices.Sort(names)
	mac := hmac.New(sha1.New, []byte(token))
	io.WriteString(mac, address)
	for _, name := range names {
		io.WriteString(mac, name+form.Get(name))
	}
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// Run serves a simulator until ctx ends.
func Run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("twilio", flag.ContinueOnError)
	account := flags.String("account", "AC00000000000000000000000000000000", "the account that may send")
	token := flags.String("token", "secret", "its auth token")
	return phones.Run(ctx, flags, args, out, func(c phones.Config) (http.Handler, func()) {
		s := New(Config{Config: c, Account: *account, Token: *token})
		return s, s.Close
	})
}
