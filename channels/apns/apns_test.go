package apns_test

import (
	"errors"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidings"
	"tidings/channels/apns"
	"tidings/channels/channeltest"
	sim "tidings/internal/sim/apns"
)

var (
	device = strings.Repeat("0a", 32)
	gone   = strings.Repeat("0b", 32)

	attempts atomic.Int64
)

func call(body string) tidings.Call {
	n := tidings.ID(attempts.Add(1))
	return tidings.Call{Attempt: n, Message: n, User: "u", Content: tidings.Content{Title: "订单", Body: body},
		Address: tidings.Address{Channel: tidings.App, Value: device, Provider: "apns", Platform: "ios"}}
}

// far is a simulator and a sender that calls it.
type far struct {
	*sim.Simulator
	url    string
	sender tidings.Sender
	now    time.Time // of the sender
	theirs time.Time // of the simulator, if it is not the same
}

func newFar(t *testing.T) *far {
	t.Helper()
	f := &far{now: time.Now()}
	f.Simulator = sim.New(sim.Config{Topic: "com.example.shop", Devices: []string{device}, Gone: []string{gone}, Now: func() time.Time {
		if !f.theirs.IsZero() {
			return f.theirs
		}
		return f.now
	}})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := f.Server()
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	f.url = "http://" + listener.Addr().String()
	f.sender = f.open(t, f.url, func() time.Time { return f.now })
	return f
}

func (f *far) open(t *testing.T, url string, now func() time.Time) tidings.Sender {
	t.Helper()
	s, err := apns.Driver.Open(tidings.Setup{Integration: "ios", Now: now, Values: map[string]string{"key": f.Key(), "key_id": sim.KeyID, "team_id": sim.TeamID,
		"topic": "com.example.shop", "url": url}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.(*apns.Sender).Close)
	return s
}

func (f *far) bodies() (bodies []string) {
	for _, r := range f.Records() {
		bodies = append(bodies, r.Body)
	}
	return bodies
}

func TestItIsASender(t *testing.T) {
	channeltest.Run(t, func(t *testing.T) channeltest.Harness {
		f := newFar(t)
		return channeltest.Harness{
			URL: f.url, New: f.open, Call: call, Seen: f.bodies, AddressInURL: true,
			Refuse: func(c tidings.Call) tidings.Call {
				c.Address.Value = strings.Repeat("0c", 32)
				return c
			},
			Busy:          channeltest.Reply{Status: 429, Header: map[string]string{"Retry-After": "7"}, Body: `{"reason":"TooManyRequests"}`},
			BusyAfter:     7 * time.Second,
			Misconfigured: channeltest.Reply{Status: 403, Body: `{"reason":"InvalidProviderToken"}`},
			Long:          strings.Repeat("订", 1250),
			TooLong:       strings.Repeat("订", 1400),
		}
	})
}

func wantError(t *testing.T, err error) *tidings.SendError {
	t.Helper()
	e, ok := errors.AsType[*tidings.SendError](err)
	if !ok {
		t.Fatalf("%v is no SendError", err)
	}
	return e
}

func TestReasonsAreClassed(t *testing.T) {
	f := newFar(t)
	config := tidings.SendError{Outcome: tidings.Busy, Reason: tidings.Misconfigured, After: time.Minute, Configuration: true}
	wrong := tidings.SendError{Outcome: tidings.Refused, Reason: tidings.ProviderRefused}
	for reason, want := range map[string]tidings.SendError{
		"BadDeviceToken":              {Outcome: tidings.Refused, Reason: tidings.AddressRefused, AddressDead: true},
		"ExpiredToken":                {Outcome: tidings.Refused, Reason: tidings.AddressRefused, AddressDead: true},
		"DeviceTokenNotForTopic":      {Outcome: tidings.Refused, Reason: tidings.AddressRefused},
		"PayloadTooLarge":             {Outcome: tidings.Refused, Reason: tidings.TooLong},
		"BadCollapseId":               wrong,
		"ANewOne":                     wrong,
		"TopicDisallowed":             config,
		"TooManyProviderTokenUpdates": config,
		"TooManyRequests":             {Outcome: tidings.Busy, OfAddress: true, Reason: tidings.ProviderBusy},
		"ServiceUnavailable":          {Outcome: tidings.Busy, Reason: tidings.ProviderBusy},
		"Shutdown":                    {Outcome: tidings.Busy, Reason: tidings.ProviderBusy},
		"InternalServerError":         {Outcome: tidings.Unknown, Reason: tidings.ProviderSilent},
	} {
		f.Fail(sim.Fault{Reason: reason})
		_, err := f.sender.Send(t.Context(), call("x"))
		e := *wantError(t, err)
		if e.Err = nil; e != want {
			t.Errorf("%s: %+v, want %+v", reason, e, want)
		}
	}
	for _, token := range []string{gone, "no token"} {
		c := call("x")
		c.Address.Value = token
		if _, err := f.sender.Send(t.Context(), c); !wantError(t, err).AddressDead {
			t.Errorf("%s: %v", token, err)
		}
	}
	if len(f.Records()) != 0 {
		t.Error("something was taken")
	}
}

func (f *far) send(t *testing.T, c tidings.Call) sim.Record {
	t.Helper()
	accepted, err := f.sender.Send(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	r := f.Records()
	if last := r[len(r)-1]; last.ID == accepted.ProviderID {
		return last
	}
	t.Fatalf("%q is not the apns-id that Apple has", accepted.ProviderID)
	return sim.Record{}
}

func TestOneTokenServesForFiftyMinutesAndAllWorkers(t *testing.T) {
	f := newFar(t)
	f.now = f.now.Truncate(50 * time.Minute)
	first := f.send(t, call("x")).JWT
	f.now = f.now.Add(50*time.Minute - time.Second)
	if got := f.send(t, call("x")).JWT; got != first {
		t.Error("another token within 50 minutes")
	}
	f.sender = f.open(t, f.url, func() time.Time { return f.now }) // another worker
	if got := f.send(t, call("x")).JWT; got != first {
		t.Error("another token in another worker")
	}
	f.now = f.now.Add(time.Second)
	if got := f.send(t, call("x")).JWT; got == first {
		t.Error("the same token after 50 minutes")
	}
}

func TestAnExpiredTokenIsRenewedOnceAndOnlyIfItCanBeOld(t *testing.T) {
	f := newFar(t)
	f.now = f.now.Truncate(50 * time.Minute).Add(30 * time.Minute)
	old := f.send(t, call("first")).JWT
	f.theirs = f.now.Add(31 * time.Minute) // their clock says that it is more than an hour old
	if again := f.send(t, call("second")).JWT; again == old {
		t.Error("the same token")
	}
	fresh := f.now.Truncate(50 * time.Minute).Add(110 * time.Minute) // ten minutes into a token's time
	f.now, f.theirs = fresh, fresh.Add(52*time.Minute)
	_, err := f.sender.Send(t.Context(), call("third"))
	if e := wantError(t, err); !e.Configuration {
		t.Errorf("with a clock that is wrong: %v", err)
	}
	if got := f.bodies(); !slices.Equal(got, []string{"first", "second"}) {
		t.Errorf("%q", got)
	}
}

func TestARepeatReplacesTheFirstOnTheDevice(t *testing.T) {
	f := newFar(t)
	c := call("shipped")
	c.Content.URL, c.ExpiresAt = "https://m.example/17?a=1&b=2", f.now.Add(90*time.Second)
	first := f.send(t, c)
	c.Attempt++
	second := f.send(t, c)
	if first.ID == second.ID {
		t.Error("two attempts have one apns-id")
	}
	long := call("late")
	long.CollapseKey = strings.Repeat("order-17 ", 10)
	third := f.send(t, long)
	if got := f.Shown(device); !slices.Equal(got, []string{"late", "shipped"}) {
		t.Errorf("it shows %q", got)
	}
	if second.Beside["message"] != c.Message.String() || second.Beside["url"] != c.Content.URL || second.Expires != c.ExpiresAt.Unix() {
		t.Errorf("%+v", second)
	}
	if third.Expires != f.now.Add(28*24*time.Hour).Unix() || len(third.Collapse) != 64 {
		t.Errorf("%+v", third)
	}
}

func TestAWrongSettingIsToldByItsName(t *testing.T) {
	key := sim.New(sim.Config{}).Key()
	good := map[string]string{"key": key, "key_id": "K", "team_id": "T", "topic": "com.example.shop", "url": "https://api.push.apple.com"}
	for field, value := range map[string]string{"key": "secret", "key_id": "", "team_id": "", "topic": "", "url": "api.push.apple.com"} {
		values := map[string]string{}
		for k, v := range good {
			values[k] = v
		}
		values[field] = value
		_, err := apns.Driver.Open(tidings.Setup{Values: values, Now: time.Now})
		e, ok := errors.AsType[*tidings.Error](err)
		if !ok || len(e.Fields) != 1 || e.Fields[0].Field != field || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", field, err)
		}
	}
}
