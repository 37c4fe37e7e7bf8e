package api

import (
	"net/http"

	"tidings"
	"tidings/auth"
)

func (a *API) integrationRoutes() []Route {
	look, write, run := people(auth.ReadInstallation), people(auth.WriteIntegrations), people(auth.RunInstallation)
	return []Route{
		{"GET", "/v1/providers", look, a.getProviders},
		{"GET", "/v1/integrations", look, a.getIntegrations},
		{"GET", "/v1/integrations/{id}", look, a.getIntegration},
		{"PUT", "/v1/integrations/{id}", write, a.putIntegration},
		{"DELETE", "/v1/integrations/{id}", write, a.deleteIntegration},
		{"POST", "/v1/integrations/{id}/pause", run, a.pauseIntegration(true)},
		{"POST", "/v1/integrations/{id}/resume", run, a.pauseIntegration(false)},
		{"POST", "/v1/integrations/{id}/check", run, a.checkIntegration},
	}
}

func (a *API) getProviders(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	return whole(w, a.Platform.Providers(), queryOf(r).err())
}

func (a *API) getIntegrations(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	if err := queryOf(r).err(); err != nil {
		return err
	}
	all, err := a.Platform.Integrations(r.Context())
	return whole(w, all, err)
}

func (a *API) getIntegration(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	return lookUp(w, r, "integration", a.Platform.Integration)
}

func (a *API) putIntegration(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	if err := queryOf(r).err(); err != nil {
		return err
	}
	var i tidings.Integration
	if err := readJSON(w, r, &i); err != nil {
		return err
	}
	if i.ID != "" && i.ID != r.PathValue("id") {
		return fieldError(tidings.Invalid, "id", "malformed", "is not the integration in the path")
	}
	i.ID = r.PathValue("id")
	i, err := a.Platform.PutIntegration(r.Context(), i)
	return put(w, i, err)
}

func (a *API) deleteIntegration(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	if err := queryOf(r).err(); err != nil {
		return err
	}
	if err := a.Platform.DeleteIntegration(r.Context(), r.PathValue("id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *API) pauseIntegration(pause bool) handler {
	return func(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
		if err := queryOf(r).err(); err != nil {
			return err
		}
		i, err := a.Platform.PauseIntegration(r.Context(), r.PathValue("id"), pause)
		return put(w, i, err)
	}
}

func (a *API) checkIntegration(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	return lookUp(w, r, "integration", a.Platform.CheckIntegration)
}
