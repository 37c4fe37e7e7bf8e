package handlers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"tidings"
)

// send makes the attempts of a chunk over a line, and returns those deliveries that another integration takes.
func (d delivering) send(ctx context.Context, line tidings.Line, chunk []tidings.Outgoing) (again []tidings.Item, err error) {
	places := line.Calls
	defer func() { line.Back(places) }()
	chunk, err = d.keys(ctx, line, chunk)
	if err != nil || len(chunk) == 0 {
		return nil, err
	}
	ready, err := d.store.Begin(ctx, d.claim, claimLease, line.Sender.Provider(), line.Integration, chunk)
	if err != nil || len(ready) == 0 {
		return nil, err
	}
	settlements := make([]tidings.Settlement, len(ready))
	if n := batch(line.Sender, ready); n == len(ready) && n > 1 {
		places--
		d.call(ctx, line, settlements, ready, func(ctx context.Context) []tidings.Result {
			return line.Sender.(tidings.BatchSender).SendBatch(ctx, calls(ready))
		})
	} else {
		places -= len(ready)
		d.sideBySide(ctx, line, settlements, ready)
	}
	if err := d.settle(ctx, settlements); err != nil {
		return nil, err
	}
	for i, s := range settlements {
		if s.State == tidings.Queued {
			again = append(again, tidings.Item{Message: ready[i].Message, User: ready[i].User})
		}
	}
	return again, nil
}

// sideBySide makes a call for each, all at once.
func (d delivering) sideBySide(ctx context.Context, line tidings.Line, into []tidings.Settlement, ready []tidings.Outgoing) {
	var wg sync.WaitGroup
	for i, o := range ready {
		wg.Go(func() {
			d.call(ctx, line, into[i:i+1], ready[i:i+1], func(ctx context.Context) []tidings.Result {
				accepted, err := line.Sender.Send(ctx, o.Call)
				return []tidings.Result{{Accepted: accepted, Err: err}}
			})
		})
	}
	wg.Wait()
}

// keys gives each call of a Keyer its idempotency key: the one that an earlier attempt at this integration had, or a new one.
// While none is to be had, its delivery waits: no attempt is made without.
func (d delivering) keys(ctx context.Context, line tidings.Line, chunk []tidings.Outgoing) ([]tidings.Outgoing, error) {
	k, ok := line.Sender.(tidings.Keyer)
	if !ok {
		return chunk, nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	chunk = slices.Clone(chunk)
	for i := range chunk {
		for _, b := range chunk[i].Before {
			if b.Integration == line.Integration && b.Key != "" {
				chunk[i].Call.Key = b.Key
			}
		}
		if chunk[i].Call.Key != "" {
			continue
		}
		key, err := k.Key(ctx)
		if err != nil {
			d.log.Warn("deliver: no key", "integration", line.Integration, "error", err)
			wait := tidings.Backoff(d.claim.Segment.Lane, chunk[i].Attempt)
			return chunk[:i], d.store.Hold(context.WithoutCancel(ctx), d.claim.Segment.Channel, chunk[i:], tidings.ProviderDown, jitter(wait))
		}
		chunk[i].Call.Key = key
	}
	return chunk, nil
}

// call makes one call and writes what became of each delivery in it.
func (d delivering) call(ctx context.Context, line tidings.Line, into []tidings.Settlement, out []tidings.Outgoing, f func(context.Context) []tidings.Result) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	began := time.Now()
	results, err := safely(func() ([]tidings.Result, error) { return f(ctx), nil })
	if err != nil {
		results = tidings.Results(len(out), tidings.Accepted{}, err)
	}
	if len(results) != len(out) {
		results = tidings.Results(len(out), tidings.Accepted{}, errAnswer)
	}
	line.Done(verdict(results), time.Since(began))
	for i, o := range out {
		failure := sendError(results[i].Err)
		into[i] = d.settlement(line, o, results[i].Accepted, failure)
		if failure != nil {
			d.log.Warn("deliver", "channel", d.claim.Segment.Channel, "integration", line.Integration, "attempt", o.Call.Attempt, "error", failure)
		}
	}
}

// safely has a driver's panic end nothing but its own call, of which nobody knows then what became.
func safely[T any](f func() (T, error)) (v T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the driver panicked: %v", p)
		}
	}()
	return f()
}

// verdict is what a call says of its integration: of a batch the gravest.
func verdict(rs []tidings.Result) (gravest error) {
	for _, r := range rs {
		if e := sendError(r.Err); e != nil && (gravest == nil || e.Outcome != tidings.Refused || e.Configuration) {
			gravest = e
		}
	}
	return gravest
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

// settlement says what becomes of an attempt and its delivery. What was certainly not taken goes on to another integration that is
// well; if all were tried it waits, or has failed. What may have been taken goes nowhere.
func (d delivering) settlement(line tidings.Line, o tidings.Outgoing, a tidings.Accepted, e *tidings.SendError) tidings.Settlement {
	s := tidings.Settlement{Attempt: o.Call.Attempt, User: o.User, Channel: o.Channel, Provider: line.Sender.Provider(), State: tidings.Sent, ProviderID: a.ProviderID, Parts: a.Segments}
	if e == nil {
		s.AskAt = d.askAt(line.Integration, tidings.Sent)
		return s
	}
	s.Reason, s.Detail, s.DropAddress = e.Reason, e.Error(), e.AddressDead
	w := d.wanted(o)
	w.Tried = append(w.Tried, line.Integration)
	wait := 1 + rand.N(tidings.Backoff(d.claim.Segment.Lane, o.Attempt)) // full jitter
	switch {
	case e.Outcome == tidings.Unknown:
		s.State, s.AskAt = tidings.UnknownEnd, d.askAt(line.Integration, tidings.UnknownEnd)
		if o.Policy == tidings.AtLeastOnce {
			s.RetryAt = d.window
		}
	case e.Elsewhere() && d.board.Other(w):
		s.State = tidings.Queued
	case e.Configuration:
		s.State, s.RetryAt = tidings.Held, max(e.After, configurationPause)+wait
	case e.Outcome == tidings.Busy:
		s.State, s.RetryAt = tidings.Held, max(e.After, time.Microsecond)+wait
	default:
		s.State = tidings.Failed
	}
	return s
}

// configurationPause parks a delivery while our account at the provider is at fault: retries would only be burnt.
const configurationPause = time.Minute

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
