// Package apns simulates the Apple Push Notification service: HTTP/2 only, JWTs signed with ES256, headers, Apple's reasons. It
// checks signatures by its own code. It never drops a repeat, because Apple does not; Shown tells what stands on a device's
// screen, where a repeat with the same apns-collapse-id replaces the first.
package apns

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Config says how the simulator behaves.
type Config struct {
	Topic   string
	Devices []string // device tokens; empty: every well-formed one
	Gone    []string // device tokens of devices from which the app was removed
	Now     func() time.Time
	Log     io.Writer // a line for each push that is taken; nil: none
}

// The account that may push.
const (
	KeyID  = "KEY1234567"
	TeamID = "TEAM123456"
)

// Record is a push that was taken.
type Record struct {
	ID       string         `json:"apns_id"`
	Token    string         `json:"token"`
	Collapse string         `json:"apns_collapse_id"`
	Expires  int64          `json:"apns_expiration"`
	Title    string         `json:"title"`
	Body     string         `json:"body"`
	Beside   map[string]any `json:"beside"` // the keys beside aps
	JWT      string         `json:"-"`
}

// Fault is what becomes of the next pushes: a reason, or an answer that is lost.
type Fault struct {
	Reason     string `json:"reason"`
	RetryAfter int    `json:"retry_after"` // seconds
	Lose       bool   `json:"lose"`        // take the push and reset the stream without an answer
	Count      int    `json:"count"`       // how many pushes; 0: one
}

// Simulator is the server. It is an http.Handler for a server that speaks HTTP/2; see Serve.
type Simulator struct {
	config Config
	key    *ecdsa.PrivateKey
	mux    *http.ServeMux

	mu      sync.Mutex
	records []Record
	faults  []*Fault
}

// New returns a simulator with a new key.
func New(c Config) *Simulator {
	if c.Now == nil {
		c.Now = time.Now
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err) // there is no randomness
	}
	s := &Simulator{config: c, key: key, mux: http.NewServeMux()}
	s.mux.HandleFunc("/3/device/{token}", s.push)
	s.mux.HandleFunc("GET /_sim/records", func(w http.ResponseWriter, _ *http.Request) { json.NewEncoder(w).Encode(s.Records()) })
	s.mux.HandleFunc("POST /_sim/faults", s.addFault)
	return s
}

func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Server returns a server that takes HTTP/2 without TLS on the same port as HTTP/1.1, which only /_sim answers.
func (s *Simulator) Server() *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{Handler: s, Protocols: protocols, ReadHeaderTimeout: 5 * time.Second}
}

// Key is the text of the .p8 file.
func (s *Simulator) Key() string {
	der, err := x509.MarshalPKCS8PrivateKey(s.key)
	if err != nil {
		panic(err) // of a key that was just made
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// Records lists every push that was taken.
func (s *Simulator) Records() []Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Record{}, s.records...)
}

// Shown lists what stands on a device's screen: the last push of each apns-collapse-id.
func (s *Simulator) Shown(token string) (bodies []string) {
	last := map[string]string{}
	for _, r := range s.Records() {
		if r.Token == token {
			last[r.Collapse] = r.Body
		}
	}
	for _, body := range last {
		bodies = append(bodies, body)
	}
	slices.Sort(bodies)
	return bodies
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
		http.Error(w, "a fault has reason, retry_after, lose, count", http.StatusBadRequest)
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

// statuses are those of the reasons.
var statuses = map[string]int{
	"BadCollapseId": 400, "BadDeviceToken": 400, "BadExpirationDate": 400, "BadMessageId": 400, "BadPriority": 400, "BadTopic": 400, "DeviceTokenNotForTopic": 400,
	"DuplicateHeaders": 400, "IdleTimeout": 400, "InvalidPushType": 400, "MissingDeviceToken": 400, "MissingTopic": 400, "PayloadEmpty": 400, "TopicDisallowed": 400,
	"BadCertificate": 403, "BadCertificateEnvironment": 403, "ExpiredProviderToken": 403, "Forbidden": 403, "InvalidProviderToken": 403, "MissingProviderToken": 403,
	"UnrelatedKeyIdInToken": 403, "BadEnvironmentKeyIdInToken": 403,
	"BadPath": 404, "MethodNotAllowed": 405, "ExpiredToken": 410, "Unregistered": 410, "PayloadTooLarge": 413,
	"TooManyProviderTokenUpdates": 429, "TooManyRequests": 429, "InternalServerError": 500, "ServiceUnavailable": 503, "Shutdown": 503,
}

func (s *Simulator) refuse(w http.ResponseWriter, id, reason string) {
	status := statuses[reason]
	if status == 0 {
		status = 400
	}
	body := map[string]any{"reason": reason}
	if status == 410 {
		body["timestamp"] = s.config.Now().UnixMilli()
	}
	w.Header().Set("apns-id", id)
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

var (
	uuid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	hexa = regexp.MustCompile(`^[0-9a-f]{64,200}$`)
)

func (s *Simulator) push(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor != 2 {
		http.Error(w, "HTTP/2 only", http.StatusHTTPVersionNotSupported)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	id := r.Header.Get("apns-id")
	fault := s.fault()
	if reason := s.check(r, body, fault); reason != "" {
		if fault != nil && fault.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(fault.RetryAfter))
		}
		s.refuse(w, id, reason)
		return
	}
	s.take(r, body)
	if fault != nil {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("apns-id", id)
}

// check gives the reason why Apple would not take a push, in the order of its sections.
func (s *Simulator) check(r *http.Request, body []byte, fault *Fault) string {
	token := r.PathValue("token")
	switch {
	case r.Method != http.MethodPost:
		return "MethodNotAllowed"
	case !uuid.MatchString(r.Header.Get("apns-id")):
		return "BadMessageId"
	case r.Header.Get("apns-topic") == "":
		return "MissingTopic"
	case r.Header.Get("apns-push-type") != "alert":
		return "InvalidPushType"
	case !slices.Contains([]string{"", "1", "5", "10"}, r.Header.Get("apns-priority")):
		return "BadPriority"
	case len(r.Header.Get("apns-collapse-id")) > 64:
		return "BadCollapseId"
	}
	if _, err := strconv.ParseInt(r.Header.Get("apns-expiration"), 10, 64); err != nil {
		return "BadExpirationDate"
	}
	if reason := s.authenticate(r.Header.Get("authorization")); reason != "" {
		return reason
	}
	if fault != nil && fault.Reason != "" {
		return fault.Reason
	}
	switch {
	case r.Header.Get("apns-topic") != s.config.Topic:
		return "TopicDisallowed"
	case !hexa.MatchString(strings.ToLower(token)):
		return "BadDeviceToken"
	case slices.Contains(s.config.Gone, token):
		return "Unregistered"
	case len(s.config.Devices) > 0 && !slices.Contains(s.config.Devices, token):
		return "BadDeviceToken"
	case len(body) == 0:
		return "PayloadEmpty"
	case len(body) > 4096:
		return "PayloadTooLarge"
	}
	return ""
}

// authenticate checks a provider token: ES256, our key, not older than an hour.
func (s *Simulator) authenticate(header string) (reason string) {
	token, ok := strings.CutPrefix(header, "bearer ")
	if !ok {
		return "MissingProviderToken"
	}
	parts := strings.Split(token, ".")
	var raw [3][]byte
	if len(parts) != 3 {
		return "InvalidProviderToken"
	}
	for i := range parts {
		b, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			return "InvalidProviderToken"
		}
		raw[i] = b
	}
	var h struct{ Alg, Kid string }
	var c struct {
		Iss string
		Iat int64
	}
	if json.Unmarshal(raw[0], &h) != nil || json.Unmarshal(raw[1], &c) != nil || h.Alg != "ES256" || h.Kid != KeyID || c.Iss != TeamID || len(raw[2]) != 64 {
		return "InvalidProviderToken"
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if !ecdsa.Verify(&s.key.PublicKey, digest[:], new(big.Int).SetBytes(raw[2][:32]), new(big.Int).SetBytes(raw[2][32:])) {
		return "InvalidProviderToken"
	}
	if age := s.config.Now().Unix() - c.Iat; age > 3600 || age < -60 {
		return "ExpiredProviderToken"
	}
	return ""
}

func (s *Simulator) take(r *http.Request, body []byte) {
	var p map[string]any
	var shown struct {
		APS struct {
			Alert struct{ Title, Body string } `json:"alert"`
		} `json:"aps"`
	}
	if json.Unmarshal(body, &p) != nil || json.Unmarshal(body, &shown) != nil {
		return // Apple takes it, and the device shows nothing
	}
	delete(p, "aps")
	expires, err := strconv.ParseInt(r.Header.Get("apns-expiration"), 10, 64)
	if err != nil {
		return
	}
	record := Record{ID: r.Header.Get("apns-id"), Token: r.PathValue("token"), Collapse: r.Header.Get("apns-collapse-id"), Expires: expires,
		Title: shown.APS.Alert.Title, Body: shown.APS.Alert.Body, Beside: p, JWT: r.Header.Get("authorization")}
	s.mu.Lock()
	s.records = append(s.records, record)
	s.mu.Unlock()
	if s.config.Log != nil {
		fmt.Fprintf(s.config.Log, "apns: to %s: %s %s\n", record.Token, record.Title, record.Body)
	}
}

// Run serves a simulator until ctx ends. It prints the URL on which it listens, and writes the key to give to Tidings.
func Run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("apns", flag.ContinueOnError)
	flags.SetOutput(out)
	listen := flags.String("listen", "127.0.0.1:0", "address to listen on")
	file := flags.String("key", "", "write the key (.p8) here; empty: print it")
	c := Config{Log: out}
	flags.StringVar(&c.Topic, "topic", "com.example.shop", "the app's bundle id")
	devices := flags.String("devices", "", "device tokens, separated by commas; empty: every well-formed one is a device")
	if err := flags.Parse(args); err != nil {
		return err
	}
	c.Devices = strings.FieldsFunc(*devices, func(r rune) bool { return r == ',' })
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	s := New(c)
	fmt.Fprintf(out, "APNs simulator listens on http://%s (HTTP/2 without TLS), topic %s, key %s of team %s\n", listener.Addr(), c.Topic, KeyID, TeamID)
	if *file == "" {
		fmt.Fprint(out, s.Key())
	} else if err := os.WriteFile(*file, []byte(s.Key()), 0o600); err != nil {
		return err
	}
	server := s.Server()
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(listener); ctx.Err() == nil {
		return err
	}
	return nil
}
