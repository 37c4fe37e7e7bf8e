package comet

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"

	"github.com/gobwas/ws"

	"tidings"
)

// transport is a way in which a page listens.
type transport uint8

const (
	poll   transport = iota // one answer for each request
	stream                  // newline-delimited JSON
	events                  // server-sent events (HTML Living Standard, 9.2)
	socket                  // WebSocket
	transports

	packed = transports // how messages are encoded for a WebSocket whose client takes long ones deflated
)

func (t transport) String() string { return tidings.Transports[t] }

func (t transport) contentType() string {
	return [transports]string{"application/json", "application/x-ndjson", "text/event-stream", ""}[t]
}

// frame is what a page receives at once: the same JSON object on every transport.
type frame struct {
	cursor    Cursor // the client has everything up to here once it has the frame
	items     []item
	reset     bool            // the list is another one or too far ahead: reload the inbox, go on with the cursor
	heartbeat time.Duration   // hello: the longest silence to expect
	marked    json.RawMessage // what the user marked
	close     *Close
}

// encode writes the frame as the transport wants it.
func (f frame) encode(t transport) []byte {
	b := make([]byte, 0, f.size())
	switch t {
	case events:
		b = append(b, "id: "...)
		b = append(b, f.cursor.String()...)
		b = append(b, "\ndata: "...)
		b = append(f.appendJSON(b, false), "\n\n"...)
	case socket, packed:
		b = asText(f.appendJSON(b[:headroom], false), t == packed)
		if f.close != nil {
			b = append(b, closing(ws.StatusCode(f.close.Code), f.close.Reason)...) //nolint:gosec // below 4000
		}
	default:
		b = append(f.appendJSON(b, t == poll), '\n')
	}
	return b[:len(b):len(b)] // several connections append to what they share
}

func (f frame) size() int {
	n := 96 + 2*len(f.cursor.Epoch)
	for _, i := range f.items {
		n += len(i.entry) + 32
	}
	return n
}

func (f frame) appendJSON(b []byte, messages bool) []byte {
	b = append(b, `{"cursor":"`...)
	b = append(b, f.cursor.String()...)
	b = append(b, '"')
	if f.reset {
		b = append(b, `,"reset":true`...)
	}
	if messages || len(f.items) > 0 {
		b = append(b, `,"messages":[`...)
		b = appendItems(b, f.items)
		b = append(b, ']')
	}
	if f.heartbeat > 0 {
		b = append(b, `,"heartbeat_ms":`...)
		b = strconv.AppendInt(b, f.heartbeat.Milliseconds(), 10)
	}
	if f.marked != nil {
		b = append(b, `,"marked":`...)
		b = append(b, f.marked...)
	}
	if f.close != nil {
		c, _ := json.Marshal(f.close) // numbers and a word
		b = append(b, `,"close":`...)
		b = append(b, c...)
	}
	return append(b, '}')
}

func appendItems(b []byte, items []item) []byte {
	for i, it := range items {
		if i > 0 {
			b = append(b, ',')
		}
		if it.gone {
			b = append(b, `{"number":`...)
			b = strconv.AppendInt(b, it.number, 10)
			b = append(b, `,"gone":true}`...)
			continue
		}
		b = append(b, it.entry...)
	}
	return b
}

// oneLine makes JSON fit for transports on which a line end ends the frame: in JSON line ends stand only between tokens.
func oneLine(entry json.RawMessage) json.RawMessage {
	if !bytes.ContainsAny(entry, "\r\n") {
		return entry
	}
	var b bytes.Buffer
	if err := json.Compact(&b, entry); err != nil {
		return nil // not JSON: callers have checked
	}
	return b.Bytes()
}

// visible leaves out what a token that is limited to some types does not show. Such numbers are passed over in silence: the
// cursor moves with the next frame. They are neither a hole (the server knows) nor gone (others still see them).
func visible(items []item, types []string) []item {
	if len(types) == 0 {
		return items
	}
	var shown []item
	for _, it := range items {
		var entry struct {
			Type string `json:"type"`
		}
		if it.gone || json.Unmarshal(it.entry, &entry) != nil {
			continue
		}
		for _, t := range types {
			if t == entry.Type {
				shown = append(shown, it)
				break
			}
		}
	}
	return shown
}
