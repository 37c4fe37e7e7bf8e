package tidings

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// CallTemplate is a content as a provider knows it that sends no text of ours: the name of a template that it has approved, and
// values for its variables.
type CallTemplate struct {
	Code      string
	Signature string // who sends, without brackets
	Params    []Param
}

// Param is the value of one variable.
type Param struct {
	Name  string
	Value string
}

var providerCode = regexp.MustCompile(`^([A-Za-z0-9_.-]+)(:[A-Za-z0-9_.]+(,[A-Za-z0-9_.]+)*)?$`)

// ValidProviderCode tells whether NewCallTemplate can read code.
func ValidProviderCode(code string) bool { return providerCode.MatchString(code) }

// NewCallTemplate reads a template's provider code, "CODE" or "CODE:name,other.name": which variables of the message's data the
// provider is given, in its order. Data goes to no provider that the code does not name.
func NewCallTemplate(code, signature string, data json.RawMessage) (*CallTemplate, error) {
	if code == "" {
		return nil, errors.New("the template has no provider code")
	}
	m := providerCode.FindStringSubmatch(code)
	if m == nil {
		return nil, fmt.Errorf("the provider code %.40q is none: CODE or CODE:name,name", code)
	}
	t := &CallTemplate{Code: m[1], Signature: strings.Trim(signature, "【】[] ")}
	if m[2] == "" {
		return t, nil
	}
	var values map[string]any
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber() // an amount keeps its digits
	if err := d.Decode(&values); err != nil {
		return nil, fmt.Errorf("the message's data: %w", err)
	}
	for name := range strings.SplitSeq(m[2][1:], ",") {
		value, ok := scalar(values, strings.Split(name, "."))
		if !ok {
			return nil, fmt.Errorf("the data has no text or number %s, which the provider code names", name)
		}
		t.Params = append(t.Params, Param{strings.ReplaceAll(name, ".", "_"), value})
	}
	return t, nil
}

func scalar(values map[string]any, path []string) (string, bool) {
	switch v := values[path[0]].(type) {
	case map[string]any:
		if len(path) > 1 {
			return scalar(v, path[1:])
		}
	case string:
		return v, len(path) == 1
	case json.Number:
		return v.String(), len(path) == 1
	case bool:
		return fmt.Sprint(v), len(path) == 1
	}
	return "", false
}
