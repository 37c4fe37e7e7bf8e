// Package robot simulates the robots of chat groups: DingTalk's, WeCom's and Feishu's, each at its own path. It checks signatures,
// times and limits by its own code and answers, as they do, 200 with a code in the body. It never drops a repeat, because they do not.
package robot

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Config says which robots there are.
type Config struct {
	Token  string // of the one robot that each provider has
	Secret string // that it signs by; "": it does not
	Limit  int    // posts a minute; 0: no limit
	Now    func() time.Time
	Log    io.Writer // a line for each post that is taken; nil: none
}

// Record is a post that the group shows.
type Record struct {
	Provider string `json:"provider"`
	Title    string `json:"title,omitempty"`
	Text     string `json:"text"`
	Link     string `json:"link,omitempty"`
}

// Simulator is the server. It is an http.Handler.
type Simulator struct {
	config Config
	mux    *http.ServeMux

	mu      sync.Mutex
	records []Record
	posted  []time.Time
}

// New returns a simulator.
func New(c Config) *Simulator {
	if c.Now == nil {
		c.Now = time.Now
	}
	s := &Simulator{config: c, mux: http.NewServeMux()}
	s.mux.HandleFunc("POST /robot/send", s.dingtalk)
	s.mux.HandleFunc("POST /cgi-bin/webhook/send", s.wecom)
	s.mux.HandleFunc("POST /open-apis/bot/v2/hook/{token}", s.feishu)
	s.mux.HandleFunc("GET /_sim/records", func(w http.ResponseWriter, _ *http.Request) { answer(w, s.Records()) })
	return s
}

func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Records lists every post that was taken.
func (s *Simulator) Records() []Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Record{}, s.records...)
}

// Run serves until ctx ends: --listen ADDRESS --token TOKEN --secret SECRET --limit N.
func Run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("robots", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:8094", "address")
	c := Config{Log: out}
	flags.StringVar(&c.Token, "token", "demo", "the robots' token")
	flags.StringVar(&c.Secret, "secret", "", "by which they sign; empty: they do not")
	flags.IntVar(&c.Limit, "limit", 20, "posts a minute")
	if err := flags.Parse(args); err != nil {
		return err
	}
	server := &http.Server{Addr: *listen, Handler: New(c), ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() { server.Close() })
	defer stop()
	fmt.Fprintf(out, "robots at http://%s\n", *listen)
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		return err
	}
	return nil
}

type errcode struct {
	Code int    `json:"errcode"`
	Text string `json:"errmsg"`
}

type plain struct {
	Type string `json:"msgtype"`
	Text struct {
		Content string `json:"content"`
	} `json:"text"`
}

func (s *Simulator) dingtalk(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	ms, err := strconv.ParseInt(q.Get("timestamp"), 10, 64)
	signature := hmac.New(sha256.New, []byte(s.config.Secret))
	fmt.Fprintf(signature, "%d\n%s", ms, s.config.Secret)
	old := s.config.Now().Sub(time.UnixMilli(ms)).Abs() > time.Hour
	switch {
	case q.Get("access_token") != s.config.Token:
		answer(w, errcode{300005, "token is not exist"})
	case s.config.Secret != "" && (err != nil || old || q.Get("sign") != base64.StdEncoding.EncodeToString(signature.Sum(nil))):
		answer(w, errcode{310000, "sign not match"})
	default:
		s.text(w, r, "dingtalk", errcode{130101, "send too fast, exceed 20 times per minute"})
	}
}

func (s *Simulator) wecom(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("key") != s.config.Token {
		answer(w, errcode{93000, "invalid webhook url"})
		return
	}
	s.text(w, r, "wecom", errcode{45009, "api freq out of limit"})
}

func (s *Simulator) text(w http.ResponseWriter, r *http.Request, provider string, tooFast errcode) {
	var p plain
	if err := json.NewDecoder(r.Body).Decode(&p); err != nil || p.Type != "text" || p.Text.Content == "" {
		answer(w, errcode{40035, "invalid parameter"})
		return
	}
	if !s.take(Record{Provider: provider, Text: p.Text.Content}) {
		answer(w, tooFast)
		return
	}
	answer(w, errcode{0, "ok"})
}

func (s *Simulator) feishu(w http.ResponseWriter, r *http.Request) {
	say := func(code int, text string) {
		answer(w, map[string]any{"code": code, "msg": text, "data": map[string]any{}})
	}
	var p struct {
		Timestamp string `json:"timestamp"`
		Sign      string `json:"sign"`
		Type      string `json:"msg_type"`
		Content   struct {
			Post map[string]struct {
				Title   string `json:"title"`
				Content [][]struct{ Tag, Text, Href string }
			} `json:"post"`
		} `json:"content"`
	}
	if err := json.NewDecoder(r.Body).Decode(&p); err != nil || p.Type != "post" || len(p.Content.Post["zh_cn"].Content) == 0 {
		say(9499, "Bad Request")
		return
	}
	seconds, err := strconv.ParseInt(p.Timestamp, 10, 64)
	want := base64.StdEncoding.EncodeToString(hmac.New(sha256.New, []byte(p.Timestamp+"\n"+s.config.Secret)).Sum(nil))
	old := s.config.Now().Sub(time.Unix(seconds, 0)).Abs() > time.Hour
	rec := Record{Provider: "feishu", Title: p.Content.Post["zh_cn"].Title}
	var lines []string
	for _, line := range p.Content.Post["zh_cn"].Content {
		for _, e := range line {
			if e.Tag == "a" {
				rec.Link = e.Href
			} else if e.Tag == "text" {
				lines = append(lines, e.Text)
			}
		}
	}
	rec.Text = strings.Join(lines, "\n")
	switch {
	case r.PathValue("token") != s.config.Token:
		say(19001, "param invalid: incoming webhook access token invalid")
	case s.config.Secret != "" && (err != nil || old || p.Sign != want):
		say(19021, "sign match fail or timestamp is not within one hour from current time")
	case !s.take(rec):
		say(11232, "frequency limited psm[lark.oapi.app_platform_runtime]")
	default:
		say(0, "success")
	}
}

// take keeps a post, or says that there were too many in the last minute.
func (s *Simulator) take(r Record) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.config.Now()
	for len(s.posted) > 0 && now.Sub(s.posted[0]) >= time.Minute {
		s.posted = s.posted[1:]
	}
	if s.config.Limit > 0 && len(s.posted) >= s.config.Limit {
		return false
	}
	s.posted, s.records = append(s.posted, now), append(s.records, r)
	if s.config.Log != nil {
		fmt.Fprintf(s.config.Log, "%s: %s %s %s\n", r.Provider, r.Title, r.Text, r.Link)
	}
	return true
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}
