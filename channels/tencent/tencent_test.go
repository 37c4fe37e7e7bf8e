package tencent

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidings"
	"tidings/channels/channeltest"
	"tidings/channels/once"
	"tidings/internal/sim/phones"
	sim "tidings/internal/sim/tencent"
)

var attempts atomic.Int64

func call(body string) tidings.Call {
	n := tidings.ID(attempts.Add(1))
	return tidings.Call{Attempt: n, Message: n, Content: tidings.Content{Body: body}, Address: tidings.Address{Channel: tidings.SMS, Value: "+8613800138000"},
		Template: &tidings.CallTemplate{Code: "449739", Signature: "望京店", Params: []tidings.Param{{Name: "text", Value: body}}}}
}

func values(url string) map[string]string {
	return map[string]string{"key": "AKID", "secret": "SK-very-secret", "app": "1400000001", "region": "ap-guangzhou", "url": url}
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
	f := sim.New(sim.Config{Key: "AKID", Secret: "SK-very-secret", App: "1400000001", ReportURL: report})
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	t.Cleanup(f.Close)
	return f, server.URL
}

func three(body string) []tidings.Call {
	a, b, c := call(body), call(body), call(body)
	b.Message, c.Message = a.Message, a.Message
	b.Address.Value, c.Address.Value = "12345", "+8613800138001"
	return []tidings.Call{a, b, c}
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
					texts = append(texts, r.Params["1"])
				}
				return texts
			},
			Refuse: func(c tidings.Call) tidings.Call { c.Address.Value = "12345"; return c },
			Busy: channeltest.Reply{Status: 200, Header: map[string]string{"Retry-After": "7"},
				Body: `{"Response":{"Error":{"Code":"RequestLimitExceeded","Message":"too many"},"RequestId":"0"}}`},
			BusyAfter:     7 * time.Second,
			Misconfigured: channeltest.Reply{Status: 200, Body: `{"Response":{"Error":{"Code":"AuthFailure.SignatureFailure","Message":""},"RequestId":"0"}}`},
			Long:          strings.Repeat("望京", 67*5-10) + "终",
			LongParts:     10,
			TooLong:       strings.Repeat("中", 671),
			Secrets:       []string{"SK-very-secret"},
			Batch: func(body string) channeltest.Batch {
				return channeltest.Batch{Calls: three(body), Says: []tidings.Outcome{"", tidings.Refused, ""}, Seen: 2}
			},
		}
	})
}

// The first is printed in Tencent's documents on signature v3, the second in their later version.
func TestSignaturesAreTencents(t *testing.T) {
	s := signer{"AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE", "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE", "cvm"}
	body := []byte(`{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}`)
	const kind, host = "content-type:application/json; charset=utf-8\n", "host:cvm.tencentcloudapi.com\n"
	got, scope := s.signature("content-type;host", kind+host, body, "2019-02-25", "1551113065")
	if got != "72e494ea809ad7a8c8f7a4507b9bddcbaa8e581f516e8da2f66e2c5a96525168" || scope != "2019-02-25/cvm/tc3_request" {
		t.Error(got, scope)
	}
	h := http.Header{"Content-Type": {"application/json; charset=utf-8"}}
	s.secret = strings.Repeat("*", 32) // so it is printed, and so it was used
	s.add(h, "cvm.tencentcloudapi.com", "DescribeInstances", body, time.Unix(1551113065, 0))
	if got := h.Get("Authorization"); !strings.HasSuffix(got, "Signature=10b1a37a7301a02ca19a647ad722d5e43b4b3cff309d421d85b46093f6ab6c4f") {
		t.Error(got)
	}
}

func TestACodeDecidesOfTheWholeAndOfEachNumber(t *testing.T) {
	for code, want := range verdicts {
		if strings.HasSuffix(code, ".") {
			code += "Other"
		}
		body := `{"Response":{"Error":{"Code":"` + code + `","Message":"m 13800138000"}}}`
		one := `{"Response":{"SendStatusSet":[{"PhoneNumber":"+8613800138000","Code":"` + code + `","Message":"m"}]}}`
		for _, status := range []int{200, 500} {
			var a answer
			err := decode(once.Answer{Status: status, Body: []byte(body)}, &a)
			check(t, code, err, want)
			a = answer{}
			if err := decode(once.Answer{Status: status, Body: []byte(one)}, &a); err != nil {
				t.Fatal(err)
			}
			check(t, code, results(a, []string{"+8613800138000"}, 1)[0].Err, want)
		}
	}
	for _, body := range []string{"", "{}", "[]", `{"Response":{"SendStatusSet":[`} {
		var a answer
		check(t, body, decode(once.Answer{Status: 200, Body: []byte(body)}, &a), silent)
	}
	check(t, "unknown", failure(verdict("InvalidParameterValue.New", 200), errors.New("x")), no)
	check(t, "unknown, from one that is ill", failure(verdict("InvalidParameterValue.New", 503), errors.New("x")), silent)
	check(t, "a family", failure(verdict("InternalError.New", 200), errors.New("x")), silent)
	var a answer
	if err := decode(once.Answer{Status: 200, Body: []byte(`{"Response":{"SendStatusSet":[]}}`)}, &a); err != nil {
		t.Fatal(err)
	}
	check(t, "nothing said", results(a, []string{"+8613800138000"}, 1)[0].Err, silent)
}

func check(t *testing.T, what string, err error, want tidings.SendError) {
	t.Helper()
	e, ok := errors.AsType[*tidings.SendError](err)
	if !ok || e.Outcome != want.Outcome || e.Reason != want.Reason || e.AddressDead != want.AddressDead || e.Configuration != want.Configuration {
		t.Fatalf("%s: %v, want %v", what, err, want.Outcome)
	}
	if strings.Contains(e.Error(), "13800138000") {
		t.Fatalf("a number stands in %v", e)
	}
}

func TestABatchTellsWhomItRefusedAndReportsFindEachOfTheRest(t *testing.T) {
	reports := make(chan []byte, 10)
	door := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		reports <- body
	}))
	t.Cleanup(door.Close)
	f, address := newFar(t, door.URL)
	s := newSender(t, address, time.Now)
	f.Fail(phones.Fault{To: "001", Kind: "reject", Code: "FailedOperation.PhoneNumberInBlacklist"})
	got := s.SendBatch(t.Context(), three("hello"))
	check(t, "a bad number", got[1].Err, dead)
	check(t, "a black list", got[2].Err, blocked)
	if got[0].Err != nil || got[0].ProviderID == "" {
		t.Fatal(got[0])
	}
	receipts, answer, err := s.Report(tidings.Report{Body: <-reports})
	if err != nil || len(receipts) != 1 || receipts[0].ProviderID != got[0].ProviderID || receipts[0].Kind != tidings.ReceiptDelivered || answer.Body != `{"result":0,"errmsg":"OK"}` {
		t.Errorf("%+v %+v %v", receipts, answer, err)
	}
	c := call("lost")
	f.Fail(phones.Fault{Kind: "reset_after_accept"})
	_, err = s.Send(t.Context(), c)
	check(t, "lost", err, silent)
	receipts, _, err = s.Report(tidings.Report{Body: <-reports})
	if err != nil || len(receipts) != 1 || receipts[0].Attempt != c.Attempt {
		t.Errorf("%+v %v", receipts, err)
	}
	r, err := s.Query(t.Context(), tidings.Question{Attempt: c.Attempt, Address: c.Address, At: time.Now()})
	if err != nil || r.Kind != tidings.ReceiptDelivered || r.Attempt != c.Attempt {
		t.Errorf("asked: %+v %v", r, err)
	}
	if r, err := s.Query(t.Context(), tidings.Question{Attempt: 1 << 40, Address: c.Address, At: time.Now()}); err != nil || r.Kind != "" {
		t.Errorf("another attempt: %+v %v", r, err)
	}
}

func TestWithoutATemplateOfTheProvidersNothingIsSent(t *testing.T) {
	_, address := newFar(t, "")
	c := call("x")
	c.Template = nil
	_, err := newSender(t, address, time.Now).Send(t.Context(), c)
	check(t, "no template", err, badCode)
}

func TestWrongSettingsAreNamed(t *testing.T) {
	for _, field := range []string{"key", "secret", "app", "region", "url"} {
		v := values("https://sms.tencentcloudapi.com")
		v[field] = ""
		if _, err := Driver.Open(tidings.Setup{Values: v, Now: time.Now}); tidings.CodeOf(err) != tidings.Invalid || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}
