package api

import (
	"context"
	"net/http"

	"tidings"
	"tidings/auth"
	"tidings/middleware"
)

func (a *API) endpointRoutes() []Route {
	const all, one = "/v1/applications/{id}/endpoints", "/v1/applications/{id}/endpoints/{endpoint}"
	read, write := people(auth.ReadEndpoints), people(auth.WriteEndpoints)
	return []Route{
		{"POST", all, write, a.postEndpoint},
		{"GET", all, read, a.getEndpoints},
		{"GET", one, read, ofEndpoint(auth.ReadEndpoints, http.StatusOK, a.Platform.Endpoint)},
		{"PUT", one, write, a.putEndpoint},
		{"DELETE", one, write, a.deleteEndpoint},
		{"POST", one + "/enable", write, a.enableEndpoint(true)},
		{"POST", one + "/disable", write, a.enableEndpoint(false)},
		{"POST", one + "/rotate", write, a.rotateSecret},
		{"POST", one + "/test", write, a.testEndpoint},
		{"POST", one + "/replay", write, a.replayEvents},
		{"GET", one + "/events", read, a.getEvents},
	}
}

// endpointRequest is the body that makes or changes an endpoint.
type endpointRequest struct {
	Name   string              `json:"name"`
	URL    string              `json:"url"`
	Events []tidings.EventType `json:"events"`
}

// shownEndpoint is the answer that alone ever holds the secret.
type shownEndpoint struct {
	tidings.Endpoint
	Secret string `json:"secret"`
}

// endpointOf lets the principal at the endpoint that the path names, and reads no query.
func endpointOf(r *http.Request, p auth.Principal, act auth.Action) (application string, id tidings.ID, err error) {
	application = r.PathValue("id")
	if err := auth.May(p, act, application); err != nil {
		return "", 0, err
	}
	if id, err = tidings.ParseID(r.PathValue("endpoint")); err != nil || id == 0 {
		return "", 0, notFound("endpoint")
	}
	return application, id, nil
}

// ofEndpoint answers with what do makes of the endpoint in the path.
func ofEndpoint[T any](act auth.Action, status int, do func(context.Context, string, tidings.ID) (T, error)) handler {
	return func(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
		application, id, err := endpointOf(r, p, act)
		if err == nil {
			err = queryOf(r).err()
		}
		if err != nil {
			return err
		}
		answer, err := do(r.Context(), application, id)
		if err != nil {
			return err
		}
		return middleware.WriteJSON(w, status, answer)
	}
}

func (a *API) postEndpoint(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	if err := auth.May(p, auth.WriteEndpoints, r.PathValue("id")); err != nil {
		return err
	}
	if err := queryOf(r).err(); err != nil {
		return err
	}
	var body endpointRequest
	if err := readJSON(w, r, &body); err != nil {
		return err
	}
	e, secret, err := a.Platform.CreateEndpoint(r.Context(), tidings.Endpoint{Application: r.PathValue("id"), Name: body.Name, URL: body.URL, Events: body.Events})
	return created(w, shownEndpoint{e, secret}, err)
}

func (a *API) getEndpoints(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	if err := auth.May(p, auth.ReadEndpoints, r.PathValue("id")); err != nil {
		return err
	}
	if err := queryOf(r).err(); err != nil {
		return err
	}
	found, err := a.Platform.Endpoints(r.Context(), r.PathValue("id"))
	return whole(w, found, err)
}

func (a *API) putEndpoint(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	application, id, err := endpointOf(r, p, auth.WriteEndpoints)
	if err == nil {
		err = queryOf(r).err()
	}
	var body endpointRequest
	if err == nil {
		err = readJSON(w, r, &body)
	}
	if err != nil {
		return err
	}
	e, err := a.Platform.PutEndpoint(r.Context(), tidings.Endpoint{ID: id, Application: application, Name: body.Name, URL: body.URL, Events: body.Events})
	return put(w, e, err)
}

func (a *API) deleteEndpoint(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	application, id, err := endpointOf(r, p, auth.WriteEndpoints)
	if err == nil {
		err = queryOf(r).err()
	}
	if err == nil {
		err = a.Platform.DeleteEndpoint(r.Context(), application, id)
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *API) enableEndpoint(enable bool) handler {
	return ofEndpoint(auth.WriteEndpoints, http.StatusOK, func(ctx context.Context, application string, id tidings.ID) (tidings.Endpoint, error) {
		return a.Platform.EnableEndpoint(ctx, application, id, enable)
	})
}

func (a *API) rotateSecret(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	return ofEndpoint(auth.WriteEndpoints, http.StatusOK, func(ctx context.Context, application string, id tidings.ID) (shownEndpoint, error) {
		e, secret, err := a.Platform.RotateSecret(ctx, application, id)
		return shownEndpoint{e, secret}, err
	})(w, r, p)
}

// testAnswer names the test event, which the worker brings.
type testAnswer struct {
	WebhookID string `json:"webhook_id"`
}

func (a *API) testEndpoint(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	return ofEndpoint(auth.WriteEndpoints, http.StatusAccepted, func(ctx context.Context, application string, id tidings.ID) (testAnswer, error) {
		webhook, err := a.Platform.TestEndpoint(ctx, application, id)
		return testAnswer{webhook}, err
	})(w, r, p)
}

// replayRequest is the body that asks to be told again.
type replayRequest struct {
	Since string             `json:"since"`
	Until string             `json:"until"`
	State tidings.EventState `json:"state"`
}

func (a *API) replayEvents(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	application, id, err := endpointOf(r, p, auth.WriteEndpoints)
	if err == nil {
		err = queryOf(r).err()
	}
	var body replayRequest
	if err == nil {
		err = readJSON(w, r, &body)
	}
	if err != nil {
		return err
	}
	var errs tidings.FieldErrors
	want := tidings.EventReplay{Application: application, Endpoint: id, Since: readTime(&errs, "since", body.Since), Until: readTime(&errs, "until", body.Until), State: body.State}
	if err := errs.Err(tidings.Invalid); err != nil {
		return err
	}
	n, err := a.Platform.ReplayEvents(r.Context(), want)
	if err != nil {
		return err
	}
	return middleware.WriteJSON(w, http.StatusAccepted, map[string]int{"events": n})
}

func (a *API) getEvents(w http.ResponseWriter, r *http.Request, p auth.Principal) error {
	application, id, err := endpointOf(r, p, auth.ReadEndpoints)
	if err != nil {
		return err
	}
	q := queryOf(r)
	want := tidings.EventQuery{Application: application, Endpoint: id, State: tidings.EventState(q.text("state")), PageQuery: q.page()}
	if err := q.err(); err != nil {
		return err
	}
	found, more, err := a.Platform.Events(r.Context(), want)
	if err != nil {
		return err
	}
	return middleware.WriteJSON(w, http.StatusOK, newestFirst(found, more, want.PageQuery, func(e tidings.Event) tidings.ID { return e.ID }))
}
