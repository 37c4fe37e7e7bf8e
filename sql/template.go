package sql

import (
	"context"
	"encoding/json"

	"tidings"
)

type templateRow struct {
	Application  string
	Type         string
	Channel      tidings.Channel
	Locale       string
	Version      int
	State        tidings.TemplateState
	Title        string
	Body         string
	URL          string
	ProviderCode string `db:"provider_code"`
	Signature    string
	Percent      int
	Author       string
	Reviewer     string
	Comment      string
	CreatedAt    int64 `db:"created_at"`
}

func (r templateRow) template() tidings.Template {
	t := tidings.Template{Application: r.Application, Type: r.Type, Channel: r.Channel, Locale: r.Locale, Version: r.Version,
		State: r.State, Title: r.Title, Body: r.Body, URL: r.URL, ProviderCode: r.ProviderCode, Signature: r.Signature,
		Author: r.Author, Reviewer: r.Reviewer, Comment: r.Comment, CreatedAt: timeOf(r.CreatedAt)}
	if t.State == tidings.TemplatePublished {
		t.Percent = r.Percent
	}
	return t
}

// CreateTemplate writes the content as the next version for its type, channel and locale, a draft, and returns it as it
// stands. Its author is who acts.
func (db *DB) CreateTemplate(ctx context.Context, c tidings.Template) (tidings.Template, error) {
	var r templateRow
	err := db.tx(ctx, func(t *tx) error {
		if err := t.lockType(ctx, c.Application, c.Type); err != nil {
			return err
		}
		err := t.Get(ctx, &r, "create-template", c.Application, c.Type, c.Channel, c.Locale, c.Title, c.Body, c.URL, c.ProviderCode,
			c.Signature, tidings.ActorOf(ctx).Account)
		if err != nil {
			return err
		}
		return t.append(ctx, "template.create", "template "+r.template().Ref().String(), r.template())
	})
	return r.template(), err
}

// Template reads one version.
func (db *DB) Template(ctx context.Context, ref tidings.TemplateRef) (tidings.Template, error) {
	var r templateRow
	err := db.Get(ctx, &r, "template", refArgs(ref)...)
	return r.template(), notFound(err, "template version", ref.Version)
}

func refArgs(ref tidings.TemplateRef, more ...any) []any {
	return append([]any{ref.Application, ref.Type, ref.Channel, ref.Locale, ref.Version}, more...)
}

// SubmitTemplate puts a draft before its reviewers. A version in another state is a Conflict.
func (db *DB) SubmitTemplate(ctx context.Context, ref tidings.TemplateRef) (tidings.Template, error) {
	return db.moveTemplate(ctx, "template.submit", ref, nil, "submit-template")
}

// ReviewTemplate approves or rejects a submitted version, in the name of who acts. Of two reviewers at once one wins, and the
// other is a Conflict; the author is Forbidden.
func (db *DB) ReviewTemplate(ctx context.Context, ref tidings.TemplateRef, state tidings.TemplateState, comment string) (tidings.Template, error) {
	action := "template.approve"
	if state == tidings.TemplateRejected {
		action = "template.reject"
	}
	by := tidings.ActorOf(ctx).Account
	return db.moveTemplate(ctx, action, ref, map[string]string{"comment": comment}, "review-template", state, by, comment)
}

// moveTemplate runs a conditional move, and says why when it moved nothing.
func (db *DB) moveTemplate(ctx context.Context, action string, ref tidings.TemplateRef, detail any, query string, args ...any) (tidings.Template, error) {
	var r templateRow
	err := db.changed(ctx, action, "template "+ref.String(), detail, func(t *tx) error {
		err := t.Get(ctx, &r, query, refArgs(ref, args...)...)
		if !noRows(err) {
			return err
		}
		if err := t.Get(ctx, &r, "template", refArgs(ref)...); err != nil {
			return notFound(err, "template version", ref.Version)
		}
		if r.State == tidings.TemplateSubmitted && query == "review-template" {
			return tidings.Errorf(tidings.Forbidden, "the author of a template does not review it")
		}
		return tidings.Errorf(tidings.Conflict, "the version is %s", r.State)
	})
	return r.template(), err
}

// PublishTemplate is Publish of a version for all stores, reviewed or not: for what sets up an installation.
func (db *DB) PublishTemplate(ctx context.Context, application, typ string, c tidings.Channel, locale string, version int) (tidings.Template, error) {
	ref := tidings.TemplateRef{Application: application, Type: typ, Channel: c, Locale: locale, Version: version}
	return db.Publish(ctx, ref, 100, true)
}

// Publish puts a version that was approved, or was in force before, into force for a percentage of the stores. With 100 every
// other version retires; with less the one for all stays, and one that another part had retires. unreviewed lets a draft
// through, too.
func (db *DB) Publish(ctx context.Context, ref tidings.TemplateRef, percent int, unreviewed bool) (tidings.Template, error) {
	var r templateRow
	detail := map[string]any{"percent": percent}
	err := db.changed(ctx, "template.publish", "template "+ref.String(), detail, func(t *tx) error {
		delete(detail, "unreviewed")
		if err := t.lockType(ctx, ref.Application, ref.Type); err != nil {
			return err
		}
		if err := t.Get(ctx, &r, "template", refArgs(ref)...); err != nil {
			return notFound(err, "template version", ref.Version)
		}
		switch {
		case r.State == tidings.TemplateApproved || r.State == tidings.TemplateRetired || r.State == tidings.TemplatePublished:
		case r.State == tidings.TemplateDraft && unreviewed:
			detail["unreviewed"] = true
		default:
			return tidings.Errorf(tidings.Conflict, "the version is %s, and not approved", r.State)
		}
		if percent < 100 {
			if err := t.baseBeside(ctx, ref); err != nil {
				return err
			}
		}
		return t.publish(ctx, &r, ref, percent)
	})
	return r.template(), err
}

// baseBeside refuses a part of the stores where no other version is in force for all.
func (t *tx) baseBeside(ctx context.Context, ref tidings.TemplateRef) error {
	var published []templateRow
	if err := t.Select(ctx, &published, "published-versions", ref.Application, ref.Type, ref.Channel, ref.Locale); err != nil {
		return err
	}
	if len(published) == 0 || published[len(published)-1].Version == ref.Version {
		return tidings.Errorf(tidings.Conflict, "a part of the stores needs another version in force for the rest")
	}
	return nil
}

func (t *tx) publish(ctx context.Context, r *templateRow, ref tidings.TemplateRef, percent int) error {
	retired := 100
	if percent < 100 {
		retired = 99
	}
	if _, err := t.Exec(ctx, "retire-template", refArgs(ref, retired)...); err != nil {
		return err
	}
	return t.Get(ctx, r, "publish-template", refArgs(ref, percent)...)
}

// Rollback takes the newest version out of force: what remains is the version beside it, or the one before. ref's version is
// not looked at. There being none is a Conflict.
func (db *DB) Rollback(ctx context.Context, ref tidings.TemplateRef) (tidings.Template, error) {
	var r templateRow
	err := db.tx(ctx, func(t *tx) error {
		if err := t.lockType(ctx, ref.Application, ref.Type); err != nil {
			return err
		}
		var published []templateRow
		if err := t.Select(ctx, &published, "published-versions", ref.Application, ref.Type, ref.Channel, ref.Locale); err != nil {
			return err
		}
		if len(published) == 0 {
			return tidings.Errorf(tidings.Conflict, "no version is in force")
		}
		base := published[len(published)-1]
		ref.Version = base.Version
		if len(published) == 1 {
			err := t.Get(ctx, &ref.Version, "version-before", ref.Application, ref.Type, ref.Channel, ref.Locale, base.Version)
			if noRows(err) {
				return tidings.Errorf(tidings.Conflict, "there is no version before %d", base.Version)
			}
			if err != nil {
				return err
			}
		}
		if err := t.publish(ctx, &r, ref, 100); err != nil {
			return err
		}
		return t.append(ctx, "template.rollback", "template "+ref.String(), map[string]int{"from": published[0].Version})
	})
	return r.template(), err
}

// Discard takes back what waits to be sent of a version, and returns how many deliveries that were.
func (db *DB) Discard(ctx context.Context, ref tidings.TemplateRef) (discarded int, err error) {
	detail := map[string]int{}
	err = db.changed(ctx, "template.discard", "template "+ref.String(), detail, func(t *tx) error {
		var r templateRow
		if err := t.Get(ctx, &r, "template", refArgs(ref)...); err != nil {
			return notFound(err, "template version", ref.Version)
		}
		n, err := t.Exec(ctx, "discard-deliveries", refArgs(ref)...)
		discarded, detail["deliveries"] = int(n), int(n)
		return err
	})
	return discarded, err
}

// SubmittedTemplates reads what waits for a reviewer, the longest waiting first; application "" means of all.
func (db *DB) SubmittedTemplates(ctx context.Context, application string) ([]tidings.Template, error) {
	var rows []templateRow
	if err := db.Select(ctx, &rows, "submitted-templates", application); err != nil {
		return nil, err
	}
	return each(rows, func(r templateRow) (tidings.Template, error) { return r.template(), nil })
}

// RecentData reads the data of the last messages of a type, at most n.
func (db *DB) RecentData(ctx context.Context, application, typ string, n int) ([]tidings.Message, error) {
	var rows []struct {
		ID   int64
		Data string
	}
	if err := db.Select(ctx, &rows, "recent-data", application, typ, n); err != nil {
		return nil, err
	}
	ms := make([]tidings.Message, len(rows))
	for i, r := range rows {
		ms[i] = tidings.Message{ID: tidings.ID(r.ID), Data: json.RawMessage(r.Data)}
	}
	return ms, nil
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
