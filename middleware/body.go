package middleware

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"tidings"
)

// ReadBody reads the request's body, at most limit bytes; a longer one is TooLarge, refused by its Content-Length before
// anything is read where the client gives one.
func ReadBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	if r.Header.Get("Content-Encoding") != "" {
		return nil, tidings.Errorf(tidings.Invalid, "the body must not be compressed")
	}
	if r.ContentLength > limit {
		w.Header().Set("Connection", "close") // do not read the rest of it only to throw it away
		return nil, tooLarge(limit)
	}
	body := http.MaxBytesReader(w, r.Body, limit)
	if r.ContentLength >= 0 {
		b := make([]byte, r.ContentLength)
		_, err := io.ReadFull(body, b)
		return b, readError(err, limit)
	}
	b, err := io.ReadAll(body)
	return b, readError(err, limit)
}

func tooLarge(limit int64) error {
	return tidings.Errorf(tidings.TooLarge, "the body is larger than %d bytes", limit)
}

func readError(err error, limit int64) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge(limit)
	}
	return &tidings.Error{Code: tidings.Invalid, Detail: "the body could not be read to its end", Err: err}
}

// WriteJSON answers with v as JSON.
func WriteJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	WriteBody(w, status, append(body, '\n'))
	return nil
}

// WriteBody answers with JSON that is written already. What we answer belongs to one caller: no cache may keep it.
func WriteBody(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(body) //nolint:errcheck // the client has gone, and net/http closes the connection
}
