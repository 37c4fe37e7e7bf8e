package once

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"time"
)

// Pings find a connection that died in silence before the calls on it have all run out.
const (
	pingAfter   = 15 * time.Second // of silence while a call waits
	pingTimeout = 5 * time.Second
)

// NewHTTP2 returns a client that speaks HTTP/2 and nothing else: over TLS to an https URL, by prior knowledge to an http one.
//
// Calls share a connection here, so bytes on it tell nothing of one call. A call counts as written as soon as the transport has
// asked for its body, which it does after the headers: a request whose body never leaves is none that a far side could act upon.
// When the call fails the body is sealed, so that what was not written then never is.
//
// The far side itself can say that it did not look at a request (RFC 9113, 8.7), and is believed: see notProcessed.
func NewHTTP2() *Client {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{
		DialContext:            dialer.DialContext,
		Protocols:              protocols,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
		IdleConnTimeout:        time.Hour, // Apple asks for connections that stay
		TLSHandshakeTimeout:    dialTimeout,
		MaxResponseHeaderBytes: 16 << 10,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
	}
	return &Client{http: &http.Client{Transport: transport, CheckRedirect: refuseRedirect}, trace: sealBody}
}

func sealBody(body io.Reader) (io.Reader, *httptrace.ClientTrace, func(error) bool) {
	b := &sealedBody{body: body}
	return b, &httptrace.ClientTrace{}, func(err error) bool { return b.seal() && !notProcessed(err) }
}

// sealedBody is a body that gives nothing more once it is sealed.
type sealedBody struct {
	mu            sync.Mutex
	body          io.Reader
	begun, sealed bool
}

var errSealed = errors.New("the call has ended")

func (b *sealedBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.sealed {
		return 0, errSealed
	}
	b.begun = true
	return b.body.Read(p)
}

// seal tells whether the body was begun.
func (b *sealedBody) seal() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sealed = true
	return b.begun
}

// notProcessed tells whether the far side said that it did not act on the request: it reset the stream with REFUSED_STREAM, or
// said goodbye with a GOAWAY that names an earlier stream as its last. net/http would send such a request again by itself, had
// it a GetBody; without one it says so in these words, and in no others. A test holds it to them, and should they change
// nevertheless, the call is unknown, as it is after a PROTOCOL_ERROR, which net/http would repeat and no rule calls safe.
func notProcessed(err error) bool {
	_, reason, ok := strings.Cut(err.Error(), "cannot retry err [")
	return ok && (strings.Contains(reason, "; REFUSED_STREAM") || strings.Contains(reason, "received Server's graceful shutdown GOAWAY"))
}
