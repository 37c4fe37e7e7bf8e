package channeltest

import (
	"context"
	"fmt"
	"net"
	"slices"
	"testing"

	"tidings"
)

// cell writes a cell of the conformance table: what the driver said of a fault, and how many SMS, pushes or mails the far side has
// recorded by now. scripts/conformance collects the cells of all drivers.
func (b *bench) cell(t *testing.T, fault string, err error) {
	t.Helper()
	Cell(t, b.name(), fault, Said(err), len(b.Seen()))
}

// name is the driver's in the table.
func (b *bench) name() string {
	if b.FarSide == "" {
		return b.sender.Provider()
	}
	return b.sender.Provider() + " (" + b.FarSide + ")"
}

// Cell writes a cell of the conformance table, for a driver whose far side is not HTTP and whose faults its own test makes.
func Cell(t *testing.T, provider, fault, said string, recorded int) {
	t.Helper()
	t.Attr("conformance", fmt.Sprintf("%s|%s|%s; recorded %d", provider, fault, said, recorded))
}

// Said is a driver's word on a call, for a cell.
func Said(err error) string {
	if err == nil {
		return "accepted"
	}
	e, ok := err.(*tidings.SendError)
	if !ok {
		return err.Error()
	}
	s := fmt.Sprintf("%s, %s", e.Outcome, e.Reason)
	if e.After > 0 {
		s += fmt.Sprintf(", after %s", e.After)
	}
	return s
}

// lacks tells whether a provider has no such thing, which its test must explain.
func lacks(t *testing.T, field string, empty bool, why string) bool {
	t.Helper()
	if empty == (why == "") {
		t.Fatalf("the harness has either %s or a reason why not", field)
	}
	return empty
}

func waitsForASlowFarSide(t *testing.T, b *bench) {
	held := make(chan struct{})
	b.front.next(mode{held: held})
	result := b.sending(t.Context(), "slowly")
	b.arrives(t, "slowly")
	select {
	case err := <-result:
		t.Fatalf("it did not wait for the answer: %v", err)
	default:
	}
	close(held)
	err := <-result
	if err != nil {
		t.Fatal(err)
	}
	b.calls(t, 1)
	b.cell(t, "slow", err)
}

func saysUnknownOfTooSlow(t *testing.T, b *bench) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	b.front.next(mode{held: make(chan struct{})})
	result := b.sending(ctx, "too slowly")
	b.arrives(t, "too slowly")
	cancel()
	err := <-result
	want(t, err, tidings.Unknown, tidings.ProviderSilent)
	b.calls(t, 1)
	b.cell(t, "too slow", err)
}

func (b *bench) sending(ctx context.Context, body string) <-chan error {
	result := make(chan error, 1)
	ctx, cancel := context.WithTimeout(ctx, patience)
	go func() {
		defer cancel()
		_, err := b.sender.Send(ctx, b.Call(body))
		result <- err
	}()
	return result
}

// saysNothingArrivedOfAReset: the connection is taken and reset before a byte is read. Whether bytes were written by then is a
// race that the driver need not win, but it must not call it taken or refused.
func saysNothingArrivedOfAReset(t *testing.T, b *bench) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conn.(*net.TCPConn).SetLinger(0)
			conn.Close()
		}
	}()
	err = b.elsewhere(t, listener.Addr().String())
	e, ok := err.(*tidings.SendError)
	down := ok && e.Outcome == tidings.Busy && e.Reason == tidings.ProviderDown
	silent := ok && e.Outcome == tidings.Unknown && e.Reason == tidings.ProviderSilent
	if !down && !silent {
		t.Errorf("got %v, want busy (provider_down) or unknown (provider_silent)", err)
	}
	b.calls(t, 0)
	b.arrives(t)
	listener.Close()
	// What the table shows is the certain one of the two: nobody listens any more.
	err = b.elsewhere(t, listener.Addr().String())
	want(t, err, tidings.Busy, tidings.ProviderDown)
	b.cell(t, "reset before bytes", err)
}

func survivesGarbage(t *testing.T, b *bench) {
	b.front.next(mode{garble: &b.Garbage})
	_, err := b.send(t, b.Call("taken, and garbage said"))
	if b.StatusOnly && b.Garbage.Status < 300 {
		if err != nil {
			t.Error(err)
		}
	} else {
		want(t, err, tidings.Unknown, tidings.ProviderSilent)
	}
	b.calls(t, 1)
	b.arrives(t, "taken, and garbage said")
	b.cell(t, "garbage", err)
}

// batch is the sender and a batch of it, or nothing if the provider takes one delivery a call.
func (b *bench) batch(t *testing.T, body string) (tidings.BatchSender, Batch, bool) {
	t.Helper()
	sender, ok := b.sender.(tidings.BatchSender)
	if ok != (b.Batch != nil) {
		t.Fatal("a BatchSender's harness has a Batch, and no other's")
	}
	if !ok {
		return nil, Batch{}, false
	}
	batch := b.Batch(body)
	if len(batch.Calls) < 2 || len(batch.Says) != len(batch.Calls) || batch.Seen >= len(batch.Calls) {
		t.Fatal("a Batch holds several calls, what is said of each, and one that does not arrive")
	}
	for i, c := range batch.Calls {
		if !sender.Batches(c) {
			t.Fatalf("call %d does not belong into a batch", i)
		}
	}
	return sender, batch, true
}

func (b *bench) sendBatch(t *testing.T, sender tidings.BatchSender, batch Batch) (said []tidings.Outcome, results []tidings.Result) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	results = sender.SendBatch(ctx, batch.Calls)
	for _, r := range results {
		var o tidings.Outcome
		if r.Err != nil {
			o = "?"
			if e, ok := r.Err.(*tidings.SendError); ok {
				o = e.Outcome
			}
		}
		said = append(said, o)
	}
	b.calls(t, 1)
	return said, results
}

func tellsOfABatch(t *testing.T, b *bench) {
	sender, batch, ok := b.batch(t, "to many")
	if !ok {
		Cell(t, b.name(), "partial batch", "takes no batches", 0)
		return
	}
	said, results := b.sendBatch(t, sender, batch)
	if !slices.Equal(said, batch.Says) {
		t.Errorf("it said %q, want %q: %v", said, batch.Says, results)
	}
	b.arrives(t, slices.Repeat([]string{"to many"}, batch.Seen)...)
	taken := 0
	for _, o := range said {
		if o == "" {
			taken++
		}
	}
	Cell(t, b.name(), "partial batch", fmt.Sprintf("%d of %d accepted", taken, len(said)), len(b.Seen()))
}

func saysUnknownOfALostBatch(t *testing.T, b *bench) {
	sender, batch, ok := b.batch(t, "to many, and nobody told")
	if !ok {
		return
	}
	b.front.next(mode{resetAfter: true})
	said, results := b.sendBatch(t, sender, batch)
	if !slices.Equal(said, slices.Repeat([]tidings.Outcome{tidings.Unknown}, len(said))) || len(said) != len(batch.Calls) {
		t.Errorf("%v", results)
	}
	b.arrives(t, slices.Repeat([]string{"to many, and nobody told"}, batch.Seen)...)
}

func saysBusyOfABatch(t *testing.T, b *bench) {
	sender, batch, ok := b.batch(t, "later")
	if !ok {
		return
	}
	b.front.next(mode{reply: &b.Busy})
	said, results := b.sendBatch(t, sender, batch)
	if !slices.Equal(said, slices.Repeat([]tidings.Outcome{tidings.Busy}, len(said))) || len(said) != len(batch.Calls) {
		t.Errorf("%v", results)
	}
	b.arrives(t)
}

func sendsOnceByKey(t *testing.T, b *bench) {
	sender, ok := b.sender.(tidings.Keyer)
	if !ok {
		return
	}
	key, err := sender.Key(t.Context())
	if err != nil || key == "" {
		t.Fatalf("key %q, %v", key, err)
	}
	c := b.Call("once")
	c.Key = key
	b.front.next(mode{resetAfter: true})
	_, err = b.send(t, c)
	want(t, err, tidings.Unknown, tidings.ProviderSilent)
	if _, err := b.send(t, c); err != nil {
		t.Fatalf("the repeat: %v", err)
	}
	b.arrives(t, "once")
}
