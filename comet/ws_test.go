package comet

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tidings/middleware"
)

// rawSocket is a WebSocket's client made by hand, so that it can do what no library does.
type rawSocket struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

const handshake = "GET /comet/ws?client=%s HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: tidings.v1, bearer.%s\r\n"

// raw shakes hands and sends what is given in the same packet.
func (s *site) raw(t *testing.T, c net.Conn, with string) *rawSocket {
	t.Helper()
	return s.rawWith(t, c, "", with)
}

// rawWith is raw with one more header.
func (s *site) rawWith(t *testing.T, c net.Conn, header, with string) *rawSocket {
	t.Helper()
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(c, handshake+"%s\r\n%s", "c1", s.rig.token("ann"), header, with)
	x := &rawSocket{t: t, Conn: c, r: bufio.NewReader(c)}
	response, err := http.ReadResponse(x.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	// RFC 6455, 1.3: the answer to its example's key.
	if response.StatusCode != 101 || response.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Fatalf("%s %v", response.Status, response.Header)
	}
	return x
}

func (s *site) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	return c
}

// masked writes a client's frame: its first byte, then the payload under a mask.
func masked(first byte, payload string) string {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = append(b, 0x80|126, byte(n>>8), byte(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	mask := []byte{1, 2, 3, 4}
	b = append(b, mask...)
	for i := range len(payload) {
		b = append(b, payload[i]^mask[i%4])
	}
	return string(b)
}

const (
	text, binaryFrame, closeFrame, pingFrame, pongFrame = 0x81, 0x82, 0x88, 0x89, 0x8a
)

func (x *rawSocket) send(frames ...string) {
	x.t.Helper()
	for _, f := range frames {
		if _, err := x.Write([]byte(f)); err != nil {
			x.t.Fatal(err)
		}
	}
}

// next is the next frame that is no hello and no heartbeat's.
func (x *rawSocket) next() (first byte, payload string) {
	x.t.Helper()
	for {
		var head [2]byte
		if _, err := io.ReadFull(x.r, head[:]); err != nil {
			x.t.Fatal(err)
		}
		n := int(head[1])
		if n == 126 {
			var long [2]byte
			_, _ = io.ReadFull(x.r, long[:])
			n = int(binary.BigEndian.Uint16(long[:]))
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(x.r, b); err != nil {
			x.t.Fatal(err)
		}
		if !strings.Contains(string(b), "heartbeat_ms") {
			return head[0], string(b)
		}
	}
}

// ends reads a close frame of a code and the connection's end.
func (x *rawSocket) ends(code uint16) {
	x.t.Helper()
	first, payload := x.next()
	for first == text {
		first, payload = x.next()
	}
	if first != closeFrame || len(payload) < 2 || binary.BigEndian.Uint16([]byte(payload)) != code {
		x.t.Fatalf("frame %#x %q, not a close of %d", first, payload, code)
	}
	if b, err := x.r.ReadByte(); err != io.EOF {
		x.t.Fatalf("behind the close frame came %d, %v", b, err)
	}
}

func closeOf(code uint16, reason string) string {
	return masked(closeFrame, string(binary.BigEndian.AppendUint16(nil, code))+reason)
}

func TestAWebSocketsClientThatBreaksTheProtocolIsClosedWithItsCode(t *testing.T) {
	g := newRig(t)
	s := g.node(nil)
	cases := map[string]struct {
		sent string
		code uint16
	}{
		"an unmasked frame":                       {"\x81\x02{}", 1002},
		"a reserved opcode":                       {masked(0x83, ""), 1002},
		"a reserved bit":                          {masked(0xc1, "{}"), 1002},
		"a long control frame":                    {masked(pingFrame, strings.Repeat("x", 126)), 1002},
		"a control frame in parts":                {masked(0x09, ""), 1002},
		"a continuation of nothing":               {masked(0x80, "{}"), 1002},
		"a message within another":                {masked(0x01, "{") + masked(text, "{}"), 1002},
		"a length with its highest bit":           {"\x81\xff\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 1002},
		"a close frame of one byte":               {masked(closeFrame, "x"), 1002},
		"a close code that is none":               {closeOf(1005, ""), 1002},
		"a message of bytes":                      {masked(binaryFrame, "{}"), 1003},
		"a message that is not UTF-8":             {masked(text, "\xff"), 1007},
		"a message too long":                      {masked(text, strings.Repeat(" ", 4097)), 1009},
		"a message announced as a terabyte":       {"\x81\xff\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00", 1009},
		"a message too long in parts":             {masked(0x01, strings.Repeat(" ", 4000)) + masked(0x80, strings.Repeat(" ", 97)), 1009},
		"too many frames":                         {strings.Repeat(masked(pongFrame, ""), socketFrames+1), 1008},
		"no JSON":                                 {masked(text, "hello"), uint16(BadFrame)},
		"a field that nobody knows":               {masked(text, `{"ack":"e1.0","x":1}`), uint16(BadFrame)},
		"a cursor that is none":                   {masked(text, `{"ack":"7"}`), uint16(BadFrame)},
		"an acknowledgement of what was not sent": {masked(text, `{"ack":"e1.1"}`), uint16(BadFrame)},
		"its own close":                           {closeOf(1000, "bye"), 1000},
		"its own close without a code":            {masked(closeFrame, ""), 1000},
	}
	for name, c := range cases {
		for how, before := range map[string]string{"with the handshake": c.sent, "after it": ""} {
			t.Run(name+" "+how, func(t *testing.T) {
				x := s.raw(t, s.dial(t), before)
				if before == "" {
					x.send(c.sent)
				}
				x.ends(c.code)
				_ = x.Close()
				g.until("it is gone", func() bool { return s.Connections() == 0 })
			})
		}
	}
}

func TestAWebSocketsClientIsHeardByteByByteAndInParts(t *testing.T) {
	for _, over := range []string{"tcp", "tls"} {
		t.Run(over, func(t *testing.T) {
			g := newRig(t)
			s := g.node(nil)
			x := s.raw(t, s.socketDoor(t, over), "")
			g.send(s.Streams, "ann", "one")
			if first, payload := x.next(); first != text || !strings.Contains(payload, `"number":1`) {
				t.Fatalf("%#x %q", first, payload)
			}
			for _, b := range []byte(masked(0x01, `{"ack":`) + masked(pingFrame, "?") + masked(0x00, `"e1`) + masked(0x80, `.1"}`) + masked(text, `{"ping":true}`)) {
				x.send(string([]byte{b}))
			}
			if first, payload := x.next(); first != pongFrame || payload != "?" {
				t.Fatalf("%#x %q", first, payload)
			}
			if first, payload := x.next(); first != text || payload != `{"cursor":"e1.1"}` {
				t.Fatalf("%#x %q", first, payload)
			}
			g.until("it is acknowledged", func() bool { return g.list.ackedOf("ann") == 1 })
			x.send(masked(text, `{"ack":"e0.9"}`), masked(text, `{"ping":true}`)) // an older list's is passed over
			x.next()
			x.send(closeOf(1001, ""))
			x.ends(1001)
			g.until("it is gone", func() bool { return s.Connections() == 0 })
		})
	}
}

// socketDoor dials the node, or its handlers behind TLS that ends in this process.
func (s *site) socketDoor(t *testing.T, over string) net.Conn {
	t.Helper()
	if over == "tcp" {
		return s.dial(t)
	}
	mux := http.NewServeMux()
	door := middleware.NewDoor(middleware.Config{})
	s.Routes(mux, door.Serve)
	server := httptest.NewUnstartedServer(door.Wrap(mux))
	server.StartTLS()
	t.Cleanup(server.Close)
	c, err := tls.Dial("tcp", server.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}) //nolint:gosec // a test's own
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestOverTLSAWebSocketHearsOfTheDrain(t *testing.T) {
	g := newRig(t)
	s := g.node(nil)
	x := s.raw(t, s.socketDoor(t, "tls"), "")
	s.holds(1)
	go s.Drain(t.Context(), 10*time.Millisecond)
	if _, payload := x.next(); !strings.Contains(payload, `"reason":"going_away"`) {
		t.Fatal(payload)
	}
	x.ends(uint16(GoingAway))
}

func TestAWebSocketsClientThatDoesNotAnswerPingsIsTakenForDead(t *testing.T) {
	g := newRig(t)
	s := g.node(func(o *Options) { o.Heartbeat, o.Stall = 30*time.Millisecond, time.Second })
	x := s.raw(t, s.dial(t), "")
	if first, _ := x.next(); first != text {
		t.Fatalf("the heartbeat is %#x", first)
	}
	if first, _ := x.next(); first != pingFrame {
		t.Fatalf("behind the heartbeat is %#x", first)
	}
	g.until("it is gone", func() bool { return s.Connections() == 0 })
}

func TestARequestThatIsNoHandshakeIsRefusedByName(t *testing.T) {
	g := newRig(t)
	s := g.node(nil)
	for header, change := range map[string]string{
		"Upgrade": "", "Connection": "", "Sec-Websocket-Version": "8", "Sec-Websocket-Key": "short", "Sec-Websocket-Protocol": "chat",
	} {
		r := s.request("GET", "/comet/ws?client=c1", g.token("ann"), "")
		for h, v := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-Websocket-Version": "13",
			"Sec-Websocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", header: change} {
			r.Header.Set(h, v)
		}
		status, body, err := do(r)
		if err != nil || status != 400 || !strings.Contains(body, `"errors":[{"field"`) {
			t.Errorf("%s %q: %d %s %v", header, change, status, body, err)
		}
	}
}
