// Package tencent simulates the part of Tencent Cloud's SMS service (2021-01-11) that sends templates: it checks TC3-HMAC-SHA256 by
// its own reading, answers number by number, and calls back with arrays of reports.
package tencent

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"hash"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"tidings/internal/sim/phones"
)

// Config says who may send.
type Config struct {
	phones.Config
	Key, Secret, App string
	ReportURL        string // of callbacks; empty: none
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
	s.mux.HandleFunc("POST /{$}", s.call)
	s.Route(s.mux)
	return s
}

func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// say answers with 200, as Tencent does whatever happened.
func say(w http.ResponseWriter, response map[string]any) {
	response["RequestId"] = "0"
	phones.JSON(w, http.StatusOK, map[string]any{"Response": response})
}

func problem(w http.ResponseWriter, code string) {
	say(w, map[string]any{"Error": map[string]string{"Code": code, "Message": "simulated: " + code}})
}

func (s *Simulator) call(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	if code := s.check(r, body); code != "" {
		problem(w, code)
		return
	}
	if r.Header.Get("X-TC-Version") != "2021-01-11" {
		problem(w, "NoSuchVersion")
		return
	}
	switch r.Header.Get("X-TC-Action") {
	case "SendSms":
		s.send(w, r, body)
	case "PullSmsSendStatusByPhoneNumber":
		s.pull(w, body)
	default:
		problem(w, "InvalidAction")
	}
}

var authorization = regexp.MustCompile(`^TC3-HMAC-SHA256 Credential=([^/]+)/([0-9-]{10})/sms/tc3_request, SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})$`)

func (s *Simulator) check(r *http.Request, body []byte) string {
	m := authorization.FindStringSubmatch(r.Header.Get("Authorization"))
	if m == nil {
		return "AuthFailure.InvalidAuthorization"
	}
	stamp := r.Header.Get("X-TC-Timestamp")
	n, err := strconv.ParseInt(stamp, 10, 64)
	at := time.Unix(n, 0)
	switch {
	case m[1] != s.config.Key:
		return "AuthFailure.SecretIdNotFound"
	case err != nil || time.Since(at).Abs() > 5*time.Minute || at.UTC().Format(time.DateOnly) != m[2]:
		return "AuthFailure.SignatureExpire"
	}
	headers := map[string]string{"host": r.Host}
	for name := range r.Header {
		headers[strings.ToLower(name)] = r.Header.Get(name)
	}
	if !hmac.Equal([]byte(Sign(s.config.Secret, "sms", stamp, m[3], headers, body)), []byte(m[4])) {
		return "AuthFailure.SignatureFailure"
	}
	return ""
}

// Sign is the signature over a POST to /, with the headers that names lists.
func Sign(secret, service, stamp, names string, headers map[string]string, body []byte) string {
	digest := func(h hash.Hash, text string) []byte { io.WriteString(h, text); return h.Sum(nil) }
	lines := ""
	for name := range strings.SplitSeq(names, ";") {
		lines += name + ":" + strings.ToLower(headers[name]) + "\n"
	}
	canonical := "POST\n/\n\n" + lines + "\n" + names + "\n" + hex.EncodeToString(digest(sha256.New(), string(body)))
	n, _ := strconv.ParseInt(stamp, 10, 64)
	date := time.Unix(n, 0).UTC().Format(time.DateOnly)
	text := "TC3-HMAC-SHA256\n" + stamp + "\n" + date + "/" + service + "/tc3_request\n" + hex.EncodeToString(digest(sha256.New(), canonical))
	key := []byte("TC3" + secret)
	for _, part := range []string{date, service, "tc3_request", text} {
		key = digest(hmac.New(sha256.New, key), part)
	}
	return hex.EncodeToString(key)
}

var e164 = regexp.MustCompile(`^\+[1-9][0-9]{7,14}$`)

func (s *Simulator) send(w http.ResponseWriter, r *http.Request, body []byte) {
	var m struct {
		PhoneNumberSet                                    []string
		SmsSdkAppId, SignName, TemplateId, SessionContext string
		TemplateParamSet                                  []string
	}
	if err := json.Unmarshal(body, &m); err != nil || len(m.PhoneNumberSet) == 0 {
		problem(w, "InvalidParameter")
		return
	}
	switch {
	case m.SmsSdkAppId != s.config.App:
		problem(w, "UnauthorizedOperation.SmsSdkAppIdVerifyFail")
		return
	case len(m.PhoneNumberSet) > 200:
		problem(w, "LimitExceeded.PhoneNumberCountLimit")
		return
	case m.TemplateId == "":
		problem(w, "FailedOperation.TemplateIncorrectOrUnapproved")
		return
	}
	params := map[string]string{}
	for i, p := range m.TemplateParamSet {
		params[strconv.Itoa(i+1)] = p
	}
	var set []map[string]any
	lost := false
	for _, to := range m.PhoneNumberSet {
		status := map[string]any{"SerialNo": "", "PhoneNumber": to, "Fee": 0, "SessionContext": m.SessionContext, "Code": "InvalidParameterValue.IncorrectPhoneNumber",
			"Message": "incorrect phone number", "IsoCode": "CN"}
		set = append(set, status)
		if !e164.MatchString(to) {
			continue
		}
		fault := s.Fault(r.Context(), to)
		if fault.Kind == "reject" {
			status["Code"], status["Message"] = fault.Code, "simulated"
			continue
		}
		serial := fmt.Sprintf("2019:%019d", s.last.Add(1))
		status["SerialNo"], status["Fee"], status["Code"], status["Message"] = serial, 1, "Ok", "send success"
		s.Take(phones.SMS{ID: serial, To: to, Template: m.TemplateId, Signature: m.SignName, Params: params, Reference: m.SessionContext, ReportURL: s.config.ReportURL},
			fault, s.report)
		lost = lost || fault.Kind == "reset_after_accept"
	}
	if lost {
		panic(http.ErrAbortHandler)
	}
	say(w, map[string]any{"SendStatusSet": set})
}

func words(m phones.SMS) (status, text string) {
	if m.State == "delivered" {
		return "SUCCESS", "DELIVRD"
	}
	return "FAIL", "UNDELIV"
}

func (s *Simulator) report(m phones.SMS) {
	if m.ReportURL == "" {
		return
	}
	status, text := words(m)
	body, _ := json.Marshal([]map[string]any{{"user_receive_time": "2026-11-24 12:00:00", "nationcode": "86", "mobile": m.To, "report_status": status, "errmsg": text,
		"description": text, "sid": m.ID, "ext": m.Reference}})
	s.Post(m.ReportURL, http.Header{"Content-Type": {"application/json"}}, string(body))
}

func (s *Simulator) pull(w http.ResponseWriter, body []byte) {
	var q struct {
		PhoneNumber        string
		BeginTime, EndTime int64
		Limit              int
	}
	if err := json.Unmarshal(body, &q); err != nil || q.Limit < 1 || q.Limit > 100 || q.EndTime < q.BeginTime {
		problem(w, "InvalidParameter")
		return
	}
	set := []map[string]any{}
	for _, m := range s.Records() {
		if m.To == q.PhoneNumber && m.State != "taken" {
			status, text := words(m)
			set = append(set, map[string]any{"PhoneNumber": m.To, "SerialNo": m.ID, "ReportStatus": status, "Description": text, "SessionContext": m.Reference})
		}
	}
	say(w, map[string]any{"PullSmsSendStatusSet": set})
}

// Run serves a simulator until ctx ends.
func Run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("tencent", flag.ContinueOnError)
	key := flags.String("key", "key", "SecretId that may send")
	secret := flags.String("secret", "secret", "its SecretKey")
	app := flags.String("app", "1400000000", "SmsSdkAppId")
	report := flags.String("report-url", "", "where reports are posted; empty: nowhere")
	return phones.Run(ctx, flags, args, out, func(c phones.Config) (http.Handler, func()) {
		s := New(Config{Config: c, Key: *key, Secret: *secret, App: *app, ReportURL: *report})
		return s, s.Close
	})
}
