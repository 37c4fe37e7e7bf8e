package client

import (
	"bytes"
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"
)

// acks tells the server what was handled, some at once: an acknowledgement speaks of everything up to its cursor.
type acks struct {
	sub   *Subscription
	every time.Duration

	mu     sync.Mutex
	cursor string // to be said; "" when nothing is
	token  string
	timer  *time.Timer
	saying sync.WaitGroup
	over   bool // the subscription has ended
}

// ackAgain is how long after an acknowledgement that was not taken it is said again.
const ackAgain = 5 * time.Second

func (a *acks) note(cursor, token string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.cursor, a.token = cursor, token
	a.sayIn(a.every)
}

// sayIn says what is to be said in a while. Under the lock.
func (a *acks) sayIn(d time.Duration) {
	if a.timer == nil && !a.over {
		a.saying.Add(1)
		a.timer = time.AfterFunc(d, func() { defer a.saying.Done(); a.say() })
	}
}

// flush says what is still to be said, when the subscription ends.
func (a *acks) flush() {
	a.mu.Lock()
	a.over = true
	stopped := a.timer != nil && a.timer.Stop()
	a.mu.Unlock()
	if stopped {
		a.saying.Done()
	}
	a.saying.Wait()
	if a.cursor != "" {
		a.say()
	}
}

// say posts an acknowledgement. One that is not taken is said again, or with the next, which says as much and more; a cursor that the server refuses
// is not.
func (a *acks) say() {
	a.mu.Lock()
	cursor, token := a.cursor, a.token
	a.cursor, a.timer = "", nil
	a.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	body, _ := json.Marshal(map[string]string{"client": a.sub.Name, "cursor": cursor}) // of two strings
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(a.sub.URL, "/")+"/comet/ack", bytes.NewReader(body))
	if err != nil {
		return
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	answer, err := or(a.sub.HTTP, http.DefaultClient).Do(r)
	if err == nil {
		_ = answer.Body.Close()
		if answer.StatusCode < 300 || answer.StatusCode == http.StatusBadRequest {
			return
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.cursor = or(a.cursor, cursor)
	a.sayIn(ackAgain)
}

func jitter() float64 { return rand.Float64() } //nolint:gosec // not a secret
