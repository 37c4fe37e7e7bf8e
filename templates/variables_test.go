package templates_test

import (
	"slices"
	"testing"

	"tidings"
	"tidings/templates"
)

func TestTheVariablesOfATemplateAreFound(t *testing.T) {
	t.Parallel()
	for source, want := range map[string][]string{
		"plain":                             nil,
		"{{ order }} {{amount | round: 2}}": {"amount", "order"},
		"{{ shop.name | append: suffix | upcase }}":                                 {"shop", "suffix"},
		`{% if a == "b c" and d contains 'e' %}{{ f }}{% endif %}`:                  {"a", "d", "f"},
		"{% for x in items limit: n %}{{ x.name }} {{ forloop.index }}{% endfor %}": {"items", "n"},
		"{% assign y = z | plus: 1 %}{{ y }}":                                       {"z"},
		"{% raw %}{{ not }}{% endraw %}{% comment %}{{ nor }}{% endcomment %}":      nil,
	} {
		if got := templates.Variables(source); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", source, got, want)
		}
	}
}

func TestASignatureStandsBeforeTheBody(t *testing.T) {
	t.Parallel()
	parsed, err := templates.Parse(tidings.Template{Body: "{{ a }}", Signature: "【Acme】"})
	if err != nil {
		t.Fatal(err)
	}
	if c, err := parsed.Render(map[string]any{"a": "hello"}); err != nil || c.Body != "【Acme】hello" {
		t.Errorf("%+v %v", c, err)
	}
}
