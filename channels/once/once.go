// Package once makes one HTTP call to a provider and tells how far it got.
//
// The attempt row brackets a call, so a second one that nobody asked for would be a duplicate nobody can explain. Go's
// http.Transport repeats a request by itself when a reused connection dies before the answer, if the request looks
// repeatable; a client follows redirects by sending the body again. Both are off here.
package once

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"tidings"
)

const (
	dialTimeout = 5 * time.Second  // a host that does not answer a SYN is down
	idleTimeout = 20 * time.Second // shorter than the far side's, so that a dying connection is seldom picked up
	maxAnswer   = 64 << 10         // bytes of an answer that are read
	maxIdle     = 64               // kept connections, at least the workers of one channel
)

// Client makes calls. It is safe for use by several goroutines.
type Client struct {
	http  *http.Client
	trace func(body io.Reader) (traced io.Reader, watch *httptrace.ClientTrace, written func(error) bool)
}

// New returns a client that keeps connections open between calls. It speaks HTTP/1.1 only, where "written" has one
// meaning, and ignores proxies in the environment, which may repeat what they forward.
func New() *Client { return NewOver(&net.Dialer{}) }

// NewOver is New with connections by a dialer that chooses whom it calls.
func NewOver(dialer *net.Dialer) *Client {
	dialer.Timeout, dialer.KeepAlive = dialTimeout, 15*time.Second
	transport := &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &meteredConn{Conn: conn}, nil
		},
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    maxIdle,
		IdleConnTimeout:        idleTimeout,
		TLSHandshakeTimeout:    dialTimeout,
		MaxResponseHeaderBytes: 16 << 10,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
	}
	return &Client{http: &http.Client{Transport: transport, CheckRedirect: refuseRedirect}, trace: countBytes}
}

func refuseRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Close drops the kept connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Answer is what the far side said. Whoever has an Answer knows that the far side had the request.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
	Cut    bool // the body ended before its time, or was longer than any real one
}

// Post makes one POST. Its error is a *tidings.SendError: Busy when not a byte of the request was written, Unknown when
// one was and no status came back.
func (c *Client) Post(ctx context.Context, url string, header http.Header, body []byte) (Answer, error) {
	return c.call(ctx, http.MethodPost, url, header, body)
}

// Get asks for something, which changes nothing at the far side. Its errors are those of Post.
func (c *Client) Get(ctx context.Context, url string, header http.Header) (Answer, error) {
	return c.call(ctx, http.MethodGet, url, header, nil)
}

func (c *Client) call(ctx context.Context, method, url string, header http.Header, body []byte) (Answer, error) {
	traced, watch, written := c.trace(bytes.NewReader(body))
	// The reader's type is hidden so that net/http cannot rewind it: without GetBody no layer can send it again.
	if len(body) == 0 {
		traced = nil
	}
	request, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, watch), method, url, traced)
	if err != nil {
		return Answer{}, notWritten(err)
	}
	request.ContentLength = int64(len(body))
	request.Header = header
	response, err := c.http.Do(request)
	if err != nil {
		if written(err) {
			return Answer{}, &tidings.SendError{Outcome: tidings.Unknown, Reason: tidings.ProviderSilent, Err: cause(err)}
		}
		return Answer{}, notWritten(cause(err))
	}
	defer response.Body.Close()
	a := Answer{Status: response.StatusCode, Header: response.Header}
	a.Body, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	a.Cut = err != nil || len(a.Body) > maxAnswer
	return a, nil
}

func notWritten(err error) error {
	return &tidings.SendError{Outcome: tidings.Busy, Reason: tidings.ProviderDown, Err: err}
}

// cause drops the URL that net/http puts before its errors: it ends up in logs and attempt rows.
func cause(err error) error {
	if u, ok := err.(interface{ Unwrap() error }); ok && u.Unwrap() != nil {
		return fmt.Errorf("no answer: %w", u.Unwrap())
	}
	return err
}

// RetryAfter is the delay that an answer asks for, in seconds or until a date (RFC 9110, 10.2.3), or 0; at most an hour.
func (a Answer) RetryAfter() time.Duration {
	said := a.Header.Get("Retry-After")
	d, err := time.ParseDuration(said + "s")
	if err != nil {
		if at, err := http.ParseTime(said); err == nil {
			d = time.Until(at)
		}
	}
	return min(max(d, 0), time.Hour)
}

// meteredConn counts the bytes that were handed to the operating system. httptrace's WroteHeaders fires when the headers
// are in a buffer, which says less.
type meteredConn struct {
	net.Conn
	n atomic.Int64
}

// Write counts before it writes: a caller whose context ended reads the count after the connection was closed, so what
// is not yet counted then can no longer be written.
func (c *meteredConn) Write(b []byte) (int, error) {
	c.n.Add(int64(len(b)))
	n, err := c.Conn.Write(b)
	c.n.Add(int64(n - len(b)))
	return n, err
}

// meter compares a connection's count before and after a call.
type meter struct {
	conn   atomic.Pointer[meteredConn]
	before atomic.Int64
}

func (m *meter) start(info httptrace.GotConnInfo) {
	conn := info.Conn
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	if metered, ok := conn.(*meteredConn); ok {
		m.before.Store(metered.n.Load())
		m.conn.Store(metered)
	}
}

func (m *meter) written() bool {
	conn := m.conn.Load()
	return conn != nil && conn.n.Load() != m.before.Load()
}

// countBytes traces a call on a connection that carries one at a time: it was written as soon as a byte was.
func countBytes(body io.Reader) (io.Reader, *httptrace.ClientTrace, func(error) bool) {
	m := new(meter)
	return struct{ io.Reader }{body}, &httptrace.ClientTrace{GotConn: m.start}, func(error) bool { return m.written() }
}
