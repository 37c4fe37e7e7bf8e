package console

import (
	"net/http"

	"tidings/auth"
	"tidings/middleware"
)

// Queue is how one queue of the conveyor stands.
type Queue struct {
	Queue     string `json:"queue"`
	Paused    bool   `json:"paused"`
	Pending   int    `json:"pending"`
	Active    int    `json:"active"`
	Retry     int    `json:"retry"`
	Archived  int    `json:"archived"`   // given up by asynq; the sweep takes over
	LatencyMS int64  `json:"latency_ms"` // age of the oldest pending task
	Processed int    `json:"processed"`  // today
	Failed    int    `json:"failed"`     // today
}

// Queues is the conveyor as an operator sees it. A queue that does not exist is a NotFound.
type Queues interface {
	List() ([]Queue, error)
	Pause(name string) error
	Resume(name string) error
	// Retry runs what waits to be tried again, or was given up, now and tells how much that was.
	Retry(name string) (int, error)
}

func (c *Console) listQueues(w http.ResponseWriter, r *http.Request) error {
	if err := c.mayDo(r, auth.ReadInstallation); err != nil {
		return err
	}
	queues, err := c.Queues.List()
	if err != nil {
		return err
	}
	return answer(w, map[string]any{"data": queues})
}

// onQueue serves what an admin or operator does to a queue.
func (c *Console) onQueue(act func(q Queues, name string) error) middleware.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if err := c.mayDo(r, auth.RunInstallation); err != nil {
			return err
		}
		if err := act(c.Queues, r.PathValue("queue")); err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
}

func (c *Console) retryQueue(w http.ResponseWriter, r *http.Request) error {
	if err := c.mayDo(r, auth.RunInstallation); err != nil {
		return err
	}
	n, err := c.Queues.Retry(r.PathValue("queue"))
	if err != nil {
		return err
	}
	return answer(w, map[string]int{"retried": n})
}

func (c *Console) mayDo(r *http.Request, act auth.Action) error {
	p, err := c.person(r)
	if err != nil {
		return err
	}
	return auth.May(p, act, "")
}

func answer(w http.ResponseWriter, v any) error {
	w.Header().Set("Cache-Control", "no-store")
	return middleware.WriteJSON(w, http.StatusOK, v)
}
