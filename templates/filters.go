package templates

import (
	"errors"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/osteele/liquid"
	"github.com/osteele/liquid/filters"
	"github.com/osteele/liquid/render"

	"tidings"
)

// engine is Liquid with every filter bounded, those that could grow a string replaced by ones that do not even try, and those
// of arithmetic by ones whose results print as plain numbers.
var engine = newEngine()

var (
	errTooLong = errors.New("a string exceeds 64 KiB")
	errTooMany = errors.New("a list exceeds 1000 elements")
	errTooSlow = errors.New("it took too long")
)

// dictionary takes Liquid's own filters into an engine, bounded.
type dictionary struct{ *liquid.Engine }

var wide = regexp.MustCompile(`%[-_^#0:]*\d{3}`)

// AddFilter registers a filter whose results are bounded: many double what they get (json, concat), and so would a chain of
// them what nobody can hold.
func (d dictionary) AddFilter(name string, filter any) {
	if date, ok := filter.(func(time.Time, func(string) string) (string, error)); ok {
		filter = func(t time.Time, format func(string) string) (string, error) {
			wanted := ""
			if _, err := date(t, func(s string) string { wanted = format(s); return "" }); err != nil || wide.MatchString(wanted) {
				return "", errors.New("a date's format has no width of three digits")
			}
			return date(t, func(string) string { return wanted })
		}
	}
	f := reflect.ValueOf(filter)
	var in []reflect.Type
	for i := range f.Type().NumIn() {
		in = append(in, f.Type().In(i))
	}
	failure := reflect.TypeFor[error]()
	signature := reflect.FuncOf(in, []reflect.Type{f.Type().Out(0), failure}, false)
	d.RegisterFilter(name, reflect.MakeFunc(signature, func(args []reflect.Value) []reflect.Value {
		out := f.Call(args)
		if err := checkSize(out[0]); err != nil {
			return []reflect.Value{reflect.Zero(signature.Out(0)), reflect.ValueOf(&err).Elem()}
		}
		return append(out, reflect.Zero(failure))[:2]
	}).Interface())
}

// checkSize refuses what a filter made if a template may not hold as much.
func checkSize(v reflect.Value) error {
	for v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	text := v.Kind() == reflect.String || v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8
	switch {
	case text && v.Len() > MaxOutput:
		return errTooLong
	case !text && v.Kind() == reflect.Slice && v.Len() > tidings.MaxList:
		return errTooMany
	}
	return nil
}

// tick is a tag that parse puts into every loop: a loop that writes nothing is stopped there. deadlineKey is no name that a
// template can write.
const (
	tick        = "tidings_tick"
	deadlineKey = ".deadline"
)

func checkTime(c render.Context) (string, error) {
	if deadline, ok := c.Get(deadlineKey).(time.Time); ok && time.Now().After(deadline) {
		return "", errTooSlow
	}
	return "", nil
}

func newEngine() *liquid.Engine {
	e := liquid.NewEngine()
	filters.AddStandardFilters(dictionary{e})
	e.RegisterTag(tick, checkTime)
	e.RegisterFilter("uniq", func(list []any) []any {
		seen := make(map[any]bool, len(list))
		return slices.DeleteFunc(slices.Clone(list), func(v any) bool {
			if v != nil && !reflect.TypeOf(v).Comparable() {
				return false // to compare every list and object with every other takes too long
			}
			was := seen[v]
			seen[v] = true
			return was
		})
	})
	e.RegisterFilter("truncate", func(s string, length func(int) int, ellipsis func(string) string) string {
		end, runes := ellipsis("..."), []rune(s)
		n := length(50)
		if len(runes) <= n {
			return s
		}
		return string(runes[:max(0, n-len([]rune(end)))]) + end
	})
	e.RegisterFilter("truncatewords", func(s string, length func(int) int, ellipsis func(string) string) string {
		end, words := ellipsis("..."), strings.Fields(s)
		n := max(1, length(15))
		if len(words) <= n {
			return s
		}
		return strings.Join(words[:n], " ") + end
	})
	grow := func(parts ...string) (string, error) {
		n := 0
		for _, p := range parts {
			n += len(p)
		}
		if n > MaxOutput {
			return "", errTooLong
		}
		return strings.Join(parts, ""), nil
	}
	e.RegisterFilter("append", func(s, suffix string) (string, error) { return grow(s, suffix) })
	e.RegisterFilter("prepend", func(s, prefix string) (string, error) { return grow(prefix, s) })
	e.RegisterFilter("replace", func(s, old, with string) (string, error) { return replace(s, old, with, -1) })
	e.RegisterFilter("replace_first", func(s, old, with string) (string, error) { return replace(s, old, with, 1) })
	e.RegisterFilter("newline_to_br", func(s string) (string, error) { return replace(s, "\n", "<br />\n", -1) })
	e.RegisterFilter("plus", func(a, b float64) decimal { return decimal(a + b) })
	e.RegisterFilter("minus", func(a, b float64) decimal { return decimal(a - b) })
	e.RegisterFilter("times", func(a, b float64) decimal { return decimal(a * b) })
	e.RegisterFilter("divided_by", func(a, b float64) (decimal, error) {
		if b == 0 {
			return 0, errors.New("divided by zero")
		}
		return decimal(a / b), nil
	})
	e.RegisterFilter("modulo", func(a, b float64) (decimal, error) {
		if b == 0 {
			return 0, errors.New("modulo zero")
		}
		return decimal(math.Mod(a, b)), nil
	})
	e.RegisterFilter("round", func(n float64, places func(int64) int64) decimal {
		p := math.Pow(10, float64(min(places(0), 15)))
		return decimal(math.Floor(n*p+0.5) / p)
	})
	return e
}

func replace(s, old, with string, n int) (string, error) {
	count := strings.Count(s, old)
	if n >= 0 {
		count = min(count, n)
	}
	if len(s)+count*len(with) > MaxOutput {
		return "", errTooLong
	}
	return strings.Replace(s, old, with, n), nil
}
