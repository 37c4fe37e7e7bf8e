package channeltest

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"
)

// Reply is an answer that the far side gives instead of doing anything.
type Reply struct {
	Status int
	Header map[string]string
	Body   string
}

// front stands between a Sender and a real far side, which cannot be asked to misbehave, and misbehaves for it. It passes
// requests on with the host that the caller named, which a signature covers.
type front struct {
	URL      string
	target   *url.URL
	aside    func(path string) bool
	clients  [3]*http.Client // by the major version of HTTP: a request is passed on as it came
	released chan struct{}   // closed when the test ends: hanging calls end too

	mu       sync.Mutex
	modes    []mode // of the next requests, in their order
	requests []time.Time
	paths    []string
	arrived  chan struct{} // a signal for each request
}

type mode struct {
	reply      *Reply
	hang       bool          // read, then never answer
	held       chan struct{} // pass on, and answer only when this is closed
	garble     *Reply        // pass on, and answer this instead
	resetAfter bool          // pass on, then close without the answer
	cutAfter   bool          // pass on, answer the status and half of the body
}

func newFront(t *testing.T, h Harness) *front {
	t.Helper()
	u, err := url.Parse(h.URL)
	if err != nil {
		t.Fatal(err)
	}
	f := &front{target: u, aside: h.Aside, released: make(chan struct{}), arrived: make(chan struct{}, 100)}
	f.clients[1] = &http.Client{Transport: &http.Transport{}}
	http2 := new(http.Protocols)
	http2.SetUnencryptedHTTP2(true)
	f.clients[2] = &http.Client{Transport: &http.Transport{Protocols: http2}}
	server := httptest.NewUnstartedServer(f)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	front := *u
	front.Host = server.Listener.Addr().String()
	f.URL = front.String()
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(f.released) })
	t.Cleanup(f.clients[1].CloseIdleConnections)
	t.Cleanup(f.clients[2].CloseIdleConnections)
	return f
}

// next sets how the front treats the next request.
func (f *front) next(m mode) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.modes = append(f.modes, m)
}

// seen counts the requests that came whole, those aside left out.
func (f *front) seen() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.requests)
}

// asked lists them, method and query included.
func (f *front) asked() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.paths)
}

func (f *front) take(r *http.Request) mode {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, time.Now())
	f.paths = append(f.paths, r.Method+" "+r.URL.RequestURI())
	f.arrived <- struct{}{}
	if len(f.modes) == 0 {
		return mode{}
	}
	m := f.modes[0]
	f.modes = f.modes[1:]
	return m
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	m := mode{}
	if f.aside == nil || !f.aside(r.URL.Path) {
		m = f.take(r)
	}
	switch {
	case m.hang:
		select {
		case <-f.released:
		case <-r.Context().Done():
		}
		panic(http.ErrAbortHandler)
	case m.reply != nil:
		m.reply.write(w)
		return
	}
	status, header, answer, err := f.pass(r, body)
	if err != nil || m.resetAfter {
		panic(http.ErrAbortHandler)
	}
	if m.held != nil {
		select {
		case <-m.held:
		case <-f.released:
		case <-r.Context().Done():
		}
	}
	if m.garble != nil {
		m.garble.write(w)
		return
	}
	for k := range header {
		w.Header().Set(k, header.Get(k))
	}
	w.WriteHeader(status)
	if m.cutAfter {
		answer = answer[:len(answer)/2] // less than the Content-Length: the server closes the connection
	}
	w.Write(answer)
}

func (r Reply) write(w http.ResponseWriter) {
	for k, v := range r.Header {
		w.Header().Set(k, v)
	}
	w.WriteHeader(r.Status)
	io.WriteString(w, r.Body)
}

func (f *front) pass(r *http.Request, body []byte) (int, http.Header, []byte, error) {
	u := *r.URL
	u.Scheme, u.Host = f.target.Scheme, f.target.Host
	out, err := http.NewRequestWithContext(r.Context(), r.Method, u.String(), bytes.NewReader(body))
	if err != nil {
		return 0, nil, nil, err
	}
	out.Header, out.Host = r.Header.Clone(), r.Host
	response, err := f.clients[r.ProtoMajor].Do(out)
	if err != nil {
		return 0, nil, nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	header := response.Header.Clone()
	header.Del("Transfer-Encoding")
	return response.StatusCode, header, answer, err
}
