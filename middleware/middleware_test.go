package middleware_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tidings"
	"tidings/middleware"
)

// ask sends one request through a door whose only handler is h.
func ask(t *testing.T, c middleware.Config, h middleware.Handler, change func(*http.Request)) (*http.Response, middleware.Problem) {
	t.Helper()
	d := middleware.NewDoor(c)
	r := httptest.NewRequest("GET", "http://tidings.example/x", nil)
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	d.Wrap(d.Serve(h)).ServeHTTP(w, r)
	var p middleware.Problem
	if strings.HasPrefix(w.Header().Get("Content-Type"), "application/problem+json") {
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
	}
	return w.Result(), p
}

func fails(err error) middleware.Handler {
	return func(http.ResponseWriter, *http.Request) error { return err }
}

func TestACallersMistakeIsToldAndNotLogged(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	err := tidings.FieldErrors{{Field: "type", Code: "unknown", Detail: "no such type"}}.Err(tidings.Unprocessable)
	res, p := ask(t, middleware.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}, fails(err), nil)
	if res.StatusCode != 422 || p.Code != "unprocessable" || len(p.Errors) != 1 || p.Errors[0].Field != "type" || p.RequestID == "" || p.RequestID != res.Header.Get("X-Request-Id") {
		t.Errorf("%d %+v", res.StatusCode, p)
	}
	if log.Len() > 0 {
		t.Errorf("logged: %s", log.String())
	}
}

func TestEveryCodeHasAStatus(t *testing.T) {
	t.Parallel()
	for code, status := range map[tidings.Code]int{
		tidings.Invalid: 400, tidings.Unauthenticated: 401, tidings.Forbidden: 403, tidings.NotFound: 404, tidings.MethodNotAllowed: 405,
		tidings.Conflict: 409, tidings.TooLarge: 413, tidings.Unprocessable: 422, tidings.TooMany: 429, tidings.Unavailable: 503,
	} {
		if p := middleware.ProblemOf(tidings.Errorf(code, "x")); p.Status != status || p.Title == "" {
			t.Errorf("%s: %+v", code, p)
		}
	}
}

func TestAFaultOfOursIsLoggedOnceAndNotTold(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]middleware.Handler{
		"error": fails(errors.New("password of the database: secret")),
		"panic": func(http.ResponseWriter, *http.Request) error { panic("password of the database: secret") },
	} {
		var log bytes.Buffer
		res, p := ask(t, middleware.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}, h, nil)
		if res.StatusCode != 500 || p.Code != "internal" || strings.Contains(p.Detail, "secret") {
			t.Errorf("%s: %d %+v", name, res.StatusCode, p)
		}
		if n := strings.Count(log.String(), "level=ERROR"); n != 1 || !strings.Contains(log.String(), p.RequestID) {
			t.Errorf("%s: logged %d times: %s", name, n, log.String())
		}
	}
}

func TestAnAnswerThatHasBegunIsNotMixedWithAProblem(t *testing.T) {
	t.Parallel()
	res, p := ask(t, middleware.Config{}, func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(http.StatusOK)
		return errors.New("too late")
	}, nil)
	if res.StatusCode != 200 || p.Code != "" {
		t.Errorf("%d %+v", res.StatusCode, p)
	}
}

func TestWhenToComeBackIsSaidInWholeSecondsAtLeastOne(t *testing.T) {
	t.Parallel()
	res, _ := ask(t, middleware.Config{}, fails(&tidings.Error{Code: tidings.Unavailable, After: 50 * time.Millisecond}), nil)
	if got := res.Header.Get("Retry-After"); got != "1" {
		t.Errorf("Retry-After %q", got)
	}
}

func TestAHarmlessRequestIDIsKeptAndAnotherIsReplaced(t *testing.T) {
	t.Parallel()
	for given, kept := range map[string]bool{"abc-1.2_3": true, "": false, "a b": false, "a\"b": false, strings.Repeat("x", 65): false} {
		res, _ := ask(t, middleware.Config{}, fails(nil), func(r *http.Request) { r.Header.Set("X-Request-Id", given) })
		if got := res.Header.Get("X-Request-Id"); got == "" || (got == given) != kept {
			t.Errorf("%q became %q", given, got)
		}
	}
}

func TestOneRequestTooManyIsTurnedAwayBeforeAnyWork(t *testing.T) {
	t.Parallel()
	d := middleware.NewDoor(middleware.Config{MaxInFlight: 1})
	inside, leave := make(chan bool), make(chan bool)
	h := d.Wrap(d.Serve(func(w http.ResponseWriter, _ *http.Request) error {
		inside <- true
		<-leave
		return nil
	}))
	done := make(chan bool)
	go func() {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
		close(done)
	}()
	<-inside
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	leave <- true
	<-done
	go func() { <-inside; leave <- true }()
	w = httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != 200 {
		t.Errorf("after the first had left: %d", w.Code)
	}
}

func TestOnlyPagesOfListedOriginsMayCall(t *testing.T) {
	t.Parallel()
	c := middleware.Config{Origins: func(_ context.Context, o string) bool { return o == "https://shop.example" }}
	for _, k := range []struct {
		origin string
		status int
		allow  string
	}{
		{"", 200, ""}, {"https://tidings.example", 200, ""}, {"https://shop.example", 200, "https://shop.example"},
		{"https://evil.example", 403, ""}, {"null", 403, ""},
	} {
		res, _ := ask(t, c, fails(nil), func(r *http.Request) {
			if k.origin != "" {
				r.Header.Set("Origin", k.origin)
			}
		})
		if res.StatusCode != k.status || res.Header.Get("Access-Control-Allow-Origin") != k.allow || res.Header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%q: %d %v", k.origin, res.StatusCode, res.Header)
		}
		if k.origin != "" && res.Header.Get("Vary") != "Origin" {
			t.Errorf("%q: no Vary", k.origin)
		}
	}
	res, _ := ask(t, c, fails(errors.New("a preflight reaches no handler")), func(r *http.Request) {
		r.Method = "OPTIONS"
		r.Header.Set("Origin", "https://shop.example")
		r.Header.Set("Access-Control-Request-Method", "POST")
	})
	if res.StatusCode != 204 || !strings.Contains(res.Header.Get("Access-Control-Allow-Headers"), "Authorization") {
		t.Errorf("preflight: %d %v", res.StatusCode, res.Header)
	}
}

func TestAForwardedAddressIsBelievedOnlyFromATrustedProxy(t *testing.T) {
	t.Parallel()
	d := middleware.NewDoor(middleware.Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	for _, c := range []struct{ peer, forwarded, want string }{
		{"192.0.2.7:1", "", "192.0.2.7"}, {"192.0.2.7:1", "198.51.100.1", "192.0.2.7"}, {"10.0.0.1:1", "198.51.100.1", "198.51.100.1"},
		{"10.0.0.1:1", "6.6.6.6, 198.51.100.1, 10.0.0.9", "198.51.100.1"}, {"10.0.0.1:1", "nonsense", "10.0.0.1"},
		{"[::ffff:10.0.0.1]:1", "2001:db8::1", "2001:db8::1"}, {"@", "", "invalid IP"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.peer
		r.Header.Set("X-Forwarded-For", c.forwarded)
		if got := d.ClientIP(r).String(); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

func TestEachAnswerIsObservedWithItsRouteAndStatus(t *testing.T) {
	t.Parallel()
	var pattern string
	var status int
	d := middleware.NewDoor(middleware.Config{Observe: func(p string, s int, _ time.Duration) { pattern, status = p, s }})
	mux := http.NewServeMux()
	mux.Handle("GET /things/{id}", d.Serve(fails(tidings.Errorf(tidings.NotFound, "no"))))
	d.Wrap(mux).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/things/7", nil))
	if pattern != "GET /things/{id}" || status != 404 {
		t.Errorf("%q %d", pattern, status)
	}
}

// Connections that begin a body and say nothing more hold no place for long, and who sends steadily is not cut.
func TestABodyThatDoesNotComeGivesItsPlaceBack(t *testing.T) {
	const grace = time.Second
	door := middleware.NewDoor(middleware.Config{MaxInFlight: 1, Grace: grace})
	mux := http.NewServeMux()
	mux.Handle("POST /read", door.Serve(func(w http.ResponseWriter, r *http.Request) error {
		b, err := middleware.ReadBody(w, r, 1<<20)
		if err != nil {
			return err
		}
		select { // what is done with it may take longer than its coming
		case <-time.After(grace + grace/4):
		case <-r.Context().Done():
			t.Error("the request ended with its body's time")
		}
		fmt.Fprint(w, len(b))
		return nil
	}))
	server := httptest.NewServer(door.Wrap(mux))
	defer server.Close()
	open := func() net.Conn {
		c, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		fmt.Fprint(c, "POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 100004\r\n\r\nhalf")
		return c
	}
	status := func(c net.Conn) (int, string) {
		response, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		b, _ := io.ReadAll(response.Body)
		return response.StatusCode, string(b)
	}
	if code, _ := status(open()); code != http.StatusBadRequest {
		t.Errorf("a body that does not come is answered %d", code)
	}
	steady := open()
	go func() {
		for range 10 {
			<-time.After(grace / 5)
			fmt.Fprint(steady, strings.Repeat("x", 10_000))
		}
	}()
	if code, body := status(steady); code != http.StatusOK || body != "100004" {
		t.Errorf("a body that comes steadily is answered %d %s", code, body)
	}
}
