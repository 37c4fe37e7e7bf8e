package handlers

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"tidings"
)

// sort settles what a dead worker left and ends what needs no call; the rest is ready to be sent.
func (d delivering) sort(ctx context.Context, out []tidings.Outgoing) (ready []tidings.Outgoing, err error) {
	var left, sealed []tidings.Outgoing
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
		case o.Sealed:
			sealed = append(sealed, o)
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
	// It is ours to mend, and nothing that the others in the segment should wait for.
	if err := d.store.Hold(ctx, d.claim.Segment.Channel, sealed, tidings.Misconfigured, jitter(configurationPause)); err != nil {
		return nil, err
	}
	// What can share a call stands together.
	slices.SortStableFunc(ready, func(a, b tidings.Outgoing) int {
		return cmp.Or(cmp.Compare(a.Message, b.Message), strings.Compare(a.Locale, b.Locale), strings.Compare(a.Call.Address.Provider, b.Call.Address.Provider),
			strings.Compare(a.Call.Address.Platform, b.Call.Address.Platform), cmp.Compare(len(a.Before), len(b.Before)))
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
		attempts[i].AskAt = d.askAt(a.Integration, tidings.UnknownEnd)
		if again[key{a.Message, a.User}] {
			attempts[i].RetryAt = d.window
		}
	}
	return attempts
}

// wanted is what an integration must be for a delivery.
func (d delivering) wanted(o tidings.Outgoing) tidings.Wanted {
	s := d.claim.Segment
	w := tidings.Wanted{Channel: s.Channel, Lane: s.Lane, Application: s.Application, Provider: o.Call.Address.Provider}
	for _, b := range o.Before {
		if !b.Replayed { // what a person sends again is no retry
			w.Before = append(w.Before, b.Integration)
		}
		if b.PassedOn {
			w.Tried = append(w.Tried, b.Integration)
		} else {
			w.Tried = nil // a new round
		}
		if w.First = ""; b.State == tidings.UnknownEnd && b.Key != "" {
			w.First = b.Integration
		}
	}
	return w
}

// alike is how many of the first deliveries want the same of an integration.
func (d delivering) alike(ready []tidings.Outgoing) int {
	n := 1
	for n < len(ready) && ready[n].Call.Address.Provider == ready[0].Call.Address.Provider && slices.Equal(ready[n].Before, ready[0].Before) {
		n++
	}
	return n
}

// batch is what can go out in one call together with the first of out; 1: each by itself.
func batch(s tidings.Sender, out []tidings.Outgoing) int {
	b, ok := s.(tidings.BatchSender)
	if !ok || !b.Batches(out[0].Call) {
		return 1
	}
	n := 1
	for n < min(len(out), b.BatchSize()) && out[n].Locale == out[0].Locale && together(out[0].Call, out[n].Call) {
		n++
	}
	return n
}

// chunk is how many deliveries go out together over a line: as many with one content as the provider takes in one call, or one
// for each place.
func (d delivering) chunk(line tidings.Line, out []tidings.Outgoing) int {
	if n := batch(line.Sender, out); n > 1 {
		return n
	}
	return min(len(out), line.Calls)
}

func together(a, b tidings.Call) bool {
	return a.Content == b.Content && a.Message == b.Message && a.CollapseKey == b.CollapseKey && a.ExpiresAt.Equal(b.ExpiresAt) &&
		a.Address.Provider == b.Address.Provider && a.Address.Platform == b.Address.Platform
}

func calls(out []tidings.Outgoing) []tidings.Call {
	cs := make([]tidings.Call, len(out))
	for i, o := range out {
		cs[i] = o.Call
	}
	return cs
}
