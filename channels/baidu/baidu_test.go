package baidu_test

import (
	"encoding/json"
	"errors"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidings"
	"tidings/channels/baidu"
	"tidings/channels/channeltest"
	sim "tidings/internal/sim/baidu"
)

const (
	device  = "3915728604212165383"
	device2 = "3915728604212165384"
)

var attempts atomic.Int64

func call(body string) tidings.Call {
	n := tidings.ID(attempts.Add(1))
	return tidings.Call{Attempt: n, Message: n, User: "u", Content: tidings.Content{Title: "订单", Body: body},
		Address: tidings.Address{Channel: tidings.App, Value: device, Provider: "baidu", Platform: "android"}}
}

// far is a simulator and a sender that calls it.
type far struct {
	*sim.Simulator
	url    string
	sender *baidu.Sender
}

func newFar(t *testing.T, c sim.Config, platform baidu.Platform) *far {
	t.Helper()
	if len(c.Apps) == 0 {
		c.Apps = []sim.App{{Key: "AK", Secret: "SK~", Android: true, IOS: true}}
	}
	f := &far{Simulator: sim.New(c)}
	f.Bind("AK", device, device2)
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	t.Cleanup(f.Close)
	f.url = server.URL
	f.sender = newSender(t, baidu.Config{URL: server.URL, Key: "AK", Secret: "SK~", Platform: platform, Now: c.Now})
	return f
}

func newSender(t *testing.T, c baidu.Config) *baidu.Sender {
	t.Helper()
	s, err := baidu.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// descriptions are the texts that devices show.
func (f *far) descriptions(t *testing.T) (texts []string) {
	for _, r := range f.Records() {
		var m struct {
			Description string `json:"description"`
			APS         struct {
				Alert struct{ Body string } `json:"alert"`
			} `json:"aps"`
		}
		if err := json.Unmarshal([]byte(r.Msg), &m); err != nil {
			t.Error(err)
		}
		for range r.Channels {
			texts = append(texts, m.Description+m.APS.Alert.Body)
		}
	}
	return texts
}

// The HTTP statuses of Baidu's errors are unknown: nothing may depend on them.
func TestItIsASenderWhateverTheStatusesOfErrorsAre(t *testing.T) {
	for name, c := range map[string]sim.Config{"by kind": {Strict: true}, "always 400": {Plain: 400, NumberID: true}, "always 200": {Plain: 200}} {
		for _, platform := range []string{"android", "ios"} {
			t.Run(name+" "+platform, func(t *testing.T) {
				channeltest.Run(t, func(t *testing.T) channeltest.Harness { return harness(t, newFar(t, c, 0), platform) })
			})
		}
	}
}

func harness(t *testing.T, f *far, platform string) channeltest.Harness {
	return channeltest.Harness{
		URL: f.url,
		New: func(t *testing.T, url string, now func() time.Time) tidings.Sender {
			return newSender(t, baidu.Config{URL: url, Key: "AK", Secret: "SK~", Now: now})
		},
		Call: func(body string) tidings.Call {
			c := call(body)
			c.Address.Platform = platform
			return c
		},
		Seen: func() []string { return f.descriptions(t) },
		Refuse: func(c tidings.Call) tidings.Call {
			c.Address.Value = "1111111111111111"
			return c
		},
		Busy: channeltest.Reply{Status: 503, Header: map[string]string{"Retry-After": "7"},
			Body: `{"request_id":1,"error_code":30699,"error_msg":"Requests Are Too Frequent To Be Temporarily Rejected"}`},
		BusyAfter:     7 * time.Second,
		Misconfigured: channeltest.Reply{Status: 403, Body: `{"request_id":1,"error_code":30603,"error_msg":"Authentication Failed"}`},
		Secrets:       []string{"SK~"},
		Batch: func(body string) channeltest.Batch { // Android's; the far side does not say whom it does not know
			a, b, c := call(body), call(body), call(body)
			b.Message, b.Address.Value = a.Message, device2
			c.Message, c.Address.Value = a.Message, "1111111111111111"
			return channeltest.Batch{Calls: []tidings.Call{a, b, c}, Says: make([]tidings.Outcome, 3), Seen: 2}
		},
		Long:    strings.Repeat("订", 1200),
		TooLong: strings.Repeat("订", 1400),
	}
}

func TestABatchIsOneCallToManyDevices(t *testing.T) {
	f := newFar(t, sim.Config{}, 0)
	a, b, unknown := call("hello"), call("hello"), call("hello")
	b.Message, b.Address.Value = a.Message, device2
	unknown.Message, unknown.Address.Value = a.Message, "1111111111111111"
	malformed := unknown
	malformed.Address.Value = "no channel id"
	for _, result := range f.sender.SendBatch(t.Context(), []tidings.Call{a, b, unknown, malformed}) {
		if result.Err != nil || result.ProviderID == "" {
			t.Fatal(result)
		}
	}
	r := f.Records()
	if len(r) != 1 || len(r[0].Channels) != 2 || r[0].Failed != 2 || r[0].Message != a.Message.String() {
		t.Errorf("%+v", r)
	}
}

func TestABatchOfTenThousandFits(t *testing.T) {
	f := newFar(t, sim.Config{Apps: []sim.App{{Key: "AK", Secret: "SK~", Android: true, AnyDevice: true}}}, 0)
	calls := make([]tidings.Call, f.sender.BatchSize())
	for i := range calls {
		calls[i] = call("hello")
		calls[i].Message, calls[i].Address.Value = 1, strconv.Itoa(1_000_000_000_000+i)
	}
	if err := f.sender.SendBatch(t.Context(), calls)[0].Err; err != nil {
		t.Fatal(err)
	}
	if err := f.sender.SendBatch(t.Context(), append(calls, calls[0]))[0].Err; err == nil {
		t.Error("one more was taken")
	}
	if r := f.Records(); len(r) != 1 || len(r[0].Channels) != 10_000 {
		t.Errorf("%d records", len(r))
	}
}

func TestABatchOfWhatDoesNotBelongTogetherIsNotSent(t *testing.T) {
	f := newFar(t, sim.Config{}, 0)
	one := call("hello")
	for name, change := range map[string]func(*tidings.Call){
		"another message": func(c *tidings.Call) { c.Message++ }, "iOS": func(c *tidings.Call) { c.Address.Platform = "ios" },
	} {
		other := one
		change(&other)
		err := f.sender.SendBatch(t.Context(), []tidings.Call{one, other})[0].Err
		if e, ok := errors.AsType[*tidings.SendError](err); !ok || e.Outcome != tidings.Busy {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(f.Records()) != 0 {
		t.Error("it was sent")
	}
}

func TestADeadDeviceIsToldOfOneAndNotOfABatch(t *testing.T) {
	f := newFar(t, sim.Config{}, 0)
	for _, code := range []string{"30607", "30608", "110001"} {
		f.Fail(sim.Fault{Kind: "reject:" + code, Count: 2})
		_, err := f.sender.Send(t.Context(), call("x"))
		if e, ok := errors.AsType[*tidings.SendError](err); !ok || !e.AddressDead || e.Reason != tidings.AddressRefused {
			t.Errorf("%s: %v", code, err)
		}
		err = f.sender.SendBatch(t.Context(), []tidings.Call{call("x")})[0].Err
		if e, ok := errors.AsType[*tidings.SendError](err); !ok || e.AddressDead || e.Outcome != tidings.Refused {
			t.Errorf("%s of a batch: %v", code, err)
		}
	}
}

func TestExpiryTravelsWithinBaidusBounds(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	f := newFar(t, sim.Config{Now: func() time.Time { return now }}, 0)
	for left, want := range map[time.Duration]int64{time.Millisecond: 1, 90 * time.Second: 90, 30 * 24 * time.Hour: 604_800} {
		f.Reset()
		c := call("x")
		c.ExpiresAt = now.Add(left)
		if _, err := f.sender.Send(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if got := f.Records()[0].MsgExpires; got != want {
			t.Errorf("%v left: %d, want %d", left, got, want)
		}
	}
}

func TestTheMessagesIDAndURLTravelWithThePush(t *testing.T) {
	f := newFar(t, sim.Config{}, 0)
	for _, platform := range []string{"android", "ios"} {
		f.Reset()
		c := call("x < y")
		c.Address.Platform, c.CollapseKey, c.Content.URL = platform, "order-17", "https://m.example/17"
		for range 2 {
			if _, err := f.sender.Send(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
		r := f.Records()[1]
		if r.Message != c.Message.String() || r.Attempt != 2 || !strings.Contains(r.Msg, `"collapse":"order-17"`) || !strings.Contains(r.Msg, "x < y") ||
			!strings.Contains(r.Msg, "https://m.example/17") {
			t.Errorf("%+v", r)
		}
		if d := f.Duplicates(); len(d) != 1 || d[0].Times != 2 {
			t.Errorf("the simulator hides a duplicate: %+v", d)
		}
	}
}

func TestAClockThatIsWrongIsBusyAndNotARefusal(t *testing.T) {
	f := newFar(t, sim.Config{}, 0)
	f.SetClock(time.Hour)
	_, err := f.sender.Send(t.Context(), call("x"))
	if e, ok := errors.AsType[*tidings.SendError](err); !ok || e.Outcome != tidings.Busy || e.After != time.Second {
		t.Error(err)
	}
}

func TestAWrongConfigurationIsToldAtTheStart(t *testing.T) {
	for name, c := range map[string]baidu.Config{"no key": {Secret: "s"}, "no secret": {Key: "k"}, "a path": {URL: "https://a/b", Key: "k", Secret: "s"},
		"no URL": {URL: "api.tuisong.baidu.com", Key: "k", Secret: "s"}, "a platform": {Key: "k", Secret: "s", Platform: 9}} {
		if _, err := baidu.New(c); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	for text, want := range map[string]baidu.Platform{"": 0, "3": baidu.Android, "iOS": baidu.IOS} {
		if got, err := baidu.ParsePlatform(text); got != want || err != nil {
			t.Errorf("%q: %v %v", text, got, err)
		}
	}
	if _, err := baidu.ParsePlatform("5"); err == nil {
		t.Error("device type 5 was taken")
	}
}

func TestAnAddressCanStandForThoseWithATagOrForAll(t *testing.T) {
	f := newFar(t, sim.Config{}, 0)
	f.Bind("AK", "3915728604212165385")
	f.Tag("AK", "收银台 1", device, device2)
	for address, want := range map[string]int{"tag:%E6%94%B6%E9%93%B6%E5%8F%B0%201": 2, "all": 3, device: 1} {
		f.Reset()
		c := call("号外")
		c.Address.Value = address
		if f.sender.Batches(c) != (address == device) {
			t.Errorf("%s in a batch", address)
		}
		accepted, err := f.sender.Send(t.Context(), c)
		if err != nil || accepted.ProviderID == "" || len(f.Records()) != 1 || len(f.Records()[0].Channels) != want {
			t.Errorf("%s: %+v %v %+v", address, accepted, err, f.Records())
		}
	}
	for address, dead := range map[string]bool{"tag:nobody": false, "tag:": true, "tag:%zz": true, "tag:%ff": true, "tag:" + strings.Repeat("x", 129): true, "everyone": true} {
		c := call("号外")
		c.Address.Value = address
		_, err := f.sender.Send(t.Context(), c)
		if e, ok := errors.AsType[*tidings.SendError](err); !ok || e.Outcome != tidings.Refused || e.AddressDead != dead {
			t.Errorf("%s: %+v", address, err)
		}
	}
}
