package platform

import (
	"context"
	"encoding/json"
	"slices"

	"tidings"
)

// maxComment bounds what a reviewer writes, maxSignature what stands before an SMS.
const (
	maxComment   = 2000
	maxSignature = 60
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
	if !t.Channel.Titled() && (t.Title != "" || t.URL != "") {
		errs.Add("title", "unknown", "an SMS has neither title nor url")
	}
	if t.Channel != tidings.SMS && t.Signature != "" || len(t.Signature) > maxSignature {
		errs.Add("signature", "unknown", "an SMS may have one, of at most 60 bytes")
	}
	if len(t.ProviderCode) > maxText {
		errs.Add("provider_code", "too_long", "at most 200 bytes")
	} else if t.Channel == tidings.SMS && t.ProviderCode != "" && !tidings.ValidProviderCode(t.ProviderCode) {
		errs.Add("provider_code", "malformed", "the provider's code and the variables it is given: SMS_123 or SMS_123:order,amount")
	}
	if t.Version != 0 || t.State != "" {
		errs.Add("version", "read_only", "versions are counted here")
	}
	if err := errs.Err(tidings.Invalid); err != nil {
		return tidings.Template{}, err
	}
	return p.store.CreateTemplate(ctx, t)
}

// Submit puts a draft before its reviewers, and returns the report that they will see. The type must have an example of each
// variable that it requires, and the version must render with them.
func (p *Platform) Submit(ctx context.Context, ref tidings.TemplateRef) (tidings.TemplateReport, error) {
	report, err := p.Report(ctx, ref)
	if err != nil {
		return report, err
	}
	typ, err := p.store.Type(ctx, ref.Application, ref.Type)
	if err != nil {
		return report, err
	}
	errs := missingExamples(typ)
	for _, name := range report.Missing {
		errs.Add("variables."+name, "undeclared", "the template uses it, and the message type does not declare it")
	}
	if example := report.Renderings[0]; example.Error != "" && len(errs) == 0 {
		errs.Add("body", "template_failed", "with the examples: "+example.Error)
	}
	if err := errs.Err(tidings.Unprocessable); err != nil {
		return report, err
	}
	report.Template, err = p.store.SubmitTemplate(ctx, ref)
	return report, p.refused(ctx, err, "template.submit", ref)
}

func missingExamples(typ tidings.MessageType) (errs tidings.FieldErrors) {
	for _, v := range typ.Variables {
		if v.Required && len(v.Example) == 0 {
			errs.Add("variables."+v.Name+".example", "missing", "a reviewer must see what it may be: give the message type an example")
		}
	}
	return append(errs, typ.CheckData(examples(typ))...)
}

// examples is data made of the examples of a type's variables.
func examples(typ tidings.MessageType) json.RawMessage {
	values := map[string]json.RawMessage{}
	for _, v := range typ.Variables {
		if len(v.Example) > 0 {
			values[v.Name] = v.Example
		}
	}
	text, err := json.Marshal(values)
	if err != nil {
		return json.RawMessage("{}") // an example that is no JSON cannot have been kept
	}
	return text
}

// Approve lets a submitted version be published. The reviewer is who acts, and not its author.
func (p *Platform) Approve(ctx context.Context, ref tidings.TemplateRef, comment string) (tidings.Template, error) {
	return p.review(ctx, ref, tidings.TemplateApproved, comment)
}

// Reject ends a submitted version; comment says why.
func (p *Platform) Reject(ctx context.Context, ref tidings.TemplateRef, comment string) (tidings.Template, error) {
	if comment == "" {
		return tidings.Template{}, tidings.FieldErrors{{Field: "comment", Code: "missing", Detail: "say what is wrong with it"}}.Err(tidings.Invalid)
	}
	return p.review(ctx, ref, tidings.TemplateRejected, comment)
}

func (p *Platform) review(ctx context.Context, ref tidings.TemplateRef, state tidings.TemplateState, comment string) (tidings.Template, error) {
	if len(comment) > maxComment {
		return tidings.Template{}, tidings.FieldErrors{{Field: "comment", Code: "too_long", Detail: "at most 2000 bytes"}}.Err(tidings.Invalid)
	}
	action := map[tidings.TemplateState]string{tidings.TemplateApproved: "template.approve", tidings.TemplateRejected: "template.reject"}[state]
	t, err := p.store.Template(ctx, ref)
	if err == nil {
		err = p.another(ctx, t.Author, "the author of a template does not review it")
	}
	if err == nil {
		t, err = p.store.ReviewTemplate(ctx, ref, state, comment)
	}
	return t, p.refused(ctx, err, action, ref)
}

// another refuses who acts if he is account, or comes with a key that account made for somebody else.
func (p *Platform) another(ctx context.Context, account, why string) error {
	who := tidings.ActorOf(ctx)
	if who.Account == account {
		return tidings.Errorf(tidings.Forbidden, "%s", why)
	}
	if who.Key == "" {
		return nil
	}
	k, err := p.store.Key(ctx, who.Key)
	if err == nil && k.MadeBy == account {
		err = tidings.Errorf(tidings.Forbidden, "%s, nor with a key that he made", why)
	}
	return err
}

// Publish puts an approved version, or one that was in force before, into force for percent of the stores (0: all). The
// version before it retires when it is for all.
func (p *Platform) Publish(ctx context.Context, ref tidings.TemplateRef, percent int) (tidings.Template, error) {
	return p.publish(ctx, ref, percent, false)
}

// PublishUnreviewed puts a draft into force for all stores: for an admin who sets up an installation. The audit log tells.
func (p *Platform) PublishUnreviewed(ctx context.Context, ref tidings.TemplateRef) (tidings.Template, error) {
	return p.publish(ctx, ref, 100, true)
}

func (p *Platform) publish(ctx context.Context, ref tidings.TemplateRef, percent int, unreviewed bool) (tidings.Template, error) {
	var errs tidings.FieldErrors
	if ref.Version < 1 {
		errs.Add("version", "missing", "which version to publish")
	}
	if percent == 0 {
		percent = 100
	}
	if percent < 1 || percent > 100 {
		errs.Add("percent", "out_of_range", "1 to 100")
	}
	if err := errs.Err(tidings.Invalid); err != nil {
		return tidings.Template{}, err
	}
	t, err := p.store.Publish(ctx, ref, percent, unreviewed)
	return t, p.refused(ctx, err, "template.publish", ref)
}

// Rollback takes the newest version of a template out of force in one step: the one beside it, or the one before, is in
// force for all stores.
func (p *Platform) Rollback(ctx context.Context, application, typ string, c tidings.Channel, locale string) (tidings.Template, error) {
	return p.store.Rollback(ctx, tidings.TemplateRef{Application: application, Type: typ, Channel: c, Locale: locale})
}

// Discard takes back at once every delivery of a version that was not sent yet, and returns how many there were.
func (p *Platform) Discard(ctx context.Context, ref tidings.TemplateRef) (int, error) {
	return p.store.Discard(ctx, ref)
}

// refused notes in the audit log that somebody tried what the rules forbid, and returns err.
func (p *Platform) refused(ctx context.Context, err error, action string, ref tidings.TemplateRef) error {
	code := tidings.CodeOf(err)
	if code != tidings.Forbidden && code != tidings.Conflict {
		return err
	}
	if noteErr := p.Refused(ctx, action, "template "+ref.String(), err); noteErr != nil {
		return noteErr
	}
	return err
}

// Refused notes in the audit log that who acts tried what he may not. The error is our own.
func (p *Platform) Refused(ctx context.Context, action, object string, why error) error {
	return p.store.Note(ctx, action+" refused", object, map[string]string{"why": why.Error()})
}

// Template returns one version.
func (p *Platform) Template(ctx context.Context, ref tidings.TemplateRef) (tidings.Template, error) {
	return p.store.Template(ctx, ref)
}

// Templates lists the versions of a message type's templates.
func (p *Platform) Templates(ctx context.Context, application, typ string) ([]tidings.Template, error) {
	if _, err := p.typeOf(ctx, application, typ); err != nil {
		return nil, err
	}
	return p.store.Templates(ctx, application, typ)
}

// Submitted lists what waits for a reviewer, the longest waiting first; application "" means of all.
func (p *Platform) Submitted(ctx context.Context, application string) ([]tidings.Template, error) {
	return p.store.SubmittedTemplates(ctx, application)
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
