package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tidings/client"
)

// answers is a transport that gives what a list says, and keeps what it was asked.
type answers struct {
	mu   sync.Mutex
	list []func(*http.Request) (*http.Response, error)
	keys []string
	body []string
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	text := ""
	if r.Body != nil {
		b, _ := io.ReadAll(r.Body)
		text = string(b)
	}
	if strings.HasSuffix(r.URL.Path, "/ack") {
		a.body = append(a.body, "ack "+text)
		return answer(204, "")(r)
	}
	a.keys, a.body = append(a.keys, r.Header.Get("Idempotency-Key")), append(a.body, text)
	if len(a.list) == 0 {
		return nil, errors.New("not asked for")
	}
	next := a.list[0]
	a.list = a.list[1:]
	return next(r)
}

func answer(status int, body string, header ...string) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = w.WriteString(body)
		return w.Result(), nil
	}
}

func lost(*http.Request) (*http.Response, error) { return nil, errors.New("connection reset by peer") }

func hangs(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, context.Cause(r.Context())
}

const accepted = `{"id":"m1","status":"accepted"}`

func TestAPublisherTriesAgainWithTheSameKeyAndTheSameWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &answers{list: []func(*http.Request) (*http.Response, error){lost, hangs, answer(503, "busy", "Retry-After", "7"),
			answer(409, `{"code":"conflict"}`, "Retry-After", "1"), answer(202, accepted, "Idempotent-Replayed", "true")}}
		c := &client.Client{URL: "http://node", Key: "k", HTTP: &http.Client{Transport: a}}
		began := time.Now()
		got, err := c.Publish(t.Context(), note("u", "x"))
		if err != nil || got.ID != "m1" || !got.Replayed {
			t.Fatalf("%+v %v", got, err)
		}
		if took := time.Since(began); took < 38*time.Second || took > time.Minute { // 30 s without an answer, 7 s and 1 s as asked
			t.Errorf("it took %s", took)
		}
		for i := range a.keys {
			if a.keys[i] == "" || a.keys[i] != a.keys[0] || a.body[i] != a.body[0] {
				t.Errorf("%q %q", a.keys, a.body)
			}
		}
	})
}

func TestAPublisherGivesUpWhereTryingIsNoUse(t *testing.T) {
	for _, c := range []struct {
		name  string
		tries int
		first func(*http.Request) (*http.Response, error)
		want  int
	}{
		{"bad input", 1, answer(422, `{"code":"unprocessable","errors":[{"field":"data.amount","code":"missing"}]}`), 422},
		{"the key with other words", 1, answer(422, `{"code":"unprocessable"}`), 422},
		{"a conflict that does not pass", 1, answer(409, `{"code":"conflict"}`), 409},
		{"a quota for the day", 1, answer(429, `{"code":"too_many_requests"}`, "Retry-After", "40000"), 429},
		{"a proxy's page", 3, answer(502, "<html>bad gateway"), 502},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &answers{list: []func(*http.Request) (*http.Response, error){c.first, c.first, c.first, c.first}}
				_, err := (&client.Client{URL: "http://node", HTTP: &http.Client{Transport: a}, Tries: 3}).Publish(t.Context(), note("u", "x"))
				if !hasStatus(err, c.want) || len(a.keys) != c.tries {
					t.Errorf("%v after %d tries", err, len(a.keys))
				}
			})
		})
	}
}

func TestAPublisherEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		a := &answers{list: []func(*http.Request) (*http.Response, error){answer(503, "", "Retry-After", "20")}}
		began := time.Now()
		_, err := (&client.Client{URL: "http://node", HTTP: &http.Client{Transport: a}}).Publish(ctx, note("u", "x"))
		if !hasStatus(err, 503) || time.Since(began) != 5*time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}

// stream answers with frames. "silent" holds the connection open after them until the client leaves.
func stream(frames ...string) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		reader, writer := io.Pipe()
		go func() {
			for _, f := range frames {
				if f == "silent" {
					<-r.Context().Done()
					break
				}
				_, _ = io.WriteString(writer, f+"\n")
			}
			_ = writer.CloseWithError(errors.Join(r.Context().Err(), io.EOF))
		}()
		return &http.Response{StatusCode: 200, Body: reader, Header: http.Header{}}, nil
	}
}

func message(n int) string { return fmt.Sprintf(`{"cursor":"e.%d","messages":[{"number":%d}]}`, n, n) }

// hear runs a subscription over these answers until it has heard so many events.
func hear(t *testing.T, many int, list ...func(*http.Request) (*http.Response, error)) (heard []string, s *client.Subscription, a *answers, err error) {
	a = &answers{list: list}
	tokens := 0
	s = &client.Subscription{URL: "http://node", Name: "n", Cursor: "e.0", HTTP: &http.Client{Transport: a},
		Token:  func(context.Context) (string, error) { tokens++; return fmt.Sprint("t", tokens), nil },
		Failed: func(err error) { heard = append(heard, "failed: "+err.Error()) }}
	count := 0
	err = s.Run(t.Context(), func(_ context.Context, e client.Event) error {
		switch {
		case e.Message != nil:
			heard = append(heard, fmt.Sprint(e.Message.Number))
		case e.Reset:
			heard = append(heard, "reset "+e.Cursor)
		case e.Gone > 0:
			heard = append(heard, fmt.Sprint("gone ", e.Gone))
		default:
			heard = append(heard, fmt.Sprint(e.Marked.Mark, e.Marked.IDs, *e.Marked.Unread))
		}
		if count++; count == many {
			return errEnough
		}
		return nil
	})
	return heard, s, a, err
}

func TestASubscriptionGoesOnWhateverEndsItsConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		heard, s, a, err := hear(t, 8,
			stream(`{"cursor":"e.0","heartbeat_ms":10000}`, "", message(1), "silent"), // for 20 s
			lost,
			answer(503, `{"code":"unavailable"}`, "Retry-After", "5"),
			stream(message(1), message(2), `{"cursor":"e.2","close":{"code":3000,"reason":"going_away","retry_ms":9000}}`),
			answer(401, `{"code":"unauthenticated"}`),
			stream(`{"cursor":"e.4","messages":[{"number":2},{"number":3,"gone":true},{"number":4}]}`, `{"cursor":"e.4","close":{"code":3001,"reason":"token_expired"}}`),
			stream(`{"cursor":"f.9","reset":true}`, `{"cursor":"f.9","marked":{"mark":"read","ids":["x"],"unread":3}}`, `{"cursor":"f.11","messages":[{"number":10},{"number":11}]}`))
		if !errors.Is(err, errEnough) {
			t.Fatal(err)
		}
		want := `1|failed: tidings: the server was silent for too long|failed: tidings: Get "http://node/comet/stream?client=n&cursor=e.1": connection reset by peer|` +
			`failed: tidings: 503 unavailable|2|failed: tidings: the server ended the subscription: going_away (3000)|` +
			`failed: tidings: 401 unauthenticated|gone 3|4|failed: tidings: the server ended the subscription: token_expired (3001)|` +
			`reset f.9|read[x] 3|10|11`
		if got := strings.Join(heard, "|"); got != want {
			t.Errorf("%s", got)
		}
		if took := time.Since(began); took < 34*time.Second || took > 45*time.Second {
			t.Errorf("it took %s: 20 s of silence, 5 s and 9 s as asked", took)
		}
		if s.Cursor != "f.10" {
			t.Errorf("it stands at %s: 11 was not handled", s.Cursor)
		}
		last := a.body[len(a.body)-1]
		var ack struct{ Client, Cursor string }
		if err := json.Unmarshal([]byte(strings.TrimPrefix(last, "ack ")), &ack); err != nil || ack.Client != "n" || ack.Cursor != "f.10" {
			t.Errorf("the last word is %s", last)
		}
	})
}

func TestASubscriptionEndsWhereComingBackIsNoUse(t *testing.T) {
	for name, c := range map[string]struct {
		list []func(*http.Request) (*http.Response, error)
		is   func(error) bool
	}{
		"taken over": {[]func(*http.Request) (*http.Response, error){stream(`{"cursor":"e.0","close":{"code":3500,"reason":"replaced"}}`)},
			func(err error) bool { c, ok := errors.AsType[*client.Closed](err); return ok && c.Code == 3500 }},
		"forbidden":                   {[]func(*http.Request) (*http.Response, error){answer(403, `{"code":"forbidden"}`)}, func(err error) bool { return hasStatus(err, 403) }},
		"tokens that are all refused": {[]func(*http.Request) (*http.Response, error){answer(401, ""), answer(401, "")}, func(err error) bool { return hasStatus(err, 401) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if _, _, a, err := hear(t, 1, c.list...); !c.is(err) || len(a.list) > 0 {
					t.Errorf("%v", err)
				}
			})
		})
	}
}
