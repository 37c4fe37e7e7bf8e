package tidings

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Code classes an error for the one who caused it. The HTTP doors answer each with one status.
type Code string

// The codes.
const (
	Invalid          Code = "invalid"            // 400: the request is malformed
	Unauthenticated  Code = "unauthenticated"    // 401
	Forbidden        Code = "forbidden"          // 403
	NotFound         Code = "not_found"          // 404: also what belongs to another tenant
	MethodNotAllowed Code = "method_not_allowed" // 405
	Conflict         Code = "conflict"           // 409
	TooLarge         Code = "too_large"          // 413
	Unprocessable    Code = "unprocessable"      // 422: well formed, but it breaks a rule
	TooMany          Code = "too_many_requests"  // 429
	Unavailable      Code = "unavailable"        // 503: ours, and passing
)

// Error is a failure that its causer is told about. Any other error is ours: it is logged, and the caller hears only that
// something went wrong.
type Error struct {
	Code   Code
	Detail string        // a sentence for a person
	Fields FieldErrors   // what is wrong, by field
	After  time.Duration // when it may be worth trying again; 0: nothing is known
	Err    error         // the cause, for the log only
}

func (e *Error) Error() string {
	s := string(e.Code) + ": " + e.Detail
	if len(e.Fields) > 0 {
		s += " (" + e.Fields.String() + ")"
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error of code with a detail.
func Errorf(code Code, format string, args ...any) error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// CodeOf is the code of err, or "" if it is not for its causer.
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ""
}

// FieldError names one field that is wrong.
type FieldError struct {
	Field  string `json:"field"` // a path: "audience.users", "data.amount"
	Code   string `json:"code"`  // a stable word: "missing", "unknown", "malformed", ...
	Detail string `json:"detail"`
}

// FieldErrors is what is wrong with a request, field by field. Its zero value means nothing.
type FieldErrors []FieldError

// Add appends a field error.
func (f *FieldErrors) Add(field, code, detail string) {
	*f = append(*f, FieldError{Field: field, Code: code, Detail: detail})
}

// String lists the fields and their codes.
func (f FieldErrors) String() string {
	parts := make([]string, len(f))
	for i, e := range f {
		parts[i] = e.Field + " " + e.Code
	}
	return strings.Join(parts, ", ")
}

// Err is nil when nothing is wrong, else an Error of code whose detail is the first field's.
func (f FieldErrors) Err(code Code) error {
	if len(f) == 0 {
		return nil
	}
	return &Error{Code: code, Detail: f[0].Field + ": " + f[0].Detail, Fields: f}
}

// ErrStale is what a commit of a stage returns when the segment was finished or taken over meanwhile: nothing was
// written and nothing is left to do.
var ErrStale = errors.New("the segment was finished or taken over")
