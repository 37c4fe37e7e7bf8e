package handlers

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
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
	Hold(ctx context.Context, c tidings.Channel, out []tidings.Outgoing, why tidings.Reason, d time.Duration) error
	Begin(ctx context.Context, c tidings.Claim, lease time.Duration, provider string, out []tidings.Outgoing) ([]tidings.Outgoing, error)
	Settle(ctx context.Context, ss []tidings.Settlement) error
	Finish(ctx context.Context, ss []tidings.Segment, claim int64) error
}

// Times of a provider's delivery. No call is started whose claim has less left than the call may take, and a claim is
// short, because it is what the recovery of a killed worker's segment waits for.
const (
	callTimeout = 8 * time.Second
	claimLease  = 10 * time.Second
	// parallelCalls are begun by one commit and made at once. It is small, because all of them are unknown when the worker
	// dies before it has recorded their results.
	parallelCalls = 16
	// configurationPause parks deliveries while our account at the provider is at fault: retries would only be burnt.
	configurationPause = time.Minute
)

// MinReceiptWindow is the shortest wait of an unknown attempt for a receipt before it may be sent again: a claim and a call
// must have run out, so that nothing of the first can be under way.
const MinReceiptWindow = claimLease + callTimeout

// Deliver hands the deliveries of a segment to a provider. An attempt is committed before each call and settled after it.
// An attempt of which nobody knows the outcome waits for a receipt during window; then its type's policy decides.
func Deliver(store DeliverStore, sender tidings.Sender, window time.Duration, log *slog.Logger) tasks.Stage {
	return tasks.Each(func(ctx context.Context, s tidings.Segment) ([]tidings.Segment, error) {
		if err := pass(ctx, store, s); err != nil {
			return nil, err
		}
		claim, items, err := store.Claim(ctx, s, claimLease)
		if err != nil {
			return nil, err
		}
		d := delivering{store: store, sender: sender, claim: claim, window: max(window, MinReceiptWindow), log: log}
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
	sender tidings.Sender
	claim  tidings.Claim
	window time.Duration
	log    *slog.Logger
}

func (d delivering) run(ctx context.Context, items []tidings.Item) error {
	out, err := d.store.Outgoing(ctx, d.claim, items)
	if err != nil {
		return err
	}
	ready, err := d.sort(ctx, out)
	if err != nil {
		return err
	}
	for len(ready) > 0 {
		if err := pass(ctx, d.store, d.claim.Segment); err != nil {
			return err
		}
		suspended, err := d.store.Suspended(ctx)
		if err != nil {
			return err
		}
		if suspended[d.claim.Segment.Application] {
			return d.store.Hold(ctx, d.claim.Segment.Channel, ready, tidings.AppSuspended, suspendedPause)
		}
		n := d.chunk(ready)
		parked, err := d.send(ctx, ready[:n])
		if err != nil {
			return err
		}
		if ready = ready[n:]; parked {
			return d.store.Hold(ctx, d.claim.Segment.Channel, ready, tidings.Misconfigured, configurationPause)
		}
	}
	return nil
}

// sort settles what a dead worker left and ends what needs no call; the rest is ready to be sent.
func (d delivering) sort(ctx context.Context, out []tidings.Outgoing) (ready []tidings.Outgoing, err error) {
	var left []tidings.Outgoing
	var ended []tidings.Delivery
	for _, o := range out {
		switch {
		case o.State == tidings.Sending:
			left = append(left, o)
		case o.State == tidings.Expired:
			o.Reason = tidings.TimeRanOut
			ended = append(ended, o.Delivery)
		case o.State == tidings.Canceled:
			o.Reason = tidings.CanceledByApp
			ended = append(ended, o.Delivery)
		case o.Call.Address.Value == "":
			o.State, o.Reason = tidings.Suppressed, tidings.NoAddress
			ended = append(ended, o.Delivery)
		default:
			ready = append(ready, o)
		}
	}
	if len(left) > 0 {
		interrupted, err := d.store.Interrupted(ctx, d.claim, left)
		if err == nil {
			err = d.store.Settle(ctx, d.unknown(interrupted, left))
		}
		if err != nil {
			return nil, err
		}
	}
	// What can share a call stands together.
	slices.SortStableFunc(ready, func(a, b tidings.Outgoing) int {
		return cmp.Or(cmp.Compare(a.Message, b.Message), strings.Compare(a.Locale, b.Locale),
			strings.Compare(a.Call.Address.Provider, b.Call.Address.Provider), strings.Compare(a.Call.Address.Platform, b.Call.Address.Platform))
	})
	return ready, d.store.End(ctx, d.claim.Segment.Channel, ended)
}

// unknown settles attempts whose worker died: the call may have been made.
func (d delivering) unknown(attempts []tidings.Settlement, left []tidings.Outgoing) []tidings.Settlement {
	type key struct {
		message tidings.ID
		user    string
	}
	again := map[key]bool{}
	for _, o := range left {
		again[key{o.Message, o.User}] = o.Policy == tidings.AtLeastOnce
	}
	for i, a := range attempts {
		attempts[i].State, attempts[i].Reason = tidings.UnknownEnd, tidings.Interrupted
		if again[key{a.Message, a.User}] {
			attempts[i].RetryAt = d.window
		}
	}
	return attempts
}

// chunk is how many deliveries go out together: as many with one content as the provider takes in one call, or a few side
// by side.
func (d delivering) chunk(ready []tidings.Outgoing) int {
	b, ok := d.sender.(tidings.BatchSender)
	if !ok || !b.Batches(ready[0].Call) {
		return min(len(ready), parallelCalls)
	}
	n := 1
	for n < min(len(ready), b.BatchSize()) && together(ready[0].Call, ready[n].Call) {
		n++
	}
	if n == 1 {
		return min(len(ready), parallelCalls)
	}
	return n
}

func together(a, b tidings.Call) bool {
	return a.Content == b.Content && a.Message == b.Message && a.CollapseKey == b.CollapseKey && a.ExpiresAt.Equal(b.ExpiresAt) &&
		a.Address.Provider == b.Address.Provider && a.Address.Platform == b.Address.Platform
}

// send makes the attempts of a chunk. parked tells that our account is at fault and nothing more should be tried now.
func (d delivering) send(ctx context.Context, chunk []tidings.Outgoing) (parked bool, err error) {
	ready, err := d.store.Begin(ctx, d.claim, claimLease, d.sender.Provider(), chunk)
	if err != nil || len(ready) == 0 {
		return false, err
	}
	settlements := make([]tidings.Settlement, len(ready))
	if b, ok := d.sender.(tidings.BatchSender); ok && len(ready) > 1 && b.Batches(ready[0].Call) && d.same(ready) {
		parked = d.call(ctx, settlements, ready, func(ctx context.Context) []tidings.Result { return b.SendBatch(ctx, calls(ready)) })
	} else {
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i, o := range ready {
			wg.Go(func() {
				p := d.call(ctx, settlements[i:i+1], ready[i:i+1], func(ctx context.Context) []tidings.Result {
					accepted, err := d.sender.Send(ctx, o.Call)
					return []tidings.Result{{Accepted: accepted, Err: err}}
				})
				mu.Lock()
				parked = parked || p
				mu.Unlock()
			})
		}
		wg.Wait()
	}
	return parked, d.settle(ctx, settlements)
}

func (d delivering) same(ready []tidings.Outgoing) bool {
	for _, o := range ready[1:] {
		if !together(ready[0].Call, o.Call) {
			return false
		}
	}
	return true
}

func calls(out []tidings.Outgoing) []tidings.Call {
	cs := make([]tidings.Call, len(out))
	for i, o := range out {
		cs[i] = o.Call
	}
	return cs
}

// call makes one call and writes what became of each delivery in it.
func (d delivering) call(ctx context.Context, into []tidings.Settlement, out []tidings.Outgoing, f func(context.Context) []tidings.Result) (parked bool) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	results := f(ctx)
	for i, o := range out {
		failure := sendError(errAnswer)
		if len(results) == len(out) {
			failure = sendError(results[i].Err)
			into[i] = d.settlement(o, results[i].Accepted, failure)
		} else {
			into[i] = d.settlement(o, tidings.Accepted{}, failure)
		}
		if failure != nil {
			d.log.Warn("deliver", "channel", d.claim.Segment.Channel, "provider", d.sender.Provider(), "attempt", o.Call.Attempt, "error", failure)
			parked = parked || failure.Configuration
		}
	}
	return parked
}

// errAnswer is a driver's fault: it gave another number of results than it was given calls, so nobody knows.
var errAnswer = errors.New("the driver answered for another number of calls")

// sendError is what a driver's error says. One that says nothing leaves us not knowing.
func sendError(err error) *tidings.SendError {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*tidings.SendError](err); ok {
		return e
	}
	return &tidings.SendError{Outcome: tidings.Unknown, Reason: tidings.ProviderSilent, Err: err}
}

func (d delivering) settlement(o tidings.Outgoing, a tidings.Accepted, e *tidings.SendError) tidings.Settlement {
	s := tidings.Settlement{Attempt: o.Call.Attempt, User: o.User, Channel: o.Channel, State: tidings.Sent, ProviderID: a.ProviderID, Parts: a.Segments}
	if e == nil {
		return s
	}
	s.Reason, s.Detail, s.DropAddress = e.Reason, e.Error(), e.AddressDead
	switch {
	case e.Outcome == tidings.Unknown:
		s.State = tidings.UnknownEnd
		if o.Policy == tidings.AtLeastOnce {
			s.RetryAt = d.window
		}
	case e.Configuration:
		s.State, s.RetryAt = tidings.Held, max(e.After, configurationPause)
	case e.Outcome == tidings.Busy:
		s.State = tidings.Held
		wait := tidings.Backoff(d.claim.Segment.Lane, o.Attempt)
		s.RetryAt = max(e.After, wait/2+rand.N(wait/2+1))
	default:
		s.State = tidings.Failed
	}
	return s
}

// settle records results even when the task's time is up: a result that is lost makes its delivery unknown.
func (d delivering) settle(ctx context.Context, ss []tidings.Settlement) (err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
	defer cancel()
	for wait := 100 * time.Millisecond; ; wait *= 2 {
		if err = d.store.Settle(ctx, ss); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
	}
}
