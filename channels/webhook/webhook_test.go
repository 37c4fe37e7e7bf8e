package webhook_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"tidings"
	"tidings/channels/channeltest"
	"tidings/channels/webhook"
)

const (
	secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	newer  = "whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo="
)

var attempts atomic.Int64

// receiver is a merchant's system: it verifies with the reference library.
type receiver struct {
	url string

	mu     sync.Mutex
	answer int
	header []http.Header
	bodies [][]byte
	wrong  []error
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.url = server.URL + "/hook"
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	library, libraryErr := standardwebhooks.NewWebhook(secret)
	if err == nil && libraryErr == nil {
		err = library.Verify(body, q.Header)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err != nil || libraryErr != nil:
		r.wrong = append(r.wrong, err)
		w.WriteHeader(400)
	case q.URL.Path == "/gone":
		w.WriteHeader(http.StatusGone)
	case r.answer != 0:
		w.Header().Set("Location", "http://127.0.0.1/")
		w.WriteHeader(r.answer)
	default:
		r.header, r.bodies = append(r.header, q.Header), append(r.bodies, body)
	}
}

func (r *receiver) texts() (texts []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.bodies {
		var e struct{ Data struct{ Body string } }
		if err := json.Unmarshal(b, &e); err != nil {
			texts = append(texts, err.Error())
		}
		texts = append(texts, e.Data.Body)
	}
	return texts
}

func call(url, body string) tidings.Call {
	n := tidings.ID(attempts.Add(1))
	return tidings.Call{Attempt: n, Message: n, User: "u@shop.example", Type: "order.paid", Content: tidings.Content{Title: "订单", Body: body, URL: "https://m.example/1?a=1&b=2"},
		Address: tidings.Address{Channel: tidings.Webhook, Value: url + "#" + secret}}
}

func open(t *testing.T, networks string) tidings.Sender {
	t.Helper()
	s, err := webhook.Driver.Open(tidings.Setup{Now: time.Now, Values: map[string]string{"networks": networks}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.(*webhook.Sender).Close)
	return s
}

func TestItIsASender(t *testing.T) {
	channeltest.Run(t, func(t *testing.T) channeltest.Harness {
		r := newReceiver(t)
		return channeltest.Harness{
			URL: r.url, Seen: r.texts, StatusOnly: true,
			New: func(t *testing.T, _ string, now func() time.Time) tidings.Sender {
				s, err := webhook.Driver.Open(tidings.Setup{Now: now, Values: map[string]string{"networks": "127.0.0.0/8"}})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(s.(*webhook.Sender).Close)
				return s
			},
			Call: func(body string) tidings.Call { return call(r.url, body) },
			Aim: func(c tidings.Call, url string) tidings.Call {
				c.Address.Value = url + "#" + secret
				return c
			},
			Refuse: func(c tidings.Call) tidings.Call {
				c.Address.Value = strings.Replace(c.Address.Value, "/hook", "/gone", 1)
				return c
			},
			Busy:      channeltest.Reply{Status: 429, Header: map[string]string{"Retry-After": "7"}},
			BusyAfter: 7 * time.Second,
			NoAccount: "the receiver is the address",
			Long:      strings.Repeat("订", 5000),
			TooLong:   strings.Repeat("订", 7000),
			Secrets:   []string{secret},
		}
	})
}

func TestAnswersAreClassedByTheirStatus(t *testing.T) {
	r, s := newReceiver(t), open(t, "127.0.0.1")
	for status, want := range map[int]tidings.SendError{
		301: {Outcome: tidings.Refused, Reason: tidings.AddressRefused},
		307: {Outcome: tidings.Refused, Reason: tidings.AddressRefused},
		400: {Outcome: tidings.Refused, Reason: tidings.ProviderRefused},
		410: {Outcome: tidings.Refused, Reason: tidings.AddressRefused, AddressDead: true},
		429: {Outcome: tidings.Busy, Reason: tidings.ProviderBusy},
		500: {Outcome: tidings.Busy, Reason: tidings.ProviderBusy},
		502: {Outcome: tidings.Busy, Reason: tidings.ProviderBusy},
		504: {Outcome: tidings.Busy, Reason: tidings.ProviderBusy},
	} {
		r.answer = status
		_, err := s.Send(t.Context(), call(r.url, "x"))
		e, ok := errors.AsType[*tidings.SendError](err)
		if !ok {
			t.Fatalf("%d: %v", status, err)
		}
		got := *e
		want.OfAddress = true
		if got.Err = nil; got != want {
			t.Errorf("%d: %+v, want %+v", status, got, want)
		}
	}
	if len(r.bodies)+len(r.wrong) != 0 {
		t.Errorf("%v", r.wrong)
	}
}

func TestARepeatHasTheSameIDAndBothSecretsSign(t *testing.T) {
	r, s := newReceiver(t), open(t, "127.0.0.1")
	c := call(r.url, "x")
	c.Address.Value = r.url + "#" + newer + "," + secret
	for range 2 {
		c.Attempt++
		if _, err := s.Send(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	other := c
	other.User = "u2"
	if _, err := s.Send(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	ids := []string{}
	for _, h := range r.header {
		ids = append(ids, h.Get("webhook-id"))
		if n := len(strings.Fields(h.Get("webhook-signature"))); n != 2 {
			t.Errorf("%d signatures", n)
		}
	}
	if len(ids) != 3 || ids[0] != ids[1] || ids[0] == ids[2] || strings.Contains(ids[0], ".") {
		t.Errorf("%q", ids)
	}
	library, err := standardwebhooks.NewWebhook(newer)
	if err != nil {
		t.Fatal(err)
	}
	if err := library.Verify(r.bodies[0], r.header[0]); err != nil {
		t.Errorf("the newer secret: %v", err)
	}
	var e struct {
		Type      string
		Timestamp time.Time
		Data      struct{ Title, Body, URL, User string }
	}
	if err := json.Unmarshal(r.bodies[0], &e); err != nil || e.Type != "order.paid" || e.Data.Title != "订单" || e.Data.URL != "https://m.example/1?a=1&b=2" || e.Timestamp.IsZero() {
		t.Errorf("%s: %v", r.bodies[0], err)
	}
}

func TestOurOwnNetworkIsNotCalled(t *testing.T) {
	r, s := newReceiver(t), open(t, "10.0.0.0/8")
	_, err := s.Send(t.Context(), call(r.url, "x"))
	if e, ok := errors.AsType[*tidings.SendError](err); !ok || e.Outcome != tidings.Refused || e.Reason != tidings.AddressRefused {
		t.Error(err)
	}
	strict := open(t, "")
	if _, err := strict.Send(t.Context(), call("http://shop.example/hook", "x")); err == nil || !strings.Contains(err.Error(), "https") {
		t.Errorf("http is called: %v", err)
	}
	if len(r.bodies)+len(r.wrong) != 0 {
		t.Error("it was called")
	}
}

// TestTheNPMLibraryVerifies gives what was sent to the other reference library, which others wrote in another language.
func TestTheNPMLibraryVerifies(t *testing.T) {
	r, s := newReceiver(t), open(t, "127.0.0.1")
	if _, err := s.Send(t.Context(), call(r.url, "已付 😀 <b>&")); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json", "check.js"} {
		b, err := os.ReadFile(filepath.Join("../../scripts/node-webhooks", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	input, err := json.Marshal(map[string]any{"secret": secret, "body": string(r.bodies[0]), "headers": map[string]string{
		"webhook-id": r.header[0].Get("webhook-id"), "webhook-timestamp": r.header[0].Get("webhook-timestamp"), "webhook-signature": r.header[0].Get("webhook-signature")}})
	if err != nil {
		t.Fatal(err)
	}
	run(t, dir, nil, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	if got := run(t, dir, input, "node", "check.js"); got != "verified order.paid; a changed body: refused\n" {
		t.Errorf("%q", got)
	}
}

func run(t *testing.T, dir string, input []byte, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(input)
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, problems.String())
	}
	return string(out)
}

// One receiver hangs, another is called on and on: neither the places of the first nor its rest touch the second.
func TestEachReceiverHasItsOwnPace(t *testing.T) {
	well := newReceiver(t)
	let, entered := make(chan struct{}), make(chan struct{}, 10)
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		select {
		case <-let:
		case <-r.Context().Done():
		}
		panic(http.ErrAbortHandler)
	}))
	t.Cleanup(hanging.Close)
	var clock atomic.Int64
	clock.Store(time.Now().Unix())
	s, err := webhook.Driver.Open(tidings.Setup{Now: func() time.Time { return time.Unix(clock.Load(), 0) }, Values: map[string]string{"networks": "127.0.0.0/8"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.(*webhook.Sender).Close)
	send := func(url string) *tidings.SendError {
		c := tidings.Call{Attempt: tidings.ID(attempts.Add(1)), Message: 1, User: "u", Type: "note", Content: tidings.Content{Body: "x"}, Address: tidings.Address{Channel: tidings.Webhook, Value: url + "#" + secret}}
		_, err := s.Send(t.Context(), c)
		e, _ := errors.AsType[*tidings.SendError](err)
		return e
	}
	var calls sync.WaitGroup
	for range 4 {
		calls.Go(func() { send(hanging.URL) })
	}
	for range 4 {
		<-entered
	}
	if e := send(hanging.URL); e == nil || e.Outcome != tidings.Busy || e.After != 500*time.Millisecond || !e.OfAddress {
		t.Errorf("a fifth call at once: %+v", e)
	}
	if e := send(well.url); e != nil {
		t.Errorf("another receiver: %v", e)
	}
	close(let)
	calls.Wait()
	if e := send(hanging.URL); e == nil || e.Outcome != tidings.Busy || e.After != 10*time.Second {
		t.Errorf("after four calls without an answer: %+v", e)
	}
	clock.Add(10)
	if e := send(hanging.URL); e == nil || e.Outcome != tidings.Unknown {
		t.Errorf("a single call after the rest: %+v", e)
	}
	for n := 0; ; n++ { // in one second of the clock
		if e := send(well.url); e != nil {
			if n != 50 || e.After != 20*time.Millisecond {
				t.Errorf("%d calls in a second, then %+v", n, e)
			}
			break
		}
	}
	clock.Add(1)
	well.mu.Lock()
	well.answer = 503
	well.mu.Unlock()
	if e := send(well.url); e == nil || e.Outcome != tidings.Busy {
		t.Errorf("%+v", e)
	}
	if e := send(well.url); e == nil || e.Outcome != tidings.Busy || strings.Contains(e.Error(), "faster") {
		t.Errorf("without Retry-After nothing rests: %+v", e)
	}
}
