package api

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"tidings"
)

// The length of a page.
const (
	defaultLimit = 50
	maxLimit     = 200
)

// query reads a request's query. It gathers what is wrong, and a name that nobody asked for is wrong as well: a misspelt
// filter must not show more than was asked for.
type query struct {
	values url.Values
	known  []string
	errs   tidings.FieldErrors
}

func queryOf(r *http.Request) *query {
	if r.URL.RawQuery == "" {
		return &query{}
	}
	q := &query{}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		q.errs.Add("query", "malformed", "it cannot be read")
	}
	q.values = values
	return q
}

// err is what was wrong with the names asked for, and with those that were not.
func (q *query) err() error {
	for name := range q.values {
		if !slices.Contains(q.known, name) {
			q.errs.Add(clip(name), "unknown", "the route knows no such query parameter")
		}
	}
	return q.errs.Err(tidings.Invalid)
}

// clip keeps an invented name from filling our answer.
func clip(s string) string { return tidings.Clip(s, 64) }

func (q *query) text(name string) string {
	q.known = append(q.known, name)
	v := q.values[name]
	if len(v) == 0 {
		return ""
	}
	if len(v) > 1 {
		q.errs.Add(name, "repeated", "it stands twice")
	}
	if !tidings.Storable(v[0]) {
		q.errs.Add(name, "malformed", "must be UTF-8 without NUL")
		return ""
	}
	return v[0]
}

// names reads a parameter that may stand several times and holds ids.
func (q *query) names(name string) []string {
	q.known = append(q.known, name)
	v := q.values[name]
	if len(v) > defaultLimit || slices.ContainsFunc(v, func(s string) bool { return !tidings.ValidName(s) }) {
		q.errs.Add(name, "malformed", "at most 50 names")
		return nil
	}
	return v
}

// name reads an id of the company's.
func (q *query) name(name string) string {
	v := q.text(name)
	if v != "" && !tidings.ValidName(v) {
		q.errs.Add(name, "malformed", "it is no id")
	}
	return v
}

func (q *query) id(name string) tidings.ID {
	v := q.text(name)
	if v == "" {
		return 0
	}
	id, err := tidings.ParseID(v)
	if err != nil {
		q.errs.Add(name, "malformed", "not a cursor that we gave out")
	}
	return id
}

func (q *query) flag(name string) bool {
	switch q.text(name) {
	case "", "false":
		return false
	case "true":
		return true
	}
	q.errs.Add(name, "malformed", "true or false")
	return false
}

func (q *query) time(name string) time.Time {
	v := q.text(name)
	if v == "" {
		return time.Time{}
	}
	t, err := tidings.ParseTime(v)
	if err != nil {
		q.errs.Add(name, "malformed", "a time such as 2026-01-02T15:04:05Z (in a query + is written %2B)")
	}
	return t
}

// between reads a number from 1 to most; none is what stands for a parameter that is not there.
func (q *query) between(name string, none, most int) int {
	v := q.text(name)
	if v == "" {
		return none
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 || n > most {
		q.errs.Add(name, "out_of_range", "1 to "+strconv.Itoa(most))
	}
	return n
}

func (q *query) limit() int { return q.between("limit", defaultLimit, maxLimit) }

// page reads limit, after and before.
func (q *query) page() tidings.PageQuery {
	p := tidings.PageQuery{After: q.id("after"), Before: q.id("before"), Limit: q.limit()}
	if p.After != 0 && p.Before != 0 {
		q.errs.Add("before", "malformed", "give after or before, not both")
	}
	return p
}

// pageOf is a page of a list: after and before are the cursors for what is newer than the page and older than it.
type pageOf[T any] struct {
	Data []T    `json:"data"`
	Page cursor `json:"page"`
}

type cursor struct {
	After  string `json:"after"`
	Before string `json:"before"`
	More   bool   `json:"has_more"` // in the direction that was asked for
}

// newestFirst makes a page of a list in order of time. An empty page keeps the caller's cursor, so that one who waits for
// news can ask on with it.
func newestFirst[T any](items []T, more bool, q tidings.PageQuery, id func(T) tidings.ID) pageOf[T] {
	p := pageOf[T]{Data: items, Page: cursor{More: more}}
	switch {
	case len(items) > 0:
		p.Page.After, p.Page.Before = id(items[0]).String(), id(items[len(items)-1]).String()
	case q.After != 0:
		p.Data, p.Page.After = []T{}, q.After.String()
	default:
		p.Data = []T{}
	}
	return p
}

// byName makes a page of a list in order of ids. It was read one longer than asked for, to see whether there is more.
func byName[T any](items []T, limit int, id func(T) string) pageOf[T] {
	p := pageOf[T]{Data: items, Page: cursor{More: len(items) > limit}}
	if p.Page.More {
		p.Data = items[:limit]
	}
	if n := len(p.Data); n > 0 {
		p.Page.After, p.Page.Before = id(p.Data[n-1]), id(p.Data[0])
	} else {
		p.Data = []T{}
	}
	return p
}

// number reads a whole number from 0 on; 0 when it is not given.
func (q *query) number(name string) int64 {
	text := q.text(name)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		q.errs.Add(name, "malformed", "a whole number")
	}
	return n
}
