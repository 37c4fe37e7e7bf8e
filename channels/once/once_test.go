package once_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidings"
	"tidings/channels/once"
)

// deadlySecond answers the first request on each connection and closes after it has read the second.
func deadlySecond(t *testing.T) (url string, requests *atomic.Int64) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	requests = new(atomic.Int64)
	serve := func(conn net.Conn) {
		defer conn.Close()
		in := bufio.NewReader(conn)
		for answered := false; ; answered = true {
			r, err := http.ReadRequest(in)
			if err != nil {
				return
			}
			io.Copy(io.Discard, r.Body)
			requests.Add(1)
			if answered {
				return
			}
			io.WriteString(conn, "HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok")
		}
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go serve(conn)
		}
	}()
	return "http://" + listener.Addr().String(), requests
}

func TestACallOnAReusedConnectionThatDiesIsNotRepeated(t *testing.T) {
	for _, key := range []string{"", "Idempotency-Key"} { // net/http repeats a POST that carries one
		url, requests := deadlySecond(t)
		c := once.New()
		header := http.Header{}
		if key != "" {
			header.Set(key, "k")
		}
		if _, err := c.Post(t.Context(), url, header, []byte("one")); err != nil {
			t.Fatal(err)
		}
		_, err := c.Post(t.Context(), url, header, []byte("two"))
		wantOutcome(t, err, tidings.Unknown, tidings.ProviderSilent)
		if n := requests.Load(); n != 2 {
			t.Errorf("with %q the server saw %d requests, want 2", key, n)
		}
	}
}

func TestAConnectionRefusedIsCertainlyNotSent(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	_, err = once.New().Post(t.Context(), "http://"+listener.Addr().String(), nil, []byte("x"))
	wantOutcome(t, err, tidings.Busy, tidings.ProviderDown)
}

func TestAFailedHandshakeIsCertainlyNotSent(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler()) // its certificate is not trusted
	defer server.Close()
	_, err := once.New().Post(t.Context(), server.URL, nil, []byte("x"))
	wantOutcome(t, err, tidings.Busy, tidings.ProviderDown)
}

func TestASilentServerIsUnknown(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := once.New().Post(ctx, server.URL, nil, []byte("x"))
	wantOutcome(t, err, tidings.Unknown, tidings.ProviderSilent)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the cause is lost: %v", err)
	}
}

func TestHowLongToWaitIsSaidInSecondsOrByADate(t *testing.T) {
	for said, want := range map[string][2]time.Duration{
		"": {0, 0}, "7": {7 * time.Second, 7 * time.Second}, "-1": {0, 0}, "soon": {0, 0}, "86400": {time.Hour, time.Hour},
		time.Now().Add(20 * time.Minute).UTC().Format(http.TimeFormat): {18 * time.Minute, 20 * time.Minute},
		time.Now().Add(-time.Minute).UTC().Format(http.TimeFormat):     {0, 0},
	} {
		if got := (once.Answer{Header: http.Header{"Retry-After": {said}}}).RetryAfter(); got < want[0] || got > want[1] {
			t.Errorf("%q: %s", said, got)
		}
	}
}

func TestARedirectIsAnAnswerAndNotFollowed(t *testing.T) {
	var requests atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		http.Redirect(w, r, "/again", http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	a, err := once.New().Post(t.Context(), server.URL, nil, []byte("x"))
	if err != nil || a.Status != http.StatusTemporaryRedirect || requests.Load() != 1 {
		t.Errorf("status %d, %d requests, %v", a.Status, requests.Load(), err)
	}
}

func TestACutOrEndlessBodyIsMarked(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/endless" {
			io.WriteString(w, strings.Repeat("x", 100<<10))
			return
		}
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "short")
	}))
	defer server.Close()
	for _, path := range []string{"/cut", "/endless"} {
		a, err := once.New().Post(t.Context(), server.URL+path, nil, nil)
		if err != nil || !a.Cut || len(a.Body) > 65<<10 {
			t.Errorf("%s: cut %v, %d bytes, %v", path, a.Cut, len(a.Body), err)
		}
	}
}

func TestErrorsDoNotShowTheURL(t *testing.T) {
	_, err := once.New().Post(t.Context(), "http://127.0.0.1:1/secret", nil, nil)
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("error shows the URL: %v", err)
	}
}

func wantOutcome(t *testing.T, err error, outcome tidings.Outcome, reason tidings.Reason) {
	t.Helper()
	e, ok := errors.AsType[*tidings.SendError](err)
	if !ok || e.Outcome != outcome || e.Reason != reason {
		t.Errorf("got %v, want %s (%s)", err, outcome, reason)
	}
}
