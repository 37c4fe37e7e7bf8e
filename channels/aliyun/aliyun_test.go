package aliyun

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidings"
	"tidings/channels/channeltest"
	"tidings/channels/once"
	sim "tidings/internal/sim/aliyun"
	"tidings/internal/sim/phones"
)

var attempts atomic.Int64

func call(body string) tidings.Call {
	n := tidings.ID(attempts.Add(1))
	return tidings.Call{Attempt: n, Message: n, Content: tidings.Content{Body: body}, Address: tidings.Address{Channel: tidings.SMS, Value: "+8613800138000"},
		Template: &tidings.CallTemplate{Code: "SMS_1", Signature: "望京店", Params: []tidings.Param{{Name: "text", Value: body}}}}
}

func values(url string) map[string]string {
	return map[string]string{"key": "AK", "secret": "SK-very-secret", "url": url}
}

func newSender(t *testing.T, url string, now func() time.Time) *Sender {
	t.Helper()
	s, err := Driver.Open(tidings.Setup{Values: values(url), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.(*Sender).Close)
	return s.(*Sender)
}

func newFar(t *testing.T, report string) (*sim.Simulator, string) {
	t.Helper()
	f := sim.New(sim.Config{Key: "AK", Secret: "SK-very-secret", Signature: "望京店", Template: "SMS_1", ReportURL: report})
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	t.Cleanup(f.Close)
	return f, server.URL
}

func TestItIsASender(t *testing.T) {
	channeltest.Run(t, func(t *testing.T) channeltest.Harness {
		f, address := newFar(t, "")
		return channeltest.Harness{
			URL:  address,
			New:  func(t *testing.T, url string, now func() time.Time) tidings.Sender { return newSender(t, url, now) },
			Call: call,
			Seen: func() (texts []string) {
				for _, r := range f.Records() {
					texts = append(texts, r.Params["text"])
				}
				return texts
			},
			Refuse: func(c tidings.Call) tidings.Call { c.Address.Value = "+8612345678901"; return c },
			Busy: channeltest.Reply{Status: 429, Header: map[string]string{"Retry-After": "7"},
				Body: `{"Code":"Throttling.User","Message":"Request was denied due to user flow control.","RequestId":"0"}`},
			BusyAfter:     7 * time.Second,
			Misconfigured: channeltest.Reply{Status: 400, Body: `{"Code":"SignatureDoesNotMatch","Message":"","RequestId":"0"}`},
			Long:          strings.Repeat("望京", 67*5-10) + "终",
			LongParts:     10,
			TooLong:       strings.Repeat("中", 671),
			Secrets:       []string{"SK-very-secret"},
		}
	})
}

func TestTheSignatureIsTheOneThatAliyunPrints(t *testing.T) {
	h := http.Header{}
	at := time.Date(2023, 10, 26, 10, 22, 32, 0, time.UTC)
	signer{"YourAccessKeyId", "YourAccessKeySecret"}.add(h, "ecs.cn-shanghai.aliyuncs.com", "RunInstances", "2014-05-26",
		"ImageId=win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd&RegionId=cn-shanghai", nil, at, "3156853299f313e23d1673dc12e1703d")
	if got := h.Get("Authorization"); !strings.HasSuffix(got, "Signature=06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0") {
		t.Error(got)
	}
}

func TestACodeDecidesWhateverTheHTTPStatus(t *testing.T) {
	for code, want := range verdicts {
		for _, status := range []int{200, 400, 403, 429, 500, 503} {
			var r reply
			err := decode(once.Answer{Status: status, Body: []byte(`{"Code":"` + code + `","Message":"m 13800138000"}`)}, &r)
			e, ok := errors.AsType[*tidings.SendError](err)
			if !ok || e.Outcome != want.Outcome || e.Reason != want.Reason || e.AddressDead != want.AddressDead || e.Configuration != want.Configuration || e.After != want.After {
				t.Fatalf("%s with %d: %v", code, status, err)
			}
			if strings.Contains(e.Error(), "13800138000") {
				t.Fatalf("a number stands in %v", e)
			}
		}
	}
	for body, want := range map[string]tidings.Outcome{`{"Code":"isv.NEW"}`: tidings.Refused, `{"Code":"Throttling.Api"}`: tidings.Busy, "": tidings.Unknown,
		"{}": tidings.Unknown, `{"Code":"OK"`: tidings.Unknown, "[]": tidings.Unknown} {
		var r reply
		err := decode(once.Answer{Status: 200, Body: []byte(body)}, &r)
		if e, ok := errors.AsType[*tidings.SendError](err); !ok || e.Outcome != want {
			t.Errorf("%q: %v", body, err)
		}
	}
}

func TestWithoutATemplateOfTheProvidersNothingIsSent(t *testing.T) {
	f, address := newFar(t, "")
	s := newSender(t, address, time.Now)
	none, unsigned := call("x"), call("x")
	none.Template, unsigned.Template.Signature = nil, ""
	for _, c := range []tidings.Call{none, unsigned} {
		_, err := s.Send(t.Context(), c)
		if e, ok := errors.AsType[*tidings.SendError](err); !ok || e.Outcome != tidings.Refused || e.Reason != tidings.Misconfigured || e.Configuration {
			t.Error(err)
		}
	}
	if len(f.Records()) != 0 {
		t.Error("it was sent")
	}
}

func TestReportsAndQuestionsFindTheirAttempt(t *testing.T) {
	reports := make(chan []byte, 10)
	door := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body := make([]byte, r.ContentLength)
		r.Body.Read(body)
		reports <- body
	}))
	t.Cleanup(door.Close)
	f, address := newFar(t, door.URL)
	s := newSender(t, address, time.Now)
	for fault, want := range map[string]tidings.ReceiptKind{"": tidings.ReceiptDelivered, "undelivered": tidings.ReceiptNotDelivered, "reset_after_accept": tidings.ReceiptDelivered} {
		f.Fail(phones.Fault{Kind: fault})
		c := call("hello")
		accepted, err := s.Send(t.Context(), c)
		if (err != nil) != (fault == "reset_after_accept") {
			t.Fatal(err)
		}
		got, answer, err := s.Report(tidings.Report{Body: <-reports})
		if err != nil || len(got) != 1 || got[0].Attempt != c.Attempt || got[0].Kind != want || answer.Body != `{"code":0,"msg":"kept"}` {
			t.Errorf("%s: %+v %+v %v", fault, got, answer, err)
		}
		r, err := s.Query(t.Context(), tidings.Question{Attempt: c.Attempt, ProviderID: accepted.ProviderID, Address: c.Address, At: time.Now()})
		if err != nil || r.Kind != want || r.Attempt != c.Attempt {
			t.Errorf("%s, asked: %+v %v", fault, r, err)
		}
	}
	// One whose answer was lost, behind more to the same number on its day than a page holds.
	_, address = newFar(t, "")
	s = newSender(t, address, time.Now)
	var last tidings.Call
	for range 60 {
		last = call("")
		if _, err := s.Send(t.Context(), last); err != nil {
			t.Fatal(err)
		}
	}
	if r, err := s.Query(t.Context(), tidings.Question{Attempt: last.Attempt, Address: last.Address, At: time.Now()}); err != nil || r.Kind == "" || r.Attempt != last.Attempt {
		t.Errorf("on the second page: %+v %v", r, err)
	}
	if r, err := s.Query(t.Context(), tidings.Question{Attempt: 1 << 40, Address: call("").Address, At: time.Now()}); err != nil || r.Kind != "" {
		t.Errorf("another attempt: %+v %v", r, err)
	}
	for _, body := range []string{"", "{}", `[{"out_id":"x"}]`} {
		if _, _, err := s.Report(tidings.Report{Body: []byte(body)}); tidings.CodeOf(err) != tidings.Invalid {
			t.Errorf("%q: %v", body, err)
		}
	}
}

func TestWrongSettingsAreNamed(t *testing.T) {
	for _, field := range []string{"key", "secret", "url"} {
		v := values("https://dysmsapi.aliyuncs.com")
		v[field] = ""
		if _, err := Driver.Open(tidings.Setup{Values: v, Now: time.Now}); tidings.CodeOf(err) != tidings.Invalid || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}
