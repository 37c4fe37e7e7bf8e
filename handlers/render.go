package handlers

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"tidings"
	"tidings/tasks"
	"tidings/templates"
)

// RenderStore is what the render stage reads and commits.
type RenderStore interface {
	RenderWork(ctx context.Context, ss []tidings.Segment) (tidings.RenderWork, error)
	PublishedTemplates(ctx context.Context, application, typ string) ([]tidings.Template, error)
	Rendered(ctx context.Context, ss []tidings.Segment, items []tidings.Item, rs []tidings.Rendered) ([]tidings.Segment, error)
}

// Render asks what: for each message, channel and locale that its notifications need it renders the published template.
// A template that fails fails its own message alone, with the reason in its content's place.
func Render(store RenderStore, now func() time.Time) tasks.Stage {
	published := &publications{store: store, now: now, types: map[[2]string]publication{}}
	return tasks.Grouped(func(ctx context.Context, ss []tidings.Segment) ([]tidings.Segment, error) {
		w, err := store.RenderWork(ctx, ss)
		if err != nil {
			return nil, err
		}
		rs, err := render(ctx, published, w)
		if err != nil {
			return nil, err
		}
		return store.Rendered(ctx, ss, w.Items, rs)
	})
}

func render(ctx context.Context, published *publications, w tidings.RenderWork) ([]tidings.Rendered, error) {
	type key struct {
		message tidings.ID
		locale  string // the user's
	}
	type made struct {
		message tidings.ID
		channel tidings.Channel
		locale  string // the content's
	}
	seen, done := map[key]bool{}, map[made]bool{}
	data := map[tidings.ID]map[string]any{}
	var rs []tidings.Rendered
	for _, item := range w.Items {
		if k := (key{item.Message, item.Locale}); seen[k] {
			continue
		} else {
			seen[k] = true
		}
		m := w.Messages[item.Message]
		p, err := published.of(ctx, m.Application, m.Type)
		if err != nil {
			return nil, err
		}
		for _, c := range m.Channels {
			locale := tidings.ChooseLocale(item.Locale, p.locales[c])
			if k := (made{m.ID, c, locale}); !done[k] {
				done[k] = true
				rs = append(rs, p.render(m, c, locale, data))
				if trial, ok := p.trials[c][locale]; ok { // which of them a user gets the route stage decides
					rs = append(rs, p.render(m, c, trial, data))
				}
			}
		}
	}
	return rs, nil
}

// publication is what is published for a message type.
type publication struct {
	locales   map[tidings.Channel][]string
	templates map[tidings.Channel]map[string]parsed // by locale, or the name of a version for a part of the stores
	trials    map[tidings.Channel]map[string]string // the names of these, by locale
	until     time.Time
}

type parsed struct {
	*templates.Template
	err error
}

// render makes one content, or says why it cannot be made. data keeps each message's decoded data for its other contents.
func (p publication) render(m tidings.Message, c tidings.Channel, locale string, data map[tidings.ID]map[string]any) tidings.Rendered {
	r := tidings.Rendered{Message: m.ID, Channel: c, Locale: locale}
	t, ok := p.templates[c][locale]
	if !ok {
		r.Reason, r.Detail = tidings.NoTemplate, "no template is published for this channel"
		return r
	}
	values, ok := data[m.ID]
	err := t.err
	if err == nil && !ok {
		values, err = templates.Data(json.RawMessage(m.Data))
		data[m.ID] = values
	}
	if err == nil {
		r.Version = t.Version
		r.Content, err = t.Render(values)
	}
	if err != nil {
		r.Reason, r.Detail = tidings.TemplateFailed, err.Error()[:min(len(err.Error()), 500)]
	} else if c == tidings.SMS {
		r.Parts, _ = r.Content.SMS()
	}
	return r
}

// publicationsAge is how long a published template may still be used after another was published in its place.
const publicationsAge = time.Second

// publications keeps what is published, so that a segment of 500 messages asks once for each type.
type publications struct {
	store RenderStore
	now   func() time.Time

	mu    sync.Mutex
	types map[[2]string]publication
}

func (ps *publications) of(ctx context.Context, application, typ string) (publication, error) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	key := [2]string{application, typ}
	old, ok := ps.types[key]
	if ok && ps.now().Before(old.until) {
		return old, nil
	}
	ts, err := ps.store.PublishedTemplates(ctx, application, typ)
	if err != nil {
		return publication{}, err
	}
	p := publication{locales: map[tidings.Channel][]string{}, templates: map[tidings.Channel]map[string]parsed{},
		trials: map[tidings.Channel]map[string]string{}, until: ps.now().Add(publicationsAge)}
	for _, t := range ts {
		p.add(t, old)
	}
	for c, locales := range p.locales {
		slices.Sort(locales)
		p.locales[c] = slices.Compact(locales)
	}
	ps.types[key] = p
	return p, nil
}

// add notes a template that is in force. One that old has is not parsed again.
func (p publication) add(t tidings.Template, old publication) {
	c, name := t.Channel, t.Locale
	if p.templates[c] == nil {
		p.templates[c], p.trials[c] = map[string]parsed{}, map[string]string{}
	}
	if t.Trial() {
		name = tidings.TrialLocale(t.Locale, t.Version, t.Percent)
		p.trials[c][t.Locale] = name
	}
	same, ok := old.templates[c][name]
	if !ok || same.Template == nil || same.Version != t.Version {
		made, err := templates.Parse(t)
		same = parsed{made, err}
	}
	p.templates[c][name] = same
	p.locales[c] = append(p.locales[c], t.Locale)
}
