package templates

import (
	"errors"
	"math"
	"strings"

	"github.com/osteele/liquid"
)

// engine is Liquid with the filters that could grow a string replaced by bounded ones, and those of arithmetic by ones whose
// results print as plain numbers.
var engine = newEngine()

var errTooLong = errors.New("a string exceeds 64 KiB")

func newEngine() *liquid.Engine {
	e := liquid.NewEngine()
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
