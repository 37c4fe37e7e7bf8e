package huawei_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidings"
	"tidings/channels/channeltest"
	"tidings/channels/huawei"
	sim "tidings/internal/sim/huawei"
)

const (
	device  = "IQAAAACy0tYAAA_device1"
	device2 = "IQAAAACy0tYAAA_device2"
	nobody  = "IQAAAACy0tYAAA_nobody0"
	secret  = "a-callback-secret"
)

var attempts atomic.Int64

func call(body string) tidings.Call {
	n := tidings.ID(attempts.Add(1))
	return tidings.Call{Attempt: n, Message: n, User: "u", Content: tidings.Content{Title: "订单", Body: body},
		Address: tidings.Address{Channel: tidings.App, Value: device, Provider: "huawei", Platform: "harmony"}}
}

// far is a simulator, and what opens senders that call it.
type far struct {
	*sim.Simulator
	url, api, batch string
	now             time.Time
}

func newFar(t *testing.T, api, batch string) *far {
	t.Helper()
	f := &far{api: api, batch: batch, now: time.Now()}
	f.Simulator = sim.New(sim.Config{App: "1001", Secret: "app-secret", Project: "2002", Devices: []string{device, device2}, Now: func() time.Time { return f.now }})
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

func (f *far) open(t *testing.T, url string, now func() time.Time) tidings.Sender {
	t.Helper()
	tokens := f.url + "/oauth2/v3/token"
	if f.api == "v3" {
		tokens = "https://oauth-login.cloud.huawei.com/oauth2/v3/token"
	}
	s, err := huawei.Driver.Open(tidings.Setup{Now: now, Values: map[string]string{"api": f.api, "app_id": "1001", "app_secret": "app-secret",
		"service_account": f.ServiceAccount(), "batch": f.batch, "url": url, "token_url": tokens, "callback_user": "me", "callback_secret": secret}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.(interface{ Close() }).Close)
	return s
}

func (f *far) bodies() (bodies []string) {
	for _, r := range f.Records() {
		bodies = append(bodies, slices.Repeat([]string{r.Body}, len(r.Tokens))...)
	}
	return bodies
}

func TestItIsASender(t *testing.T) {
	for _, api := range []string{"v1", "v3"} {
		for _, batch := range []string{"false", "true"} {
			t.Run(api+" "+batch, func(t *testing.T) {
				channeltest.Run(t, func(t *testing.T) channeltest.Harness {
					f := newFar(t, api, batch)
					h := channeltest.Harness{
						FarSide: api + map[string]string{"true": ", batches"}[batch],
						URL:     f.url, New: f.open, Call: call, Seen: f.bodies,
						Refuse: func(c tidings.Call) tidings.Call {
							c.Address.Value = nobody
							return c
						},
						Busy: channeltest.Reply{Status: 503, Header: map[string]string{"Retry-After": "7"},
							Body: `{"code":"80600003","msg":"busy","requestId":"1"}`},
						BusyAfter:     7 * time.Second,
						Misconfigured: channeltest.Reply{Status: 400, Body: `{"code":"80300002","msg":"no permission","requestId":"1"}`},
						Long:          strings.Repeat("订", 1150),
						TooLong:       strings.Repeat("订", 1400),
						Secrets:       []string{"app-secret", secret},
					}
					if batch == "true" {
						h.Batch = func(body string) channeltest.Batch {
							cs := []tidings.Call{call(body), call(body), call(body)}
							for i, d := range []string{device, nobody, device2} {
								cs[i].Message, cs[i].Address.Value = cs[0].Message, d
							}
							return channeltest.Batch{Calls: cs, Says: []tidings.Outcome{"", tidings.Refused, ""}, Seen: 2}
						}
					}
					return h
				})
			})
		}
	}
}

func TestErrorsAreClassedByTheirCode(t *testing.T) {
	f := newFar(t, "v1", "false")
	s := f.open(t, f.url, func() time.Time { return f.now })
	for code, want := range map[string]tidings.SendError{
		"80100016": {Outcome: tidings.Refused, Reason: tidings.ProviderRefused},
		"80300007": {Outcome: tidings.Refused, Reason: tidings.AddressRefused, AddressDead: true},
		"80300008": {Outcome: tidings.Refused, Reason: tidings.TooLong},
		"80300002": {Outcome: tidings.Busy, Reason: tidings.Misconfigured, After: time.Minute, Configuration: true},
		"80600003": {Outcome: tidings.Busy, Reason: tidings.ProviderBusy},
		"81000001": {Outcome: tidings.Unknown, Reason: tidings.ProviderSilent},
	} {
		f.Fail(code)
		_, err := s.Send(t.Context(), call("x"))
		e, ok := errors.AsType[*tidings.SendError](err)
		if !ok {
			t.Fatal(code, err)
		}
		got := *e
		if got.Err = nil; got != want {
			t.Errorf("%s: %+v, want %+v", code, got, want)
		}
	}
	issued := f.Issued()
	f.Revoke()
	if _, err := s.Send(t.Context(), call("with a new token")); err != nil || f.Issued() != issued+1 {
		t.Errorf("%v, %d tokens", err, f.Issued()-issued)
	}
}

func TestAReportIsReadIfItIsSigned(t *testing.T) {
	f := newFar(t, "v3", "false")
	s := f.open(t, f.url, time.Now).(*huawei.Sender)
	attempt := tidings.ID(77)
	body := `{"statuses":[{"biTag":"` + attempt.String() + `","requestId":"r","deliveryStatus":{"result":0,"timestamp":1}},
		{"biTag":"` + attempt.String() + `","requestId":"r","status":6},{"biTag":"message-1","requestId":"r","status":0}]}`
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("1563000001261" + "nonce" + "me"))
	value := base64.StdEncoding.EncodeToString(mac.Sum(nil))
	header := map[string][]string{"X-Huawei-Callback-Id": {"timestamp=1563000001261; nonce=nonce; value=" + value}}
	receipts, answer, err := s.Report(tidings.Report{Header: header, Body: []byte(body)})
	if err != nil || len(receipts) != 2 || receipts[0].Attempt != attempt || receipts[0].Kind != tidings.ReceiptDelivered ||
		receipts[1].Kind != tidings.ReceiptNotDelivered || !strings.Contains(answer.Body, `"0"`) {
		t.Errorf("%+v %+v %v", receipts, answer, err)
	}
	for _, h := range []string{"", "timestamp=1563000001262;nonce=nonce;value=" + value, "timestamp=1563000001261;nonce=nonce;value="} {
		if _, _, err := s.Report(tidings.Report{Header: map[string][]string{"X-Huawei-Callback-Id": {h}}, Body: []byte(body)}); err == nil {
			t.Errorf("%q was taken for signed", h)
		}
	}
}
