package comet

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/gobwas/httphead"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"
)

// Long frames of a WebSocket are deflated (RFC 7692), and so are the long answers of polls. What is shorter goes in one packet in any case,
// so nothing is won. Each is deflated by itself, without the context of those before it: a connection that waits keeps no window.
const (
	deflateFrom  = 1 << 10 // bytes
	deflateLevel = flate.BestSpeed
)

var (
	deflaters = sync.Pool{New: func() any { w, _ := flate.NewWriter(nil, deflateLevel); return w }} // the level is known
	inflaters = sync.Pool{New: func() any { return flate.NewReader(nil) }}
	gzippers  = sync.Pool{New: func() any { w, _ := gzip.NewWriterLevel(nil, deflateLevel); return w }}
)

// deflateTail is what ends a deflated message on a stream and is left out on the wire (RFC 7692, 7.2.1).
const deflateTail = "\x00\x00\xff\xff"

// lastBlock is an empty one that ends the stream, so that its reader does too.
const lastBlock = "\x01\x00\x00\xff\xff"

// negotiateDeflate takes the extension, for the answer's head, if the client offers it in a way that suits: without context on both sides.
func negotiateDeflate(h http.Header, r *http.Request) bool {
	offers, ok := httphead.ParseOptions([]byte(strings.Join(r.Header.Values("Sec-WebSocket-Extensions"), ",")), nil)
	if !ok {
		return false
	}
	ours := wsflate.Extension{Parameters: wsflate.Parameters{ServerNoContextTakeover: true, ClientNoContextTakeover: true}}
	for _, offer := range offers {
		if accepted, err := ours.Negotiate(offer); err == nil && accepted.Size() > 0 {
			var b strings.Builder
			if _, err := httphead.WriteOptions(&b, []httphead.Option{accepted}); err == nil {
				h.Set("Sec-WebSocket-Extensions", b.String())
				return true
			}
		}
	}
	return false
}

// asDeflated is the frame of a text message with the text deflated, or nil if that is no shorter.
func asDeflated(text []byte) []byte {
	b := bytes.NewBuffer(make([]byte, headroom, headroom+len(text)/2))
	w := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	w.Reset(b)
	_, _ = w.Write(text) // to memory
	_ = w.Flush()
	b.Truncate(b.Len() - len(deflateTail))
	if b.Len()-headroom >= len(text) {
		return nil
	}
	return withHead(b.Bytes(), ws.Rsv(true, false, false))
}

// inflate is the text of a client's deflated message.
func inflate(b []byte) ([]byte, fault) {
	r := inflaters.Get().(io.ReadCloser)
	defer inflaters.Put(r)
	_ = r.(flate.Resetter).Reset(io.MultiReader(bytes.NewReader(b), strings.NewReader(deflateTail+lastBlock)), nil) // never fails
	text, err := io.ReadAll(io.LimitReader(r, socketMessage+1))
	switch {
	case err != nil:
		return nil, fault{ws.StatusInvalidFramePayloadData, "not deflated"}
	case len(text) > socketMessage:
		return nil, tooBig
	}
	return text, fault{}
}

// gzipped answers a poll that takes gzip with body as that, if it is long.
func gzipped(h http.Header, r *http.Request, body []byte) []byte {
	if len(body) < deflateFrom || !lists(r.Header, "Accept-Encoding", "gzip") {
		return body
	}
	b := bytes.NewBuffer(make([]byte, 0, len(body)/2))
	w := gzippers.Get().(*gzip.Writer)
	defer gzippers.Put(w)
	w.Reset(b)
	_, _ = w.Write(body) // to memory
	_ = w.Close()
	h.Set("Content-Encoding", "gzip")
	return b.Bytes()
}
