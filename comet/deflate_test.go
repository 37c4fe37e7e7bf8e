package comet

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

func TestTheExtensionIsTakenWhereItSuits(t *testing.T) {
	const taken = "permessage-deflate;server_no_context_takeover;client_no_context_takeover"
	for offer, want := range map[string]string{
		"": "",
		"permessage-deflate; client_max_window_bits": taken, // Chromium, Firefox
		"permessage-deflate":                         taken,
		"permessage-deflate; client_no_context_takeover; server_no_context_takeover": taken,
		"permessage-deflate; server_max_window_bits=10, permessage-deflate":          taken, // our window is 32 KB
		"permessage-deflate; server_max_window_bits=10":                              "",
		"permessage-deflate; level=9":                                                "",
		"x-webkit-deflate-frame":                                                     "",
		"permessage-deflate; =":                                                      "",
	} {
		r := &http.Request{Header: http.Header{"Sec-Websocket-Extensions": {offer}}}
		h := http.Header{}
		taken := negotiateDeflate(h, r)
		if got := strings.ReplaceAll(h.Get("Sec-WebSocket-Extensions"), " ", ""); got != want || taken != (want != "") {
			t.Errorf("%q: %q", offer, got)
		}
	}
}

// metered counts what comes over the wire.
func metered(t *testing.T, count *atomic.Int64) *http.Client {
	transport := &http.Transport{DisableCompression: true, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, address)
		return meteredConn{c, count}, err
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

type meteredConn struct {
	net.Conn
	count *atomic.Int64
}

func (c meteredConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.count.Add(int64(n))
	return n, err
}

const order = "买家李先生对订单提交了退款申请，理由是商品与描述不符，请在四十八小时内处理，逾期系统将自动同意退款。"

func TestALongFrameIsDeflatedForWhoTakesItAndAShortOneForNobody(t *testing.T) {
	g := newRig(t)
	s := g.node(nil)
	for i := range 60 {
		g.send(s.Streams, "ann", fmt.Sprintf("%s 订单 A-%d", order, 1000+i))
	}
	bytesFor := func(transport, cursor string, n int) int64 {
		var count atomic.Int64
		p, status, body := s.tryOpen(metered(t, &count), "/comet/"+transport+"?client=c1&cursor="+cursor, g.token("ann"))
		if p == nil {
			t.Fatalf("%d %s", status, body)
		}
		var titles []string
		for len(titles) < n {
			for _, m := range p.frame().Messages {
				titles = append(titles, m.Title)
			}
		}
		for i, title := range titles[len(titles)-n:] {
			if want := fmt.Sprintf("%s 订单 A-%d", order, 1060-n+i); title != want {
				t.Fatalf("%s: place %d holds %q", transport, i, title)
			}
		}
		p.gone()
		return count.Load()
	}
	plain, packed := bytesFor("ws", "e1.0", 60), bytesFor("deflated", "e1.0", 60)
	t.Logf("60 messages: %d bytes, deflated %d", plain, packed)
	if packed > plain/4 {
		t.Errorf("60 messages: %d bytes, deflated %d", plain, packed)
	}
	plain, packed = bytesFor("ws", "e1.58", 2), bytesFor("deflated", "e1.58", 2)
	if packed < plain || packed > plain+100 { // the extension's name in the head
		t.Errorf("2 messages: %d bytes, deflated %d", plain, packed)
	}
}

func TestAPollsLongAnswerIsGzippedForWhoTakesIt(t *testing.T) {
	g := newRig(t)
	s := g.node(nil)
	for range 20 {
		g.send(s.Streams, "ann", order)
	}
	for _, c := range []struct {
		cursor, accept, encoding string
		from                     int64
	}{{"e1.0", "br, gzip", "gzip", 1}, {"e1.0", "br", "", 1}, {"e1.18", "gzip", "", 19}} {
		r := s.request("GET", "/comet/poll?client=c1&wait=0s&cursor="+c.cursor, g.token("ann"), "")
		r.Header.Set("Accept-Encoding", c.accept)
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body := response.Body
		if response.Header.Get("Content-Encoding") == "gzip" {
			if body, err = gzip.NewReader(response.Body); err != nil {
				t.Fatal(err)
			}
		}
		var h heard
		if err := json.NewDecoder(body).Decode(&h); err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.Header.Get("Content-Encoding") != c.encoding || len(h.Messages) != int(21-c.from) {
			t.Errorf("%+v: %v, %d messages", c, response.Header, len(h.Messages))
		}
		consecutive(t, h.numbers(), c.from)
	}
}

func deflatedText(s string) string {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression)
	_, _ = w.Write([]byte(s))
	_ = w.Flush()
	return strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")
}

const offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"

func TestAClientThatDeflatesIsHeardInParts(t *testing.T) {
	g := newRig(t)
	s := g.node(nil)
	x := s.rawWith(t, s.dial(t), offer, "")
	g.send(s.Streams, "ann", "one")
	x.next()
	ack := deflatedText(`{"ack":"e1.1"}`)
	x.send(masked(0x41, ack[:5]), masked(pingFrame, "?"), masked(0x00, ack[5:7]), masked(0x80, ack[7:]))
	if first, payload := x.next(); first != pongFrame || payload != "?" {
		t.Fatalf("%#x %q", first, payload)
	}
	g.until("it is acknowledged", func() bool { return g.list.ackedOf("ann") == 1 })
	for _, f := range []string{masked(text, `{"ping":true}`), masked(0xc1, deflatedText(`{"ping":true}`)), masked(text, `{"ping":true}`)} {
		x.send(f)
		if first, payload := x.next(); first != text || payload != `{"cursor":"e1.1"}` {
			t.Fatalf("%#x %q", first, payload)
		}
	}
}

func TestAClientThatDeflatesWrongIsClosedWithItsCode(t *testing.T) {
	g := newRig(t)
	s := g.node(nil)
	for name, c := range map[string]struct {
		sent string
		code uint16
	}{
		"the bit on a control frame":         {masked(0xc9, ""), 1002},
		"the bit on a continuation":          {masked(0x41, "x") + masked(0xc0, "x"), 1002},
		"another bit":                        {masked(0xa1, "{}"), 1002},
		"bytes that are not deflated":        {masked(0xc1, "\xff\xff\xff"), 1007},
		"half of what was deflated":          {masked(0xc1, deflatedText(order)[:20]), 1007},
		"a text that is not UTF-8":           {masked(0xc1, deflatedText("\xff\xfe")), 1007},
		"a megabyte in a thousand bytes":     {masked(0xc1, deflatedText(strings.Repeat(" ", 1<<20))), 1009},
		"bytes of which 4,097 are announced": {masked(0xc1, strings.Repeat(" ", 4097)), 1009},
	} {
		t.Run(name, func(t *testing.T) {
			x := s.rawWith(t, s.dial(t), offer, c.sent)
			x.ends(c.code)
			_ = x.Close()
			g.until("it is gone", func() bool { return s.Connections() == 0 })
		})
	}
}
