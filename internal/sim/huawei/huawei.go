// Package huawei simulates Huawei's Push Kit, v1 and v3, and the token endpoint beside it: OAuth client credentials, JWTs signed with
// PS256, tokens, limits, response codes, partial successes. It checks signatures by its own code, and never drops a repeat.
package huawei

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Config says how the simulator behaves.
type Config struct {
	App, Secret string   // of v1
	Project     string   // of v3
	Devices     []string // push tokens; empty: every one
	Now         func() time.Time
	Log         io.Writer // a line for each push that is taken; nil: none
}

// Record is a push that was taken.
type Record struct {
	ID     string   `json:"requestId"`
	Tag    string   `json:"biTag"`
	Tokens []string `json:"tokens"` // those that the app has
	Title  string   `json:"title"`
	Body   string   `json:"body"`
	Raw    string   `json:"raw"`
}

// Simulator is the server. It is an http.Handler.
type Simulator struct {
	config Config
	mux    *http.ServeMux

	mu      sync.Mutex
	access  map[string]time.Time
	issued  int
	records []Record
	codes   []string // of the next pushes
}

// New returns a simulator.
func New(c Config) *Simulator {
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Simulator{config: c, mux: http.NewServeMux(), access: map[string]time.Time{}}
	s.mux.HandleFunc("POST /oauth2/v3/token", s.token)
	s.mux.HandleFunc("POST /v1/{app}/messages:send", func(w http.ResponseWriter, r *http.Request) { s.push(w, r, r.PathValue("app") == c.App && s.known(r)) })
	s.mux.HandleFunc("POST /v3/{project}/messages:send", func(w http.ResponseWriter, r *http.Request) {
		s.push(w, r, r.PathValue("project") == c.Project && r.Header.Get("push-type") == "0" && s.verify(r))
	})
	s.mux.HandleFunc("GET /_sim/records", func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, s.Records()) })
	return s
}

func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Records lists every push that was taken.
func (s *Simulator) Records() []Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Record{}, s.records...)
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
	clear(s.access)
}

// Fail answers the next pushes with codes.
func (s *Simulator) Fail(codes ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.codes = append(s.codes, codes...)
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

func (s *Simulator) token(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil || r.PostForm.Get("grant_type") != "client_credentials" || r.PostForm.Get("client_id") != s.config.App ||
		r.PostForm.Get("client_secret") != s.config.Secret {
		answer(w, 400, map[string]any{"error": 1101, "sub_error": 20036, "error_description": "invalid client"})
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	access := rand.Text()
	s.access[access] = s.config.Now().Add(time.Hour)
	s.issued++
	answer(w, 200, map[string]any{"access_token": access, "expires_in": 3600, "token_type": "Bearer"})
}

func bearer(r *http.Request) string {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return token
}

func (s *Simulator) known(r *http.Request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	ends, ok := s.access[bearer(r)]
	return ok && s.config.Now().Before(ends)
}

var key = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err) // there is no randomness
	}
	return k
})

const (
	keyID    = "18366af0b4b44dd8"
	subject  = "101783233"
	audience = "https://oauth-login.cloud.huawei.com/oauth2/v3/token"
)

// ServiceAccount is the key file of the account that may push by v3.
func (s *Simulator) ServiceAccount() string {
	der, err := x509.MarshalPKCS8PrivateKey(key())
	if err != nil {
		panic(err) // of a key that was just made
	}
	file, err := json.Marshal(map[string]string{"project_id": s.config.Project, "key_id": keyID, "sub_account": subject,
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))})
	if err != nil {
		panic(err)
	}
	return string(file)
}

// verify checks a v3 JWT: PS256 by the account's key, for a day at most.
func (s *Simulator) verify(r *http.Request) bool {
	parts := strings.Split(bearer(r), ".")
	var raw [3][]byte
	if len(parts) != 3 {
		return false
	}
	for i, part := range parts {
		b, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil {
			return false
		}
		raw[i] = b
	}
	var h struct{ Alg, Kid string }
	var c struct {
		Iss, Aud string
		Iat, Exp int64
	}
	if json.Unmarshal(raw[0], &h) != nil || json.Unmarshal(raw[1], &c) != nil {
		return false
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	now := s.config.Now().Unix()
	return h.Alg == "PS256" && h.Kid == keyID && c.Iss == subject && c.Aud == audience && c.Iat <= now+60 && c.Exp > now && c.Exp-c.Iat <= 86_400 &&
		rsa.VerifyPSS(&key().PublicKey, crypto.SHA256, digest[:], raw[2], nil) == nil
}

type shown struct {
	Title string `json:"title"`
	Body  string `json:"body"`
}

// request is a push of either version.
type request struct {
	Message struct {
		Token   []string `json:"token"`
		Android struct {
			Tag          string `json:"bi_tag"`
			Notification shown  `json:"notification"`
		} `json:"android"`
	} `json:"message"`
	Payload struct {
		Notification shown `json:"notification"`
	} `json:"payload"`
	Target struct {
		Token []string `json:"token"`
	} `json:"target"`
	Options struct {
		Tag string `json:"biTag"`
	} `json:"pushOptions"`
}

func (s *Simulator) push(w http.ResponseWriter, r *http.Request, authentic bool) {
	id := rand.Text()
	say := func(status int, code, text string) {
		answer(w, status, map[string]string{"code": code, "msg": text, "requestId": id})
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	var q request
	switch {
	case !authentic:
		say(401, "80200003", "OAuth token expired.")
		return
	case err != nil || json.Unmarshal(body, &q) != nil:
		say(400, "80100001", "Incorrect parameters")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.codes) > 0 {
		code := s.codes[0]
		s.codes = s.codes[1:]
		say(map[bool]int{true: 500, false: 400}[code == "81000001"], code, "simulated")
		return
	}
	n, tokens, tag := q.Message.Android.Notification, q.Message.Token, q.Message.Android.Tag
	if q.Target.Token != nil {
		n, tokens, tag = q.Payload.Notification, q.Target.Token, q.Options.Tag
	}
	if n.Title == "" || n.Body == "" || len(tokens) == 0 || len(tokens) > 1000 {
		say(400, "80100003", "Illegal payload")
		return
	}
	record := Record{ID: id, Tag: tag, Title: n.Title, Body: n.Body, Raw: string(body)}
	illegal := []string{}
	for _, t := range tokens {
		if len(s.config.Devices) == 0 || slices.Contains(s.config.Devices, t) {
			record.Tokens = append(record.Tokens, t)
		} else {
			illegal = append(illegal, t)
		}
	}
	if len(record.Tokens) == 0 {
		say(400, "80300007", "All the tokens are invalid")
		return
	}
	s.records = append(s.records, record)
	if s.config.Log != nil {
		fmt.Fprintf(s.config.Log, "huawei: to %s: %s %s\n", strings.Join(record.Tokens, ","), n.Title, n.Body)
	}
	if len(illegal) == 0 {
		say(200, "80000000", "Success")
		return
	}
	list, err := json.Marshal(map[string]any{"success": len(record.Tokens), "failure": len(illegal), "illegal_tokens": illegal})
	if err != nil {
		panic(err) // of strings
	}
	say(200, "80100000", string(list))
}

// Run serves a simulator until ctx ends. It prints the URL on which it listens.
func Run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("huawei", flag.ContinueOnError)
	flags.SetOutput(out)
	listen := flags.String("listen", "127.0.0.1:0", "address to listen on")
	c := Config{Log: out}
	flags.StringVar(&c.App, "app", "demo", "v1: the app's id")
	flags.StringVar(&c.Secret, "secret", "demo", "v1: the app's secret")
	flags.StringVar(&c.Project, "project", "demo", "v3: the project's id")
	if err := flags.Parse(args); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	s := New(c)
	fmt.Fprintf(out, "Push Kit simulator listens on http://%s, tokens at /oauth2/v3/token; the key file of v3:\n%s\n", listener.Addr(), s.ServiceAccount())
	server := &http.Server{Handler: s, ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	if err := server.Serve(listener); ctx.Err() == nil {
		return err
	}
	return nil
}
