package handlers

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"tidings"
)

// When a provider is asked what became of an attempt. Of one that nobody knows of, soon; of one that was taken, only when the report that
// a Reporter sends has not come; and then each time twice as long after the last, for a little over eleven hours.
const (
	firstQuestion  = 5 * time.Second
	reportPatience = 10 * time.Minute
	askAgain       = 10 * time.Second // after the first question; longer than an answer may take, so that two never ask at once
	mostQuestions  = 13

	askEvery    = time.Second
	asksAtOnce  = 16
	noAnswer    = 30 * time.Second // an integration that could not be asked rests so long
	askPatience = callTimeout
)

// askAt is when the provider is asked about an attempt that ended in a state; 0: it cannot be.
func (d delivering) askAt(integration string, state tidings.State) time.Duration {
	sender := d.board.Sender(integration)
	if _, ok := sender.(tidings.Querier); !ok {
		return 0
	}
	if _, ok := sender.(tidings.Reporter); ok && state == tidings.Sent {
		return reportPatience
	}
	return firstQuestion
}

// AskStore keeps the questions that are open and what is known of their attempts.
type AskStore interface {
	// Questions takes up to limit of those that are due and puts each off, first after the first time and twice as long each time; after most
	// times it is asked no more.
	Questions(ctx context.Context, limit, most int, first time.Duration) ([]tidings.Asked, error)
	Receive(ctx context.Context, r tidings.Receipt) error
}

// Askable is a Switchboard as the Asker needs it.
type Askable interface {
	// Asks tells whether any provider can be asked; if not, nobody looks for questions.
	Asks() bool
	Sender(integration string) tidings.Sender
}

// Asker asks providers what became of attempts, and records what they say as receipts: it settles what is unknown, and is the way to know
// of deliveries where a provider sends no reports. Several may run side by side.
type Asker struct {
	store AskStore
	board Askable
	log   *slog.Logger

	mu   sync.Mutex
	rest map[string]time.Time // integrations that could not be asked, until when they rest
}

// NewAsker returns an Asker.
func NewAsker(store AskStore, board Askable, log *slog.Logger) *Asker {
	return &Asker{store: store, board: board, log: log, rest: map[string]time.Time{}}
}

// Run asks what is due every second until ctx ends.
func (a *Asker) Run(ctx context.Context) {
	tidings.Every(ctx, askEvery, func() {
		if err := a.Ask(ctx); err != nil && ctx.Err() == nil {
			a.log.Warn("questions could not be taken or answers not be kept; they are asked again", "error", err)
		}
	})
}

// Ask asks every question that is due now.
func (a *Asker) Ask(ctx context.Context) error {
	for a.board.Asks() && ctx.Err() == nil {
		qs, err := a.store.Questions(ctx, asksAtOnce, mostQuestions, askAgain)
		if err != nil || len(qs) == 0 {
			return err
		}
		var wg sync.WaitGroup
		errs := make(chan error, len(qs))
		for _, q := range qs {
			wg.Go(func() { errs <- a.ask(ctx, q) })
		}
		wg.Wait()
		for range qs {
			if err := <-errs; err != nil {
				return err
			}
		}
	}
	return nil
}

// ask asks one question. An integration that is gone or rests, and an answer that does not come, leave it to its next time.
func (a *Asker) ask(ctx context.Context, q tidings.Asked) error {
	sender, ok := a.board.Sender(q.Integration).(tidings.Querier)
	if !ok || a.resting(q.Integration) || q.ProviderID == "" && q.Address.Value == "" {
		return nil
	}
	asking, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	r, err := safely(func() (tidings.Receipt, error) { return sender.Query(asking, q.Question) })
	if err != nil {
		if ctx.Err() == nil {
			a.log.Warn("a provider could not be asked", "integration", q.Integration, "attempt", q.Attempt, "error", err)
			a.pause(q.Integration)
		}
		return nil
	}
	if r.Kind == "" {
		return nil
	}
	r.Attempt, r.Answer = q.Attempt, true
	return a.store.Receive(ctx, r)
}

func (a *Asker) resting(integration string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return time.Now().Before(a.rest[integration])
}

func (a *Asker) pause(integration string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rest[integration] = time.Now().Add(noAnswer)
}
