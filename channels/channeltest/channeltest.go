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
	patience = 20 * time.Second // for what must happen
	silence  = 300 * time.Millisecond
)

// Harness is a driver and its far side.
type Harness struct {
	// URL is the far side's, and New makes a driver that calls the given URL instead: the suite stands in between.
	URL string
	New func(t *testing.T, url string, now func() time.Time) tidings.Sender
	// Call is a good call with the given body; each has another attempt and another message.
	Call func(body string) tidings.Call
	// Seen lists the bodies that arrived at the end of the far side, repeats included.
	Seen func() []string
	// Refuse makes a call that the far side itself refuses because of its address.
	Refuse func(tidings.Call) tidings.Call
	// Busy is the far side's answer when it has too much to do, and BusyAfter what the driver makes of it.
	Busy      Reply
	BusyAfter time.Duration
	// Misconfigured is the far side's answer when our account is at fault.
	Misconfigured Reply
	// Long is a body that must arrive whole, in so many parts (0: the channel knows no parts); TooLong is one that must be
	// refused without a call.
	Long      string
	LongParts int
	TooLong   string
}

// Run runs the suite. open is called once for each of its tests.
func Run(t *testing.T, open func(t *testing.T) Harness) {
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
		{"says unknown of a silent far side", saysUnknownOfSilence},
		{"says not sent of a refused connection", saysNotSentOfARefusedConnection},
		{"says unknown of a lost answer and has sent once", saysUnknownOfALostAnswer},
		{"sends once on a reused connection that dies", sendsOnceOnADyingConnection},
		{"never calls it taken and unknown at once when the answer is cut", survivesACutAnswer},
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
	b := &bench{Harness: h, front: newFront(t, h.URL), now: time.Now()}
	b.sender = h.New(t, b.front.URL, func() time.Time { return b.now })
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
}

func doesNotRepeatARefusal(t *testing.T, b *bench) {
	_, err := b.send(t, b.Refuse(b.Call("to nobody")))
	want(t, err, tidings.Refused, tidings.AddressRefused, tidings.ProviderRefused)
	if n := b.front.seen(); n > 1 {
		t.Errorf("%d calls", n)
	}
}

func saysBusy(t *testing.T, b *bench) {
	b.front.next(mode{reply: &b.Busy})
	_, err := b.send(t, b.Call("later"))
	if e := want(t, err, tidings.Busy, tidings.ProviderBusy); e.After != b.BusyAfter {
		t.Errorf("after %v, want %v", e.After, b.BusyAfter)
	}
	b.calls(t, 1)
}

func saysMisconfigured(t *testing.T, b *bench) {
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
	u, err := url.Parse(b.front.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = free
	sender := b.New(t, u.String(), func() time.Time { return b.now })
	_, err = sender.Send(t.Context(), b.Call("nobody there"))
	want(t, err, tidings.Busy, tidings.ProviderDown)
}

func saysUnknownOfALostAnswer(t *testing.T, b *bench) {
	b.front.next(mode{resetAfter: true})
	_, err := b.send(t, b.Call("taken, but nobody told"))
	want(t, err, tidings.Unknown, tidings.ProviderSilent)
	b.calls(t, 1)
	b.arrives(t, "taken, but nobody told")
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
	if _, err := b.send(t, b.Call("secret text")); err != nil {
		t.Fatal(err)
	}
	for _, asked := range b.front.asked() {
		if !strings.HasPrefix(asked, "POST ") || strings.Contains(asked, "?") {
			t.Errorf("%s: numbers and texts end up in access logs, and a GET is repeated by net/http", asked)
		}
	}
}
