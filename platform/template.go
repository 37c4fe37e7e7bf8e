package platform

import (
	"context"
	"slices"

	"tidings"
)

// CreateTemplate keeps a new version of a template as a draft. Its sources are parsed first: a template that cannot be
// read must not be found out by a message.
func (p *Platform) CreateTemplate(ctx context.Context, t tidings.Template) (tidings.Template, error) {
	typ, err := p.typeOf(ctx, t.Application, t.Type)
	if err != nil {
		return tidings.Template{}, err
	}
	errs := p.check(t.Title, t.Body, t.URL)
	if t.Body == "" {
		errs.Add("body", "missing", "a template has a body")
	}
	if !slices.Contains(typ.Channels, t.Channel) {
		errs.Add("channel", "unknown", "the message type does not use this channel")
	}
	if !tidings.ValidLocale(t.Locale) {
		errs.Add("locale", "malformed", "a language tag such as zh-CN")
	}
	if t.Channel == tidings.SMS && (t.Title != "" || t.URL != "") {
		errs.Add("title", "unknown", "an SMS has neither title nor url")
	}
	if t.Version != 0 || t.State != "" {
		errs.Add("version", "read_only", "versions are counted here")
	}
	if err := errs.Err(tidings.Invalid); err != nil {
		return tidings.Template{}, err
	}
	t.State = tidings.TemplateDraft
	return p.store.CreateTemplate(ctx, t)
}

// PublishTemplate makes a version the one that messages are rendered with; the one before it is retired.
func (p *Platform) PublishTemplate(ctx context.Context, t tidings.Template) (tidings.Template, error) {
	if t.Version < 1 {
		return tidings.Template{}, tidings.FieldErrors{{Field: "version", Code: "missing", Detail: "which version to publish"}}.Err(tidings.Invalid)
	}
	return p.store.PublishTemplate(ctx, t.Application, t.Type, t.Channel, t.Locale, t.Version)
}

// Templates lists the versions of a message type's templates.
func (p *Platform) Templates(ctx context.Context, application, typ string) ([]tidings.Template, error) {
	if _, err := p.typeOf(ctx, application, typ); err != nil {
		return nil, err
	}
	return p.store.Templates(ctx, application, typ)
}

// typeOf finds the message type that a request names in its field "type".
func (p *Platform) typeOf(ctx context.Context, application, name string) (tidings.MessageType, error) {
	typ, err := p.store.Type(ctx, application, name)
	if tidings.CodeOf(err) == tidings.NotFound {
		return typ, UnknownType(name)
	}
	return typ, err
}

// UnknownType answers a request whose field "type" names no message type of the application.
func UnknownType(name string) error {
	if name == "" {
		return tidings.FieldErrors{{Field: "type", Code: "missing", Detail: "name a message type"}}.Err(tidings.Invalid)
	}
	return tidings.FieldErrors{{Field: "type", Code: "unknown", Detail: "the application has no such message type"}}.Err(tidings.Unprocessable)
}
