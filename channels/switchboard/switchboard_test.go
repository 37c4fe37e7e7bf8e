package switchboard_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"tidings"
	"tidings/channels/switchboard"
)

type sender struct{}

func (sender) Provider() string { return "test" }
func (sender) Send(context.Context, tidings.Call) (tidings.Accepted, error) {
	return tidings.Accepted{}, nil
}

// bench is a board with a clock that the test turns.
type bench struct {
	*switchboard.Board
	now time.Time
}

func open(t *testing.T, integrations ...tidings.Integration) *bench {
	t.Helper()
	b := &bench{now: time.Unix(1_700_000_000, 0)}
	driver := tidings.Driver{Channel: tidings.SMS, Open: func(tidings.Setup) (tidings.Sender, error) { return sender{}, nil }}
	loose, bound := driver, driver
	loose.Provider, bound.Provider, bound.Bound = "loose", "bound", true
	b.Board = switchboard.New(switchboard.Config{Drivers: []tidings.Driver{loose, bound}, Now: func() time.Time { return b.now },
		Source: func(_ context.Context, known int64) (int64, []tidings.Configured, error) {
			var all []tidings.Configured
			for _, i := range integrations {
				i.Channel, i.State = tidings.SMS, tidings.IntegrationActive
				if i.Provider == "" {
					i.Provider = "loose"
				}
				all = append(all, tidings.Configured{Integration: i})
			}
			return known + 1, all, nil
		}})
	if err := b.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	return b
}

func wanted(l tidings.Lane) tidings.Wanted {
	return tidings.Wanted{Channel: tidings.SMS, Lane: l, Application: "shop"}
}

var (
	down   = &tidings.SendError{Outcome: tidings.Busy, Reason: tidings.ProviderDown, Err: errors.New("refused")}
	silent = errors.New("broke")
)

// call makes one call that ends with err, and tells where.
func (b *bench) call(w tidings.Wanted, err error) string {
	l, _ := b.Place(w, 1)
	if l.Calls == 0 {
		return ""
	}
	l.Done(err, time.Millisecond)
	return l.Integration
}

func TestABreakerOpensForLongerAndLongerAndThreeProbesCloseIt(t *testing.T) {
	b, w := open(t, tidings.Integration{ID: "a"}), wanted(tidings.Critical)
	for range 10 {
		b.call(w, nil)
	}
	for i := range 10 {
		if b.call(w, silent) == "" {
			t.Fatalf("open after %d of %d calls failed", i, 10+i)
		}
	}
	for _, pause := range []time.Duration{10, 20, 40, 80, 120, 120} {
		_, closed := b.Place(w, 1)
		if closed.Reason != tidings.ProviderDown || closed.After != pause*time.Second {
			t.Fatalf("%+v, want closed for %d s", closed, pause)
		}
		b.now = b.now.Add(closed.After)
		if b.call(w, down) != "a" {
			t.Fatal("no probe went through")
		}
	}
	b.now = b.now.Add(2 * time.Minute)
	l, _ := b.Place(w, 10)
	if l.Calls != 3 {
		t.Fatalf("%d probes", l.Calls)
	}
	if more, _ := b.Place(w, 1); more.Calls != 0 {
		t.Fatal("a fourth probe")
	}
	for range 3 {
		l.Done(nil, 0)
	}
	if l, _ := b.Place(w, 10); l.Calls != 10 {
		t.Fatalf("%d calls after three good probes", l.Calls)
	}
}

func TestAProviderThatHangsIsLeftBeforeItsCallsTimeOut(t *testing.T) {
	b, w := open(t, tidings.Integration{ID: "a", Order: 1}, tidings.Integration{ID: "b", Order: 2}), wanted(tidings.Critical)
	for range 5 {
		if l, _ := b.Place(w, 1); l.Integration != "a" {
			t.Fatal(l.Integration)
		}
	}
	if at := b.call(w, nil); at != "a" {
		t.Fatalf("left at once for %q", at)
	}
	b.now = b.now.Add(300*time.Millisecond + 1)
	if at := b.call(w, nil); at != "b" {
		t.Fatalf("five calls are late, and the next went to %q", at)
	}
	w.First = "a"
	if at := b.call(w, nil); at != "a" {
		t.Fatalf("what a drops by key went to %q", at)
	}
	b.now = b.now.Add(2 * time.Second)
	if at := b.call(w, nil); at != "b" {
		t.Fatalf("five calls hang, and the next went to %q", at)
	}
}

func TestAnAloneProviderThatIsLateIsStillSentTo(t *testing.T) {
	b, w := open(t, tidings.Integration{ID: "a"}), wanted(tidings.Critical)
	for range 5 {
		b.Place(w, 1)
	}
	b.now = b.now.Add(2 * time.Second)
	if at := b.call(w, nil); at != "a" {
		t.Fatalf("late calls closed it: %q", at)
	}
	b.now = b.now.Add(1)
	if _, closed := b.Place(w, 1); closed.Reason != tidings.ProviderDown || closed.After != time.Second {
		t.Fatalf("%+v", closed)
	}
}

func TestASlowProviderIsNotLateByItsOwnMeasure(t *testing.T) {
	b, w := open(t, tidings.Integration{ID: "a", Order: 1}, tidings.Integration{ID: "b", Order: 2}), wanted(tidings.Critical)
	for range 100 {
		l, _ := b.Place(w, 1)
		l.Done(nil, time.Second)
	}
	for range 5 {
		b.Place(w, 1)
	}
	b.now = b.now.Add(4 * time.Second)
	if at := b.call(w, nil); at != "a" {
		t.Fatalf("calls of four seconds where one is usual: left for %q", at)
	}
	b.now = b.now.Add(time.Second)
	if at := b.call(w, nil); at != "b" {
		t.Fatalf("calls of five seconds: %q", at)
	}
}

func TestFiveCallsInARowThatHungOpenTheBreakerWhateverWentWellBefore(t *testing.T) {
	b, w := open(t, tidings.Integration{ID: "a"}), wanted(tidings.Critical)
	for range 1000 {
		b.call(w, nil)
	}
	hang := func(n int) {
		for range n {
			l, _ := b.Place(w, 1)
			l.Done(silent, 8*time.Second)
		}
	}
	hang(4)
	b.call(w, nil) // an answer between them
	hang(4)
	if b.call(w, silent) != "a" { // and one that broke at once
		t.Fatal("open too early")
	}
	hang(1)
	if _, closed := b.Place(w, 1); closed.Reason != tidings.ProviderDown || closed.After != 10*time.Second {
		t.Fatalf("%+v", closed)
	}
}

func TestPlacesAreBoundedAndAFifthIsKeptForTheCriticalLane(t *testing.T) {
	b := open(t, tidings.Integration{ID: "a", Parallel: 10})
	if l, _ := b.Place(wanted(tidings.Bulk), 100); l.Calls != 8 {
		t.Fatalf("bulk took %d of 10", l.Calls)
	}
	if l, closed := b.Place(wanted(tidings.Normal), 1); l.Calls != 0 || closed.Reason != tidings.ProviderBusy {
		t.Fatalf("%+v %+v", l, closed)
	}
	l, _ := b.Place(wanted(tidings.Critical), 100)
	if l.Calls != 2 {
		t.Fatalf("critical got %d", l.Calls)
	}
	l.Back(2)
	if l, _ := b.Place(wanted(tidings.Critical), 100); l.Calls != 2 {
		t.Fatalf("places given back are gone: %d", l.Calls)
	}
	if one := open(t, tidings.Integration{ID: "a", Parallel: 1}); one.call(wanted(tidings.Bulk), nil) != "a" {
		t.Error("a single place is kept for nobody")
	}
}

func TestTheRateOfTheContractHoldsAndRetryAfterRestsTheIntegration(t *testing.T) {
	b, w := open(t, tidings.Integration{ID: "a", Rate: 2, Burst: 3}), wanted(tidings.Normal)
	l, _ := b.Place(w, 10)
	if l.Calls != 3 {
		t.Fatalf("%d at once", l.Calls)
	}
	if _, closed := b.Place(w, 1); closed.After != 500*time.Millisecond {
		t.Fatalf("%+v", closed)
	}
	b.now = b.now.Add(time.Second)
	if l, _ := b.Place(w, 10); l.Calls != 2 {
		t.Fatalf("%d in the next second", l.Calls)
	}
	l.Done(&tidings.SendError{Outcome: tidings.Busy, Reason: tidings.ProviderBusy, After: 7 * time.Second, Err: silent}, 0)
	if _, closed := b.Place(w, 1); closed.Reason != tidings.ProviderBusy || closed.After != 7*time.Second {
		t.Fatalf("%+v", closed)
	}
}

func TestRetriesHaveABudget(t *testing.T) {
	b, w := open(t, tidings.Integration{ID: "a"}), wanted(tidings.Normal)
	w.Before = []string{"a"}
	n := 0
	for b.call(w, nil) == "a" && n < 1000 {
		n++
	}
	if n != 100 {
		t.Fatalf("%d retries at once", n)
	}
	w.Before = nil
	for range 10 {
		b.call(w, nil)
	}
	w.Before = []string{"a"}
	if b.call(w, nil)+b.call(w, nil) != "aa" || b.call(w, nil) != "" {
		t.Error("ten first attempts pay for two retries")
	}
}

func TestOrderWeightProviderAndApplicationChoose(t *testing.T) {
	all := []tidings.Integration{{ID: "late", Order: 2}, {ID: "a", Order: 1, Weight: 3}, {ID: "b", Order: 1}, {ID: "device", Order: 0, Provider: "bound"}}
	b, w := open(t, all...), wanted(tidings.Normal)
	w.Provider = "loose"
	share := map[string]int{}
	for range 4000 {
		share[b.call(w, nil)]++
	}
	if share["a"] < 2800 || share["a"] > 3200 || share["a"]+share["b"] != 4000 {
		t.Errorf("weights 3 and 1: %v", share)
	}
	w.Tried = []string{"a", "b"}
	if at := b.call(w, nil); at != "late" {
		t.Errorf("after a and b: %q", at)
	}
	w = wanted(tidings.Normal)
	w.Provider = "bound"
	if at := b.call(w, nil); at != "device" {
		t.Errorf("a bound address went to %q", at)
	}
	own := open(t, append(all, tidings.Integration{ID: "own", Order: 9, Application: "shop"}, tidings.Integration{ID: "other", Application: "else"})...)
	if at := own.call(wanted(tidings.Normal), nil); at != "own" {
		t.Errorf("an application with an account of its own was sent over %q", at)
	}
}

// A merchant's system that is down, or a robot that has posted enough, is no reason to keep the others waiting.
func TestTheFaultOfOneAddressIsNotItsProviders(t *testing.T) {
	b, w := open(t, tidings.Integration{ID: "a"}), wanted(tidings.Critical)
	for _, e := range []tidings.SendError{
		{Outcome: tidings.Busy, Reason: tidings.ProviderBusy, After: time.Minute, OfAddress: true},
		{Outcome: tidings.Busy, Reason: tidings.ProviderDown, OfAddress: true},
		{Outcome: tidings.Unknown, Reason: tidings.ProviderSilent, OfAddress: true},
	} {
		b.now = b.now.Add(time.Minute) // each with a retry budget and ten seconds of its own
		for i := range 30 {
			e.Err = errors.New("one address")
			if b.call(w, &e) != "a" {
				t.Fatalf("%s: nothing goes through after %d calls", e.Outcome, i)
			}
		}
	}
}
