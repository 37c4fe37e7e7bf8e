package jpush_test

import (
	"errors"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidings"
	"tidings/channels/channeltest"
	"tidings/channels/jpush"
	sim "tidings/internal/sim/jpush"
)

const (
	device  = "170976fa8a0b1c2d3e4"
	device2 = "170976fa8a0b1c2d3e5"
	nobody  = "170976fa8a000000000"
)

var attempts atomic.Int64

func call(body string) tidings.Call {
	n := tidings.ID(attempts.Add(1))
	return tidings.Call{Attempt: n, Message: n, User: "u", Content: tidings.Content{Title: "订单", Body: body},
		Address: tidings.Address{Channel: tidings.App, Value: device, Provider: "jpush", Platform: "android"}}
}

// far is a simulator, and what opens senders that call it.
type far struct {
	*sim.Simulator
	url   string
	now   time.Time
	batch string
	vip   string
}

func newFar(t *testing.T, batch string, rate int) *far {
	t.Helper()
	f := &far{now: time.Now(), batch: batch, vip: "false"}
	f.Simulator = sim.New(sim.Config{Key: "AK", Secret: "MS-secret", Devices: []string{device, device2}, Rate: rate, Now: func() time.Time { return f.now }})
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

func (f *far) open(t *testing.T, url string, now func() time.Time) tidings.Sender {
	t.Helper()
	s, err := jpush.Driver.Open(tidings.Setup{Now: now, Values: map[string]string{"app_key": "AK", "master_secret": "MS-secret", "sandbox": "false", "batch": f.batch, "vip": f.vip,
		"url": url, "report_url": url}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.(interface{ Close() }).Close)
	return s
}

func (f *far) sender(t *testing.T) *jpush.Sender {
	return f.open(t, f.url, func() time.Time { return f.now }).(*jpush.Sender)
}

func (f *far) bodies() (bodies []string) {
	for _, r := range f.Records() {
		bodies = append(bodies, slices.Repeat([]string{r.Body}, len(r.Devices))...)
	}
	return bodies
}

func harness(t *testing.T, batch string) channeltest.Harness {
	f := newFar(t, batch, 0)
	return channeltest.Harness{
		URL: f.url, New: f.open, Call: call, Seen: f.bodies,
		Aside: func(path string) bool { return path == "/v3/push/cid" },
		Refuse: func(c tidings.Call) tidings.Call {
			c.Address.Value = nobody
			return c
		},
		Busy: channeltest.Reply{Status: 429, Header: map[string]string{"X-Rate-Limit-Remaining": "0", "X-Rate-Limit-Reset": "7"},
			Body: `{"error":{"code":2002,"message":"Rate limit exceeded"}}`},
		BusyAfter:     7 * time.Second,
		Misconfigured: channeltest.Reply{Status: 401, Body: `{"error":{"code":1004,"message":"Authen failed"}}`},
		Long:          strings.Repeat("订", 1150),
		TooLong:       strings.Repeat("订", 1200),
		Secrets:       []string{"MS-secret"},
	}
}

func TestItIsASender(t *testing.T) {
	channeltest.Run(t, func(t *testing.T) channeltest.Harness { return harness(t, "false") })
}

func TestItIsASenderOfBatches(t *testing.T) {
	channeltest.Run(t, func(t *testing.T) channeltest.Harness {
		h := harness(t, "true")
		h.FarSide = "batches"
		h.Batch = func(body string) channeltest.Batch { // JPush does not say whom it does not know
			cs := []tidings.Call{call(body), call(body), call(body)}
			for i, d := range []string{device, device2, nobody} {
				cs[i].Message, cs[i].Address.Value = cs[0].Message, d
			}
			return channeltest.Batch{Calls: cs, Says: make([]tidings.Outcome, 3), Seen: 2}
		}
		return h
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

func TestARepeatWithItsKeyIsDroppedByTheFarSide(t *testing.T) {
	f := newFar(t, "false", 0)
	s := f.sender(t)
	key, err := s.Key(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := call("shipped")
	c.Key = key
	f.Fail(sim.Fault{Lose: true})
	_, err = s.Send(t.Context(), c)
	if e := wantError(t, err); e.Outcome != tidings.Unknown {
		t.Fatal(err)
	}
	c.Attempt++
	accepted, err := s.Send(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	r := f.Records()
	if len(r) != 1 || accepted.ProviderID != r[0].ID || r[0].CID != key {
		t.Errorf("the far side took %+v, the repeat got %s", r, accepted.ProviderID)
	}
	c.Key = ""
	if _, err := s.Send(t.Context(), c); err != nil || len(f.Records()) != 2 {
		t.Errorf("without its key it should have come twice: %v", err)
	}
}

func TestKeysComeFromAPoolAndAreNeverOld(t *testing.T) {
	f := newFar(t, "false", 0)
	s := f.sender(t)
	seen := map[string]bool{}
	take := func() {
		t.Helper()
		key, err := s.Key(t.Context())
		if err != nil || seen[key] || !strings.HasPrefix(key, "AK-") {
			t.Fatalf("%q %v", key, err)
		}
		seen[key] = true
	}
	for range 10 {
		take()
	}
	if f.Issued() != 10 {
		t.Errorf("%d for 10", f.Issued())
	}
	take()
	f.now = f.now.Add(12 * time.Hour)
	take()
	if f.Issued() != 30 {
		t.Errorf("%d: those of half a day ago should not be used", f.Issued())
	}
	other := f.open(t, "http://127.0.0.1:1", time.Now).(*jpush.Sender)
	_, err := other.Key(t.Context())
	if e := wantError(t, err); e.Outcome != tidings.Busy {
		t.Errorf("without an answer: %v", err)
	}
}

func TestErrorsAreClassedByTheirCode(t *testing.T) {
	f := newFar(t, "false", 0)
	s := f.sender(t)
	config := tidings.SendError{Outcome: tidings.Busy, Reason: tidings.Misconfigured, After: time.Minute, Configuration: true}
	for fault, want := range map[sim.Fault]tidings.SendError{
		{Code: 1000, Status: 500}: {Outcome: tidings.Unknown, Reason: tidings.ProviderSilent},
		{Code: 1003}:              {Outcome: tidings.Refused, Reason: tidings.ProviderRefused},
		{Code: 1004, Status: 401}: config,
		{Code: 1005}:              {Outcome: tidings.Refused, Reason: tidings.TooLong},
		{Code: 1008}:              config,
		{Code: 1011}:              {Outcome: tidings.Refused, Reason: tidings.AddressRefused, AddressDead: true},
		{Code: 1030, Status: 503}: {Outcome: tidings.Unknown, Reason: tidings.ProviderSilent},
		{Code: 2002, Status: 429}: {Outcome: tidings.Busy, Reason: tidings.ProviderBusy},
		{Code: 2003, Status: 403}: config,
		{Code: 9999}:              {Outcome: tidings.Refused, Reason: tidings.ProviderRefused},
		{Code: 9999, Status: 502}: {Outcome: tidings.Unknown, Reason: tidings.ProviderSilent},
	} {
		f.Fail(fault)
		_, err := s.Send(t.Context(), call("x"))
		e := *wantError(t, err)
		if e.Err = nil; e != want {
			t.Errorf("%+v: %+v, want %+v", fault, e, want)
		}
	}
}

func TestAnAccountWhoseMinuteIsUsedUpRestsUntilTheNext(t *testing.T) {
	f := newFar(t, "false", 1)
	f.now = f.now.Truncate(time.Minute).Add(48 * time.Second)
	s := f.sender(t)
	if _, err := s.Send(t.Context(), call("x")); err != nil {
		t.Fatal(err)
	}
	_, err := s.Send(t.Context(), call("x"))
	if e := wantError(t, err); e.Outcome != tidings.Busy || e.After != 12*time.Second {
		t.Errorf("%v after %v", err, e.After)
	}
}

func TestWhatTravelsWithAPush(t *testing.T) {
	f := newFar(t, "false", 0)
	s := f.sender(t)
	for platform, want := range map[string][]string{"android": {"android"}, "ios": {"ios"}, "harmony": {"hmos"}, "": {"android", "hmos", "ios"}} {
		c := call("x")
		c.Address.Platform, c.CollapseKey, c.Content.URL, c.ExpiresAt = platform, "order-17", "https://m.example/17", f.now.Add(90*time.Second)
		if _, err := s.Send(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		records := f.Records()
		r := records[len(records)-1]
		slices.Sort(r.Platforms)
		if !slices.Equal(r.Platforms, want) || r.Extras["message"] != c.Message.String() || r.Extras["url"] != c.Content.URL ||
			r.Options["time_to_live"] != 90.0 || r.Options["apns_collapse_id"] != "order-17" || r.Options["apns_production"] != true {
			t.Errorf("%q: %+v", platform, r)
		}
	}
}

func TestTheReportTellsOfOneDevice(t *testing.T) {
	f := newFar(t, "false", 0)
	f.vip = "true"
	s := f.open(t, f.url, func() time.Time { return f.now }).(*jpush.VIP)
	c := call("x")
	accepted, err := s.Send(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	q := tidings.Question{Attempt: c.Attempt, ProviderID: accepted.ProviderID, Address: c.Address, At: f.now}
	for status, want := range map[int]tidings.ReceiptKind{0: tidings.ReceiptDelivered, 1: "", 2: tidings.ReceiptNotDelivered, 3: tidings.ReceiptNotDelivered} {
		f.Report(q.ProviderID, device, status)
		if r, err := s.Query(t.Context(), q); err != nil || r.Kind != want || r.Attempt != c.Attempt {
			t.Errorf("%d: %+v %v", status, r, err)
		}
	}
	f.Report(q.ProviderID, device, 4)
	if _, err := s.Query(t.Context(), q); err == nil {
		t.Error("an error was taken for an answer")
	}
	if r, err := s.Query(t.Context(), tidings.Question{Attempt: c.Attempt, Address: c.Address}); err != nil || r.Kind != "" {
		t.Errorf("of a push without an id: %+v %v", r, err)
	}
}

func TestAWrongSettingIsToldByItsName(t *testing.T) {
	good := map[string]string{"app_key": "a", "master_secret": "m", "sandbox": "false", "batch": "false", "vip": "false", "url": "https://a", "report_url": "https://r"}
	for field, value := range map[string]string{"app_key": "", "master_secret": "", "sandbox": "maybe", "batch": "x", "vip": "x", "url": "a", "report_url": "r"} {
		values := maps.Clone(good)
		values[field] = value
		_, err := jpush.Driver.Open(tidings.Setup{Values: values, Now: time.Now})
		if e, ok := errors.AsType[*tidings.Error](err); !ok || len(e.Fields) != 1 || e.Fields[0].Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}
