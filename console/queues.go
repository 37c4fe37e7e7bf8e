package console

import (
	"context"
	"encoding/json"
	"net/http"

	"tidings"
	"tidings/auth"
	"tidings/middleware"
)

// Queue is how one queue of the conveyor stands.
type Queue struct {
	Name      string  `json:"name"`
	Paused    bool    `json:"paused"`
	Pending   int     `json:"pending"`
	Active    int     `json:"active"`
	Scheduled int     `json:"scheduled"`
	Retry     int     `json:"retry"`
	Archived  int     `json:"archived"`
	Processed int     `json:"processed_today"`
	Failed    int     `json:"failed_today"`
	Latency   float64 `json:"latency_seconds"` // age of the oldest pending task
}

// Queues is the conveyor as an operator sees it. A queue that does not exist is a NotFound.
type Queues interface {
	List(ctx context.Context) ([]Queue, error)
	Pause(ctx context.Context, name string) error
	Resume(ctx context.Context, name string) error
	// Retry puts what waits to be tried again, or was given up, to work now and tells how much that was.
	Retry(ctx context.Context, name string) (int, error)
}

func (c *Console) listQueues(w http.ResponseWriter, r *http.Request) error {
	if _, err := c.principal(r); err != nil {
		return err
	}
	queues, err := c.Queues.List(r.Context())
	if err != nil {
		return err
	}
	return answer(w, map[string]any{"data": queues})
}

// actOnQueue serves what an admin or operator does to a queue.
func (c *Console) actOnQueue(act func(context.Context, string) error) middleware.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if err := c.mayAct(r); err != nil {
			return err
		}
		if err := act(r.Context(), r.PathValue("queue")); err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
}

func (c *Console) retryQueue(w http.ResponseWriter, r *http.Request) error {
	if err := c.mayAct(r); err != nil {
		return err
	}
	n, err := c.Queues.Retry(r.Context(), r.PathValue("queue"))
	if err != nil {
		return err
	}
	return answer(w, map[string]int{"retried": n})
}

func (c *Console) mayAct(r *http.Request) error {
	p, err := c.principal(r)
	if err == nil && p.Role != auth.RoleAdmin {
		return tidings.Errorf(tidings.Forbidden, "only an admin may do this")
	}
	return err
}

func answer(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	return json.NewEncoder(w).Encode(v)
}
