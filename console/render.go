package console

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"tidings"
)

//go:embed pages/*.html
var pageFiles embed.FS

//go:embed assets
var assetFiles embed.FS

// sets holds the pages, parsed once for each language with that language's words in them: when there is a console, since they
// take 10 MB, and other processes and commands have none.
var sets = sync.OnceValue(func() map[string]map[string]*template.Template {
	return map[string]map[string]*template.Template{"en": parsePages("en"), "zh": parsePages("zh")}
})

// parsePages parses every page together with the frame and the parts that pages share, whose files begin with _.
func parsePages(lang string) map[string]*template.Template {
	shared := template.Must(template.New("").Funcs(functions(lang)).ParseFS(pageFiles, "pages/_*.html"))
	names, err := fs.Glob(pageFiles, "pages/[a-z]*.html")
	if err != nil {
		panic(err)
	}
	set := make(map[string]*template.Template, len(names))
	for _, name := range names {
		page := template.Must(template.Must(shared.Clone()).ParseFS(pageFiles, name))
		set[strings.TrimSuffix(path.Base(name), ".html")] = page
	}
	return set
}

// functions are what the pages may call. All of them give text, which html/template escapes for the place it lands in.
func functions(lang string) template.FuncMap {
	return template.FuncMap{
		"t":    func(key string, args ...any) string { return say(lang, key, args...) },
		"word": func(kind string, v any) string { return word(lang, kind, fmt.Sprint(v)) },
		"lang": func() string { return map[string]string{"zh": "zh-CN", "en": "en"}[lang] },
		"tone": func(v any) string { return tones[fmt.Sprint(v)] },
		"rfc":  func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"clock": func(t time.Time) string {
			if t.IsZero() {
				return "–"
			}
			return t.UTC().Format("2006-01-02 15:04:05 UTC")
		},
		"json":     indented,
		"number":   grouped,
		"percent":  func(part float64) float64 { return 100 * part },
		"pair":     func(a, b any) [2]any { return [2]any{a, b} },
		"join":     strings.Join,
		"has":      has,
		"weekdays": func() []string { return []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"} },
		"whole":    func(n *int) int { return *n },
		"kinds":    func() []string { return []string{"merchants", "stores", "users"} },
		"channels": func() []tidings.Channel { return tidings.Channels },
		"add":      func(a, b int) int { return a + b },
		"share": func(part, whole int) string {
			if whole == 0 {
				return "–"
			}
			return strconv.FormatFloat(100*float64(part)/float64(whole), 'f', 1, 64) + " %"
		},
	}
}

// has tells whether one of the words in list, a slice of strings of some kind, is w.
func has(list, w any) bool {
	v := reflect.ValueOf(list)
	for i := range v.Len() {
		if v.Index(i).String() == fmt.Sprint(w) {
			return true
		}
	}
	return false
}

// indented writes JSON for a person to read; what is no JSON stays as it is.
func indented(v any) string {
	raw, ok := v.(json.RawMessage)
	if !ok {
		raw, _ = json.Marshal(v) // our own types
	}
	var b bytes.Buffer
	if json.Indent(&b, raw, "", "  ") != nil {
		return string(raw)
	}
	return b.String()
}

// grouped writes a number with its thousands apart.
func grouped(v any) string {
	s := fmt.Sprint(v)
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 10_000 && n > -10_000 {
		return s
	}
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + " " + s[i:] // a narrow space that does not break
	}
	return s
}

// tones gives the words that carry a colour theirs.
var tones = map[string]string{
	"active": "good", "applied": "wait", "suspended": "bad", "rejected": "bad", "disabled": "bad",
	"submitted": "wait", "approved": "good", "published": "good",
	"sent": "good", "delivered": "good", "failed": "bad", "unknown": "wait", "held": "wait", "queued": "wait", "sending": "wait",
	"expired": "bad", "done": "good", "running": "wait", "waiting": "wait", "processing": "wait", "accepted": "wait", "paused": "wait", "closed": "good", "half_open": "wait", "open": "bad", "ok": "good", "down": "bad",
}

// pagePolicy is for pages whose scripts and styles all come from us as files.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'; connect-src 'self'"

// write answers with a page, or with one part of it. It is made whole first: a page that fails half way must not be sent.
func write(w http.ResponseWriter, status int, lang, page, part, policy string, data any) error {
	set, ok := sets()[lang][page]
	if !ok {
		return fmt.Errorf("console: there is no page %q", page)
	}
	var b bytes.Buffer
	if err := set.ExecuteTemplate(&b, part, data); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", policy)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "same-origin") // with no-referrer a form would be posted from the origin "null"
	w.WriteHeader(status)
	_, err := w.Write(b.Bytes())
	return err
}
