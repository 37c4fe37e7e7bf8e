package httpsms

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// rules are the lines of a setting: one of them must fit. Each joins conditions with &&.
type rules [][]condition

// condition is status=200,500-599, or a path in the JSON and its values, code=0,OK, or ~ and a regular expression.
type condition struct {
	path    string
	values  []string
	ranges  [][2]int
	pattern *regexp.Regexp
}

// facts are what is known of an answer or report.
type facts struct {
	status int
	body   string
	json   any
}

func parse(text string) (rs rules, err error) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		var all []condition
		for part := range strings.SplitSeq(line, "&&") {
			c, err := parseCondition(strings.TrimSpace(part))
			if err != nil {
				return nil, err
			}
			all = append(all, c)
		}
		rs = append(rs, all)
	}
	return rs, nil
}

func parseCondition(text string) (c condition, err error) {
	if pattern, ok := strings.CutPrefix(text, "~"); ok {
		c.pattern, err = regexp.Compile(pattern)
		return c, err
	}
	path, values, ok := strings.Cut(text, "=")
	if !ok || path == "" {
		return c, fmt.Errorf("%.40q is neither status=..., path=... nor ~pattern", text)
	}
	c.path, c.values = strings.TrimSpace(path), strings.Split(strings.TrimSpace(values), ",")
	if c.path != "status" {
		return c, nil
	}
	for _, v := range c.values {
		low, high, ranged := strings.Cut(v, "-")
		if !ranged {
			high = low
		}
		a, errA := strconv.Atoi(low)
		b, errB := strconv.Atoi(high)
		if errA != nil || errB != nil {
			c.ranges = nil // the status of a report is a word
			return c, nil
		}
		c.ranges = append(c.ranges, [2]int{a, b})
	}
	return c, nil
}

func (rs rules) fit(f facts) bool {
	return slices.ContainsFunc(rs, func(all []condition) bool {
		return !slices.ContainsFunc(all, func(c condition) bool { return !c.fits(f) })
	})
}

func (c condition) fits(f facts) bool {
	switch {
	case c.pattern != nil:
		return c.pattern.MatchString(f.body)
	case c.path == "status" && f.status != 0:
		return slices.ContainsFunc(c.ranges, func(r [2]int) bool { return f.status >= r[0] && f.status <= r[1] })
	}
	value, ok := at(f.json, c.path)
	return ok && slices.Contains(c.values, value)
}

// find reads what stands at a path, or the group of ~ and a regular expression; "": nothing.
func (f facts) find(path string) string {
	if pattern, ok := strings.CutPrefix(path, "~"); ok {
		if m := regexp.MustCompile(pattern).FindStringSubmatch(f.body); len(m) > 1 {
			return m[1]
		}
		return ""
	}
	value, _ := at(f.json, path)
	return value
}

// at walks a path of names and numbers: data.0.id.
func at(v any, path string) (string, bool) {
	for step := range strings.SplitSeq(path, ".") {
		switch in := v.(type) {
		case map[string]any:
			v = in[step]
		case []any:
			n, err := strconv.Atoi(step)
			if err != nil || n < 0 || n >= len(in) {
				return "", false
			}
			v = in[n]
		default:
			return "", false
		}
	}
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}
