package middleware

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"tidings"
)

// maxDepth bounds how deep JSON is nested: the deepest body we define has five levels, the rest is for data.
const maxDepth = 32

// Decode reads a JSON body into v, which points to a struct, and is strict where encoding/json forgives: fields must be
// known and written as documented, no name stands twice, text is valid UTF-8 without NUL (PostgreSQL keeps none), nesting
// is bounded. The error names the field.
func Decode(body []byte, v any) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return tidings.Errorf(tidings.Invalid, "the body is empty; send a JSON object")
	}
	if !utf8.Valid(body) {
		return tidings.Errorf(tidings.Invalid, "the body is not valid UTF-8")
	}
	// Unmarshal checks the whole grammar first, so that what is walked below is valid JSON.
	decodeErr := json.Unmarshal(body, v)
	if _, ok := errors.AsType[*json.SyntaxError](decodeErr); ok || errors.Is(decodeErr, io.ErrUnexpectedEOF) {
		return tidings.Errorf(tidings.Invalid, "the body is not valid JSON: %v", decodeErr)
	}
	w := walker{b: body}
	if err := w.value(shapeOf(reflect.TypeOf(v)), 0); err != nil {
		return tidings.FieldErrors{{Field: err.path, Code: err.code, Detail: err.detail}}.Err(tidings.Invalid)
	}
	return typeError(decodeErr)
}

// index is an element of an array in a path of encoding/json, which writes it like a field: to.0.name.
var index = regexp.MustCompile(`\.(\d+)`)

func typeError(err error) error {
	if err == nil {
		return nil
	}
	t, ok := errors.AsType[*json.UnmarshalTypeError](err)
	if !ok {
		return &tidings.Error{Code: tidings.Invalid, Detail: "the body could not be read: " + err.Error()}
	}
	field := index.ReplaceAllString(t.Field, "[$1]")
	if field == "" {
		return tidings.Errorf(tidings.Invalid, "the body must be %s, not %s", kindName(t.Type), t.Value)
	}
	var errs tidings.FieldErrors
	errs.Add(field, "type", fmt.Sprintf("must be %s, not %s", kindName(t.Type), t.Value))
	return errs.Err(tidings.Invalid)
}

// kindName says in JSON's words what a Go type is read from.
func kindName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Struct, reflect.Map, reflect.Pointer:
		return "an object"
	default:
		return "a number in range"
	}
}

// shape is what is known of a JSON value: the names an object may have, or the shape of an array's elements. A nil shape
// lets anything pass.
type shape struct {
	fields map[string]int // to the index in shapes
	shapes []*shape
	elem   *shape // of arrays, and of maps, whose names are free
}

var shapes sync.Map // reflect.Type to *shape

func shapeOf(t reflect.Type) *shape {
	if s, ok := shapes.Load(t); ok {
		return s.(*shape)
	}
	s := makeShape(t)
	shapes.Store(t, s)
	return s
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

func makeShape(t reflect.Type) *shape {
	if t.Kind() == reflect.Pointer {
		return makeShape(t.Elem())
	}
	if reflect.PointerTo(t).Implements(unmarshaler) { // json.RawMessage, time.Time: their own matter
		return nil
	}
	switch t.Kind() {
	case reflect.Slice, reflect.Map:
		return &shape{elem: makeShape(t.Elem())}
	case reflect.Struct:
		s := &shape{fields: map[string]int{}}
		s.add(t)
		return s
	default:
		return nil
	}
}

func (s *shape) add(t reflect.Type) {
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			s.add(f.Type)
		case name != "-" && f.IsExported():
			if name == "" {
				name = f.Name
			}
			s.fields[name] = len(s.shapes)
			s.shapes = append(s.shapes, makeShape(f.Type))
		}
	}
}

// walkError is what is wrong and where; the path grows on the way out, so that a good body pays nothing for it.
type walkError struct{ path, code, detail string }

func (e *walkError) in(name string) *walkError {
	switch {
	case e.path == "":
		e.path = name
	case e.path[0] == '[':
		e.path = name + e.path
	default:
		e.path = name + "." + e.path
	}
	return e
}

// walker passes once over JSON that is known to be valid.
type walker struct {
	b []byte
	i int
}

func (w *walker) space() {
	for w.i < len(w.b) && (w.b[w.i] == ' ' || w.b[w.i] == '\n' || w.b[w.i] == '\t' || w.b[w.i] == '\r') {
		w.i++
	}
}

func (w *walker) value(s *shape, depth int) *walkError {
	if depth > maxDepth {
		return &walkError{code: "too_deep", detail: "nested deeper than " + strconv.Itoa(maxDepth) + " levels"}
	}
	w.space()
	switch w.b[w.i] {
	case '{':
		return w.object(s, depth)
	case '[':
		return w.array(s, depth)
	case '"':
		_, err := w.text()
		return err
	default:
		w.scalar()
		return nil
	}
}

// scalar passes over a number, true, false or null.
func (w *walker) scalar() {
	for ; w.i < len(w.b); w.i++ {
		switch w.b[w.i] {
		case ',', ']', '}', ' ', '\n', '\t', '\r':
			return
		}
	}
}

func (w *walker) array(s *shape, depth int) *walkError {
	var elem *shape
	if s != nil {
		elem = s.elem
	}
	w.i++ // [
	for n := 0; ; n++ {
		w.space()
		if w.b[w.i] == ']' {
			w.i++
			return nil
		}
		if err := w.value(elem, depth+1); err != nil {
			return err.in("[" + strconv.Itoa(n) + "]")
		}
		w.space()
		if w.b[w.i] == ',' {
			w.i++
		}
	}
}

func (w *walker) object(s *shape, depth int) *walkError {
	var seen uint64
	w.i++ // {
	for {
		w.space()
		if w.b[w.i] == '}' {
			w.i++
			return nil
		}
		name, err := w.text()
		if err != nil {
			return err
		}
		child, err := s.child(name, &seen)
		if err != nil {
			return err
		}
		w.space()
		w.i++ // :
		if err := w.value(child, depth+1); err != nil {
			return err.in(string(name))
		}
		w.space()
		if w.b[w.i] == ',' {
			w.i++
		}
	}
}

// child finds the shape of a named value, and refuses names that are unknown or stand twice.
func (s *shape) child(name []byte, seen *uint64) (*shape, *walkError) {
	if s == nil {
		return nil, nil
	}
	if s.fields == nil {
		return s.elem, nil
	}
	i, ok := s.fields[string(name)]
	if !ok {
		return nil, &walkError{path: clip(string(name)), code: "unknown", detail: "there is no such field"}
	}
	if *seen&(1<<i) != 0 {
		return nil, &walkError{path: string(name), code: "repeated", detail: "the field stands twice"}
	}
	*seen |= 1 << i
	return s.shapes[i], nil
}

// clip keeps an invented name from filling our answer.
func clip(s string) string {
	if len(s) > 64 {
		return tidings.Clip(s, 64) + "..."
	}
	return s
}

// text passes over a string and returns what stands between its quotes, escapes as they are.
func (w *walker) text() ([]byte, *walkError) {
	w.i++ // "
	start := w.i
	for w.b[w.i] != '"' {
		if w.b[w.i] != '\\' {
			w.i++
			continue
		}
		if err := w.escape(); err != nil {
			return nil, err
		}
	}
	w.i++
	return w.b[start : w.i-1], nil
}

// escape passes over one escape sequence. NUL and half a surrogate pair are characters that no store keeps as they are.
func (w *walker) escape() *walkError {
	if w.b[w.i+1] != 'u' {
		w.i += 2
		return nil
	}
	r := hex4(w.b[w.i+2:])
	w.i += 6
	switch {
	case r == 0:
		return &walkError{code: "malformed", detail: `must not contain NUL (\u0000)`}
	case r < 0xD800 || r > 0xDFFF:
		return nil
	}
	if r < 0xDC00 && w.b[w.i] == '\\' && w.b[w.i+1] == 'u' {
		if low := hex4(w.b[w.i+2:]); low >= 0xDC00 && low <= 0xDFFF {
			w.i += 6
			return nil
		}
	}
	return &walkError{code: "malformed", detail: "contains half a surrogate pair"}
}

// hex4 reads the four hexadecimal digits that b begins with.
func hex4(b []byte) rune {
	v, _ := strconv.ParseUint(string(b[:4]), 16, 16) // the grammar was checked
	return rune(v)
}
