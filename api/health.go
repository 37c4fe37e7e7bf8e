package api

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"time"

	"tidings/auth"
	"tidings/middleware"
)

// settle is the time that work in progress has before the balance calls it a fault.
const settle = time.Minute

func (a *API) getBalance(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	if err := queryOf(r).err(); err != nil {
		return err
	}
	b, err := a.Store.Balance(r.Context(), settle)
	return put(w, b, err)
}

func (a *API) getOpenAPI(w http.ResponseWriter, _ *http.Request, _ auth.Principal) error {
	if len(a.OpenAPI) == 0 {
		return notFound("description")
	}
	w.Header().Set("Content-Type", "application/yaml")
	w.Write(a.OpenAPI) //nolint:errcheck // the client has gone
	return nil
}

// health is the answer of /healthz and /readyz.
type health struct {
	Status string            `json:"status"`
	Checks map[string]string `json:"checks,omitempty"`
}

// getHealth says that the process answers at all.
func (a *API) getHealth(w http.ResponseWriter, _ *http.Request, _ auth.Principal) error {
	return middleware.WriteJSON(w, http.StatusOK, health{Status: "ok"})
}

// readyTime bounds a readiness check: who asks has a time limit too.
const readyTime = 2 * time.Second

// getReady says whether the process can do its work. Why it cannot is for the log: the door is public.
func (a *API) getReady(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	ctx, cancel := context.WithTimeout(r.Context(), readyTime)
	defer cancel()
	answer, status := health{Status: "ready", Checks: map[string]string{}}, http.StatusOK
	for _, name := range slices.Sorted(maps.Keys(a.Ready)) {
		answer.Checks[name] = "ok"
		if err := a.Ready[name](ctx); err != nil {
			a.Door.Logger.Warn("not ready", "check", name, "error", err)
			answer.Checks[name] = "failing"
			answer.Status, status = "not ready", http.StatusServiceUnavailable
		}
	}
	return middleware.WriteJSON(w, status, answer)
}
