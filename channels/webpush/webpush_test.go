package webpush_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	push "github.com/SherClockHolmes/webpush-go"

	"tidings"
	"tidings/channels/channeltest"
	"tidings/channels/webpush"
	sim "tidings/internal/sim/webpush"
)

var attempts atomic.Int64

type far struct {
	*sim.Simulator
	url     string
	private string
}

func newFar(t *testing.T) *far {
	t.Helper()
	private, public, err := push.GenerateVAPIDKeys()
	if err != nil {
		t.Fatal(err)
	}
	s, err := sim.New(public)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.URL = server.URL
	return &far{s, server.URL + "/push/1", private}
}

func (f *far) open(t *testing.T, now func() time.Time, networks string) tidings.Sender {
	t.Helper()
	s, err := webpush.Driver.Open(tidings.Setup{Now: now, Values: map[string]string{"private_key": f.private, "subscriber": "mailto:push@acme.example", "networks": networks}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.(*webpush.Sender).Close)
	return s
}

func (f *far) call(body string) tidings.Call {
	n := tidings.ID(attempts.Add(1))
	return tidings.Call{Attempt: n, Message: n, User: "u", Content: tidings.Content{Title: "订单", Body: body},
		Address: tidings.Address{Channel: tidings.App, Provider: tidings.WebPush, Value: f.Subscription(f.url)}}
}

func (f *far) bodies() (bodies []string) {
	for _, r := range f.Records() {
		var p struct{ Body string }
		if err := json.Unmarshal(r.Data, &p); err != nil {
			bodies = append(bodies, err.Error())
		}
		bodies = append(bodies, p.Body)
	}
	return bodies
}

func TestItIsASender(t *testing.T) {
	channeltest.Run(t, func(t *testing.T) channeltest.Harness {
		f := newFar(t)
		return channeltest.Harness{
			URL: f.url, Seen: f.bodies, StatusOnly: true, Call: f.call,
			New: func(t *testing.T, _ string, now func() time.Time) tidings.Sender {
				return f.open(t, now, "127.0.0.0/8")
			},
			Aim: func(c tidings.Call, url string) tidings.Call {
				f.URL = strings.TrimSuffix(url, "/push/1") // tokens are for the host that is called
				c.Address.Value = f.Subscription(url)
				return c
			},
			Refuse: func(c tidings.Call) tidings.Call {
				c.Address.Value = strings.Replace(c.Address.Value, "/push/1", "/gone", 1)
				return c
			},
			Busy:          channeltest.Reply{Status: 429, Header: map[string]string{"Retry-After": "7"}},
			BusyAfter:     7 * time.Second,
			Misconfigured: channeltest.Reply{Status: 403, Body: "the key is another"},
			Long:          strings.Repeat("订", 1290),
			TooLong:       strings.Repeat("订", 1340),
		}
	})
}

func TestAPushIsWholeAndAWaitingOneIsReplaced(t *testing.T) {
	f := newFar(t)
	now := time.Now()
	s := f.open(t, func() time.Time { return now }, "127.0.0.1")
	c := f.call("<b>&")
	c.Content.URL, c.ExpiresAt = "https://m.example/1?a=1&b=2", now.Add(90*time.Second)
	for range 2 {
		if _, err := s.Send(t.Context(), c); err != nil {
			t.Fatal(err, f.Wrong())
		}
		now = now.Add(time.Second)
	}
	other := f.call("late")
	other.CollapseKey = "order-17"
	if a, err := s.Send(t.Context(), other); err != nil || a.ProviderID == "" {
		t.Fatal(a, err)
	}
	r := f.Records()
	if r[0].Topic == "" || r[0].Topic != r[1].Topic || r[0].Topic == r[2].Topic || r[0].TTL != 90 || r[2].TTL != 28*24*3600 || r[0].Urgency != "high" {
		t.Errorf("%+v", r)
	}
	var p struct{ Message, Title, Body, URL, Tag string }
	if err := json.Unmarshal(r[0].Data, &p); err != nil || p.Message != c.Message.String() || p.URL != c.Content.URL || p.Body != "<b>&" || p.Tag != p.Message {
		t.Errorf("%s", r[0].Data)
	}
}

func TestTheLargestPushFits(t *testing.T) {
	f := newFar(t)
	s := f.open(t, time.Now, "127.0.0.1")
	c := f.call("")
	for size, want := range map[int]string{3993: "accepted", 3994: "refused, too_long"} {
		c.Content.Body = ""
		c.Content.Body = strings.Repeat("x", size-len(`{"message":"","title":"订单","body":"","tag":""}`)-2*len(c.Message.String()))
		if _, err := s.Send(t.Context(), c); channeltest.Said(err) != want {
			t.Errorf("%d: %v, want %s, %v", size, err, want, f.Wrong())
		}
	}
}

func TestAnswersAreClassedByTheirStatus(t *testing.T) {
	var status int
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	defer server.Close()
	f := newFar(t)
	s := f.open(t, time.Now, "127.0.0.1")
	c := f.call("x")
	c.Address.Value = f.Subscription(server.URL)
	for code, want := range map[int]tidings.SendError{
		400: {Outcome: tidings.Refused, Reason: tidings.ProviderRefused}, 404: {Outcome: tidings.Refused, Reason: tidings.AddressRefused, AddressDead: true},
		410: {Outcome: tidings.Refused, Reason: tidings.AddressRefused, AddressDead: true}, 413: {Outcome: tidings.Refused, Reason: tidings.TooLong},
		429: {Outcome: tidings.Busy, Reason: tidings.ProviderBusy}, 500: {Outcome: tidings.Unknown, Reason: tidings.ProviderSilent},
		503: {Outcome: tidings.Busy, Reason: tidings.ProviderBusy},
	} {
		status = code
		_, err := s.Send(t.Context(), c)
		e, ok := errors.AsType[*tidings.SendError](err)
		if !ok {
			t.Fatalf("%d: %v", code, err)
		}
		got := *e
		want.OfAddress = true
		if got.Err = nil; got != want {
			t.Errorf("%d: %+v", code, got)
		}
	}
}

func TestOurOwnNetworkAndBadKeysAreRefused(t *testing.T) {
	f := newFar(t)
	if _, err := f.open(t, time.Now, "10.0.0.0/8").Send(t.Context(), f.call("x")); channeltest.Said(err) != "refused, address_refused" {
		t.Error(err)
	}
	c := f.call("x")
	var sub map[string]any
	if err := json.Unmarshal([]byte(c.Address.Value), &sub); err != nil {
		t.Fatal(err)
	}
	sub["keys"].(map[string]any)["p256dh"] = "B" + strings.Repeat("A", 86) // 65 bytes, and no point
	text, err := json.Marshal(sub)
	if err != nil {
		t.Fatal(err)
	}
	c.Address.Value = string(text)
	_, err = f.open(t, time.Now, "127.0.0.1").Send(t.Context(), c)
	if e, ok := errors.AsType[*tidings.SendError](err); !ok || !e.AddressDead {
		t.Error(err)
	}
	if len(f.Records()) != 0 {
		t.Error("it was called")
	}
	for field, value := range map[string]string{"private_key": "x", "subscriber": "acme", "networks": "here"} {
		values := map[string]string{"private_key": f.private, "subscriber": "a@acme.example"}
		values[field] = value
		_, err := webpush.Driver.Open(tidings.Setup{Now: time.Now, Values: values})
		e, ok := errors.AsType[*tidings.Error](err)
		if !ok || len(e.Fields) != 1 || e.Fields[0].Field != field || field == "private_key" && strings.Contains(err.Error(), f.private) {
			t.Errorf("%s: %v", field, err)
		}
	}
}
