package api

import (
	"net/http"
	"time"

	"tidings"
	"tidings/auth"
	"tidings/middleware"
)

func (a *API) postApplication(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	if err := queryOf(r).err(); err != nil {
		return err
	}
	var app tidings.Application
	if err := readJSON(w, r, &app); err != nil {
		return err
	}
	app, err := a.Platform.CreateApplication(r.Context(), app)
	return created(w, app, err)
}

// created answers with what was made.
func created(w http.ResponseWriter, v any, err error) error {
	if err != nil {
		return err
	}
	return middleware.WriteJSON(w, http.StatusCreated, v)
}

// whole answers with a list that is short by its nature and has one page.
func whole[T any](w http.ResponseWriter, items []T, err error) error {
	if err != nil {
		return err
	}
	if items == nil {
		items = []T{}
	}
	return middleware.WriteJSON(w, http.StatusOK, pageOf[T]{Data: items})
}

func (a *API) getApplications(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	if err := queryOf(r).err(); err != nil {
		return err
	}
	apps, err := a.Platform.Applications(r.Context())
	return whole(w, apps, err)
}

func (a *API) getApplication(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	if p.Kind == auth.Application && p.Application != r.PathValue("id") {
		return notFound("application")
	}
	return lookUp(w, r, "application", a.Platform.Application)
}

func (a *API) setState(s tidings.ApplicationState) handler {
	return func(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
		if err := queryOf(r).err(); err != nil {
			return err
		}
		app, err := a.Platform.SetState(r.Context(), r.PathValue("id"), s)
		return put(w, app, err)
	}
}

// keyRequest is the body that asks for a key. Which of its fields a key may have depends on its kind.
type keyRequest struct {
	Kind      tidings.KeyKind `json:"kind"`
	Merchant  string          `json:"merchant"`
	Store     string          `json:"store"`
	Role      tidings.Role    `json:"role"`
	Name      string          `json:"name"`
	Scopes    []string        `json:"scopes"`
	ExpiresAt string          `json:"expires_at"`
}

// shownKey is the answer that alone ever holds the whole key.
type shownKey struct {
	tidings.Key
	Secret string `json:"key"`
}

func (a *API) postApplicationKey(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	return a.createKey(w, r, tidings.ApplicationKey, r.PathValue("id"))
}

func (a *API) postKey(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	return a.createKey(w, r, "", "")
}

func (a *API) createKey(w http.ResponseWriter, r *http.Request, kind tidings.KeyKind, application string) error {
	if err := queryOf(r).err(); err != nil {
		return err
	}
	var body keyRequest
	if err := readJSON(w, r, &body); err != nil {
		return err
	}
	k, err := body.key(kind, application)
	if err != nil {
		return err
	}
	k, shown, err := a.Platform.CreateKey(r.Context(), k)
	return created(w, shownKey{Key: k, Secret: shown}, err)
}

// key is what the request asks for; kind and application are the path's, if it has them.
func (b keyRequest) key(kind tidings.KeyKind, application string) (tidings.Key, error) {
	var errs tidings.FieldErrors
	if kind == "" {
		kind = b.Kind
	} else if b.Kind != "" && b.Kind != kind {
		errs.Add("kind", "unknown", "keys under an application are the application's")
	}
	if application == "" && kind == tidings.ApplicationKey {
		errs.Add("kind", "unknown", "merchant or admin; an application's keys are made under the application")
	}
	k := tidings.Key{Kind: kind, Application: application, Role: b.Role, Name: b.Name, Scopes: b.Scopes}
	switch {
	case b.Merchant != "" && b.Store != "":
		errs.Add("store", "malformed", "give merchant or store, not both")
	case b.Merchant != "":
		k.Dimension = tidings.ViaMerchant + b.Merchant
	case b.Store != "":
		k.Dimension = tidings.ViaStore + b.Store
	}
	k.ExpiresAt = readTime(&errs, "expires_at", b.ExpiresAt).Truncate(time.Microsecond)
	return k, errs.Err(tidings.Invalid)
}

func (a *API) getApplicationKeys(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	return a.listKeys(w, r, r.PathValue("id"))
}

func (a *API) getKeys(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	return a.listKeys(w, r, "")
}

func (a *API) listKeys(w http.ResponseWriter, r *http.Request, application string) error {
	if err := queryOf(r).err(); err != nil {
		return err
	}
	keys, err := a.Platform.Keys(r.Context(), application)
	return whole(w, keys, err)
}

func (a *API) deleteApplicationKey(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	return a.revoke(w, r, r.PathValue("id"))
}

func (a *API) deleteKey(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	return a.revoke(w, r, "")
}

func (a *API) revoke(w http.ResponseWriter, r *http.Request, application string) error {
	if err := queryOf(r).err(); err != nil {
		return err
	}
	if err := a.Platform.RevokeKey(r.Context(), application, r.PathValue("key")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// owned reads the application that a request about types or templates is about, and its body if v is not nil.
func owned(w http.ResponseWriter, r *http.Request, p auth.Principal, v any) (string, error) {
	q := queryOf(r)
	application, err := ofApplication(p, q)
	if err == nil {
		err = q.err()
	}
	if err == nil && v != nil {
		err = readJSON(w, r, v)
	}
	return application, err
}

// ownedBy refuses a body that names another application than the request is about.
func ownedBy(named *string, application string) error {
	if *named != "" && *named != application {
		return fieldError(tidings.Invalid, "application", "malformed", "is not the application that you act for")
	}
	*named = application
	return nil
}

func (a *API) getTypes(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	application, err := owned(w, r, p, nil)
	if err != nil {
		return err
	}
	types, err := a.Platform.Types(r.Context(), application)
	return whole(w, types, err)
}

func (a *API) getType(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	application, err := owned(w, r, p, nil)
	if err != nil {
		return err
	}
	if !tidings.ValidName(r.PathValue("name")) {
		return notFound("message type")
	}
	t, err := a.Platform.Type(r.Context(), application, r.PathValue("name"))
	return put(w, t, err)
}

func (a *API) putType(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	var t tidings.MessageType
	application, err := owned(w, r, p, &t)
	if err == nil {
		err = ownedBy(&t.Application, application)
	}
	if err != nil {
		return err
	}
	name := r.PathValue("name")
	if t.Name != "" && t.Name != name {
		return fieldError(tidings.Invalid, "name", "malformed", "is not the name in the path")
	}
	t.Name = name
	t, err = a.Platform.PutType(r.Context(), t)
	return put(w, t, err)
}

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

// templateRequest is a new version of a template.
type templateRequest struct {
	Application string          `json:"application"`
	Type        string          `json:"type"`
	Channel     tidings.Channel `json:"channel"`
	Locale      string          `json:"locale"`
	Title       string          `json:"title"`
	Body        string          `json:"body"`
	URL         string          `json:"url"`
}

func (a *API) postTemplate(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	var b templateRequest
	application, err := owned(w, r, p, &b)
	if err == nil {
		err = ownedBy(&b.Application, application)
	}
	if err != nil {
		return err
	}
	t, err := a.Platform.CreateTemplate(r.Context(), tidings.Template{
		Application: b.Application, Type: b.Type, Channel: b.Channel, Locale: b.Locale, Title: b.Title, Body: b.Body, URL: b.URL,
	})
	return created(w, t, err)
}

// publishRequest names a version of a template.
type publishRequest struct {
	Application string          `json:"application"`
	Type        string          `json:"type"`
	Channel     tidings.Channel `json:"channel"`
	Locale      string          `json:"locale"`
	Version     int             `json:"version"`
}

func (a *API) publishTemplate(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	var b publishRequest
	application, err := owned(w, r, p, &b)
	if err == nil {
		err = ownedBy(&b.Application, application)
	}
	if err != nil {
		return err
	}
	t, err := a.Platform.PublishTemplate(r.Context(), tidings.Template{
		Application: b.Application, Type: b.Type, Channel: b.Channel, Locale: b.Locale, Version: b.Version,
	})
	return put(w, t, err)
}
