package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"tidings/internal/fleet"
)

// sent is a message that its caller was told is accepted.
type sent struct {
	id, text, typ, user string
}

// load sends total messages or more at a rate, each until it is acknowledged, with the same Idempotency-Key.
type load struct {
	app    *fleet.Client
	total  int
	rate   int         // a second
	enough func() bool // as long as it is not, more than total are sent

	attempted atomic.Int64
	retried   atomic.Int64
	mu        sync.Mutex
	acked     map[string]sent // by id
}

// types are the message types in the share in which they are sent.
var types = []string{"page", "page", "page", "page", "page", "page", "push", "push", "code", "alarm"}

func (l *load) run(ctx context.Context) error {
	l.acked = map[string]sent{}
	tick := time.NewTicker(time.Second / time.Duration(l.rate))
	defer tick.Stop()
	var wg sync.WaitGroup
	errs := make(chan error, 1)
	slots := make(chan struct{}, 128)
	for i := 0; i < l.total || !l.enough(); i++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := l.send(ctx, i); err != nil {
				select {
				case errs <- err:
				default:
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}

// send POSTs one message until it is acknowledged. A status below 500 other than 409 and 429 would be a fault.
func (l *load) send(ctx context.Context, i int) error {
	m := sent{text: fmt.Sprintf("消息 %06d.", i), typ: types[i%len(types)], user: fmt.Sprintf("u%d", rand.IntN(users))}
	body := map[string]any{"type": m.typ, "audience": map[string]any{"users": []string{m.user}}, "data": map[string]any{"text": m.text}}
	l.attempted.Add(1)
	for {
		var answer struct {
			ID string `json:"id"`
		}
		status, err := l.app.Do(ctx, "POST", "/v1/messages", body, &answer, "Idempotency-Key", fmt.Sprintf("chaos-%d", i))
		if err == nil {
			m.id = answer.ID
			l.mu.Lock()
			l.acked[m.id] = m
			l.mu.Unlock()
			return nil
		}
		if status >= 400 && status < 500 && status != 409 && status != 429 {
			return err
		}
		l.retried.Add(1)
		select {
		case <-ctx.Done():
			return fmt.Errorf("message %d was never acknowledged: %w", i, err)
		case <-time.After(time.Duration(20+rand.IntN(200)) * time.Millisecond):
		}
	}
}
