package platform

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"unicode"

	"tidings"
	"tidings/templates"
)

// reportData is how many real messages a report renders.
const reportData = 5

// Report tells how a version looks: with the examples of the type, which come first, and with the data of its last real
// messages, masked; which variables it uses that the type does not declare; and how it differs from what is published.
func (p *Platform) Report(ctx context.Context, ref tidings.TemplateRef) (tidings.TemplateReport, error) {
	t, err := p.store.Template(ctx, ref)
	if err != nil {
		return tidings.TemplateReport{}, err
	}
	typ, err := p.store.Type(ctx, ref.Application, ref.Type)
	if err != nil {
		return tidings.TemplateReport{}, err
	}
	recent, err := p.store.RecentData(ctx, ref.Application, ref.Type, reportData)
	if err != nil {
		return tidings.TemplateReport{}, err
	}
	published, err := p.store.PublishedTemplates(ctx, ref.Application, ref.Type)
	if err != nil {
		return tidings.TemplateReport{}, err
	}
	report := tidings.TemplateReport{Template: t, Missing: []string{}, Diff: []string{}, Warnings: []string{}}
	report.Renderings = append(report.Renderings, rendering(t, "example", examples(typ)))
	for _, m := range recent {
		report.Renderings = append(report.Renderings, rendering(t, m.ID.String(), mask(m.Data)))
	}
	for _, name := range templates.Variables(t.Title, t.Body, t.URL) {
		if !slices.ContainsFunc(typ.Variables, func(v tidings.Variable) bool { return v.Name == name }) {
			report.Missing = append(report.Missing, name)
		}
	}
	for _, old := range published {
		if old.Channel == t.Channel && old.Locale == t.Locale && old.Percent == 100 && old.Version != t.Version {
			report.Diff = difference(lines(old), lines(t))
		}
	}
	report.Warnings = append(report.Warnings, warnings(t, typ, report.Renderings)...)
	return report, nil
}

// rendering renders t with data.
func rendering(t tidings.Template, source string, data json.RawMessage) tidings.TemplateRendering {
	r := tidings.TemplateRendering{Source: source, Data: data}
	parsed, err := templates.Parse(t)
	var values map[string]any
	if err == nil {
		values, err = templates.Data(data)
	}
	if err == nil {
		r.Content, err = parsed.Render(values)
	}
	if err != nil {
		r.Error = err.Error()
		return r
	}
	if t.Channel == tidings.SMS {
		r.Parts, r.Encoding = tidings.SMSParts(r.Content.Body)
	}
	return r
}

func warnings(t tidings.Template, typ tidings.MessageType, rs []tidings.TemplateRendering) (out []string) {
	used := templates.Variables(t.Title, t.Body, t.URL)
	for _, v := range typ.Variables {
		if v.Required && !slices.Contains(used, v.Name) {
			out = append(out, "it does not show "+v.Name+", which the type requires")
		}
	}
	for _, r := range rs {
		if r.Parts > 3 {
			out = append(out, "with the data of "+r.Source+" it is charged as more than three SMS")
		}
		if r.Error != "" && r.Source != "example" {
			out = append(out, "it fails with the data of message "+r.Source)
		}
	}
	if t.Channel == tidings.SMS && t.Signature == "" && !strings.HasPrefix(t.Body, "【") && !strings.HasPrefix(t.Body, "[") {
		out = append(out, "it has no signature: networks may refuse it")
	}
	return out
}

// mask hides what data says and keeps its form: letters become x (文 outside of ASCII, which an SMS charges otherwise),
// digits 0, lengths stay. How a link begins stays, too: a template may ask for it.
func mask(data json.RawMessage) json.RawMessage {
	var v any
	d := json.NewDecoder(strings.NewReader(string(data)))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return json.RawMessage("{}")
	}
	text, err := json.Marshal(masked(v))
	if err != nil {
		return json.RawMessage("{}")
	}
	return text
}

func masked(v any) any {
	switch v := v.(type) {
	case string:
		for _, scheme := range []string{"https://", "http://"} {
			if rest, ok := strings.CutPrefix(v, scheme); ok {
				return scheme + strings.Map(maskRune, rest)
			}
		}
		return strings.Map(maskRune, v)
	case json.Number: // "1203.50" becomes "1000.00": a number cannot begin with 0
		hidden := []byte(strings.Map(maskRune, v.String()))
		if i := strings.IndexByte(string(hidden), '0'); i >= 0 && !strings.ContainsAny(v.String(), "eE") {
			hidden[i] = '1'
			return json.Number(hidden)
		}
		return json.Number("1")
	case []any:
		for i := range v {
			v[i] = masked(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = masked(v[k])
		}
	}
	return v
}

func maskRune(r rune) rune {
	switch {
	case unicode.IsDigit(r):
		return '0'
	case unicode.IsLetter(r) && r < 0x80:
		return 'x'
	case unicode.IsLetter(r):
		return '文'
	}
	return r
}

// lines is a template as its diff shows it.
func lines(t tidings.Template) (out []string) {
	for _, f := range []struct{ name, text string }{{"title", t.Title}, {"signature", t.Signature}, {"provider_code", t.ProviderCode}, {"url", t.URL}, {"body", t.Body}} {
		if f.text != "" {
			for line := range strings.SplitSeq(f.text, "\n") {
				out = append(out, f.name+": "+line)
			}
		}
	}
	return out
}

// maxDiff bounds the table of a comparison; longer texts are shown one after the other.
const maxDiff = 500

// difference compares line by line: what is only in a begins with "-", only in b with "+", in both with " ".
func difference(a, b []string) (out []string) {
	if len(a) > maxDiff || len(b) > maxDiff {
		for _, l := range a {
			out = append(out, "-"+l)
		}
		for _, l := range b {
			out = append(out, "+"+l)
		}
		return out
	}
	common := make([][]int, len(a)+1) // of a[i:] and b[j:], the longest common subsequence
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			out = append(out, " "+a[i])
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			out = append(out, "-"+a[i])
			i++
		default:
			out = append(out, "+"+b[j])
			j++
		}
	}
	return out
}
