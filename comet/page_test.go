package comet

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

// everyTransport runs a test over each of them. "deflated" is a WebSocket whose client deflates all that it says.
func everyTransport(t *testing.T, test func(t *testing.T, transport string)) {
	for _, transport := range []string{"poll", "stream", "events", "ws", deflated} {
		t.Run(transport, func(t *testing.T) { test(t, transport) })
	}
}

const deflated = "deflated"

// onWire is the path of a transport.
func onWire(path string) string { return strings.Replace(path, "/comet/"+deflated, "/comet/ws", 1) }

// page is a client that listens, whatever the transport. A poll's asks again after each answer.
type page struct {
	t    testing.TB
	read func() (heard, error) // the next frame; io.EOF at the end
	ack  func(cursor string) error
	gone func() // hangs up
}

func (s *site) open(path, token string) *page {
	s.rig.t.Helper()
	p, status, body := s.tryOpen(http.DefaultClient, path, token)
	if p == nil {
		s.rig.t.Fatalf("open %s: %d %s", path, status, body)
	}
	return p
}

// tryOpen opens /comet/<transport>?<query>, or returns how that was refused.
func (s *site) tryOpen(client *http.Client, path, token string) (p *page, status int, body string) {
	s.rig.t.Helper()
	ctx, hangUp := context.WithCancel(s.rig.ctx)
	s.rig.t.Cleanup(hangUp)
	switch {
	case strings.HasPrefix(onWire(path), "/comet/ws"):
		p, status, body = s.openSocket(ctx, client, path, token)
	case strings.HasPrefix(path, "/comet/poll"):
		p, status, body = s.openPoll(ctx, client, path, token)
	default:
		p, status, body = s.openStream(ctx, client, path, token)
	}
	if p != nil {
		if p.gone == nil {
			p.gone = hangUp
		}
		if p.ack == nil {
			p.ack = func(cursor string) error { return s.postAck(path, token, cursor) }
		}
	}
	return p, status, body
}

func (s *site) postAck(path, token, cursor string) error {
	client := s.request("GET", path, "", "").URL.Query().Get("client")
	status, body, err := do(s.request("POST", "/comet/ack", token, fmt.Sprintf(`{"client":%q,"cursor":%q}`, client, cursor)))
	if err == nil && status != http.StatusNoContent {
		err = fmt.Errorf("%d %s", status, body)
	}
	return err
}

func (s *site) openStream(ctx context.Context, client *http.Client, path, token string) (*page, int, string) {
	s.rig.t.Helper()
	response, err := client.Do(s.request("GET", path, token, "").WithContext(ctx))
	if err != nil {
		s.rig.t.Fatal(err)
	}
	s.rig.t.Cleanup(func() { _ = response.Body.Close() })
	if response.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(response.Body)
		return nil, response.StatusCode, string(b)
	}
	return pageOf(s.rig.t, response), response.StatusCode, ""
}

// pageOf reads a stream or events.
func pageOf(t testing.TB, response *http.Response) *page {
	lines := bufio.NewReader(response.Body)
	events := strings.Contains(response.Header.Get("Content-Type"), "event-stream")
	return &page{t: t, read: func() (heard, error) {
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return heard{}, err
			}
			line = strings.TrimSuffix(line, "\n")
			if events {
				data, ok := strings.CutPrefix(line, "data: ")
				if !ok {
					continue
				}
				line = data
			}
			return parseFrame([]byte(line))
		}
	}}
}

func parseFrame(b []byte) (h heard, err error) {
	if err := json.Unmarshal(b, &h); err != nil {
		return heard{}, fmt.Errorf("%q: %w", b, err)
	}
	return h, nil
}

func (s *site) openSocket(ctx context.Context, client *http.Client, path, token string) (*page, int, string) {
	s.rig.t.Helper()
	options := &websocket.DialOptions{HTTPClient: client, Subprotocols: []string{subprotocol}}
	if token != "" {
		options.Subprotocols = append(options.Subprotocols, "bearer."+token)
	}
	packs := onWire(path) != path
	if packs {
		options.CompressionMode, options.CompressionThreshold = websocket.CompressionNoContextTakeover, 1
	}
	socket, response, err := websocket.Dial(ctx, s.url+onWire(path), options)
	if err != nil {
		if response == nil {
			s.rig.t.Fatal(err)
		}
		b, _ := io.ReadAll(response.Body)
		return nil, response.StatusCode, string(b)
	}
	if socket.Subprotocol() != subprotocol {
		s.rig.t.Fatalf("the subprotocol is %q", socket.Subprotocol())
	}
	if extension := response.Header.Get("Sec-WebSocket-Extensions"); (extension != "") != packs {
		s.rig.t.Fatalf("the extension is %q", extension)
	}
	socket.SetReadLimit(-1)
	s.rig.t.Cleanup(func() { _ = socket.CloseNow() })
	var last *Close
	return &page{
		t: s.rig.t, gone: func() { _ = socket.CloseNow() },
		ack: func(cursor string) error {
			return socket.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `{"ack":%q}`, cursor))
		},
		read: func() (heard, error) {
			kind, b, err := socket.Read(ctx)
			if code := websocket.CloseStatus(err); last != nil && int(code) == int(last.Code) {
				return heard{}, io.EOF
			}
			if err != nil {
				return heard{}, err
			}
			if kind != websocket.MessageText {
				return heard{}, fmt.Errorf("a message of kind %v", kind)
			}
			h, err := parseFrame(b)
			last = h.Close
			return h, err
		},
	}, response.StatusCode, ""
}

// openPoll polls on and on, so that it is there like the other transports' connections.
func (s *site) openPoll(ctx context.Context, client *http.Client, path, token string) (*page, int, string) {
	s.rig.t.Helper()
	ask := func(cursor string) (heard, int, string, error) {
		r := s.request("GET", path, token, "").WithContext(ctx)
		if cursor != "" {
			q := r.URL.Query()
			q.Set("cursor", cursor)
			r.URL.RawQuery = q.Encode()
		}
		response, err := client.Do(r)
		if err != nil {
			return heard{}, 0, "", err
		}
		defer response.Body.Close()
		b, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusOK {
			return heard{}, response.StatusCode, string(b), err
		}
		h, err := parseFrame(b)
		return h, response.StatusCode, "", err
	}
	first, status, body, err := ask("")
	if err != nil {
		s.rig.t.Fatal(err)
	}
	if status != http.StatusOK {
		return nil, status, body
	}
	first.HeartbeatMS = 1 // it is this page's hello
	frames := make(chan heard, 1000)
	over := make(chan struct{})
	s.rig.t.Cleanup(func() { <-over })
	frames <- first
	go func() {
		defer close(over)
		defer close(frames)
		for h := first; h.Close == nil; {
			var status int
			var err error
			if h, status, _, err = ask(h.Cursor); err != nil || status != http.StatusOK {
				return
			}
			frames <- h
		}
	}()
	return &page{t: s.rig.t, ack: func(string) error { return nil }, read: func() (heard, error) {
		if h, ok := <-frames; ok {
			return h, nil
		}
		return heard{}, io.EOF
	}}, status, ""
}

// frame is the next frame, heartbeats left out.
func (p *page) frame() heard {
	p.t.Helper()
	for {
		h, err := p.read()
		if err != nil {
			p.t.Fatal(err)
		}
		if len(h.Messages) > 0 || h.Reset || h.Close != nil || h.HeartbeatMS > 0 || h.Marked != nil {
			return h
		}
	}
}

// numbers reads until it has so many.
func (p *page) numbers(n int) []int64 {
	p.t.Helper()
	var got []int64
	for len(got) < n {
		got = append(got, p.frame().numbers()...)
	}
	return got
}

func consecutive(t testing.TB, got []int64, from int64) {
	t.Helper()
	for i, n := range got {
		if n != from+int64(i) {
			t.Fatalf("place %d holds %d, not %d: %v", i, n, from+int64(i), got)
		}
	}
}
