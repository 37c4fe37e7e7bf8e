// Package client speaks to Tidings from a Go program: a Client publishes messages, a Subscription hears those of one user.
//
// It imports the standard library alone, so it can also be copied. Both ends try again by themselves where that is safe and of
// use: a publisher with the same Idempotency-Key, so that a message is accepted once however often it was posted; a
// subscription with its cursor, so that each message is handed over once and in order.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Client speaks to the API as an application. Its zero value with a URL and a Key is ready for use, by many goroutines at once.
type Client struct {
	URL string // of the API: "https://push.example.com"
	Key string // the application's key, "tdk_..."; or an admin's token
	// Application is whom an admin's token speaks for; a key has its own.
	Application string
	HTTP        *http.Client // default: http.DefaultClient

	// Timeout is how long one try may take; default 30 s.
	Timeout time.Duration
	// Tries is how often a request is tried at most; default 8. The context ends it sooner.
	Tries int
	// Patience is the longest wait that the server may ask for between two tries; default 1 min. A quota that is used up for the day
	// is told at once.
	Patience time.Duration
	// Backoff is the least wait between two tries, doubled each time up to 30 s and drawn at random; default 200 ms.
	Backoff time.Duration
}

// Problem is the server's refusal (RFC 9457). errors.AsType[*Problem] finds it in what the calls of this package return.
type Problem struct {
	Status    int            `json:"status"`
	Code      string         `json:"code"` // a stable word: "invalid", "unprocessable", "too_many_requests", ...
	Title     string         `json:"title"`
	Detail    string         `json:"detail"`
	Errors    []FieldProblem `json:"errors"`
	RequestID string         `json:"request_id"`
	// RetryAfter is when the server says that it may be worth trying again; 0: it does not say.
	RetryAfter time.Duration `json:"-"`
}

// FieldProblem names one field of the request that is wrong.
type FieldProblem struct {
	Field  string `json:"field"` // a path: "audience.users", "data.amount"
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

func (p *Problem) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "tidings: %d %s", p.Status, p.Code)
	if text := p.Detail; text != "" {
		b.WriteString(": " + text)
	} else if p.Title != "" {
		b.WriteString(": " + p.Title)
	}
	for _, f := range p.Errors {
		fmt.Fprintf(&b, "; %s %s: %s", f.Field, f.Code, f.Detail)
	}
	return b.String()
}

// passing tells whether the refusal may be over soon: the server is full, being stopped, or still at work on the same key (409
// with a Retry-After).
func (p *Problem) passing() bool {
	return p.Status >= 500 || p.Status == http.StatusTooManyRequests || p.Status == http.StatusRequestTimeout ||
		p.Status == http.StatusConflict && p.RetryAfter > 0
}

// post sends body as JSON until it is answered for good, and reads the answer into out.
func (c *Client) post(ctx context.Context, path string, body, out any, key string) (replayed bool, err error) {
	text, err := json.Marshal(body)
	if err != nil {
		return false, fmt.Errorf("tidings: the request: %w", err)
	}
	wait := backoff{least: or(c.Backoff, 200*time.Millisecond), most: 30 * time.Second}
	for try := 1; ; try++ {
		replayed, err = c.once(ctx, path, text, out, key)
		if err == nil || ctx.Err() != nil || try >= or(c.Tries, 8) {
			return replayed, err
		}
		var advice time.Duration
		if p, ok := errors.AsType[*Problem](err); ok {
			if advice = p.RetryAfter; !p.passing() || advice > or(c.Patience, time.Minute) {
				return false, err
			}
		}
		if sleep(ctx, advice+wait.next()) != nil {
			return false, err // which says more than that the context is done
		}
	}
}

func (c *Client) once(ctx context.Context, path string, body []byte, out any, key string) (replayed bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, or(c.Timeout, 30*time.Second), errors.New("no answer in time"))
	defer cancel()
	if c.Application != "" {
		path += "?application=" + c.Application
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(c.URL, "/")+path, bytes.NewReader(body))
	if err != nil {
		return false, fmt.Errorf("tidings: %w", err)
	}
	r.Header.Set("Authorization", "Bearer "+c.Key)
	r.Header.Set("Content-Type", "application/json")
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	answer, err := or(c.HTTP, http.DefaultClient).Do(r)
	if err != nil {
		return false, fmt.Errorf("tidings: %w", err)
	}
	defer answer.Body.Close() //nolint:errcheck // it was read whole
	text, err := io.ReadAll(io.LimitReader(answer.Body, 64<<20))
	if err != nil {
		return false, fmt.Errorf("tidings: read the answer: %w", err)
	}
	if answer.StatusCode/100 != 2 {
		return false, problemOf(answer, text)
	}
	if err := json.Unmarshal(text, out); err != nil {
		return false, fmt.Errorf("tidings: the answer is not understood: %w", err)
	}
	return answer.Header.Get("Idempotent-Replayed") == "true", nil
}

// problemOf reads a refusal. A proxy's has no problem in its body.
func problemOf(answer *http.Response, body []byte) *Problem {
	p := &Problem{}
	if json.Unmarshal(body, p) != nil || p.Code == "" {
		p = &Problem{Code: "http", Title: http.StatusText(answer.StatusCode), Detail: strings.ToValidUTF8(string(body[:min(len(body), 200)]), "")}
	}
	p.Status = answer.StatusCode
	p.RetryAfter = retryAfter(answer.Header.Get("Retry-After"), time.Now())
	return p
}

// retryAfter reads seconds or a date (RFC 9110, 10.2.3).
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(value); err == nil {
		return time.Duration(max(seconds, 0)) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

// backoff is waits that grow and are drawn at random (full jitter), so that those who failed together do not come back together.
type backoff struct{ least, most, now time.Duration }

func (b *backoff) next() time.Duration {
	b.now = min(max(2*b.now, b.least), b.most)
	return rand.N(b.now) + 1 //nolint:gosec // not a secret
}

func (b *backoff) reset() { b.now = 0 }

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// or is value, or what stands for its zero.
func or[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}
