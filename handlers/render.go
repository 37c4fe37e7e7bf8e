package handlers

import (
	"context"
	"time"

	"tidings"
	"tidings/tasks"
	"tidings/templates"
)

// RenderStore is what the render stage reads and commits.
type RenderStore interface {
	Gate
	RenderWork(ctx context.Context, ss []tidings.Segment) (tidings.RenderWork, error)
	PublishedTemplates(ctx context.Context, application, typ string) ([]tidings.Template, error)
	Rendered(ctx context.Context, ss []tidings.Segment, items []tidings.Item, rs []tidings.Rendered) ([]tidings.Segment, error)
}

// Render asks what: for each message, channel and locale that its notifications need it renders the published template.
// A template that fails fails its own message alone, with the reason in its content's place.
func Render(store RenderStore, now func() time.Time) tasks.Stage {
	published := newPublications(store, now)
	return tasks.Grouped(func(ctx context.Context, ss []tidings.Segment) ([]tidings.Segment, error) {
		if err := pass(ctx, store, ss...); err != nil {
			return nil, err
		}
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

// Renderer makes contents by the templates in force, for what ended because it had none.
func Renderer(store RenderStore, now func() time.Time) func(context.Context, tidings.RenderWork) ([]tidings.Rendered, error) {
	published := newPublications(store, now)
	return func(ctx context.Context, w tidings.RenderWork) ([]tidings.Rendered, error) {
		return render(ctx, published, w)
	}
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
	values := map[tidings.ID]*templates.Values{}
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
		if values[m.ID] == nil {
			values[m.ID] = &templates.Values{}
		}
		for _, c := range m.Channels {
			locale := p.Locale(c, item.Locale)
			if k := (made{m.ID, c, locale}); !done[k] {
				done[k] = true
				rs = p.Append(rs, m, c, locale, values[m.ID])
			}
		}
	}
	return rs, nil
}

// publicationsAge is how long a published template may still be used after another was published in its place.
const publicationsAge = time.Second

// publications keeps what is published, so that a segment of 500 messages asks once for each type.
type publications struct {
	store RenderStore
	now   func() time.Time
	types *tidings.Cache[[2]string, *templates.Published]
}

func newPublications(store RenderStore, now func() time.Time) *publications {
	return &publications{store: store, now: now, types: tidings.NewCache[[2]string, *templates.Published](publicationsAge, typesKept)}
}

func (ps *publications) of(ctx context.Context, application, typ string) (*templates.Published, error) {
	return ps.types.Get(ps.now(), [2]string{application, typ}, func(before *templates.Published) (*templates.Published, error) {
		ts, err := ps.store.PublishedTemplates(ctx, application, typ)
		if err != nil {
			return nil, err
		}
		return templates.NewPublished(ts, before), nil
	})
}
