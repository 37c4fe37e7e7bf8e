package templates

import (
	"encoding/json"
	"errors"
	"slices"

	"tidings"
)

// Published is what is in force for a message type, parsed: for each channel and locale a version for all stores, and perhaps
// one for a part of them. It does not change, so several goroutines may use it.
type Published struct {
	locales map[tidings.Channel][]string
	parsed  map[tidings.Channel]map[string]parsed // by locale, or the name of a version for a part of the stores
	trials  map[tidings.Channel]map[string]string // the names of these, by locale
}

type parsed struct {
	*Template
	err error
}

// NewPublished parses the templates that are in force. What old has already is not parsed again; old may be nil.
func NewPublished(ts []tidings.Template, old *Published) *Published {
	p := &Published{locales: map[tidings.Channel][]string{}, parsed: map[tidings.Channel]map[string]parsed{}, trials: map[tidings.Channel]map[string]string{}}
	for _, t := range ts {
		p.add(t, old)
	}
	for c, locales := range p.locales {
		slices.Sort(locales)
		p.locales[c] = slices.Compact(locales)
	}
	return p
}

func (p *Published) add(t tidings.Template, old *Published) {
	c, name := t.Channel, t.Locale
	if p.parsed[c] == nil {
		p.parsed[c], p.trials[c] = map[string]parsed{}, map[string]string{}
	}
	if t.Trial() {
		name = tidings.TrialLocale(t.Locale, t.Version, t.Percent)
		p.trials[c][t.Locale] = name
	}
	var same parsed
	if old != nil {
		same = old.parsed[c][name]
	}
	if same.Template == nil || same.Version != t.Version {
		same.Template, same.err = Parse(t)
	}
	p.parsed[c][name] = same
	p.locales[c] = append(p.locales[c], t.Locale)
}

// Locale picks the locale for a user's on a channel, "" when nothing is in force.
func (p *Published) Locale(c tidings.Channel, user string) string {
	return tidings.ChooseLocale(user, p.locales[c])
}

// Values are the data of one message, decoded when the first content asks for them.
type Values struct {
	data map[string]any
	err  error
	read bool
}

func (v *Values) of(m tidings.Message) (map[string]any, error) {
	if !v.read {
		v.read = true
		v.data, v.err = Data(json.RawMessage(m.Data))
	}
	return v.data, v.err
}

// Append makes what a message says on a channel in a locale, or says why it cannot be made, and appends it to rs. Beside the version for all
// stores there may be one for a part of them; which of the two a user gets is decided when his way is.
func (p *Published) Append(rs []tidings.Rendered, m tidings.Message, c tidings.Channel, locale string, v *Values) []tidings.Rendered {
	rs = append(rs, p.render(m, c, locale, v))
	if trial, ok := p.trials[c][locale]; ok {
		rs = append(rs, p.render(m, c, trial, v))
	}
	return rs
}

func (p *Published) render(m tidings.Message, c tidings.Channel, name string, v *Values) tidings.Rendered {
	r := tidings.Rendered{Message: m.ID, Channel: c, Locale: name}
	t, ok := p.parsed[c][name]
	if !ok {
		r.Reason, r.Detail = tidings.NoTemplate, "no template is published for this channel"
		return r
	}
	values, err := map[string]any(nil), t.err
	if err == nil {
		values, err = v.of(m)
	}
	if err == nil {
		r.Version = t.Version
		r.Content, err = t.patiently(values)
	}
	if err != nil {
		r.Reason, r.Detail = tidings.TemplateFailed, tidings.Clip(err.Error(), 500)
	} else if c == tidings.SMS {
		r.Parts, _ = r.Content.SMS()
	}
	return r
}

// patiently renders what was too slow again: a machine that stood still for a moment makes a good template look so, and one that is slow is
// slow every time.
func (t *Template) patiently(values map[string]any) (c tidings.Content, err error) {
	for range 3 {
		if c, err = t.Render(values); !errors.Is(err, errTooSlow) {
			break
		}
	}
	return c, err
}
