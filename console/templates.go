package console

import (
	"cmp"
	"encoding/json"
	"slices"
	"strconv"

	"tidings"
	"tidings/auth"
	"tidings/templates"
)

func (c *Console) templateRoutes() []route {
	const all = root + "/applications/{app}/types/{type}/templates"
	const one = all + "/{channel}/{locale}/{version}"
	return []route{
		{"GET", all, auth.ReadApplication, (*visit).getTemplates},
		{"GET", all + "/edit", auth.WriteTemplates, (*visit).editTemplate},
		{"POST", all + "/edit", auth.WriteTemplates, (*visit).saveTemplate},
		{"POST", all + "/preview", auth.WriteTemplates, (*visit).previewTemplate},
		{"GET", one, auth.ReadApplication, (*visit).getTemplate},
		{"POST", one + "/submit", auth.WriteTemplates, (*visit).submitTemplate},
		{"POST", one + "/approve", auth.ReviewTemplates, (*visit).approveTemplate},
		{"POST", one + "/reject", auth.ReviewTemplates, (*visit).rejectTemplate},
		{"POST", one + "/publish", auth.WriteTemplates, (*visit).publishTemplate},
		{"POST", one + "/rollback", auth.WriteTemplates, (*visit).rollBackTemplate},
		{"POST", one + "/discard", auth.DiscardTemplates, (*visit).discardTemplate},
	}
}

// templatePlace is a channel and locale of a type, with the versions that its template has had, the newest first.
type templatePlace struct {
	Channel  tidings.Channel
	Locale   string
	Versions []tidings.Template
}

// templatesPage is what templates.html shows.
type templatesPage struct {
	tidings.MessageType
	Places   []templatePlace
	Missing  []tidings.Channel // channels of the type that have no template
	MayWrite bool
}

func (v *visit) templatesCrumbs(t tidings.MessageType) []crumb {
	here := root + "/applications/" + t.Application + "/types/" + t.Name
	return append(v.appCrumbs(), crumb{t.Name, here}, crumb{v.t("templates"), here + "/templates"})
}

func (v *visit) getTemplates() error {
	t, err := v.typeOf()
	if err != nil {
		return err
	}
	versions, err := v.Platform.Templates(v.r.Context(), t.Application, t.Name)
	if err != nil {
		return err
	}
	p := templatesPage{MessageType: t, Places: places(versions), MayWrite: v.may(auth.WriteTemplates)}
	for _, c := range t.Channels {
		if !slices.ContainsFunc(p.Places, func(p templatePlace) bool { return p.Channel == c }) {
			p.Missing = append(p.Missing, c)
		}
	}
	crumbs := v.templatesCrumbs(t)
	return v.show("templates", v.t("templates.of", t.Name), crumbs[:len(crumbs)-1], p)
}

// places sorts versions by where they belong.
func places(versions []tidings.Template) []templatePlace {
	slices.SortFunc(versions, func(a, b tidings.Template) int {
		return cmp.Or(cmp.Compare(slices.Index(tidings.Channels, a.Channel), slices.Index(tidings.Channels, b.Channel)),
			cmp.Compare(a.Locale, b.Locale), cmp.Compare(b.Version, a.Version))
	})
	var ps []templatePlace
	for _, t := range versions {
		if n := len(ps); n == 0 || ps[n-1].Channel != t.Channel || ps[n-1].Locale != t.Locale {
			ps = append(ps, templatePlace{Channel: t.Channel, Locale: t.Locale})
		}
		ps[len(ps)-1].Versions = append(ps[len(ps)-1].Versions, t)
	}
	return ps
}

// editorPage is what template-edit.html shows: the form as it was filled in, and how it looks to the recipient.
type editorPage struct {
	tidings.Template
	Variables []tidings.Variable
	Channels  []tidings.Channel
	Data      string // what it is rendered with
	Rendering tidings.TemplateRendering
}

// editTemplate opens the editor with the newest version of the channel and locale: a version is never changed, so what is
// saved is a new one.
func (v *visit) editTemplate() error {
	typ, err := v.typeOf()
	if err != nil {
		return err
	}
	q := v.r.URL.Query()
	t := tidings.Template{Application: typ.Application, Type: typ.Name, Channel: tidings.Channel(q.Get("channel")), Locale: cmp.Or(q.Get("locale"), tidings.DefaultLocale)}
	if !slices.Contains(typ.Channels, t.Channel) && len(typ.Channels) > 0 {
		t.Channel = typ.Channels[0]
	}
	versions, err := v.Platform.Templates(v.r.Context(), typ.Application, typ.Name)
	if err != nil {
		return err
	}
	for _, old := range versions {
		if old.Channel == t.Channel && old.Locale == t.Locale && old.Version > t.Version {
			t.Title, t.Body, t.URL, t.Signature, t.ProviderCode, t.Version = old.Title, old.Body, old.URL, old.Signature, old.ProviderCode, old.Version
		}
	}
	return v.show("template-edit", v.t("template.edit"), v.templatesCrumbs(typ), v.editor(typ, t, exampleData(typ)))
}

// stand are what stands in for a variable of each type that has no example. A text's is its name.
var stand = map[tidings.VariableType]string{tidings.VariableNumber: "1", tidings.VariableBoolean: "true", tidings.VariableList: "[]", tidings.VariableObject: "{}"}

// exampleData is a message's data made of the examples that the type's variables have.
func exampleData(t tidings.MessageType) string {
	data := make(map[string]json.RawMessage, len(t.Variables))
	for _, x := range t.Variables {
		switch {
		case len(x.Example) > 0:
			data[x.Name] = x.Example
		case stand[x.Type] != "":
			data[x.Name] = json.RawMessage(stand[x.Type])
		default:
			data[x.Name], _ = json.Marshal(x.Name) // a string
		}
	}
	return indented(data)
}

func (v *visit) editor(typ tidings.MessageType, t tidings.Template, data string) editorPage {
	return editorPage{Template: t, Variables: typ.Variables, Channels: typ.Channels, Data: data, Rendering: render(t, data)}
}

// render renders a template that need not be saved, for the editor.
func render(t tidings.Template, data string) tidings.TemplateRendering {
	r := tidings.TemplateRendering{Source: "example", Data: json.RawMessage(data)}
	values, err := templates.Data(r.Data)
	if err != nil {
		r.Error = "data: " + err.Error()
		return r
	}
	parsed, err := templates.Parse(t)
	if err == nil {
		r.Content, err = parsed.Render(values)
	}
	if err != nil {
		r.Error = err.Error()
		return r
	}
	if t.Channel == tidings.SMS {
		r.Parts, r.Encoding = r.Content.SMS()
	}
	return r
}

// readTemplate reads the editor's form.
func (v *visit) readTemplate(typ tidings.MessageType) tidings.Template {
	t := tidings.Template{Application: typ.Application, Type: typ.Name, Channel: tidings.Channel(v.value("channel")), Locale: v.value("locale"),
		Title: v.value("title"), Body: v.value("body"), URL: v.value("url"), ProviderCode: v.value("provider_code"), Signature: v.value("signature")}
	if !t.Channel.Titled() {
		t.Title, t.URL = "", "" // the fields are there for the other channels
	} else {
		t.Signature = ""
	}
	return t
}

func (v *visit) previewTemplate() error {
	typ, err := v.typeOf()
	if err != nil {
		return err
	}
	return v.part("template-edit", "preview", v.editor(typ, v.readTemplate(typ), v.value("data")))
}

func (v *visit) saveTemplate() error {
	typ, err := v.typeOf()
	if err != nil {
		return err
	}
	t := v.readTemplate(typ)
	if v.value("act") == "preview" { // without a script
		return v.show("template-edit", v.t("template.edit"), v.templatesCrumbs(typ), v.editor(typ, t, v.value("data")))
	}
	made, err := v.Platform.CreateTemplate(v.r.Context(), t)
	if err != nil {
		return v.showWrong(err, "template-edit", v.t("template.edit"), v.templatesCrumbs(typ), v.editor(typ, t, v.value("data")))
	}
	return v.leave(place(made.Ref()), "draft")
}

// place is where a version's page is.
func place(r tidings.TemplateRef) string {
	return root + "/applications/" + r.Application + "/types/" + r.Type + "/templates/" + string(r.Channel) + "/" + r.Locale + "/" + strconv.Itoa(r.Version)
}

// ref is the version that the path names.
func (v *visit) ref() (tidings.TemplateRef, error) {
	version, err := strconv.Atoi(v.r.PathValue("version"))
	r := tidings.TemplateRef{Application: v.app(), Type: v.r.PathValue("type"), Channel: tidings.Channel(v.r.PathValue("channel")),
		Locale: v.r.PathValue("locale"), Version: version}
	if err != nil || version < 1 || !tidings.ValidName(r.Application) || !tidings.ValidName(r.Type) || !r.Channel.Valid() || !tidings.ValidLocale(r.Locale) {
		return r, tidings.Errorf(tidings.NotFound, "there is no such template")
	}
	return r, nil
}

// templatePage is what template.html shows: a version, its report, and what the visitor may do with it.
type templatePage struct {
	tidings.TemplateReport
	Shown       []shownRendering
	Place       string
	MaySubmit   bool
	MayJudge    bool
	MayPublish  bool
	MayRollBack bool
	MayDiscard  bool
	Own         bool // his own: another has to approve it
	Comment     string
	Percent     string
}

func (v *visit) getTemplate() error {
	ref, err := v.ref()
	if err != nil {
		return err
	}
	p, err := v.templatePage(ref)
	if err != nil {
		return err
	}
	return v.show("template", v.templateTitle(ref), v.templateCrumbs(ref), p)
}

func (v *visit) templateTitle(r tidings.TemplateRef) string {
	return v.t("template.title", word(v.lang, "channel", string(r.Channel)), r.Locale, r.Version)
}

func (v *visit) templateCrumbs(r tidings.TemplateRef) []crumb {
	return v.templatesCrumbs(tidings.MessageType{Application: r.Application, Name: r.Type})
}

func (v *visit) templatePage(ref tidings.TemplateRef) (templatePage, error) {
	report, err := v.Platform.Report(v.r.Context(), ref)
	if err != nil {
		return templatePage{}, err
	}
	state, t := report.Template.State, report.Template
	p := templatePage{TemplateReport: report, Shown: fold(report.Renderings), Place: place(ref), Percent: "100", Own: t.Author != "" && t.Author == v.me.Account}
	p.MaySubmit = v.may(auth.WriteTemplates) && state == tidings.TemplateDraft
	p.MayJudge = v.may(auth.ReviewTemplates) && state == tidings.TemplateSubmitted
	p.MayPublish = v.may(auth.WriteTemplates) && (state == tidings.TemplateApproved || state == tidings.TemplateRetired || state == tidings.TemplatePublished && t.Percent < 100)
	p.MayRollBack = v.may(auth.WriteTemplates) && state == tidings.TemplatePublished
	p.MayDiscard = v.may(auth.DiscardTemplates) && (state == tidings.TemplatePublished || state == tidings.TemplateRetired)
	return p, nil
}

// shownRendering is a rendering, and how many others came out the same: masked data often does.
type shownRendering struct {
	tidings.TemplateRendering
	Same int
}

func fold(rs []tidings.TemplateRendering) (shown []shownRendering) {
	for i, r := range rs {
		same := slices.IndexFunc(shown, func(s shownRendering) bool { return s.Content == r.Content && s.Error == r.Error })
		if i > 0 && same > 0 { // the first is the examples', which stands alone
			shown[same].Same++
			continue
		}
		shown = append(shown, shownRendering{TemplateRendering: r})
	}
	return shown
}

// onTemplate does one thing to the version that the path names, and goes back to its page.
func (v *visit) onTemplate(done string, act func(ref tidings.TemplateRef) error) error {
	ref, err := v.ref()
	if err != nil {
		return err
	}
	if err = act(ref); err == nil {
		return v.leave(place(ref), done)
	}
	p, failed := v.templatePage(ref)
	if failed != nil {
		return failed
	}
	p.Comment, p.Percent = v.value("comment"), cmp.Or(v.value("percent"), "100")
	return v.showWrong(err, "template", v.templateTitle(ref), v.templateCrumbs(ref), p)
}

func (v *visit) submitTemplate() error {
	return v.onTemplate("submitted", func(ref tidings.TemplateRef) error {
		_, err := v.Platform.Submit(v.r.Context(), ref)
		return err
	})
}

func (v *visit) approveTemplate() error {
	return v.onTemplate("approved", func(ref tidings.TemplateRef) error {
		_, err := v.Platform.Approve(v.r.Context(), ref, v.value("comment"))
		return err
	})
}

func (v *visit) rejectTemplate() error {
	return v.onTemplate("rejected", func(ref tidings.TemplateRef) error {
		_, err := v.Platform.Reject(v.r.Context(), ref, v.value("comment"))
		return err
	})
}

func (v *visit) publishTemplate() error {
	return v.onTemplate("published", func(ref tidings.TemplateRef) error {
		percent, err := whole("percent", cmp.Or(v.value("percent"), "100"))
		if err == nil {
			_, err = v.Platform.Publish(v.r.Context(), ref, percent)
		}
		return err
	})
}

func (v *visit) rollBackTemplate() error {
	return v.onTemplate("rolled-back", func(ref tidings.TemplateRef) error {
		_, err := v.Platform.Rollback(v.r.Context(), ref.Application, ref.Type, ref.Channel, ref.Locale)
		return err
	})
}

func (v *visit) discardTemplate() error {
	return v.onTemplate("discarded", func(ref tidings.TemplateRef) error {
		_, err := v.Platform.Discard(v.r.Context(), ref)
		return err
	})
}
