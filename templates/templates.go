// Package templates turns a template and a message's data into content. The language is Liquid (osteele/liquid), made safe
// for templates and data that nobody trusts: no tag reads files, what a template can produce, keep and repeat is bounded,
// and a panic is an error.
package templates

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/osteele/liquid"

	"tidings"
)

// The bounds of a template.
const (
	MaxSource = 16 << 10 // bytes of one field's source
	MaxOutput = 64 << 10 // bytes of one field's output, and of any string made on the way
	maxDepth  = 2        // loops within loops: with tidings.MaxList elements each, a million turns at most
	maxFilter = 100      // filters in one field's source: what runs between two looks at the clock
	maxTime   = 100 * time.Millisecond
)

// Template is a parsed template, ready to render. It is safe for use by several goroutines.
type Template struct {
	Version          int
	title, body, url field
	signature        string
	link             bool // it has the user's unsubscribe link in it
}

// field is a parsed source, or the text itself where the source has no Liquid in it.
type field struct {
	literal  string
	template *liquid.Template
	loops    bool
}

// Parse parses a template. The error is a tidings.FieldErrors.Err that names the field.
func Parse(t tidings.Template) (*Template, error) {
	if errs := Check(t.Title, t.Body, t.URL); len(errs) > 0 {
		return nil, errs.Err(tidings.Unprocessable)
	}
	parsed := &Template{Version: t.Version, signature: t.Signature}
	parsed.link = t.Channel != tidings.Web && strings.Contains(t.Title+t.Body+t.URL, tidings.UnsubscribeVariable)
	for _, f := range []struct {
		source string
		into   *field
	}{{t.Title, &parsed.title}, {t.Body, &parsed.body}, {t.URL, &parsed.url}} {
		var err error
		if *f.into, err = parse(f.source); err != nil {
			return nil, err
		}
	}
	return parsed, nil
}

// Check tells what is wrong with the sources of a template's fields.
func Check(title, body, url string) (errs tidings.FieldErrors) {
	if strings.TrimSpace(body) == "" {
		errs.Add("body", "empty", "a template has a body")
	}
	for _, f := range []struct{ name, source string }{{"title", title}, {"body", body}, {"url", url}} {
		if len(f.source) > MaxSource {
			errs.Add(f.name, "too_long", "at most 16 KiB")
			continue
		}
		if problem := forbidden(f.source); problem != "" {
			errs.Add(f.name, "forbidden", problem)
			continue
		}
		if _, err := parse(f.source); err != nil {
			errs.Add(f.name, "syntax", err.Error())
		}
	}
	return errs
}

var (
	tag       = regexp.MustCompile(`(?s)\{%-?\s*(\w*)(.*?)-?%\}`)
	raw       = regexp.MustCompile(`(?s)\{%-?\s*(raw|comment)\s*-?%\}.*?\{%-?\s*end(raw|comment)\s*-?%\}`)
	rawTag    = regexp.MustCompile(`\{%-?\s*raw\b`)
	object    = regexp.MustCompile(`(?s)\{\{.*?\}\}`)
	textOf    = regexp.MustCompile(`'[^']*'|"[^"]*"`)
	allowed   = map[string]bool{}
	loopTags  = map[string]int{"for": 1, "tablerow": 1, "endfor": -1, "endtablerow": -1}
	allowTags = "if elsif else endif unless endunless case when endcase for endfor break continue cycle assign comment endcomment raw endraw tablerow endtablerow"
)

func init() {
	for _, name := range strings.Fields(allowTags) {
		allowed[name] = true
	}
}

// forbidden finds what the language would allow and we do not: tags that read files or gather output, ranges, deep loops,
// and assignments within loops (a string that doubles at each turn).
func forbidden(source string) string {
	depth, loops := 0, 0
	for _, m := range tag.FindAllStringSubmatch(source, -1) {
		name, rest := m[1], textOf.ReplaceAllString(m[2], "")
		depth += loopTags[name]
		loops += max(0, loopTags[name])
		switch {
		case !allowed[name]:
			return fmt.Sprintf("the tag %q is not available", name)
		case strings.Contains(rest, ".."):
			return "ranges are not available: loop over a list in data"
		case depth > maxDepth:
			return "loops may be nested two deep"
		case name == "assign" && depth > 0:
			return "assign may not stand in a loop"
		}
	}
	if code := textOf.ReplaceAllString(strings.Join(append(tag.FindAllString(source, -1), object.FindAllString(source, -1)...), ""), ""); strings.Count(code, "|") > maxFilter {
		return "at most 100 filters"
	}
	if loops > 0 && rawTag.MatchString(source) {
		return "raw does not go together with loops"
	}
	// The engine takes an unclosed {{ for text, which then reaches a merchant.
	rest := object.ReplaceAllString(tag.ReplaceAllString(raw.ReplaceAllString(source, ""), ""), "")
	if strings.Contains(rest, "{{") || strings.Contains(rest, "{%") {
		return "a {{ or {% is not closed"
	}
	return ""
}

func parse(source string) (f field, err error) {
	if !strings.Contains(source, "{{") && !strings.Contains(source, "{%") {
		return field{literal: source}, nil
	}
	defer recovered(&err)
	watched := tag.ReplaceAllStringFunc(source, func(m string) string {
		switch name := tag.FindStringSubmatch(m)[1]; {
		case loopTags[name] <= 0:
			return m
		case strings.HasSuffix(m, "-%}"): // the white space that it takes away comes after the tick
			return m + "{% " + tick + " -%}"
		}
		return m + "{% " + tick + " %}"
	})
	t, failure := engine.ParseString(watched)
	if failure != nil {
		return field{}, failure
	}
	return field{template: t, loops: watched != source}, nil
}

// recovered turns a panic of the engine into an error: one bad template must not take its neighbours with it.
func recovered(err *error) {
	if p := recover(); p != nil {
		said, _, _ := strings.Cut(fmt.Sprint(p), "\n") // a stack may follow
		*err = fmt.Errorf("the template engine failed: %s", said)
	}
}

// Render makes content. An error is about this template and this data alone.
func (t *Template) Render(data map[string]any) (c tidings.Content, err error) {
	deadline := time.Now().Add(maxTime)
	if t.link {
		data = maps.Clone(data)
		if data == nil {
			data = map[string]any{}
		}
		data[tidings.UnsubscribeVariable] = tidings.UnsubscribeMark
	}
	for _, f := range []struct {
		name string
		from field
		into *string
	}{{"title", t.title, &c.Title}, {"body", t.body, &c.Body}, {"url", t.url, &c.URL}} {
		if *f.into, err = f.from.render(data, deadline); err != nil {
			return tidings.Content{}, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	if c.URL = strings.TrimSpace(c.URL); !safeURL(c.URL) {
		return tidings.Content{}, fmt.Errorf("url: %.100q is neither http(s) nor a path", c.URL)
	}
	if strings.TrimSpace(c.Body) == "" {
		return tidings.Content{}, errors.New("body: it came out empty")
	}
	c.Body = t.signature + c.Body
	return c, nil
}

// safeURL keeps javascript: and its kin out of every page and app.
func safeURL(u string) bool {
	if strings.ContainsFunc(u, unicode.IsControl) || strings.HasPrefix(u, "//") || strings.HasPrefix(u, `/\`) {
		return false
	}
	lower := strings.ToLower(u)
	return u == "" || strings.HasPrefix(u, "/") || strings.HasPrefix(lower, "https://") || strings.HasPrefix(lower, "http://")
}

func (f field) render(data map[string]any, deadline time.Time) (s string, err error) {
	if f.template == nil {
		return f.literal, nil
	}
	defer recovered(&err)
	out := bounded{deadline: deadline}
	if f.loops {
		data = maps.Clone(data)
		if data == nil {
			data = map[string]any{}
		}
		data[deadlineKey] = deadline
	}
	if failure := f.template.FRender(&out, data); failure != nil {
		if errors.Is(failure.Cause(), errTooSlow) { // it need not know where we looked at the clock
			return "", errTooSlow
		}
		return "", failure
	}
	return tidings.Clip(out.String(), out.Len()), nil
}

// bounded is a buffer that refuses to grow too large or to be written too long. A goroutine cannot be stopped from
// outside; a template that writes stops here.
type bounded struct {
	bytes.Buffer
	deadline time.Time
	writes   int
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > MaxOutput {
		return 0, errors.New("the output exceeds 64 KiB")
	}
	if b.writes++; b.writes%16 == 0 && time.Now().After(b.deadline) {
		return 0, errTooSlow
	}
	return b.Buffer.Write(p)
}

// Data decodes a message's data for Render. Numbers print as they were written by people, never with an exponent: an amount
// of 12345678.9 must not reach a merchant as 1.23456789e+07.
func Data(text json.RawMessage) (map[string]any, error) {
	var data map[string]any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&data); err != nil {
		return nil, err
	}
	for k, v := range data {
		data[k] = plainNumbers(v)
	}
	return data, nil
}

func plainNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		f, _ := v.Float64() // out of range is ±Inf, which prints as such
		return decimal(f)
	case []any:
		for i := range v {
			v[i] = plainNumbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = plainNumbers(v[k])
		}
	}
	return v
}

// decimal is a number that prints without an exponent.
type decimal float64

func (d decimal) String() string {
	if f := float64(d); f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return strconv.FormatInt(int64(f), 10)
	}
	return strconv.FormatFloat(float64(d), 'f', -1, 64)
}

// DedupKey is what a template makes of a message's data to tell which messages say the same; "" when it makes nothing.
func DedupKey(t *Template, data json.RawMessage) string {
	values, err := Data(data)
	if err != nil {
		return ""
	}
	c, err := t.Render(values)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(c.Body)
}
