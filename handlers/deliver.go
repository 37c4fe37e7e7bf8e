package handlers

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"tidings"
	"tidings/tasks"
)

// WebStore is what the deliver stage of the web reads and commits.
type WebStore interface {
	Gate
	// Number moves the deliveries to sent and returns their entries, those of an earlier run included.
	Number(ctx context.Context, ss []tidings.Segment) ([]tidings.UserEntry, error)
	Finish(ctx context.Context, ss []tidings.Segment, claim int64) error
}

// Streams is the cache of the inbox from which comet serves. Appending an entry again changes nothing.
type Streams interface {
	Append(ctx context.Context, entries []tidings.UserEntry) error
}

// DeliverWeb numbers the deliveries of segments in their users' inboxes, and appends them to the streams. The segments stay
// open until every append is done.
func DeliverWeb(store WebStore, streams Streams) tasks.Stage {
	return tasks.Grouped(func(ctx context.Context, ss []tidings.Segment) ([]tidings.Segment, error) {
		if err := pass(ctx, store, ss...); err != nil {
			return nil, err
		}
		entries, err := store.Number(ctx, ss)
		if err != nil {
			return nil, err
		}
		if err := streams.Append(ctx, entries); err != nil {
			return nil, err
		}
		return nil, store.Finish(ctx, ss, 0)
	})
}

// DeliverStore is what the deliver stage of a provider reads and commits.
type DeliverStore interface {
	Gate
	Claim(ctx context.Context, s tidings.Segment, lease time.Duration) (tidings.Claim, []tidings.Item, error)
	Release(ctx context.Context, c tidings.Claim) error
	Outgoing(ctx context.Context, c tidings.Claim, items []tidings.Item) ([]tidings.Outgoing, error)
	Interrupted(ctx context.Context, c tidings.Claim, out []tidings.Outgoing) ([]tidings.Settlement, error)
	End(ctx context.Context, c tidings.Channel, ds []tidings.Delivery) error
	// Suspended tells which applications may not send for now.
	Suspended(ctx context.Context) (map[string]bool, error)
	Hold(ctx context.Context, c tidings.Channel, out []tidings.Outgoing, why tidings.Reason, wait func() time.Duration) error
	Begin(ctx context.Context, c tidings.Claim, lease time.Duration, provider, integration string, out []tidings.Outgoing) ([]tidings.Outgoing, error)
	Settle(ctx context.Context, ss []tidings.Settlement) error
	Finish(ctx context.Context, ss []tidings.Segment, claim int64) error
}

// Switchboard knows the integrations and which of them are well.
type Switchboard interface {
	// Place takes up to n places for calls; none when no integration is well.
	Place(w tidings.Wanted, n int) (tidings.Line, tidings.Closed)
	// Other tells whether one that was not tried yet is well.
	Other(w tidings.Wanted) bool
	// Sender is that of an integration, nil when it is gone.
	Sender(integration string) tidings.Sender
}

// Times of a provider's delivery. No call is started whose claim has less left than the call may take, and a claim is
// short, because it is what the recovery of a killed worker's segment waits for.
const (
	callTimeout = 8 * time.Second
	claimLease  = 10 * time.Second
	// parallelCalls are begun by one commit and made at once. It is small, because all of them are unknown when the worker
	// dies before it has recorded their results.
	parallelCalls = 16
	// chunkPatience is how long the next chunk of a segment waits for the one before.
	chunkPatience = 300 * time.Millisecond
	// patience is how long a segment itself waits for an integration that will soon have a place; beyond it its deliveries are held.
	patience = time.Second
)

// MinReceiptWindow is the shortest wait of an unknown attempt for a receipt before it may be sent again: a claim and a call
// must have run out, so that nothing of the first can be under way.
const MinReceiptWindow = claimLease + callTimeout

// Deliver hands the deliveries of a segment to the integrations of their channel. An attempt is committed before each call and
// settled after it. What one integration did not take for certain goes to the next that is well; what may have been taken
// waits for a receipt during window, and then its type's policy decides.
func Deliver(store DeliverStore, board Switchboard, window time.Duration, log *slog.Logger) tasks.Stage {
	return tasks.Each(func(ctx context.Context, s tidings.Segment) ([]tidings.Segment, error) {
		if err := pass(ctx, store, s); err != nil {
			return nil, err
		}
		claim, items, err := store.Claim(ctx, s, claimLease)
		if err != nil {
			return nil, err
		}
		d := delivering{store: store, board: board, claim: claim, window: max(window, MinReceiptWindow), log: log}
		if err := d.run(ctx, items); err != nil {
			if !errors.Is(err, tidings.ErrStale) {
				err = errors.Join(err, store.Release(context.WithoutCancel(ctx), claim))
			}
			return nil, err
		}
		return nil, store.Finish(ctx, []tidings.Segment{s}, claim.Token)
	})
}

type delivering struct {
	store  DeliverStore
	board  Switchboard
	claim  tidings.Claim
	window time.Duration
	log    *slog.Logger
}

// run sends items, and again those that another integration is to take. That they were tried stands in their attempts.
func (d delivering) run(ctx context.Context, items []tidings.Item) error {
	for len(items) > 0 {
		out, err := d.store.Outgoing(ctx, d.claim, items)
		if err != nil {
			return err
		}
		ready, err := d.sort(ctx, out)
		if err != nil {
			return err
		}
		if items, err = d.sendAll(ctx, ready); err != nil {
			return err
		}
	}
	return nil
}

// sendAll sends what is ready, in chunks, and returns what is to be tried elsewhere. A chunk whose calls are not answered within chunkPatience
// keeps the next one no longer: a provider that hangs delays nobody but those whom it has in hand.
func (d delivering) sendAll(ctx context.Context, ready []tidings.Outgoing) (again []tidings.Item, err error) {
	var chunks chunks
	defer func() {
		more, failed := chunks.wait()
		again, err = append(again, more...), errors.Join(err, failed)
	}()
	channel := d.claim.Segment.Channel
	for len(ready) > 0 {
		if err := pass(ctx, d.store, d.claim.Segment); err != nil {
			return nil, err
		}
		suspended, err := d.store.Suspended(ctx)
		if err != nil {
			return nil, err
		}
		if suspended[d.claim.Segment.Application] {
			return nil, d.store.Hold(ctx, channel, ready, tidings.AppSuspended, func() time.Duration { return suspendedPause })
		}
		n := d.alike(ready)
		line, closed := d.place(ctx, d.wanted(ready[0]), min(n, parallelCalls))
		if line.Calls == 0 {
			if err := d.store.Hold(ctx, channel, ready[:n], closed.Reason, jitter(closed.After)); err != nil {
				return nil, err
			}
			ready = ready[n:]
			continue
		}
		chunk := ready[:d.chunk(line, ready[:n])]
		if !chunks.run(func() ([]tidings.Item, error) { return d.send(ctx, line, chunk) }) {
			return nil, nil // wait tells what failed
		}
		ready = ready[len(chunk):]
	}
	return nil, nil
}

// chunks are calls under way side by side.
type chunks struct {
	wg    sync.WaitGroup
	mu    sync.Mutex
	again []tidings.Item
	err   error
}

// run starts send, and waits for it for chunkPatience. It tells whether nothing has failed so far.
func (c *chunks) run(send func() ([]tidings.Item, error)) bool {
	done := make(chan struct{})
	c.wg.Go(func() {
		defer close(done)
		again, err := safely(send)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.again, c.err = append(c.again, again...), errors.Join(c.err, err)
	})
	timer := time.NewTimer(chunkPatience)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err == nil
}

// wait waits for all of them.
func (c *chunks) wait() (again []tidings.Item, err error) {
	c.wg.Wait()
	return c.again, c.err
}

// jitter spreads those who wait for the same thing over as long again, and at least a second.
func jitter(after time.Duration) func() time.Duration {
	return func() time.Duration { return after + rand.N(max(min(after, time.Minute), time.Second)) }
}

// place waits a little for an integration that is only full.
func (d delivering) place(ctx context.Context, w tidings.Wanted, n int) (tidings.Line, tidings.Closed) {
	for waited := time.Duration(0); ; {
		line, closed := d.board.Place(w, n)
		if line.Calls > 0 || waited+closed.After > patience || closed.Reason != tidings.ProviderBusy {
			return line, closed
		}
		waited += closed.After
		select {
		case <-ctx.Done():
			return line, closed
		case <-time.After(closed.After):
		}
	}
}
