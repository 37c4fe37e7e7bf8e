package twilio

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidings"
	"tidings/channels/channeltest"
	"tidings/channels/once"
	"tidings/internal/sim/phones"
	sim "tidings/internal/sim/twilio"
)

const (
	account = "AC0123456789abcdef0123456789abcdef"
	token   = "12345-secret"
)

var attempts atomic.Int64

func call(body string) tidings.Call {
	n := tidings.ID(attempts.Add(1))
	return tidings.Call{Attempt: n, Message: n, Content: tidings.Content{Body: body}, Address: tidings.Address{Channel: tidings.SMS, Value: "+8613800138000"}}
}

func values(url string) map[string]string {
	return map[string]string{"account": account, "token": token, "from": "+15005550006", "url": url}
}

func newSender(t *testing.T, url string, now func() time.Time, reports func(tidings.ID) string) *Sender {
	t.Helper()
	s, err := Driver.Open(tidings.Setup{Values: values(url), Now: now, ReportURL: reports})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.(*Sender).Close)
	return s.(*Sender)
}

func newFar(t *testing.T) (*sim.Simulator, string) {
	t.Helper()
	f := sim.New(sim.Config{Account: account, Token: token})
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	t.Cleanup(f.Close)
	return f, server.URL
}

func TestItIsASender(t *testing.T) {
	channeltest.Run(t, func(t *testing.T) channeltest.Harness {
		f, address := newFar(t)
		return channeltest.Harness{
			URL: address,
			New: func(t *testing.T, url string, now func() time.Time) tidings.Sender {
				return newSender(t, url, now, nil)
			},
			Call: call,
			Seen: func() (texts []string) {
				for _, r := range f.Records() {
					texts = append(texts, r.Text)
				}
				return texts
			},
			Refuse: func(c tidings.Call) tidings.Call { c.Address.Value = "12345"; return c },
			Busy: channeltest.Reply{Status: 429, Header: map[string]string{"Retry-After": "7"},
				Body: `{"code":20429,"message":"Too many requests","status":429}`},
			BusyAfter:     7 * time.Second,
			Misconfigured: channeltest.Reply{Status: 401, Body: `{"code":20003,"message":"Authenticate","status":401}`},
			Long:          strings.Repeat("望京", 67*5-10) + "终",
			LongParts:     10,
			TooLong:       strings.Repeat("a", 1601),
			Secrets:       []string{token},
		}
	})
}

// The examples are those of Twilio's documents and libraries.
func TestSignaturesAreTwilios(t *testing.T) {
	for number, want := range map[string]string{"+14158675309": "RSOYDt4T1cUTdK1PDd93/VVr8B8=", "+14158675310": "GvWf1cFY/Q7PnoempGyD5oXAezc="} {
		form := url.Values{"Digits": {"1234"}, "CallSid": {"CA1234567890ABCDE"}, "To": {"+18005551212"}, "Caller": {number}, "From": {number}}
		if got := sign("12345", "https://mycompany.com/myapp.php?foo=1&bar=2", form); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestACodeDecidesWhateverTheHTTPStatus(t *testing.T) {
	for code, want := range verdicts {
		for _, status := range []int{200, 400, 401, 429, 500, 503} {
			_, err := decode(once.Answer{Status: status, Body: []byte(`{"code":` + code + `,"message":"m +8613800138000","status":1}`)})
			e, ok := errors.AsType[*tidings.SendError](err)
			if !ok || e.Outcome != want.Outcome || e.Reason != want.Reason || e.AddressDead != want.AddressDead || e.Configuration != want.Configuration {
				t.Errorf("%s with %d: %v", code, status, err)
			}
			if ok && strings.Contains(e.Error(), "13800138000") {
				t.Errorf("a number stands in %v", e)
			}
		}
	}
	_, err := decode(once.Answer{Status: 400, Body: []byte(`{"code":29999}`)})
	if e, ok := errors.AsType[*tidings.SendError](err); !ok || e.Outcome != tidings.Refused {
		t.Errorf("an unknown code: %v", err)
	}
	for _, body := range []string{"", "{}", `[]`, `{"sid":"x"}`, `{"sid":"SM0`} {
		_, err := decode(once.Answer{Status: 201, Body: []byte(body)})
		if e, ok := errors.AsType[*tidings.SendError](err); !ok || e.Outcome != tidings.Unknown {
			t.Errorf("%q: %v", body, err)
		}
	}
}

// report is a callback as it came.
type report struct {
	path   string
	header http.Header
	body   string
}

func TestCallbacksComeHomeSignedAndQueriesSayTheSame(t *testing.T) {
	reports := make(chan report, 10)
	door := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		reports <- report{r.URL.RequestURI(), r.Header, string(body)}
	}))
	t.Cleanup(door.Close)
	f, address := newFar(t)
	s := newSender(t, address, time.Now, func(id tidings.ID) string { return door.URL + "/r?attempt=" + id.String() + "&sig=a%2Bb" })
	for kind, want := range map[string]tidings.ReceiptKind{"": tidings.ReceiptDelivered, "undelivered": tidings.ReceiptNotDelivered} {
		f.Fail(phones.Fault{Kind: kind})
		c := call("hello")
		accepted, err := s.Send(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []tidings.ReceiptKind{tidings.ReceiptAccepted, want} {
			r := <-reports
			in := tidings.Report{Attempt: c.Attempt, Method: "POST", URL: "http://inside" + r.path, Header: r.header, Body: []byte(r.body)}
			got, _, err := s.Report(in)
			if err != nil || len(got) != 1 || got[0].Attempt != c.Attempt || got[0].Kind != want || got[0].ProviderID != accepted.ProviderID {
				t.Errorf("%+v, %v, want %s", got, err, want)
			}
			in.Body = append(in.Body, "&Price=1"...)
			if _, _, err := s.Report(in); tidings.CodeOf(err) != tidings.Forbidden {
				t.Errorf("a changed report: %v", err)
			}
		}
		got, err := s.Query(t.Context(), tidings.Question{Attempt: c.Attempt, ProviderID: accepted.ProviderID})
		if err != nil || got.Kind != want || got.Attempt != c.Attempt {
			t.Errorf("asked: %+v, %v", got, err)
		}
	}
	if got, err := s.Query(t.Context(), tidings.Question{Attempt: 1}); got.Kind != "" || err != nil {
		t.Errorf("without an id: %+v, %v", got, err)
	}
}

func TestExpiryTravels(t *testing.T) {
	var form url.Values
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { r.ParseForm(); form = r.PostForm }))
	t.Cleanup(server.Close)
	now := time.Unix(1_700_000_000, 0)
	s := newSender(t, server.URL, func() time.Time { return now }, nil)
	for left, want := range map[time.Duration]string{time.Millisecond: "1", 90 * time.Second: "90", 48 * time.Hour: "14400"} {
		c := call("x")
		c.ExpiresAt = now.Add(left)
		s.Send(t.Context(), c)
		if got := form.Get("ValidityPeriod"); got != want {
			t.Errorf("%v left: %q, want %q", left, got, want)
		}
	}
}

func TestWrongSettingsAreNamed(t *testing.T) {
	for field, change := range map[string]func(map[string]string){
		"account": func(v map[string]string) { v["account"] = "AC1/../x" }, "token": func(v map[string]string) { v["token"] = "" },
		"from": func(v map[string]string) { v["from"] = "" }, "service": func(v map[string]string) { v["service"] = "x" },
		"url": func(v map[string]string) { v["url"] = "api.twilio.com" },
	} {
		v := values("https://api.twilio.com")
		change(v)
		if _, err := Driver.Open(tidings.Setup{Values: v, Now: time.Now}); tidings.CodeOf(err) != tidings.Invalid || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}
