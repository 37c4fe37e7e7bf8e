package kills

import (
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"tidings/internal/proctest"
)

// guillotine stands in every far side, behind the place where it accepts and before the place where it answers. In a round each far side
// waits for one text; when all have accepted theirs, the worker is killed: with all answers still unsaid, or right after they were said.
type guillotine struct {
	authority string // PEM file of the certificate of far sides over TLS

	mu    sync.Mutex
	round *round
}

type round struct {
	texts    map[string]string // by provider
	accepted map[string]bool
	answer   chan struct{} // closed: the answers may go out
	said     sync.WaitGroup
	over     chan struct{} // closed: the worker is dead
	early    bool          // it is killed before the answers
}

// begin arms the guillotine for a text of each provider.
func (g *guillotine) begin(texts map[string]string, early bool) *round {
	r := &round{texts: texts, accepted: map[string]bool{}, answer: make(chan struct{}), over: make(chan struct{}), early: early}
	r.said.Add(len(texts))
	g.mu.Lock()
	defer g.mu.Unlock()
	g.round = r
	return r
}

// accepts is called when a far side has dealt with a request and not yet answered it. If it has just accepted the round's text, its
// answer waits here. It returns what is to be called when the answer is said, and whether it is to be said at all.
func (g *guillotine) accepts(provider string, seen func() []string) (said func(), answer bool) {
	g.mu.Lock()
	r := g.round
	if r == nil || r.accepted[provider] || !slices.Contains(seen(), r.texts[provider]) {
		g.mu.Unlock()
		return func() {}, true
	}
	r.accepted[provider] = true
	g.mu.Unlock()
	select {
	case <-r.answer:
		return r.said.Done, true
	case <-r.over:
		return func() {}, false
	}
}

// fall waits until every far side has accepted, kills, and lets the rest of the round go. On an error nobody was killed.
func (g *guillotine) fall(r *round, kill func() error) error {
	err := proctest.Until(20*time.Second, func() error {
		g.mu.Lock()
		defer g.mu.Unlock()
		for provider := range r.texts {
			if !r.accepted[provider] {
				return fmt.Errorf("%s has not accepted %q", provider, r.texts[provider])
			}
		}
		return nil
	})
	if err != nil {
		close(r.over)
		return err
	}
	if !r.early {
		close(r.answer)
		r.said.Wait()
	}
	err = kill()
	g.mu.Lock()
	g.round = nil
	g.mu.Unlock()
	if r.early {
		close(r.over)
	}
	return err
}

// serve is a far side over HTTP/1.1 and HTTP/2 without TLS, with the guillotine in it.
func (g *guillotine) serve(t *testing.T, provider string, far http.Handler, seen func() []string) string {
	t.Helper()
	server := g.server(provider, far, seen)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return server.URL
}

// serveTLS is one with TLS, as the addresses of users need it.
func (g *guillotine) serveTLS(t *testing.T, provider string, far http.Handler, seen func() []string) string {
	t.Helper()
	server := g.server(provider, far, seen)
	server.StartTLS()
	t.Cleanup(server.Close)
	g.authority = filepath.Join(t.TempDir(), "authority.pem") // every one of httptest has the same certificate
	must(t, os.WriteFile(g.authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o644))
	return server.URL
}

func (g *guillotine) server(provider string, far http.Handler, seen func() []string) *httptest.Server {
	return httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		answer := httptest.NewRecorder()
		far.ServeHTTP(answer, q)
		said, ok := g.accepts(provider, seen)
		if !ok {
			panic(http.ErrAbortHandler) // nobody is there to hear it
		}
		for name, values := range answer.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.Code)
		w.Write(answer.Body.Bytes())
		http.NewResponseController(w).Flush()
		said()
	}))
}

// listener is that of a mail server with the guillotine in it.
type listener struct {
	net.Listener
	g    *guillotine
	seen func() []string
}

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return conn{c, l}, err
}

type conn struct {
	net.Conn
	l listener
}

// Write holds the answer that follows a mail's end.
func (c conn) Write(b []byte) (int, error) {
	said, ok := c.l.g.accepts("email", c.l.seen)
	if !ok {
		return 0, net.ErrClosed
	}
	defer said()
	return c.Conn.Write(b)
}
