package templates_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"tidings"
	"tidings/templates"
)

func render(t *testing.T, source, data string) (string, error) {
	t.Helper()
	parsed, err := templates.Parse(tidings.Template{Body: source})
	if err != nil {
		t.Fatalf("%s: %v", source, err)
	}
	values, err := templates.Data(json.RawMessage(data))
	if err != nil {
		t.Fatal(err)
	}
	c, err := parsed.Render(values)
	return c.Body, err
}

func TestATemplateSaysWhatTheDataSays(t *testing.T) {
	for _, c := range []struct{ source, data, want string }{
		{"plain 文字", `{}`, "plain 文字"},
		{"订单 {{ order }} 退款 {{ amount }} 元", `{"order":"A-1","amount":12345678.9}`, "订单 A-1 退款 12345678.9 元"},
		{"{{ n }} {{ n | plus: 1 }} {{ n | times: 2.5 }}", `{"n":10000000}`, "10000000 10000001 25000000"},
		{"{{ f | round: 2 }} {{ f | round }}", `{"f":1234567.891}`, "1234567.89 1234568"},
		{"{% if f > 3 %}more{% else %}less{% endif %}", `{"f":3.5}`, "more"},
		{"{% for i in items %}{{ i.name }};{% endfor %}", `{"items":[{"name":"a"},{"name":"b"}]}`, "a;b;"},
		{"[{{ missing }}]", `{}`, "[]"},
		{"{{ a | append: '!' | replace: 'x', 'yy' }}", `{"a":"x1"}`, "yy1!"},
		{"{{ s }}", `{"s":"<script>alert(1)</script>"}`, "<script>alert(1)</script>"}, // text: each channel escapes for itself
	} {
		got, err := render(t, c.source, c.data)
		if err != nil || got != c.want {
			t.Errorf("%s with %s: %q, %v; want %q", c.source, c.data, got, err, c.want)
		}
	}
}

func TestATemplateThatCouldRunAwayIsRefusedWhenItIsWritten(t *testing.T) {
	for _, source := range []string{
		"", " \n", "{{ unclosed", "{% if x %}", "{% include 'secrets' %}", "{% render 'x' %}", "{% layout 'x' %}",
		"{% for i in (1..1000000000) %}x{% endfor %}", "{%- for i in (1..n) -%}x{%- endfor -%}",
		"{% for a in x %}{% for b in x %}{% for c in x %}.{% endfor %}{% endfor %}{% endfor %}",
		"{% for a in x %}{% assign s = s | append: s %}{% endfor %}",
		"{% capture a %}{{ a }}{{ a }}{% endcapture %}",
		strings.Repeat("x", templates.MaxSource+1),
	} {
		if errs := templates.Check("", source, ""); len(errs) == 0 {
			t.Errorf("accepted: %.60q", source)
		}
	}
}

func TestATemplateThatExplodesFailsWithAReason(t *testing.T) {
	list := `{"x":[` + strings.TrimSuffix(strings.Repeat("1,", 1000), ",") + `]}`
	for _, source := range []string{
		"{% for a in x %}{% for b in x %}0123456789{% endfor %}{% endfor %}",
		"{% assign s = 'aaaaaaaaaaaaaaaaaaaa' %}" + strings.Repeat("{% assign s = s | append: s %}", 90) + "{{ s }}",
		"{% assign s = 'aaaaaaaaaaaaaaaaaaaa' %}" + strings.Repeat("{% assign s = s | replace: 'a', s %}", 30) + "{{ s }}",
		"{{ 1 | divided_by: 0 }}", "{{ 1 | nosuchfilter }}",
		"{{ nothing }}",
	} {
		if got, err := render(t, source, list); err == nil {
			t.Errorf("%.60q gave %d bytes", source, len(got))
		}
	}
}

// Each of these ran for seconds, hours or out of memory before it had a bound.
func TestATemplateThatIsSlowInSilenceIsStopped(t *testing.T) {
	list := `{"s":"` + strings.Repeat("ab ", 10000) + `","x":["` + strings.Join(strings.Split(strings.Repeat("b", 1000), ""), `","`) + `"]}`
	for _, source := range []string{
		"x{% for a in x %}{% for b in x %}{% if a == b %}{% endif %}{% endfor %}{% endfor %}",
		"x{%- for a in x -%} {%- for b in x -%}{% if x | sort | uniq | sort %}{% endif %}{%- endfor -%}{%- endfor -%}",
		"x{% tablerow a in x %}{% for b in x %}{% continue %}{% endfor %}{% endtablerow %}",
		"{% for a in x %}{{ x | sort | sort | uniq | size }}{% endfor %}",
		strings.Repeat("{% assign x = x | concat: x %}", 40) + "{{ x | size }}",
		"{{ s | split: '' | join: ' ' | size }}",
		"{% assign s = '\"' %}{{ s " + strings.Repeat("| json ", 90) + "}}",
		"{% assign s = '\"' %}{{ s " + strings.Repeat("| inspect ", 90) + "}}",
		"{{ 'now' | date: '%999999999d' }}",
	} {
		begin := time.Now()
		got, err := render(t, source, list)
		if took := time.Since(begin); err == nil || took > 10*time.Second || len(err.Error()) > 1000 {
			t.Errorf("%.80q took %v and gave %d bytes, %.300v", source, took, len(got), err)
		}
	}
	for _, source := range []string{"{{ x " + strings.Repeat("| sort ", 101) + "}}", "{% raw %}{% endraw x %}{% for a in x %}{% endfor %}{% raw %}{% endraw %}"} {
		if len(templates.Check("", source, "")) == 0 {
			t.Errorf("accepted: %.80q", source)
		}
	}
}

func TestLoopsAndBoundedFiltersWriteWhatLiquidWrites(t *testing.T) {
	for source, want := range map[string]string{
		"{% for a in x -%} <{{ a }}> {%- endfor %}|":                                   "<b><a><b>|",
		"{% for a in x %} {{ a }} {% else %}none{% endfor %}|":                         " b  a  b |",
		"{% for a in e %}{{ a }}{% else %}none{% endfor %}":                            "none",
		"{{ x | uniq | join: ',' }} {{ x | sort | first }} {{ x | concat: x | size }}": "b,a a 6",
		"{{ s | truncate: 7 }} {{ s | truncatewords: 2, '…' }} {{ s | truncate: 99 }}": "one ... one two… one two three",
		"{{ '2026-07-28' | date: '%Y/%m/%d %3N' }}":                                    "2026/07/28 000",
	} {
		if got, err := render(t, source, `{"x":["b","a","b"],"e":[],"s":"one two three"}`); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", source, got, err, want)
		}
	}
}

func TestALinkIsHTTPOrAPath(t *testing.T) {
	for url, ok := range map[string]bool{
		"https://example.com/a?b=c": true, "/orders/1": true, "": true, "HTTP://x": true,
		"javascript:alert(1)": false, " javascript:alert(1)": false, "data:text/html,x": false, "//evil.example": false, `/\evil`: false, "https://a\nb": false,
	} {
		parsed, err := templates.Parse(tidings.Template{Body: "b", URL: "{{ u }}"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parsed.Render(map[string]any{"u": url}); (err == nil) != ok {
			t.Errorf("%q: %v", url, err)
		}
	}
}

func FuzzATemplateNeitherPanicsNorRunsAway(f *testing.F) {
	f.Add("{{ a | append: 'x' }}", `{"a":"b"}`)
	f.Add("{% for i in a %}{{ i }}{% endfor %}", `{"a":[1,2.5,null]}`)
	f.Fuzz(func(t *testing.T, source, data string) {
		parsed, err := templates.Parse(tidings.Template{Body: source})
		if err != nil {
			return
		}
		values, err := templates.Data(json.RawMessage(data))
		if err != nil {
			return
		}
		if c, err := parsed.Render(values); err == nil && len(c.Body) > templates.MaxOutput {
			t.Fatalf("%d bytes", len(c.Body))
		}
	})
}

// What every database takes is written whatever the data are: PostgreSQL would refuse the whole segment that it stands in.
func TestWhatIsRenderedAndWhyItFailsIsTextWithoutNUL(t *testing.T) {
	long := strings.Repeat("退", 400)
	for body, data := range map[string]string{
		`a{{ x | url_decode }}b`: `{"x":"%00%ff"}`,
		`{{ x | times: 2 }}`:     `{"x":["` + long + `"]}`,
		`é{{ x | times: 2 }}`:    `{"x":["` + long + `","a"]}`,
		`{{ x | round: y }}`:     `{"x":"z` + long + `","y":"` + long + `"}`,
	} {
		p := templates.NewPublished([]tidings.Template{{Channel: tidings.Web, Locale: "zh-CN", Version: 1, Title: "t", Body: body}}, nil)
		for _, r := range p.Append(nil, tidings.Message{Data: json.RawMessage(data)}, tidings.Web, "zh-CN", &templates.Values{}) {
			if text := r.Content.Body + r.Detail; text == "" || !utf8.ValidString(text) || strings.Contains(text, "\x00") || len(r.Detail) > 500 {
				t.Errorf("%s: %q", body, text)
			}
		}
	}
}
