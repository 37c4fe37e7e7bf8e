package httpsms

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidings"
	"tidings/channels/channeltest"
)

var attempts atomic.Int64

func call(body string) tidings.Call {
	n := tidings.ID(attempts.Add(1))
	return tidings.Call{Attempt: n, Message: n, Content: tidings.Content{Body: body}, Address: tidings.Address{Channel: tidings.SMS, Value: "+8613800138000"}}
}

// company is a gateway as a company might have built it, that reads JSON or a form.
type company struct {
	mu    sync.Mutex
	texts []string
}

func (g *company) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	m := map[string]string{}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		if err := json.Unmarshal(body, &m); err != nil {
			io.WriteString(w, `{"code":3}`)
			return
		}
	} else if form, err := url.ParseQuery(string(body)); err == nil {
		m["to"], m["text"], m["ref"] = form.Get("to"), form.Get("text"), form.Get("ref")
	}
	switch {
	case r.Header.Get("Authorization") != "Bearer S3cret":
		io.WriteString(w, `{"code":9}`)
	case len(m["to"]) < 8:
		io.WriteString(w, `{"code":2}`)
	default:
		g.mu.Lock()
		defer g.mu.Unlock()
		g.texts = append(g.texts, m["text"])
		io.WriteString(w, `{"code":0,"data":{"id":"g-`+m["ref"]+`"}}`)
	}
}

func (g *company) seen() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]string{}, g.texts...)
}

func values(kind, url string) map[string]string {
	body := map[string]string{"json": `{"to":"{number}","text":"{text}","ref":"{attempt}"}`, "form": "to={number}&text={text}&ref={attempt}"}[kind]
	return map[string]string{"url": url, "type": kind, "body": body, "headers": "Authorization: Bearer {secret}", "secret": "S3cret", "success": "status=200 && code=0",
		"bad_number": "code=2", "misconfigured": "code=9", "busy": "code=8\nstatus=429", "refused": "code=3,4", "id": "data.id",
		"report_type": "json", "report_attempt": "ref", "report_id": "id", "report_delivered": "status=DELIVRD", "report_failed": "status=UNDELIV,EXPIRED",
		"report_answer": "OK"}
}

func newSender(t *testing.T, v map[string]string, now func() time.Time) *Sender {
	t.Helper()
	s, err := Driver.Open(tidings.Setup{Values: v, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.(*Sender).Close)
	return s.(*Sender)
}

func TestItIsASenderOfJSONAndForms(t *testing.T) {
	for _, kind := range []string{"json", "form"} {
		t.Run(kind, func(t *testing.T) {
			channeltest.Run(t, func(t *testing.T) channeltest.Harness {
				g := &company{}
				server := httptest.NewServer(g)
				t.Cleanup(server.Close)
				return channeltest.Harness{
					URL: server.URL,
					New: func(t *testing.T, url string, now func() time.Time) tidings.Sender {
						return newSender(t, values(kind, url), now)
					},
					Call: call, Seen: g.seen,
					Refuse:        func(c tidings.Call) tidings.Call { c.Address.Value = "12345"; return c },
					Busy:          channeltest.Reply{Status: 429, Header: map[string]string{"Retry-After": "7"}, Body: `{"code":8}`},
					BusyAfter:     7 * time.Second,
					Misconfigured: channeltest.Reply{Status: 200, Body: `{"code":9}`},
					Long:          strings.Repeat("望京", 67*5-10) + "终",
					LongParts:     10,
					TooLong:       strings.Repeat("中", 671),
					Secrets:       []string{"S3cret"},
				}
			})
		})
	}
}

func TestATextCannotAskForTheSecretOrBreakOut(t *testing.T) {
	g := &company{}
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	text := `{secret} ","to":"1 &to=1 {number}`
	for _, kind := range []string{"json", "form"} {
		if _, err := newSender(t, values(kind, server.URL), time.Now).Send(t.Context(), call(text)); err != nil {
			t.Fatal(err)
		}
	}
	if got := g.seen(); len(got) != 2 || got[0] != text || got[1] != text {
		t.Errorf("%q", got)
	}
}

func TestTheGatewaysIDIsRead(t *testing.T) {
	server := httptest.NewServer(&company{})
	t.Cleanup(server.Close)
	for _, path := range []string{"data.id", `~"id":"([^"]+)"`} {
		v := values("json", server.URL)
		v["id"] = path
		c := call("x")
		if a, err := newSender(t, v, time.Now).Send(t.Context(), c); err != nil || a.ProviderID != "g-"+c.Attempt.String() {
			t.Errorf("%s: %+v %v", path, a, err)
		}
	}
}

func TestALongNumberAsAnIDKeepsItsDigits(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"code":0,"data":{"id":1234567890123456789}}`)
	}))
	t.Cleanup(server.Close)
	if a, err := newSender(t, values("json", server.URL), time.Now).Send(t.Context(), call("x")); err != nil || a.ProviderID != "1234567890123456789" {
		t.Errorf("%+v %v", a, err)
	}
}

// A push of several reports, one of them of another system at the same account, read by rules that look at the text.
func TestEachReportOfAPushIsReadByItself(t *testing.T) {
	one, two := tidings.ID(1<<50), tidings.ID(1<<50+1)
	v := values("json", "http://x")
	v["report_id"], v["report_attempt"], v["report_delivered"], v["report_failed"] = "", `~"ref":"([^"]+)"`, "~DELIVRD", "~UNDELIV"
	got, _, err := newSender(t, v, time.Now).Report(tidings.Report{Body: []byte(`[{"ref":"` + one.String() + `","status":"DELIVRD"},{"ref":"their own","status":"DELIVRD"},{"ref":"` +
		two.String() + `","status":"UNDELIV"}]`)})
	if err != nil || len(got) != 2 || got[0].Attempt != one || got[0].Kind != tidings.ReceiptDelivered || got[1].Attempt != two || got[1].Kind != tidings.ReceiptNotDelivered {
		t.Errorf("%+v %v", got, err)
	}
}

func TestAnAnswerThatNoRuleFitsSaysNothing(t *testing.T) {
	for body, want := range map[string]tidings.Outcome{`{"code":7}`: tidings.Unknown, `{"code":4}`: tidings.Refused, `{"code":8}`: tidings.Busy, "0": tidings.Unknown} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, body) }))
		_, err := newSender(t, values("json", server.URL), time.Now).Send(t.Context(), call("x"))
		server.Close()
		if e, ok := errors.AsType[*tidings.SendError](err); !ok || e.Outcome != want {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestReportsReadAsTheSettingsSay(t *testing.T) {
	id := tidings.ID(1 << 50)
	s := newSender(t, values("json", "http://x"), time.Now)
	for status, want := range map[string]tidings.ReceiptKind{"DELIVRD": tidings.ReceiptDelivered, "EXPIRED": tidings.ReceiptNotDelivered, "ENROUTE": ""} {
		got, answer, err := s.Report(tidings.Report{Body: []byte(`[{"ref":"` + id.String() + `","id":17,"status":"` + status + `"}]`)})
		if err != nil || answer.Body != "OK" || want == "" != (len(got) == 0) {
			t.Errorf("%s: %+v %+v %v", status, got, answer, err)
		}
		if want != "" && (got[0].Attempt != id || got[0].Kind != want || got[0].ProviderID != "17") {
			t.Errorf("%s: %+v", status, got)
		}
	}
	for _, body := range []string{"", "1", `{"status":"DELIVRD"}`, `{"ref":"x","status":"DELIVRD"}`} {
		if _, _, err := s.Report(tidings.Report{Body: []byte(body)}); tidings.CodeOf(err) != tidings.Invalid {
			t.Errorf("%q: %v", body, err)
		}
	}
	v := values("json", "http://x")
	v["report_type"], v["report_attempt"] = "query", ""
	got, _, err := newSender(t, v, time.Now).Report(tidings.Report{Attempt: id, Query: url.Values{"status": {"DELIVRD"}}})
	if err != nil || len(got) != 1 || got[0].Attempt != id {
		t.Errorf("%+v %v", got, err)
	}
}

func TestWrongSettingsAreNamed(t *testing.T) {
	for field, value := range map[string]string{"url": "ftp://x", "type": "xml", "body": `{"to":{number},"text":"{text}`, "headers": "no colon", "success": "", "busy": "what",
		"id": "~(", "report_type": "xml", "refused": "~("} {
		v := values("json", "http://x")
		v[field] = value
		if _, err := Driver.Open(tidings.Setup{Values: v, Now: time.Now}); tidings.CodeOf(err) != tidings.Invalid || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}
