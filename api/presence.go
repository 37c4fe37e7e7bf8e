package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"tidings"
	"tidings/auth"
	"tidings/middleware"
)

// Presence tells who is connected just now.
type Presence interface {
	// Presence is how many connections there are, as the nodes said within the last seconds.
	Presence(ctx context.Context) (tidings.Presence, error)
	// Listeners are the connections of a user; of one whom nobody knows there are none.
	Listeners(ctx context.Context, user string) ([]tidings.Listener, error)
}

func (a *API) getPresence(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	if err := queryOf(r).err(); err != nil {
		return err
	}
	found, err := a.Presence.Presence(r.Context())
	if err != nil {
		return unseen(err)
	}
	return middleware.WriteJSON(w, http.StatusOK, found)
}

func (a *API) getListeners(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	user := r.PathValue("user")
	if err := queryOf(r).err(); err != nil {
		return err
	}
	if !tidings.ValidName(user) {
		return notFound("user")
	}
	found, err := a.Presence.Listeners(r.Context(), user)
	if err != nil {
		return unseen(err)
	}
	if len(found) == 0 { // there is nobody, or nobody of that name
		if _, err := a.Store.User(r.Context(), user); err != nil {
			return err
		}
	}
	return middleware.WriteJSON(w, http.StatusOK, map[string]any{"user": user, "data": found})
}

// unseen is the answer when Redis, which alone knows who is connected, does not answer.
func unseen(err error) error {
	return &tidings.Error{Code: tidings.Unavailable, Detail: "who is connected cannot be told just now", After: time.Second, Err: fmt.Errorf("presence: %w", err)}
}
