// Package aliyun simulates the part of Aliyun's SMS service (Dysmsapi 2017-05-25) that sends one template to one number: it checks
// the signature of version 3 by its own reading, knows which templates and signatures are approved, and pushes SmsReports.
package aliyun

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tidings/internal/sim/phones"
)

// Config says who may send what.
type Config struct {
	phones.Config
	Key, Secret string
	Signature   string // the one that is approved; empty: any
	Template    string // the one that is approved; empty: any
	ReportURL   string // of SmsReport pushes; empty: none
}

// Simulator is an http.Handler.
type Simulator struct {
	*phones.Phones
	config Config
	mux    *http.ServeMux
	last   atomic.Int64

	mu     sync.Mutex
	nonces map[string]bool
}

// New returns a simulator.
func New(c Config) *Simulator {
	s := &Simulator{Phones: phones.New(c.Config), config: c, mux: http.NewServeMux(), nonces: map[string]bool{}}
	s.mux.HandleFunc("POST /{$}", s.call)
	s.Route(s.mux)
	return s
}

func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

func problem(w http.ResponseWriter, status int, code string) {
	phones.JSON(w, status, map[string]any{"Code": code, "Message": "simulated: " + code, "RequestId": "0"})
}

func (s *Simulator) call(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	if code := s.check(r, body); code != "" {
		problem(w, http.StatusBadRequest, code)
		return
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		problem(w, http.StatusBadRequest, "InvalidParameter")
		return
	}
	switch r.Header.Get("x-acs-action") {
	case "SendSms":
		s.send(w, r, form)
	case "QuerySendDetails":
		s.query(w, form)
	default:
		problem(w, http.StatusNotFound, "InvalidAction.NotFound")
	}
}

var credential = regexp.MustCompile(`^ACS3-HMAC-SHA256 Credential=([^,]+),SignedHeaders=([^,]+),Signature=([0-9a-f]{64})$`)

// check is the code with which a request is refused for its signature, or "".
func (s *Simulator) check(r *http.Request, body []byte) string {
	m := credential.FindStringSubmatch(r.Header.Get("Authorization"))
	if m == nil {
		return "IncompleteSignature"
	}
	if m[1] != s.config.Key {
		return "InvalidAccessKeyId.NotFound"
	}
	at, err := time.Parse(time.RFC3339, r.Header.Get("x-acs-date"))
	if err != nil || time.Since(at).Abs() > 15*time.Minute {
		return "InvalidTimeStamp.Expired"
	}
	names := strings.Split(m[2], ";")
	for _, must := range []string{"host", "x-acs-action", "x-acs-version", "x-acs-date", "x-acs-signature-nonce", "x-acs-content-sha256"} {
		if !slices.Contains(names, must) {
			return "IncompleteSignature"
		}
	}
	if !hmac.Equal([]byte(Sign(s.config.Secret, r.Method, r.URL, r.Host, r.Header, names, body)), []byte(m[3])) {
		return "SignatureDoesNotMatch"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	nonce := r.Header.Get("x-acs-signature-nonce")
	if s.nonces[nonce] {
		return "SignatureNonceUsed"
	}
	s.nonces[nonce] = true
	return ""
}

// Sign is the signature of version 3 over a request.
func Sign(secret, method string, u *url.URL, host string, header http.Header, names []string, body []byte) string {
	digest := func(b []byte) string { h := sha256.Sum256(b); return hex.EncodeToString(h[:]) }
	var b bytes.Buffer
	query := strings.NewReplacer("+", "%20", "*", "%2A", "%7E", "~").Replace(u.Query().Encode())
	fmt.Fprintf(&b, "%s\n/\n%s\n", method, query)
	slices.Sort(names)
	for _, name := range names {
		value := header.Get(name)
		if name == "host" {
			value = host
		}
		fmt.Fprintf(&b, "%s:%s\n", name, strings.TrimSpace(value))
	}
	fmt.Fprintf(&b, "\n%s\n%s", strings.Join(names, ";"), digest(body))
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "ACS3-HMAC-SHA256\n%s", digest(b.Bytes()))
	return hex.EncodeToString(mac.Sum(nil))
}

var mobile = regexp.MustCompile(`^(1[3-9][0-9]{9}|[2-9][0-9]{6,14})$`)

func (s *Simulator) send(w http.ResponseWriter, r *http.Request, form url.Values) {
	params := map[string]string{}
	if text := form.Get("TemplateParam"); text != "" {
		if err := json.Unmarshal([]byte(text), &params); err != nil {
			problem(w, http.StatusOK, "isv.INVALID_JSON_PARAM")
			return
		}
	}
	to := form.Get("PhoneNumbers")
	switch {
	case !mobile.MatchString(to):
		problem(w, http.StatusOK, "isv.MOBILE_NUMBER_ILLEGAL")
		return
	case form.Get("SignName") == "" || s.config.Signature != "" && form.Get("SignName") != s.config.Signature:
		problem(w, http.StatusOK, "isv.SMS_SIGNATURE_ILLEGAL")
		return
	case form.Get("TemplateCode") == "" || s.config.Template != "" && form.Get("TemplateCode") != s.config.Template:
		problem(w, http.StatusOK, "isv.SMS_TEMPLATE_ILLEGAL")
		return
	}
	fault := s.Fault(r.Context(), to)
	if fault.Kind == "reject" {
		problem(w, max(fault.Status, 200), fault.Code)
		return
	}
	id := fmt.Sprintf("%018d^0", s.last.Add(1))
	s.Take(phones.SMS{ID: id, To: to, Template: form.Get("TemplateCode"), Signature: form.Get("SignName"), Params: params, Reference: form.Get("OutId"),
		ReportURL: s.config.ReportURL}, fault, s.report)
	if fault.Kind == "reset_after_accept" {
		panic(http.ErrAbortHandler)
	}
	phones.JSON(w, http.StatusOK, map[string]any{"Code": "OK", "Message": "OK", "BizId": id, "RequestId": "0"})
}

func (s *Simulator) report(m phones.SMS) {
	if m.ReportURL == "" {
		return
	}
	code := map[bool]string{true: "DELIVERED", false: "UNDELIV"}[m.State == "delivered"]
	body, _ := json.Marshal([]map[string]any{{"phone_number": m.To, "send_time": "2026-11-24 12:00:00", "report_time": "2026-11-24 12:00:01",
		"success": m.State == "delivered", "err_code": code, "err_msg": code, "sms_size": "1", "biz_id": m.ID, "out_id": m.Reference}})
	s.Post(m.ReportURL, http.Header{"Content-Type": {"application/json;charset=UTF-8"}}, string(body))
}

func (s *Simulator) query(w http.ResponseWriter, form url.Values) {
	list := []map[string]any{}
	for _, m := range s.Records() {
		if m.To == form.Get("PhoneNumber") && (form.Get("BizId") == "" || form.Get("BizId") == m.ID) {
			status := map[string]int{"taken": 1, "undelivered": 2, "delivered": 3}[m.State]
			list = append(list, map[string]any{"PhoneNum": m.To, "SendStatus": status, "ErrCode": strings.ToUpper(m.State), "OutId": m.Reference, "TemplateCode": m.Template})
		}
	}
	size, err := strconv.Atoi(form.Get("PageSize"))
	page, badPage := strconv.Atoi(form.Get("CurrentPage"))
	if err != nil || badPage != nil || size < 1 || size > 50 || page < 1 {
		problem(w, http.StatusBadRequest, "isv.INVALID_PARAMETERS")
		return
	}
	first := min((page-1)*size, len(list))
	phones.JSON(w, http.StatusOK, map[string]any{"Code": "OK", "Message": "OK", "TotalCount": len(list),
		"SmsSendDetailDTOs": map[string]any{"SmsSendDetailDTO": list[first:min(first+size, len(list))]}})
}

// Run serves a simulator until ctx ends.
func Run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("aliyun", flag.ContinueOnError)
	key := flags.String("key", "key", "AccessKey ID that may send")
	secret := flags.String("secret", "secret", "its secret")
	report := flags.String("report-url", "", "where SmsReports are pushed; empty: nowhere")
	return phones.Run(ctx, flags, args, out, func(c phones.Config) (http.Handler, func()) {
		s := New(Config{Config: c, Key: *key, Secret: *secret, ReportURL: *report})
		return s, s.Close
	})
}
