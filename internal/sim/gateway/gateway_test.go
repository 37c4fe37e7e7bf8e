package gateway

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

func post(t *testing.T, base, text string, header map[string]string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/cgi-bin/sendsms", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "text/plain; charset=UTF-8")
	for k, v := range header {
		r.Header.Set(k, v)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return "no answer"
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(response.StatusCode, " ", string(body))
}

func newGateway(t *testing.T, c Config) (*Gateway, string) {
	t.Helper()
	g := New(c)
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	t.Cleanup(g.Close)
	return g, server.URL
}

func TestItAnswersAsKannelDoes(t *testing.T) {
	_, base := newGateway(t, Config{User: "u", Password: "p"})
	good := map[string]string{"X-Kannel-Username": "u", "X-Kannel-Password": "p", "X-Kannel-To": "+8613800138000", "X-Kannel-Coding": "2"}
	for name, c := range map[string]struct{ header, value, want string }{
		"good":           {"X-Kannel-From", "10690000", "202 0: Accepted for delivery"},
		"wrong password": {"X-Kannel-Password", "x", "403 Authorization failed for sendsms"},
		"no receiver":    {"X-Kannel-To", "", "400 Missing receiver number, rejected"},
		"letters":        {"X-Kannel-To", "abc", "400 Number(s) has/have been denied by white- and/or black-lists."},
		"a form":         {"Content-Type", "application/x-www-form-urlencoded", "400 Unsupported content-type, rejected"},
		"no coding":      {"X-Kannel-Coding", "x", "400 coding field misformed, rejected"},
		"no mask":        {"X-Kannel-DLR-Mask", "x", "202 0: Accepted for delivery"},
	} {
		header := map[string]string{}
		for k, v := range good {
			header[k] = v
		}
		header[c.header] = c.value
		if got := post(t, base, "x", header); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestItGarblesWhatKannelGarbles(t *testing.T) {
	g, base := newGateway(t, Config{})
	post(t, base, "订x", map[string]string{"X-Kannel-To": "1"})
	post(t, base, "订x", map[string]string{"X-Kannel-To": "1", "X-Kannel-Coding": "2", "Content-Type": "text/plain"})
	post(t, base, "订x", map[string]string{"X-Kannel-To": "1", "X-Kannel-Coding": "2"})
	r := g.Records()
	if len(r) != 3 || r[0].Text != "?x" || r[1].Text == "订x" || r[2].Text != "订x" {
		t.Errorf("%+v", r)
	}
}

func TestReportsFillTheURLAndFollowTheMask(t *testing.T) {
	got := make(chan url.Values, 10)
	door := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.URL.Query() }))
	t.Cleanup(door.Close)
	g, base := newGateway(t, Config{})
	g.Fail(Fault{Text: "lost", Kind: "undelivered"})
	send := func(text, mask string) {
		post(t, base, text, map[string]string{"X-Kannel-To": "+86138", "X-Kannel-DLR-Mask": mask,
			"X-Kannel-DLR-Url": door.URL + "/?type=%d&reply=%A&to=%p&sig=a%%2Bb"})
	}
	next := func() url.Values {
		select {
		case q := <-got:
			return q
		case <-time.After(10 * time.Second):
			t.Fatal("no report")
			return nil
		}
	}
	send("fine", "31")
	if q := next(); q.Get("type") != "8" || q.Get("to") != "+86138" || q.Get("sig") != "a+b" || q.Get("reply") != "ACK/" {
		t.Errorf("%v", q)
	}
	if q := next(); q.Get("type") != "1" || !strings.Contains(q.Get("reply"), "DELIVRD") {
		t.Errorf("%v", q)
	}
	send("lost", "19")
	if q := next(); q.Get("type") != "2" {
		t.Errorf("%v", q)
	}
}

func TestEveryFaultDoesWhatItSays(t *testing.T) {
	for kind, want := range map[string]struct {
		answer  string
		records int
	}{
		"status": {"503 Temporal failure, try again later.", 0}, "reset_before_accept": {"no answer", 0}, "reset_after_accept": {"no answer", 1},
		"no_report": {"202 0: Accepted for delivery", 1}, "": {"202 0: Accepted for delivery", 1},
	} {
		g, base := newGateway(t, Config{})
		response, err := http.Post(base+"/_sim/faults", "application/json",
			strings.NewReader(fmt.Sprintf(`{"kind":%q,"status":503,"delay_ms":1,"to":"1"}`, kind)))
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatal(response, err)
		}
		response.Body.Close()
		if got := post(t, base, "x", map[string]string{"X-Kannel-To": "1"}); got != want.answer || len(g.Records()) != want.records {
			t.Errorf("%s: %q with %d records", kind, got, len(g.Records()))
		}
		if got := post(t, base, "x", map[string]string{"X-Kannel-To": "1"}); !strings.HasPrefix(got, "202") {
			t.Errorf("after %s: %q", kind, got)
		}
	}
}

func TestItRunsAsAProgramAndPrintsEverySMS(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	in, out := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, []string{"-report-after", "1ms"}, out) }()
	line := func() string {
		b := make([]byte, 300)
		n, err := in.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(b[:n]))
	}
	address := line()
	base := strings.TrimSuffix(address[strings.Index(address, "http://"):], "/cgi-bin/sendsms")
	done := make(chan string)
	go func() {
		done <- post(t, base, "订单已发货", map[string]string{"X-Kannel-To": "138", "X-Kannel-Coding": "2"})
	}()
	if got := line(); got != "SMS to 138: 订单已发货" {
		t.Errorf("%q", got)
	}
	if got := <-done; got != "202 0: Accepted for delivery" {
		t.Error(got)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
