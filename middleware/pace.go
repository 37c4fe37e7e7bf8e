package middleware

import (
	"errors"
	"io"
	"net/http"
	"time"
)

// How slowly a client may send a request's body and take its answer, where requests under way are counted: a few thousand connections that begin a
// body and say nothing more would else hold every place for as long as they like.
const (
	defaultGrace = 15 * time.Second
	bodyRate     = 16 << 10 // bytes a second that keep a body alive beyond the grace
)

// pacedBody ends a body that comes slower than that. Its deadline is the connection's, so it is taken back with the body's end: what the handler
// then does may take longer, and its context must not end with a deadline that was the body's.
type pacedBody struct {
	io.ReadCloser
	control *http.ResponseController
	end     time.Time // by when the next bytes must be there
}

func paced(control *http.ResponseController, r *http.Request, grace time.Duration) {
	if r.Body == nil || r.Body == http.NoBody {
		return
	}
	b := &pacedBody{r.Body, control, time.Now().Add(grace)}
	_ = b.control.SetReadDeadline(b.end) // not every writer has deadlines
	r.Body = b
}

func (b *pacedBody) Read(p []byte) (n int, err error) {
	n, err = b.ReadCloser.Read(p)
	b.end = b.end.Add(time.Duration(n) * time.Second / bodyRate)
	switch {
	case err == nil:
		_ = b.control.SetReadDeadline(b.end)
	case errors.Is(err, io.EOF):
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}
