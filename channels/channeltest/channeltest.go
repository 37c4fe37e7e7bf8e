// Package channeltest is the suite that every tidings.Sender passes. A driver's test gives it a far side (the real one, or
// a simulator), and the suite puts itself between the two to break the line in the ways that matter.
package channeltest

import (
	"context"
	"errors"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"tidings"
)

const (
	patience = 20 * time.Second        // for what must happen
	silence  = 1500 * time.Millisecond // the request must be written by then
)

// Harness is a driver and its far side.
type Harness struct {
	// FarSide names the far side in the conformance table where a driver is tested against several: "real Kannel".
	FarSide string
	// URL is the far side's, and New makes a driver that calls the given URL instead: the suite stands in between. It may be
	// reached by HTTP/1.1 or by HTTP/2 without TLS.
	URL string
	New func(t *testing.T, url string, now func() time.Time) tidings.Sender
	// Call is a good call with the given body; each has another attempt and another message.
	Call func(body string) tidings.Call
	// Aim points a call at another URL: only for drivers whose address is the URL that is called.
	Aim func(c tidings.Call, url string) tidings.Call
	// Aside tells which paths are asked beside the delivery itself (a token): such calls are passed on, and not counted.
	Aside func(path string) bool
	// Seen lists the bodies that arrived at the end of the far side, repeats included.
	Seen func() []string
	// Refuse makes a call that the far side itself refuses because of its address.
	Refuse func(tidings.Call) tidings.Call
	// Busy is the far side's answer when it has too much to do, and BusyAfter what the driver makes of it.
	Busy      Reply
	BusyAfter time.Duration
	// Misconfigured is the far side's answer when our account is at fault.
	Misconfigured Reply
	// NoAccount says why Misconfigured is empty: we have no account there ("the receiver is the address").
	NoAccount string
	// Garbage is an answer that is not the far side's; empty: 200 with a page of a proxy. StatusOnly says that the far side
	// answers by its status alone, so that garbage after a good status is a yes.
	Garbage    Reply
	StatusOnly bool
	// Long is a body that must arrive whole, in so many parts (0: the channel knows no parts); TooLong is one that must be
	// refused without a call, and NoLimit says why there is none.
	Long      string
	LongParts int
	TooLong   string
	NoLimit   string
	// Batch is what a BatchSender is given, and what becomes of it: it must hold a call that the far side does not take.
	Batch func(body string) Batch
	// Secrets must not stand in any URL, nor may texts and addresses.
	Secrets []string
	// AddressInURL says that the provider asks for the address there (Apple).
	AddressInURL bool
}

// Batch is one content for several addresses, one of which the far side does not take.
type Batch struct {
	Calls []tidings.Call
	Says  []tidings.Outcome // what the driver says of each call; "": taken
	Seen  int               // how many arrive
}

// Run runs the suite. open is called once for each of its tests. The cells of the conformance table come from the
// tests whose names begin with TestItIsASender, so the test that calls Run must be one.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	if !strings.HasPrefix(t.Name(), "TestItIsASender") {
		t.Fatalf("%s: scripts/conformance runs the tests TestItIsASender...", t.Name())
	}
	for _, c := range []struct {
		name string
		test func(*testing.T, *bench)
	}{
		{"takes a good delivery", takesAGoodDelivery},
		{"carries Chinese and emoji unharmed", carriesTextUnharmed},
		{"carries a long text and counts its parts", carriesALongText},
		{"refuses what is too long without a call", refusesTooLong},
		{"refuses what is expired without a call", refusesExpired},
		{"does not repeat what was refused", doesNotRepeatARefusal},
		{"says busy and for how long", saysBusy},
		{"says that our account is at fault", saysMisconfigured},
		{"waits for a slow far side", waitsForASlowFarSide},
		{"says unknown of one that is too slow", saysUnknownOfTooSlow},
		{"says unknown of a silent far side", saysUnknownOfSilence},
		{"says not sent of a refused connection", saysNotSentOfARefusedConnection},
		{"has sent nothing over a connection that was reset at once", saysNothingArrivedOfAReset},
		{"says unknown of a lost answer and has sent once", saysUnknownOfALostAnswer},
		{"sends once on a reused connection that dies", sendsOnceOnADyingConnection},
		{"never calls it taken and unknown at once when the answer is cut", survivesACutAnswer},
		{"does not take garbage for an answer", survivesGarbage},
		{"tells of a batch call by call", tellsOfABatch},
		{"says unknown of a whole batch whose answer is lost", saysUnknownOfALostBatch},
		{"says busy of a whole batch", saysBusyOfABatch},
		{"sends a repeat with the same key once", sendsOnceByKey},
		{"does not start when told to stop before", stopsBefore},
		{"stops when told to", stops},
		{"posts and shows nothing in the URL", postsOnly},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, newBench(t, open(t))) })
	}
}

// bench is one test's driver with the front before its far side.
type bench struct {
	Harness
	front  *front
	sender tidings.Sender
	now    time.Time
}

func newBench(t *testing.T, h Harness) *bench {
	t.Helper()
	b := &bench{Harness: h, front: newFront(t, h), now: time.Now()}
	b.sender = h.New(t, b.front.URL, func() time.Time { return b.now })
	if h.Garbage.Status == 0 {
		b.Garbage = Reply{Status: 200, Header: map[string]string{"Content-Type": "text/html"}, Body: "<html>welcome to the hotel's network</html>"}
	}
	if h.Aim != nil { // every call of the suite goes through the front
		call := h.Call
		b.Call = func(body string) tidings.Call { return h.Aim(call(body), b.front.URL) }
	}
	return b
}

func (b *bench) send(t *testing.T, c tidings.Call) (tidings.Accepted, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return b.sender.Send(ctx, c)
}

// arrives waits until the far side has seen bodies, and fails if it saw others too.
func (b *bench) arrives(t *testing.T, bodies ...string) {
	t.Helper()
	slices.Sort(bodies)
	got := func() []string { return slices.Sorted(slices.Values(b.Seen())) }
	deadline := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !slices.Equal(got(), bodies) {
		select {
		case <-deadline:
			t.Fatalf("the far side saw\n%q, want\n%q", got(), bodies)
		case <-tick.C:
		}
	}
}

// want fails unless err is a SendError of outcome and one of reasons.
func want(t *testing.T, err error, outcome tidings.Outcome, reasons ...tidings.Reason) *tidings.SendError {
	t.Helper()
	e, ok := errors.AsType[*tidings.SendError](err)
	if !ok {
		t.Fatalf("got %v, want a SendError of %s", err, outcome)
	}
	if e.Outcome != outcome || !slices.Contains(reasons, e.Reason) {
		t.Fatalf("got %v, want %s and one of %v", err, outcome, reasons)
	}
	if e.Err == nil {
		t.Error("the error has no cause for the operator to read")
	}
	return e
}

func (b *bench) calls(t *testing.T, n int) {
	t.Helper()
	if got := b.front.seen(); got != n {
		t.Errorf("%d calls were made, want %d: %q", got, n, b.front.asked())
	}
}

func takesAGoodDelivery(t *testing.T, b *bench) {
	if _, err := b.send(t, b.Call("Your order 17 has been shipped")); err != nil {
		t.Fatal(err)
	}
	b.arrives(t, "Your order 17 has been shipped")
	b.calls(t, 1)
	b.cell(t, "good", nil)
}

func carriesTextUnharmed(t *testing.T, b *bench) {
	texts := []string{"【望京店】订单 已发货:¥128.50", "emoji 😀 and 👨‍👩‍👧, flags 🇨🇳", `quotes " ' \ and ~*()!&=+%41`, "two\nlines", "€uro {[]} ^~|"}
	for _, text := range texts {
		if _, err := b.send(t, b.Call(text)); err != nil {
			t.Fatal(err)
		}
	}
	b.arrives(t, texts...)
}

func carriesALongText(t *testing.T, b *bench) {
	accepted, err := b.send(t, b.Call(b.Long))
	if err != nil || accepted.Segments != b.LongParts {
		t.Fatalf("%d parts, want %d, %v", accepted.Segments, b.LongParts, err)
	}
	b.arrives(t, b.Long)
}

func refusesTooLong(t *testing.T, b *bench) {
	if lacks(t, "TooLong", b.TooLong == "", b.NoLimit) {
		return
	}
	_, err := b.send(t, b.Call(b.TooLong))
	want(t, err, tidings.Refused, tidings.TooLong)
	b.calls(t, 0)
}

func refusesExpired(t *testing.T, b *bench) {
	c := b.Call("too late")
	c.ExpiresAt = b.now
	_, err := b.send(t, c)
	want(t, err, tidings.Refused, tidings.TimeRanOut)
	b.calls(t, 0)
	c.ExpiresAt = b.now.Add(time.Second)
	if _, err := b.send(t, c); err != nil {
		t.Errorf("a second before it expires: %v", err)
	}
	b.arrives(t, "too late") // here, and not on a busy machine among what the next case sends
}

func doesNotRepeatARefusal(t *testing.T, b *bench) {
	_, err := b.send(t, b.Refuse(b.Call("to nobody")))
	want(t, err, tidings.Refused, tidings.AddressRefused, tidings.ProviderRefused)
	if n := b.front.seen(); n > 1 {
		t.Errorf("%d calls", n)
	}
	b.arrives(t)
	b.cell(t, "refused", err)
}

func saysBusy(t *testing.T, b *bench) {
	b.front.next(mode{reply: &b.Busy})
	_, err := b.send(t, b.Call("later"))
	if e := want(t, err, tidings.Busy, tidings.ProviderBusy); e.After != b.BusyAfter {
		t.Errorf("after %v, want %v", e.After, b.BusyAfter)
	}
	b.calls(t, 1)
	b.arrives(t)
	b.cell(t, "throttled", err)
	b.now = b.now.Add(b.BusyAfter) // as who obeys it comes again
	if _, err := b.send(t, b.Call("now")); err != nil {
		t.Errorf("the next call: %v", err)
	}
	b.arrives(t, "now")
}

func saysMisconfigured(t *testing.T, b *bench) {
	if lacks(t, "Misconfigured", b.Misconfigured.Status == 0, b.NoAccount) {
		return
	}
	b.front.next(mode{reply: &b.Misconfigured})
	_, err := b.send(t, b.Call("never"))
	if e := want(t, err, tidings.Busy, tidings.Misconfigured); !e.Configuration || e.After <= 0 {
		t.Errorf("%+v, want Configuration and a rest", e)
	}
	b.calls(t, 1)
}

func saysUnknownOfSilence(t *testing.T, b *bench) {
	b.front.next(mode{hang: true})
	ctx, cancel := context.WithTimeout(t.Context(), silence)
	defer cancel()
	_, err := b.sender.Send(ctx, b.Call("hello?"))
	want(t, err, tidings.Unknown, tidings.ProviderSilent)
	b.calls(t, 1)
}

func saysNotSentOfARefusedConnection(t *testing.T, b *bench) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free := listener.Addr().String()
	listener.Close()
	want(t, b.elsewhere(t, free), tidings.Busy, tidings.ProviderDown)
}

// elsewhere sends to another host.
func (b *bench) elsewhere(t *testing.T, host string) error {
	t.Helper()
	u, err := url.Parse(b.front.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = host
	c := b.Call("nobody there")
	if b.Aim != nil {
		c = b.Aim(c, u.String())
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err = b.New(t, u.String(), func() time.Time { return b.now }).Send(ctx, c)
	return err
}

func saysUnknownOfALostAnswer(t *testing.T, b *bench) {
	b.front.next(mode{resetAfter: true})
	_, err := b.send(t, b.Call("taken, but nobody told"))
	want(t, err, tidings.Unknown, tidings.ProviderSilent)
	b.calls(t, 1)
	b.arrives(t, "taken, but nobody told")
	b.cell(t, "answer lost", err)
}

// sendsOnceOnADyingConnection is net/http's trap: it repeats some requests by itself when a kept connection dies.
func sendsOnceOnADyingConnection(t *testing.T, b *bench) {
	if _, err := b.send(t, b.Call("first")); err != nil {
		t.Fatal(err)
	}
	b.front.next(mode{resetAfter: true})
	_, err := b.send(t, b.Call("second"))
	want(t, err, tidings.Unknown, tidings.ProviderSilent)
	b.calls(t, 2)
	b.arrives(t, "first", "second")
}

func survivesACutAnswer(t *testing.T, b *bench) {
	b.front.next(mode{cutAfter: true})
	_, err := b.send(t, b.Call("half an answer"))
	if err != nil {
		want(t, err, tidings.Unknown, tidings.ProviderSilent)
	}
	b.calls(t, 1)
	b.arrives(t, "half an answer")
}

func stopsBefore(t *testing.T, b *bench) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := b.sender.Send(ctx, b.Call("never"))
	want(t, err, tidings.Busy, tidings.ProviderDown)
	b.calls(t, 0)
}

func stops(t *testing.T, b *bench) {
	b.front.next(mode{hang: true})
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() {
		_, err := b.sender.Send(ctx, b.Call("hello?"))
		result <- err
	}()
	<-b.front.arrived
	cancel()
	select {
	case err := <-result:
		want(t, err, tidings.Unknown, tidings.ProviderSilent)
	case <-time.After(patience):
		t.Fatal("it goes on after it was told to stop")
	}
}

func postsOnly(t *testing.T, b *bench) {
	c := b.Call("very private text")
	if _, err := b.send(t, c); err != nil {
		t.Fatal(err)
	}
	forbidden := append([]string{"private"}, b.Secrets...)
	if b.Aim == nil && !b.AddressInURL {
		forbidden = append(forbidden, strings.TrimPrefix(c.Address.Value, "+"))
	}
	for _, asked := range b.front.asked() {
		if !strings.HasPrefix(asked, "POST ") {
			t.Errorf("%s: a request without a body is repeated by net/http", asked)
		}
		for _, f := range forbidden {
			if strings.Contains(asked, f) || strings.Contains(asked, url.QueryEscape(f)) {
				t.Errorf("%s: numbers, texts and secrets end up in access logs", asked)
			}
		}
	}
}
