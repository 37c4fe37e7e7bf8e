package comet

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"tidings"
)

func TestTheDescriptionNamesExactlyTheDoorsThatThereAre(t *testing.T) {
	var described struct {
		Paths      map[string]map[string]any `yaml:"paths"`
		Components struct {
			Schemas map[string]struct {
				Properties map[string]struct {
					Properties map[string]struct{ Enum []any }
				}
			}
		}
	}
	if err := yaml.Unmarshal(tidings.OpenAPI, &described); err != nil {
		t.Fatal(err)
	}
	var said []string
	for path, methods := range described.Paths {
		if strings.HasPrefix(path, "/comet/") {
			for method := range methods {
				said = append(said, strings.ToUpper(method)+" "+path)
			}
		}
	}
	there := slices.Sorted(maps.Keys((&Node{}).routes()))
	if slices.Sort(said); !slices.Equal(said, there) {
		t.Errorf("described are\n%v\nand there are\n%v", said, there)
	}
	closing := described.Components.Schemas["Frame"].Properties["close"].Properties
	var codes, reasons []string
	for code := range codeTexts {
		codes = append(codes, fmt.Sprint(int(code)))
		reasons = append(reasons, code.text())
	}
	same(t, "codes", closing["code"].Enum, codes)
	same(t, "reasons", closing["reason"].Enum, reasons)
}

// same compares what is described with what there is, in whatever order.
func same(t *testing.T, what string, described []any, there []string) {
	t.Helper()
	var said []string
	for _, v := range described {
		said = append(said, fmt.Sprint(v))
	}
	slices.Sort(said)
	slices.Sort(there)
	if !slices.Equal(said, there) {
		t.Errorf("%s described are %v, and there are %v", what, said, there)
	}
}
