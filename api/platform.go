package api

import (
	"context"
	"net/http"
	"slices"

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

func (a *API) putApplication(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	if err := queryOf(r).err(); err != nil {
		return err
	}
	var app tidings.Application
	if err := readJSON(w, r, &app); err != nil {
		return err
	}
	if app.ID != "" && app.ID != r.PathValue("id") {
		return fieldError(tidings.Invalid, "id", "read_only", "the path names the application")
	}
	app.ID = r.PathValue("id")
	app, err := a.Platform.EditApplication(r.Context(), app)
	return put(w, app, err)
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

func (a *API) applyApplication(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	if err := queryOf(r).err(); err != nil {
		return err
	}
	var app tidings.Application
	if err := readJSON(w, r, &app); err != nil {
		return err
	}
	app, err := a.Platform.Apply(r.Context(), app)
	return created(w, app, err)
}

func (a *API) decide(approve bool) handler {
	return func(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
		if err := queryOf(r).err(); err != nil {
			return err
		}
		var body struct {
			Comment string `json:"comment"`
		}
		if err := readJSON(w, r, &body); err != nil {
			return err
		}
		app, err := a.Platform.Decide(r.Context(), r.PathValue("id"), approve, body.Comment)
		return put(w, app, err)
	}
}

// sees tells whether an application is one that the principal is told of: who belongs to one sees that, and what he applied for.
func sees(p auth.Principal, app tidings.Application) bool {
	if p.Kind == auth.Admin && !p.Bound() {
		return true
	}
	return app.ID == p.Application || p.Kind == auth.Admin && app.AppliedBy == p.Account
}

func (a *API) getApplications(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	if err := queryOf(r).err(); err != nil {
		return err
	}
	apps, err := a.Platform.Applications(r.Context())
	apps = slices.DeleteFunc(apps, func(app tidings.Application) bool { return !sees(p, app) })
	return whole(w, apps, err)
}

func (a *API) getApplication(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	return lookUp(w, r, "application", func(ctx context.Context, id string) (tidings.Application, error) {
		app, err := a.Platform.Application(ctx, id)
		if err == nil && !sees(p, app) {
			err = notFound("application")
		}
		return app, err
	})
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
	if err := p.MayUse(name, t.Channels...); err != nil {
		return err
	}
	t, err = a.Platform.PutType(r.Context(), t)
	return put(w, t, err)
}
