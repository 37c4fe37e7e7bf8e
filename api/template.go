package api

import (
	"net/http"

	"tidings"
	"tidings/auth"
	"tidings/middleware"
)

func (a *API) getTemplates(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	q := queryOf(r)
	typ := q.name("type")
	application, err := ofApplication(p, q)
	if err == nil {
		err = q.err()
	}
	if err != nil {
		return err
	}
	templates, err := a.Platform.Templates(r.Context(), application, typ)
	return whole(w, templates, err)
}

// getSubmitted lists what waits for a reviewer.
func (a *API) getSubmitted(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	q := queryOf(r)
	application, err := applicationOf(p, q)
	if err == nil {
		err = q.err()
	}
	if err != nil {
		return err
	}
	templates, err := a.Platform.Submitted(r.Context(), application)
	return whole(w, templates, err)
}

// templateRequest is a new version of a template.
type templateRequest struct {
	Application  string          `json:"application"`
	Type         string          `json:"type"`
	Channel      tidings.Channel `json:"channel"`
	Locale       string          `json:"locale"`
	Title        string          `json:"title"`
	Body         string          `json:"body"`
	URL          string          `json:"url"`
	ProviderCode string          `json:"provider_code"`
	Signature    string          `json:"signature"`
}

func (a *API) postTemplate(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	var b templateRequest
	application, err := owned(w, r, p, &b)
	if err == nil {
		err = ownedBy(&b.Application, application)
	}
	if err == nil {
		err = p.MayUse(b.Type, b.Channel)
	}
	if err != nil {
		return err
	}
	t, err := a.Platform.CreateTemplate(r.Context(), tidings.Template{
		Application: b.Application, Type: b.Type, Channel: b.Channel, Locale: b.Locale, Title: b.Title, Body: b.Body, URL: b.URL,
		ProviderCode: b.ProviderCode, Signature: b.Signature,
	})
	return created(w, t, err)
}

// versionRequest names a version of a template, and says what to do with it.
type versionRequest struct {
	tidings.TemplateRef
	Comment    string `json:"comment"`    // approve, reject
	Percent    int    `json:"percent"`    // publish
	Unreviewed bool   `json:"unreviewed"` // publish, by admins
}

// version reads a versionRequest. Fields that the route has no use for are refused.
func version(w http.ResponseWriter, r *http.Request, p auth.Principal) (b versionRequest, err error) {
	application, err := owned(w, r, p, &b)
	if err == nil {
		err = ownedBy(&b.Application, application)
	}
	if err == nil {
		err = p.MayUse(b.Type, b.Channel)
	}
	return b, err
}

func (a *API) submitTemplate(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	b, err := version(w, r, p)
	if err != nil {
		return err
	}
	report, err := a.Platform.Submit(r.Context(), b.TemplateRef)
	return put(w, report, err)
}

func (a *API) review(approve bool) handler {
	return func(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
		b, err := version(w, r, p)
		if err != nil {
			return err
		}
		decide := a.Platform.Reject
		if approve {
			decide = a.Platform.Approve
		}
		t, err := decide(r.Context(), b.TemplateRef, b.Comment)
		return put(w, t, err)
	}
}

func (a *API) publishTemplate(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	b, err := version(w, r, p)
	if err != nil {
		return err
	}
	if !b.Unreviewed {
		t, err := a.Platform.Publish(r.Context(), b.TemplateRef, b.Percent)
		return put(w, t, err)
	}
	if p.Kind != auth.Admin || p.Role != tidings.RoleAdmin {
		return fieldError(tidings.Forbidden, "unreviewed", "forbidden", "only an admin publishes what nobody reviewed")
	}
	t, err := a.Platform.PublishUnreviewed(r.Context(), b.TemplateRef)
	return put(w, t, err)
}

func (a *API) rollbackTemplate(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	b, err := version(w, r, p)
	if err != nil {
		return err
	}
	t, err := a.Platform.Rollback(r.Context(), b.Application, b.Type, b.Channel, b.Locale)
	return put(w, t, err)
}

func (a *API) discardTemplate(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	b, err := version(w, r, p)
	if err != nil {
		return err
	}
	n, err := a.Platform.Discard(r.Context(), b.TemplateRef)
	if err != nil {
		return err
	}
	return middleware.WriteJSON(w, http.StatusOK, struct {
		Discarded int `json:"discarded"`
	}{n})
}

func (a *API) getReport(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	q := queryOf(r)
	ref := tidings.TemplateRef{Type: q.name("type"), Channel: tidings.Channel(q.text("channel")), Locale: q.text("locale"), Version: int(q.number("version"))}
	application, err := ofApplication(p, q)
	if err == nil {
		err = q.err()
	}
	if err == nil {
		err = p.MayUse(ref.Type, ref.Channel)
	}
	if err != nil {
		return err
	}
	ref.Application = application
	report, err := a.Platform.Report(r.Context(), ref)
	return put(w, report, err)
}
