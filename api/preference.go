package api

import (
	"net/http"

	"tidings"
	"tidings/auth"
	"tidings/middleware"
)

// preferencesAnswer is what a user wants to be sent, and what there is to choose from.
type preferencesAnswer struct {
	tidings.Preferences
	Types []tidings.PreferenceType `json:"types"`
}

func (a *API) answerPreferences(w http.ResponseWriter, r *http.Request, user, application string) error {
	if err := queryOf(r).err(); err != nil {
		return err
	}
	p, met, err := a.Platform.Preferences(r.Context(), user, application)
	if err != nil {
		return err
	}
	if met == nil {
		met = []tidings.PreferenceType{}
	}
	return middleware.WriteJSON(w, http.StatusOK, preferencesAnswer{p, met})
}

func (a *API) changePreferences(w http.ResponseWriter, r *http.Request, user, application string) error {
	if err := queryOf(r).err(); err != nil {
		return err
	}
	var p tidings.Preferences
	if err := readJSON(w, r, &p); err != nil {
		return err
	}
	if p.User != "" && p.User != user {
		return fieldError(tidings.Invalid, "user", "malformed", "is another user")
	}
	p.User = user
	if err := a.Platform.PutPreferences(r.Context(), p, application); err != nil {
		return err
	}
	return a.answerPreferences(w, r, user, application)
}

// own refuses a token that was narrowed to some message types: preferences are about all of them.
func own(p auth.Principal) error {
	if len(p.Types) > 0 {
		return tidings.Errorf(tidings.Forbidden, "the token is for some message types only")
	}
	return nil
}

func (a *API) getOwnPreferences(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	if err := own(p); err != nil {
		return err
	}
	return a.answerPreferences(w, r, p.User, "")
}

func (a *API) putOwnPreferences(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	if err := own(p); err != nil {
		return err
	}
	return a.changePreferences(w, r, p.User, "")
}

func (a *API) getPreferences(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	return a.answerPreferences(w, r, r.PathValue("id"), looking(p))
}

func (a *API) putPreferences(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	return a.changePreferences(w, r, r.PathValue("id"), looking(p))
}

// looking is the application that looks at a user's preferences; "" for people, who see all.
func looking(p auth.Principal) string {
	if p.Kind == auth.Application {
		return p.Application
	}
	return ""
}
