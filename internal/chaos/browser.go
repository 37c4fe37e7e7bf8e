package chaos

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"tidings/internal/fleet"
)

// browser is a page that a user keeps open: it listens over one transport, resumes by cursor, drops what it has by number.
type browser struct {
	user      string
	transport string // poll, stream, events, ws
	id        string
	token     string
	comet     []*fleet.Process
	http      *http.Client

	mu      sync.Mutex
	cursor  string
	entries map[int64]string // message by number
	last    int64
	faults  []string
	repeats int // frames that brought what it had: allowed on the wire
	returns int // reconnections
}

func newBrowser(user, transport, token string, comet []*fleet.Process, client *http.Client) *browser {
	return &browser{user: user, transport: transport, id: transport + "-" + user, token: token, comet: comet, http: client, entries: map[int64]string{}}
}

// run listens until ctx is done, coming back a little later each time the connection ends.
func (b *browser) run(ctx context.Context) {
	for ctx.Err() == nil {
		err := b.connect(ctx)
		b.mu.Lock()
		if err != nil && b.transport != "poll" {
			b.returns++
		}
		b.mu.Unlock()
		if err == nil && b.transport == "poll" {
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(50+rand.IntN(200)) * time.Millisecond):
		}
	}
}

func (b *browser) connect(ctx context.Context) error {
	b.mu.Lock()
	cursor := b.cursor
	b.mu.Unlock()
	node := b.comet[rand.IntN(len(b.comet))]
	path := "/comet/" + b.transport + "?client=" + b.id + "&cursor=" + url.QueryEscape(cursor)
	if b.transport == "poll" {
		path += "&wait=5s"
	}
	if b.transport == "ws" {
		return b.connectSocket(ctx, node.URL+path)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, node.URL+path, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+b.token)
	answer, err := b.http.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close() //nolint:errcheck // it was read or given up
	if answer.StatusCode != http.StatusOK {
		return b.refused(answer)
	}
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		line := lines.Text()
		if b.transport == "events" {
			var data bool
			if line, data = strings.CutPrefix(line, "data:"); !data {
				continue
			}
		}
		if line = strings.TrimSpace(line); line != "" {
			b.receive(line)
		}
	}
	return lines.Err()
}

// refused notes a refusal that is no server's trouble.
func (b *browser) refused(answer *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 300))
	if answer.StatusCode < 500 && answer.StatusCode != http.StatusTooManyRequests {
		b.fault("%s: %s", answer.Status, text)
	}
	return fmt.Errorf("%s", answer.Status)
}

// connectSocket listens on a WebSocket and acknowledges each frame on it.
func (b *browser) connectSocket(ctx context.Context, url string) error {
	socket, answer, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: b.http, Subprotocols: []string{"tidings.v1", "bearer." + b.token}})
	if err != nil {
		if answer != nil && answer.Body != nil {
			return b.refused(answer)
		}
		return err
	}
	defer socket.CloseNow() //nolint:errcheck // it is over
	socket.SetReadLimit(4 << 20)
	for {
		_, text, err := socket.Read(ctx)
		if err != nil {
			if code := websocket.CloseStatus(err); code >= 3500 || code > websocket.StatusGoingAway && code < 3000 {
				b.fault("closed with %v", err)
			}
			return err
		}
		b.receive(string(text))
		b.mu.Lock()
		cursor := b.cursor
		b.mu.Unlock()
		if err := socket.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `{"ack":%q}`, cursor)); err != nil {
			return err
		}
	}
}

func (b *browser) receive(text string) {
	var f fleet.Frame
	if err := json.Unmarshal([]byte(text), &f); err != nil {
		b.fault("not a frame: %.100s", text) // a frame cut by a kill ends without a line end and is not scanned as whole JSON
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if f.Reset {
		b.faults = append(b.faults, "reset though nothing was lost: "+text)
	}
	for _, m := range f.Messages {
		switch {
		case m.Number <= b.last:
			b.repeats++
			if b.entries[m.Number] != m.ID {
				b.faults = append(b.faults, fmt.Sprintf("number %d was %s and is now %s", m.Number, b.entries[m.Number], m.ID))
			}
			continue
		case m.Number != b.last+1 && b.last > 0:
			b.faults = append(b.faults, fmt.Sprintf("number %d after %d", m.Number, b.last))
		}
		b.entries[m.Number], b.last = m.ID, m.Number
	}
	if f.Cursor != "" {
		b.cursor = f.Cursor
	}
}

// fault notes what a correct service never does. A line that a kill cut short is not that: it is read again.
func (b *browser) fault(format string, args ...any) {
	if strings.HasPrefix(format, "not a frame") {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = append(b.faults, fmt.Sprintf(format, args...))
}

// has is how far the browser has come.
func (b *browser) has() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last
}

// begun tells whether it knows where it stands.
func (b *browser) begun() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.cursor != ""
}
