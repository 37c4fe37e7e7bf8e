package sql

import (
	"context"

	"tidings"
)

type templateRow struct {
	Application string
	Type        string
	Channel     tidings.Channel
	Locale      string
	Version     int
	State       tidings.TemplateState
	Title       string
	Body        string
	URL         string
	CreatedAt   int64 `db:"created_at"`
}

func (r templateRow) template() tidings.Template {
	return tidings.Template{Application: r.Application, Type: r.Type, Channel: r.Channel, Locale: r.Locale, Version: r.Version,
		State: r.State, Title: r.Title, Body: r.Body, URL: r.URL, CreatedAt: timeOf(r.CreatedAt)}
}

// CreateTemplate writes the content as the next version for its type, channel and locale, a draft, and returns it as it
// stands.
func (db *DB) CreateTemplate(ctx context.Context, c tidings.Template) (tidings.Template, error) {
	var r templateRow
	err := db.tx(ctx, func(t *tx) error {
		if err := t.lockType(ctx, c.Application, c.Type); err != nil {
			return err
		}
		return t.Get(ctx, &r, "create-template", c.Application, c.Type, c.Channel, c.Locale, c.Title, c.Body, c.URL)
	})
	return r.template(), err
}

// PublishTemplate makes a version the one that is sent; the one before it retires. Publishing a retired version brings it
// back.
func (db *DB) PublishTemplate(ctx context.Context, application, typ string, c tidings.Channel, locale string, version int) (tidings.Template, error) {
	var r templateRow
	err := db.tx(ctx, func(t *tx) error {
		if err := t.lockType(ctx, application, typ); err != nil {
			return err
		}
		if _, err := t.Exec(ctx, "retire-template", application, typ, c, locale, version); err != nil {
			return err
		}
		return notFound(t.Get(ctx, &r, "publish-template", application, typ, c, locale, version), "template version", version)
	})
	return r.template(), err
}

func (t *tx) lockType(ctx context.Context, application, typ string) error {
	var name string
	return notFound(t.Get(ctx, &name, "lock-type", application, typ), "message type", typ)
}

// Templates reads every version of a type's templates, in order of channel, locale and version.
func (db *DB) Templates(ctx context.Context, application, typ string) ([]tidings.Template, error) {
	return db.templates(ctx, "templates", application, typ)
}

// PublishedTemplates reads the published version of each channel and locale of a type.
func (db *DB) PublishedTemplates(ctx context.Context, application, typ string) ([]tidings.Template, error) {
	return db.templates(ctx, "published-templates", application, typ)
}

func (db *DB) templates(ctx context.Context, query, application, typ string) ([]tidings.Template, error) {
	var rows []templateRow
	if err := db.Select(ctx, &rows, query, application, typ); err != nil {
		return nil, err
	}
	out := make([]tidings.Template, len(rows))
	for i, r := range rows {
		out[i] = r.template()
	}
	return out, nil
}
