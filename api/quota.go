package api

import (
	"net/http"

	"tidings"
	"tidings/auth"
	"tidings/middleware"
	"tidings/platform"
)

func (a *API) getQuota(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	application, err := inPath(r, p)
	if err == nil {
		err = queryOf(r).err()
	}
	if err != nil {
		return err
	}
	q, err := a.Platform.Quota(r.Context(), application)
	return put(w, q, err)
}

func (a *API) putQuota(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	application, err := inPath(r, p)
	if err == nil {
		err = queryOf(r).err()
	}
	if err != nil {
		return err
	}
	var q tidings.Quota
	if err := readJSON(w, r, &q); err != nil {
		return err
	}
	if err := ownedBy(&q.Application, application); err != nil {
		return err
	}
	q, err = a.Platform.PutQuota(r.Context(), q)
	return put(w, q, err)
}

// defaultUsageDays is a week and a day: the same day a week ago beside today.
const defaultUsageDays = 8

func (a *API) getUsage(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	q := queryOf(r)
	days := q.between("days", defaultUsageDays, platform.MaxUsageDays)
	application, err := inPath(r, p)
	if err == nil {
		err = q.err()
	}
	if err != nil {
		return err
	}
	u, err := a.Platform.Usage(r.Context(), application, days)
	return put(w, u, err)
}

// inPath is the application that the path names. To whom it does not belong it does not exist.
func inPath(r *http.Request, p auth.Principal) (string, error) {
	id := r.PathValue("id")
	if !tidings.ValidName(id) || (p.Kind == auth.Application || p.Bound()) && p.Application != id {
		return "", notFound("application")
	}
	return id, nil
}

// previewMessage tells what would become of a message, by the same reading and checking as postMessage's.
func (a *API) previewMessage(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	request, body, err := a.request(w, r, p, tidings.MaxBody)
	if err != nil {
		return err
	}
	m, err := a.messageOf(r.Context(), p, request.Application, body)
	if err != nil {
		return err
	}
	preview, err := a.Platform.Preview(r.Context(), m)
	if err != nil {
		return err
	}
	return middleware.WriteJSON(w, http.StatusOK, preview)
}
