package middleware

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"

	"tidings"
)

// Problem is the body of an error answer (RFC 9457).
type Problem struct {
	Type      string              `json:"type"`
	Title     string              `json:"title"`
	Status    int                 `json:"status"`
	Code      string              `json:"code"` // stable: programs decide by it
	Detail    string              `json:"detail,omitempty"`
	Errors    tidings.FieldErrors `json:"errors,omitempty"`
	RequestID string              `json:"request_id,omitempty"`
}

// ours is all that a caller hears about a fault of ours: the rest is in the log, under the request id.
const ours = "something went wrong on our side; give the request_id to whoever runs Tidings"

// kinds gives each code its status and title.
var kinds = map[tidings.Code]struct {
	status int
	title  string
}{
	tidings.Invalid:          {http.StatusBadRequest, "The request is malformed"},
	tidings.Unauthenticated:  {http.StatusUnauthorized, "Not signed in"},
	tidings.Forbidden:        {http.StatusForbidden, "Not allowed"},
	tidings.NotFound:         {http.StatusNotFound, "Not found"},
	tidings.MethodNotAllowed: {http.StatusMethodNotAllowed, "The route does not take this method"},
	tidings.Conflict:         {http.StatusConflict, "Conflict"},
	tidings.TooLarge:         {http.StatusRequestEntityTooLarge, "Too large"},
	tidings.Unprocessable:    {http.StatusUnprocessableEntity, "The request breaks a rule"},
	tidings.TooMany:          {http.StatusTooManyRequests, "Too many requests"},
	tidings.Unavailable:      {http.StatusServiceUnavailable, "Not available just now"},
}

// ProblemOf is what the causer of err is told: without internals when the error is ours.
func ProblemOf(err error) Problem {
	e, ok := errors.AsType[*tidings.Error](err)
	if !ok {
		return Problem{
			Type: "about:blank", Title: "Internal error", Status: http.StatusInternalServerError, Code: "internal", Detail: ours,
		}
	}
	k := kinds[e.Code]
	return Problem{Type: "about:blank", Title: k.title, Status: k.status, Code: string(e.Code), Detail: e.Detail, Errors: e.Fields}
}

// Answer answers err: the one place that does, and the one that logs what is ours.
func (d *Door) Answer(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil && errors.Is(err, context.Canceled) {
		return // the client has gone: nobody to tell and no fault
	}
	e, told := errors.AsType[*tidings.Error](err)
	if !told || e.Code == tidings.Unavailable && e.Err != nil {
		d.Logger.Error("a request failed", "error", err, "request_id", RequestID(w), "method", r.Method, "route", r.Pattern)
	}
	if told && e.After > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(e.After.Seconds()))))
	}
	if told && e.Code == tidings.Unauthenticated {
		w.Header().Set("WWW-Authenticate", `Bearer realm="tidings"`)
	}
	answer(w, ProblemOf(err))
}

func answer(w http.ResponseWriter, p Problem) {
	if begun(w) {
		return
	}
	if p.Type == "" {
		p.Type = "about:blank"
	}
	p.RequestID = RequestID(w)
	body, err := json.Marshal(p)
	if err != nil { // a Problem holds only strings and numbers
		panic(err)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	w.Write(append(body, '\n')) //nolint:errcheck // the client has gone
}
