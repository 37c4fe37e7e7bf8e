package comet

import (
	"bytes"
	"cmp"
	"crypto/sha1" //nolint:gosec // the handshake wants it; nothing rests on it
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"

	"tidings"
	"tidings/middleware"
)

// A WebSocket (RFC 6455) brings the same frames as the other transports, each as a text message. What the client says on it:
//
//	{"ack":"<cursor>"}   it has everything up to there, as with POST /comet/ack
//	{"ping":true}        answered at once by a frame with the cursor: a page cannot send pings of the protocol's own
const (
	subprotocol    = "tidings.v1"
	bearerProtocol = "bearer." // pages can send no header but this: Sec-WebSocket-Protocol: tidings.v1, bearer.<token>

	socketMessage = 4 << 10 // bytes of a client's message
	socketFrames  = 1000    // frames that a client may send between two heartbeats
)

// socketState is what a WebSocket's client has sent so far. All but the counters belong to the one goroutine that reads.
type socketState struct {
	in      []byte               // the beginning of a frame
	message []byte               // the fragments of a message that came so far
	parts   bool                 // a message has begun and goes on
	packed  wsflate.MessageState // of that message: whether it is deflated
	said    bool                 // the client sent its close frame
	open    bool                 // it is read: it has been started. Under the connection's mu
	frames  atomic.Int32
	heard   atomic.Int64 // when anything came last, in ms
	lingers int64        // since when (ms) our last word is written and the client's awaited. Under the connection's mu
}

// checkSocket checks the request for a WebSocket (RFC 6455, 4.2.1) as far as the browser would not.
func checkSocket(w http.ResponseWriter, r *http.Request) error {
	var errs tidings.FieldErrors
	switch {
	case r.ProtoMajor != 1 || r.ProtoMinor < 1 || !lists(r.Header, "Connection", "upgrade") || !lists(r.Header, "Upgrade", "websocket"):
		errs.Add("Upgrade", "missing", "a WebSocket is asked for over HTTP/1.1 with Connection: Upgrade and Upgrade: websocket; "+
			"without one take /comet/stream, /comet/events or /comet/poll")
	case r.Header.Get("Sec-WebSocket-Version") != "13":
		w.Header().Set("Sec-WebSocket-Version", "13")
		errs.Add("Sec-WebSocket-Version", "unknown", "13 is spoken here")
	case !soundKey(r.Header.Get("Sec-WebSocket-Key")):
		errs.Add("Sec-WebSocket-Key", "malformed", "16 bytes in base64")
	case r.Header.Get("Sec-WebSocket-Protocol") != "" && !lists(r.Header, "Sec-WebSocket-Protocol", subprotocol):
		errs.Add("Sec-WebSocket-Protocol", "unknown", "the subprotocol is "+subprotocol)
	}
	return errs.Err(tidings.Invalid)
}

func soundKey(key string) bool {
	b, err := base64.StdEncoding.DecodeString(key)
	return err == nil && len(b) == 16
}

// lists tells whether a header that is a list names a word.
func lists(h http.Header, header, word string) bool {
	return slices.ContainsFunc(listed(h, header), func(s string) bool { return strings.EqualFold(s, word) })
}

func listed(h http.Header, header string) []string {
	words := strings.Split(strings.Join(h.Values(header), ","), ",")
	for i := range words {
		words[i] = strings.TrimSpace(words[i])
	}
	return words
}

// socketToken is the token that a page hides among the subprotocols it offers, or "".
func socketToken(r *http.Request) string {
	for _, word := range listed(r.Header, "Sec-WebSocket-Protocol") {
		if token, ok := strings.CutPrefix(word, bearerProtocol); ok {
			return token
		}
	}
	return ""
}

// socketHead is the answer that makes the connection a WebSocket. What the door has set stands in h.
func socketHead(h http.Header, r *http.Request) []byte {
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // RFC 6455, 1.3
	h.Set("Sec-WebSocket-Accept", base64.StdEncoding.EncodeToString(sum[:]))
	if lists(r.Header, "Sec-WebSocket-Protocol", subprotocol) {
		h.Set("Sec-WebSocket-Protocol", subprotocol)
	}
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
	_ = h.WriteSubset(&b, map[string]bool{"Connection": true, "Upgrade": true, "Content-Type": true})
	b.WriteString("\r\n")
	return b.Bytes()
}

// headroom is the longest head of a frame that a server sends (RFC 6455, 5.2).
const headroom = 10

// asText makes a text message of b, whose first headroom bytes are free for its head, and may deflate it.
func asText(b []byte, deflated bool) []byte {
	if deflated && len(b)-headroom >= deflateFrom {
		if shorter := asDeflated(b[headroom:]); shorter != nil {
			return shorter
		}
	}
	return withHead(b, 0)
}

func withHead(b []byte, rsv byte) []byte {
	h := ws.Header{Fin: true, Rsv: rsv, OpCode: ws.OpText, Length: int64(len(b) - headroom)}
	from := headroom - ws.HeaderSize(h)
	_ = ws.WriteHeader(bytes.NewBuffer(b[from:from]), h) // in place: there is room
	return b[from:]
}

// closing is the protocol's own last word.
func closing(code ws.StatusCode, reason string) []byte {
	return ws.MustCompileFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(code, reason)))
}

// ping asks the client's end for a sign of life, which browsers give by themselves.
var ping = ws.MustCompileFrame(ws.NewPingFrame(nil))

// silent tells whether nothing has come from the client although it was pinged.
func (c *conn) silent(now int64) bool {
	return c.socket != nil && now-c.socket.heard.Load() > 2*c.beating+c.node.Stall.Milliseconds()
}

// hear takes bytes that the client has sent. One goroutine at a time calls it.
func (c *conn) hear(b []byte) {
	s := c.socket
	s.heard.Store(c.node.clock.now())
	if len(s.in) > 0 {
		b = append(s.in, b...)
	}
	for len(b) > 0 {
		used, fault := c.hearFrame(b)
		if fault.code != 0 {
			c.fail(fault)
			used = len(b)
		}
		if used == 0 {
			break
		}
		b = b[used:]
	}
	if s.in = nil; len(b) > 0 {
		s.in = slices.Clone(b)
	}
}

// fault is what a client did wrong.
type fault struct {
	code   ws.StatusCode // 0: nothing
	reason string
}

// hearFrame takes the frame that b begins with and returns its length, or 0 when it is not all there.
func (c *conn) hearFrame(b []byte) (used int, _ fault) {
	r := bytes.NewReader(b)
	h, err := ws.ReadHeader(r)
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return 0, fault{}
	case err != nil:
		return 0, fault{ws.StatusProtocolError, err.Error()}
	}
	state := ws.StateServerSide
	if c.socket.parts {
		state = state.Set(ws.StateFragmented)
	}
	if c.deflates {
		h, err = c.socket.packed.UnsetBits(h)
	}
	if err := cmp.Or(err, ws.CheckHeader(h, state)); err != nil {
		return 0, fault{ws.StatusProtocolError, err.Error()}
	}
	if h.Length > socketMessage-int64(len(c.socket.message)) && !h.OpCode.IsControl() {
		return 0, tooBig
	}
	if int64(r.Len()) < h.Length {
		return 0, fault{}
	}
	if c.socket.frames.Add(1) > socketFrames {
		return 0, fault{ws.StatusPolicyViolation, "too many frames"}
	}
	head := len(b) - r.Len()
	used = head + int(h.Length)
	payload := slices.Clone(b[head:used])
	ws.Cipher(payload, h.Mask, 0)
	return used, c.hearPayload(h, payload)
}

var tooBig = fault{ws.StatusMessageTooBig, "a message has 4096 bytes at most"}

func (c *conn) hearPayload(h ws.Header, payload []byte) fault {
	s := c.socket
	switch h.OpCode {
	case ws.OpPing:
		c.enqueue(ws.MustCompileFrame(ws.NewPongFrame(payload)), false)
	case ws.OpPong:
	case ws.OpClose:
		return c.hearClose(payload)
	case ws.OpBinary:
		return fault{ws.StatusUnsupportedData, "messages are text"}
	default: // text and its continuations
		s.message = append(s.message, payload...)
		if s.parts = !h.Fin; s.parts {
			return fault{}
		}
		text := s.message
		s.message = nil
		if s.packed.IsCompressed() {
			var f fault
			if text, f = inflate(text); f.code != 0 {
				return f
			}
		}
		return c.hearText(text)
	}
	return fault{}
}

// hearClose answers the client's close frame with the same code, or is the end of what we closed.
func (c *conn) hearClose(payload []byte) fault {
	code, reason := ws.StatusNormalClosure, ""
	switch len(payload) {
	case 0:
	case 1:
		return fault{ws.StatusProtocolError, "a close frame of one byte"}
	default:
		code, reason = ws.ParseCloseFrameData(payload)
		if err := ws.CheckCloseFrameData(code, reason); err != nil {
			return fault{ws.StatusProtocolError, err.Error()}
		}
	}
	c.mu.Lock()
	over := c.ending
	c.socket.said = true
	c.mu.Unlock()
	if over {
		c.hangUp()
		return fault{}
	}
	c.fail(fault{code: code})
	return fault{}
}

// fail closes the connection with a code of the protocol.
func (c *conn) fail(f fault) {
	if len(f.reason) > 120 { // a control frame has room for 123 bytes
		f.reason = f.reason[:120]
	}
	sh := c.group.shard
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if f.code >= 1002 && f.code <= 1009 {
		c.node.metrics.closes.WithLabelValues("protocol").Inc()
	}
	c.end(closing(f.code, f.reason))
}

// hearText does what a message of the client asks for.
func (c *conn) hearText(text []byte) fault {
	if !utf8.Valid(text) {
		return fault{ws.StatusInvalidFramePayloadData, "not UTF-8"}
	}
	var said struct {
		Ack  string `json:"ack"`
		Ping bool   `json:"ping"`
	}
	err := middleware.Decode(text, &said)
	if err == nil && said.Ack != "" {
		err = c.acknowledged(said.Ack)
	}
	sh := c.group.shard
	sh.mu.Lock()
	defer sh.mu.Unlock()
	switch {
	case err != nil:
		c.node.Logger.Debug("a client said what it must not", "user", c.group.user, "error", err)
		c.close(BadFrame, 0)
	case said.Ping:
		c.enqueue(frame{cursor: c.cursor()}.encode(c.transport), false)
	}
	return fault{}
}

// acknowledged notes what the client has. A cursor of an older list is passed over: the reset is on its way.
func (c *conn) acknowledged(text string) error {
	cursor, err := ParseCursor(text)
	if err != nil {
		return err
	}
	sh := c.group.shard
	sh.mu.Lock()
	last := c.cursor()
	sh.mu.Unlock()
	if cursor.Epoch != last.Epoch {
		return nil
	}
	if cursor.Number > last.Number {
		return neverSent()
	}
	c.node.received(c.group.user, c.types, cursor)
	return nil
}

// holdSocket makes the connection a WebSocket and keeps it: parked where that is possible, else in two goroutines.
func (n *Node) holdSocket(w http.ResponseWriter, r *http.Request, c *conn, at start) error {
	c.socket = &socketState{}
	c.socket.heard.Store(n.clock.now())
	head := socketHead(w.Header(), r)
	nc, prefix, err := hijack(w)
	if err != nil {
		c.hangUp()
		return err
	}
	c.begin(head)
	if parks(r) {
		n.putInLot(c, nc, prefix)
		c.start(at)
		c.listen()
		return nil
	}
	s := &served{signal: make(chan struct{}, 1)}
	c.wire, c.socket.in = s, prefix
	c.start(at)
	over := make(chan struct{})
	go func() {
		defer close(over)
		c.hearAll(nc)
	}()
	s.serve(c, hijacked{nc}, nil)
	patience := time.Now()
	if c.ended() { // the last word is written: a client answers it
		patience = patience.Add(time.Second)
	}
	_ = nc.SetReadDeadline(patience)
	<-over
	_ = nc.Close()
	return nil
}

func (c *conn) ended() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ending && !c.socket.said
}

// hearAll reads a connection that is not parked until it ends.
func (c *conn) hearAll(r io.Reader) {
	buf := make([]byte, socketMessage)
	for {
		n, err := r.Read(buf)
		c.hear(buf[:n])
		if err != nil {
			c.hangUp()
			return
		}
	}
}

// hijacked lets served write to a connection that was taken from net/http.
type hijacked struct{ net.Conn }

// Header is nothing: the head is written.
func (hijacked) Header() http.Header { return nil }

// WriteHeader does nothing.
func (hijacked) WriteHeader(int) {}

// Flush does nothing: nothing is held back.
func (hijacked) Flush() {}
