package fcm_test

import (
	"errors"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidings"
	"tidings/channels/channeltest"
	"tidings/channels/fcm"
	sim "tidings/internal/sim/fcm"
)

const device = "cRF3:APA91bEdevice_0123456789"

var attempts atomic.Int64

func call(body string) tidings.Call {
	n := tidings.ID(attempts.Add(1))
	return tidings.Call{Attempt: n, Message: n, User: "u", Content: tidings.Content{Title: "订单", Body: body},
		Address: tidings.Address{Channel: tidings.App, Value: device, Provider: "fcm", Platform: "android"}}
}

// far is a simulator and a sender that calls it.
type far struct {
	*sim.Simulator
	url    string
	sender tidings.Sender
	now    time.Time
}

func newFar(t *testing.T) *far {
	t.Helper()
	f := &far{now: time.Now()}
	f.Simulator = sim.New(sim.Config{Project: "shop", Devices: []string{device}, Now: func() time.Time { return f.now }})
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	f.url = server.URL
	f.sender = f.open(t, f.url, func() time.Time { return f.now })
	return f
}

func (f *far) open(t *testing.T, url string, now func() time.Time) tidings.Sender {
	t.Helper()
	s, err := fcm.Driver.Open(tidings.Setup{Now: now, Values: map[string]string{"service_account": f.ServiceAccount(f.url), "url": url}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.(*fcm.Sender).Close)
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
			URL: f.url, New: f.open, Call: call, Seen: f.bodies,
			Refuse: func(c tidings.Call) tidings.Call {
				c.Address.Value = "cRF3:APA91bEnobody_0123456789"
				return c
			},
			Busy: channeltest.Reply{Status: 503, Header: map[string]string{"Retry-After": "7"},
				Body: `{"error":{"code":503,"status":"UNAVAILABLE","details":[{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"UNAVAILABLE"}]}}`},
			BusyAfter:     7 * time.Second,
			Misconfigured: channeltest.Reply{Status: 403, Body: `{"error":{"code":403,"status":"PERMISSION_DENIED","message":"no permission"}}`},
			Long:          strings.Repeat("订", 1300),
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

func TestErrorsAreClassedByTheirCode(t *testing.T) {
	f := newFar(t)
	for code, want := range map[string]tidings.SendError{
		"UNREGISTERED":           {Outcome: tidings.Refused, Reason: tidings.AddressRefused, AddressDead: true},
		"SENDER_ID_MISMATCH":     {Outcome: tidings.Refused, Reason: tidings.AddressRefused},
		"INVALID_ARGUMENT":       {Outcome: tidings.Refused, Reason: tidings.ProviderRefused},
		"QUOTA_EXCEEDED":         {Outcome: tidings.Busy, Reason: tidings.ProviderBusy, After: time.Minute},
		"UNAVAILABLE":            {Outcome: tidings.Busy, Reason: tidings.ProviderBusy, After: 7 * time.Second},
		"INTERNAL":               {Outcome: tidings.Unknown, Reason: tidings.ProviderSilent},
		"THIRD_PARTY_AUTH_ERROR": {Outcome: tidings.Busy, Reason: tidings.Misconfigured, After: time.Minute, Configuration: true, OfAddress: true},
		"A_NEW_ONE":              {Outcome: tidings.Unknown, Reason: tidings.ProviderSilent}, // with 500
	} {
		f.Fail(sim.Fault{Code: code, RetryAfter: 7})
		_, err := f.sender.Send(t.Context(), call("x"))
		e := *wantError(t, err)
		if e.Err = nil; e != want {
			t.Errorf("%s: %+v, want %+v", code, e, want)
		}
	}
	c := call("x")
	c.Address.Value = "short"
	if _, err := f.sender.Send(t.Context(), c); !wantError(t, err).AddressDead {
		t.Errorf("what never was a registration token: %v", err)
	}
	if len(f.Records()) != 0 {
		t.Error("something was taken")
	}
}

func TestAnAccessTokenServesManyCallsAndIsFetchedBeforeItEnds(t *testing.T) {
	f := newFar(t)
	send := func() {
		t.Helper()
		if _, err := f.sender.Send(t.Context(), call("x")); err != nil {
			t.Fatal(err)
		}
	}
	send()
	send()
	if f.Issued() != 1 {
		t.Errorf("%d tokens for two calls", f.Issued())
	}
	f.now = f.now.Add(59*time.Minute + time.Second)
	send()
	if f.Issued() != 2 {
		t.Errorf("%d tokens, want a second one before the first ends", f.Issued())
	}
}

func TestARefusedAccessTokenIsReplacedOnce(t *testing.T) {
	f := newFar(t)
	if _, err := f.sender.Send(t.Context(), call("first")); err != nil {
		t.Fatal(err)
	}
	f.Revoke()
	if _, err := f.sender.Send(t.Context(), call("second")); err != nil {
		t.Fatal(err)
	}
	if f.Issued() != 2 || !slices.Equal(f.bodies(), []string{"first", "second"}) {
		t.Errorf("%d tokens, %q", f.Issued(), f.bodies())
	}
	f.Fail(sim.Fault{Code: "UNAUTHENTICATED", Plain: true, Count: 5})
	_, err := f.sender.Send(t.Context(), call("third"))
	if e := wantError(t, err); !e.Configuration || e.Outcome != tidings.Busy || f.Issued() != 3 {
		t.Errorf("%v after %d tokens", err, f.Issued())
	}
}

func TestARepeatReplacesTheFirstOnTheDevice(t *testing.T) {
	f := newFar(t)
	c := call("shipped")
	c.Content.URL, c.ExpiresAt = "https://m.example/17?a=1&b=2", f.now.Add(90*time.Second)
	for range 2 {
		if _, err := f.sender.Send(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	long := call("late")
	long.CollapseKey, long.ExpiresAt = strings.Repeat("order-17 ", 10), f.now.Add(60*24*time.Hour)
	if _, err := f.sender.Send(t.Context(), long); err != nil {
		t.Fatal(err)
	}
	if got := f.Shown(device); !slices.Equal(got, []string{"late", "shipped"}) {
		t.Errorf("it shows %q", got)
	}
	r := f.Records()
	if r[1].Data["message"] != c.Message.String() || r[1].Data["url"] != c.Content.URL || r[1].TTL != "90s" || r[1].APNS["apns-collapse-id"] != c.Message.String() {
		t.Errorf("%+v", r[1])
	}
	if r[2].Collapse != long.CollapseKey || r[2].TTL != "2419200s" || len(r[2].APNS["apns-collapse-id"]) != 64 {
		t.Errorf("%+v", r[2])
	}
}

func TestAWrongSettingIsToldByItsName(t *testing.T) {
	good := sim.New(sim.Config{Project: "shop"}).ServiceAccount("https://oauth2.example")
	for field, values := range map[string]map[string]string{
		"service_account": {"service_account": "secret", "url": "https://fcm.example"},
		"project":         {"service_account": strings.Replace(good, `"shop"`, `""`, 1), "url": "https://fcm.example"},
		"url":             {"service_account": good, "url": "fcm.example"},
		"token_url":       {"service_account": good, "url": "https://fcm.example", "token_url": "x"},
	} {
		_, err := fcm.Driver.Open(tidings.Setup{Values: values, Now: time.Now})
		e, ok := errors.AsType[*tidings.Error](err)
		if !ok || len(e.Fields) != 1 || e.Fields[0].Field != field || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", field, err)
		}
	}
}
