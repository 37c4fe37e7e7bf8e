package once_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"tidings"
	"tidings/channels/once"
)

// frames is a server that speaks HTTP/2 frame by frame: act is called for each request that came whole.
type frames struct {
	url      string
	requests atomic.Int64
}

func newFrames(t *testing.T, act func(f *http2.Framer, stream uint32, conn net.Conn)) *frames {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	s := &frames{url: "http://" + listener.Addr().String()}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go s.serve(conn, act)
		}
	}()
	return s
}

func (s *frames) serve(conn net.Conn, act func(*http2.Framer, uint32, net.Conn)) {
	defer conn.Close()
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(conn, preface); err != nil {
		return
	}
	f := http2.NewFramer(conn, conn)
	f.WriteSettings()
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return
		}
		if data, ok := frame.(*http2.DataFrame); ok && data.StreamEnded() {
			s.requests.Add(1)
			act(f, data.StreamID, conn)
		}
	}
}

// ok answers 200; ":status: 200" is entry 8 of HPACK's static table (RFC 7541, appendix A).
func ok(f *http2.Framer, stream uint32) {
	f.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: []byte{0x88}, EndStream: true, EndHeaders: true})
}

// What a far side does to a request that it has whole, and what is known then. The request goes out once in each case.
func TestHowFarARequestGotOverHTTP2(t *testing.T) {
	for name, c := range map[string]struct {
		act     func(f *http2.Framer, stream uint32, conn net.Conn)
		outcome tidings.Outcome
		reason  tidings.Reason
	}{
		"a refused stream": {func(f *http2.Framer, stream uint32, _ net.Conn) { f.WriteRSTStream(stream, http2.ErrCodeRefusedStream) },
			tidings.Busy, tidings.ProviderDown},
		"a goodbye that names an earlier stream": {func(f *http2.Framer, stream uint32, _ net.Conn) { f.WriteGoAway(stream-2, http2.ErrCodeNo, nil) },
			tidings.Busy, tidings.ProviderDown},
		"a goodbye that names this stream": {func(f *http2.Framer, stream uint32, conn net.Conn) {
			f.WriteGoAway(stream, http2.ErrCodeNo, nil)
			conn.Close()
		},
			tidings.Unknown, tidings.ProviderSilent},
		"a protocol error, which net/http takes for a leave to repeat": {func(f *http2.Framer, stream uint32, _ net.Conn) { f.WriteRSTStream(stream, http2.ErrCodeProtocol) },
			tidings.Unknown, tidings.ProviderSilent},
		"an internal error": {func(f *http2.Framer, stream uint32, _ net.Conn) { f.WriteRSTStream(stream, http2.ErrCodeInternal) },
			tidings.Unknown, tidings.ProviderSilent},
		"a lost connection": {func(_ *http2.Framer, _ uint32, conn net.Conn) { conn.Close() },
			tidings.Unknown, tidings.ProviderSilent},
	} {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int64
			s := newFrames(t, func(f *http2.Framer, stream uint32, conn net.Conn) {
				if n.Add(1) == 1 { // so that the second finds a connection in use
					ok(f, stream)
					return
				}
				c.act(f, stream, conn)
			})
			client := once.NewHTTP2()
			defer client.Close()
			header := http.Header{"Idempotency-Key": {"k"}} // with which net/http takes a request for repeatable
			if a, err := client.Post(t.Context(), s.url, header, []byte("one")); err != nil || a.Status != 200 {
				t.Fatal(a, err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			_, err := client.Post(ctx, s.url, header, []byte("two"))
			wantOutcome(t, err, c.outcome, c.reason)
			if got := s.requests.Load(); got != 2 {
				t.Errorf("the server saw %d requests, want 2", got)
			}
		})
	}
}

func TestOverHTTP2WhatNeverBeganIsNotSent(t *testing.T) {
	client := once.NewHTTP2()
	defer client.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	_, err = client.Post(t.Context(), "http://"+listener.Addr().String(), nil, []byte("x"))
	wantOutcome(t, err, tidings.Busy, tidings.ProviderDown)

	plain := httptest.NewTLSServer(http.NotFoundHandler()) // neither trusted nor of HTTP/2
	defer plain.Close()
	_, err = client.Post(t.Context(), plain.URL, nil, []byte("x"))
	wantOutcome(t, err, tidings.Busy, tidings.ProviderDown)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := newFrames(t, func(f *http2.Framer, stream uint32, _ net.Conn) { ok(f, stream) })
	_, err = client.Post(ctx, s.url, nil, []byte("x"))
	wantOutcome(t, err, tidings.Busy, tidings.ProviderDown)
	if s.requests.Load() != 0 {
		t.Error("it was sent")
	}
}

// A request that is whole at the far side and never answered.
func TestASilentServerOverHTTP2IsUnknown(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	defer server.Close()
	defer close(release)
	client := once.NewHTTP2()
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := client.Post(ctx, server.URL, nil, []byte("whole, and never answered"))
	wantOutcome(t, err, tidings.Unknown, tidings.ProviderSilent)
}
