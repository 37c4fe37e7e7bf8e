package kannel_test

import (
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
	"tidings/channels/kannel"
	"tidings/internal/kanneltest"
	"tidings/internal/sim/gateway"
	"tidings/internal/sim/operator"
)

var attempts atomic.Int64

// sign gives what needs escaping most: Kannel replaces percent signs in report URLs.
func sign(id tidings.ID) string { return "a+b/c=%d&é订" + id.String() }

func call(body string) tidings.Call {
	n := tidings.ID(attempts.Add(1))
	return tidings.Call{Attempt: n, Message: n, User: "u", Content: tidings.Content{Title: "not sent", Body: body},
		Address: tidings.Address{Channel: tidings.SMS, Value: "+8613800138000"}}
}

func harness(farSide, sendURL, user, password string, seen func() []string, reports string) channeltest.Harness {
	return channeltest.Harness{
		FarSide: farSide,
		URL:     sendURL,
		New: func(t *testing.T, url string, now func() time.Time) tidings.Sender {
			s, err := kannel.New(kannel.Config{URL: url, User: user, Password: password, PublicURL: reports, Sign: sign, Now: now})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(s.Close)
			return s
		},
		Call: call,
		Seen: seen,
		Refuse: func(c tidings.Call) tidings.Call {
			c.Address.Value = "letters"
			return c
		},
		Busy:          channeltest.Reply{Status: 503, Header: map[string]string{"Retry-After": "7"}, Body: "Temporal failure, try again later."},
		BusyAfter:     7 * time.Second,
		Misconfigured: channeltest.Reply{Status: 403, Body: "Authorization failed for sendsms"},
		Secrets:       []string{password},
		Long:          strings.Repeat("望京", 67*5-10) + "终",
		LongParts:     10,
		TooLong:       strings.Repeat("中", 671),
	}
}

func TestItIsASenderOverARealKannel(t *testing.T) {
	k := kanneltest.Start(t, kanneltest.Options{})
	channeltest.Run(t, func(t *testing.T) channeltest.Harness {
		k.Operator.Reset()
		seen := func() (texts []string) {
			for _, r := range k.Operator.Records() {
				if r.Undecodable {
					t.Errorf("a part of %q is broken", r.Text)
				}
				texts = append(texts, r.Text)
			}
			return texts
		}
		return harness("real Kannel", k.SendURL, k.User, k.Password, seen, "http://127.0.0.1:1")
	})
}

func TestItIsASenderOverTheGatewaySimulator(t *testing.T) {
	channeltest.Run(t, func(t *testing.T) channeltest.Harness {
		g := gateway.New(gateway.Config{User: "demo", Password: "secret"})
		t.Cleanup(g.Close)
		server := httptest.NewServer(g)
		t.Cleanup(server.Close)
		seen := func() (texts []string) {
			for _, r := range g.Records() {
				texts = append(texts, r.Text)
			}
			return texts
		}
		return harness("simulator", server.URL+"/cgi-bin/sendsms", "demo", "secret", seen, "http://127.0.0.1:1")
	})
}

// door takes reports as the API will, by Kannel's GET.
type door struct {
	*httptest.Server
	mu    sync.Mutex
	kinds map[tidings.ID][]tidings.ReceiptKind
}

func newDoor(t *testing.T) *door {
	d := &door{kinds: map[tidings.ID][]tidings.ReceiptKind{}}
	d.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		id, kind, _, err := kannel.ParseReceipt(r.URL.Query())
		if err != nil || r.URL.Path != "/v1/receipts/kannel" || r.URL.Query().Get("sig") != sign(id) {
			t.Errorf("report %s: %v", r.URL, err)
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.kinds[id] = append(d.kinds[id], kind)
	}))
	t.Cleanup(d.Close)
	return d
}

func (d *door) has(id tidings.ID, kind tidings.ReceiptKind) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, k := range d.kinds[id] {
		if k == kind {
			return true
		}
	}
	return false
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline:
			t.Fatalf("never %s", what)
		case <-tick.C:
		}
	}
}

func newSender(t *testing.T, c kannel.Config) *kannel.Sender {
	t.Helper()
	s, err := kannel.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestReportsOfARealKannelComeHomeSignedWhateverBecameOfTheMessage(t *testing.T) {
	d := newDoor(t)
	k := kanneltest.Start(t, kanneltest.Options{})
	s := newSender(t, kannel.Config{URL: k.SendURL, User: k.User, Password: k.Password, PublicURL: d.URL, Sign: sign, From: "10690001"})
	k.Operator.Fail(failing("refused", "permfail"))
	k.Operator.Fail(failing("lost", "undelivered"))
	k.Operator.Fail(failing("later", "tempfail"))
	for text, want := range map[string]tidings.ReceiptKind{"fine": tidings.ReceiptDelivered, "refused": tidings.ReceiptRejected,
		"lost": tidings.ReceiptNotDelivered, "later": tidings.ReceiptDelivered} {
		c := call(text)
		c.ExpiresAt = time.Now().Add(time.Hour)
		if _, err := s.Send(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "reported "+string(want)+" of "+text, func() bool { return d.has(c.Attempt, want) })
	}
	for _, r := range k.Operator.Records() {
		if r.From != "10690001" || r.To != "+8613800138000" {
			t.Errorf("from %s to %s", r.From, r.To)
		}
	}
}

func TestReportsOfTheSimulatorComeHomeToo(t *testing.T) {
	d := newDoor(t)
	g := gateway.New(gateway.Config{})
	t.Cleanup(g.Close)
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	s := newSender(t, kannel.Config{URL: server.URL + "/cgi-bin/sendsms", PublicURL: d.URL, Sign: sign})
	g.Fail(gateway.Fault{Text: "lost", Kind: "undelivered"})
	for text, want := range map[string]tidings.ReceiptKind{"fine": tidings.ReceiptDelivered, "lost": tidings.ReceiptNotDelivered} {
		c := call(text)
		if _, err := s.Send(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "reported", func() bool { return d.has(c.Attempt, want) && d.has(c.Attempt, tidings.ReceiptAccepted) })
	}
}

func TestAnEmojiAtEveryBorderArrivesWholeAndInAsManyPartsAsWereCounted(t *testing.T) {
	k := kanneltest.Start(t, kanneltest.Options{})
	s := newSender(t, kannel.Config{URL: k.SendURL, User: k.User, Password: k.Password, PublicURL: "http://127.0.0.1:1", Sign: sign})
	gsm := "@£$¥èéùìòÇ Øø ÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà^{}\\[~]|€"
	texts := []string{gsm, strings.Repeat(gsm, 3), strings.Repeat("a", 152) + "€" + strings.Repeat("b", 20), strings.Repeat("€", 81)}
	for n := 60; n < 70; n++ {
		texts = append(texts, strings.Repeat("中", n)+"😀好👨‍👩‍👧"+strings.Repeat("文", 65)+"🇨🇳👍🏽尾")
	}
	for _, text := range texts {
		k.Operator.Reset()
		accepted, err := s.Send(t.Context(), call(text))
		if err != nil {
			t.Fatal(err)
		}
		waitFor(t, "whole at the operator", func() bool { return len(k.Operator.Records()) == 1 })
		r := k.Operator.Records()[0]
		if r.Text != tidings.PadSMS(text) || r.Undecodable || r.Parts != accepted.Segments {
			t.Errorf("%d parts, %d counted, broken %v:\n got %q\nwant %q", r.Parts, accepted.Segments, r.Undecodable, r.Text, tidings.PadSMS(text))
		}
	}
}

func TestARealKannelsRefusalsAreUnderstood(t *testing.T) {
	k := kanneltest.Start(t, kanneltest.Options{})
	s := newSender(t, kannel.Config{URL: k.SendURL, User: k.User, Password: "wrong", PublicURL: "http://127.0.0.1:1", Sign: sign})
	_, err := s.Send(t.Context(), call("x"))
	if e, ok := err.(*tidings.SendError); !ok || e.Outcome != tidings.Busy || !e.Configuration {
		t.Errorf("wrong password: %v", err)
	}
	wrongPath := newSender(t, kannel.Config{URL: strings.Replace(k.SendURL, "sendsms", "nothing", 1), PublicURL: "http://127.0.0.1:1", Sign: sign})
	_, err = wrongPath.Send(t.Context(), call("x"))
	if e, ok := err.(*tidings.SendError); !ok || !e.Configuration {
		t.Errorf("wrong path: %v", err)
	}
}

func TestAnswersAreClassedByWhatIsCertain(t *testing.T) {
	for _, c := range []struct {
		status  int
		body    string
		outcome tidings.Outcome // "": taken
		reason  tidings.Reason
	}{
		{202, "0: Accepted for delivery", "", ""},
		{202, "3: Queued for later delivery", "", ""},
		{200, "<html>welcome</html>", tidings.Unknown, tidings.ProviderSilent},
		{302, "", tidings.Busy, tidings.Misconfigured},
		{400, "Missing receiver number, rejected", tidings.Refused, tidings.AddressRefused},
		{400, "Number(s) has/have been denied by white- and/or black-lists.", tidings.Refused, tidings.AddressRefused},
		{400, "Invalid content-type", tidings.Refused, tidings.ProviderRefused},
		{403, "Authorization failed for sendsms", tidings.Busy, tidings.Misconfigured},
		{404, "", tidings.Busy, tidings.Misconfigured},
		{429, "", tidings.Busy, tidings.ProviderBusy},
		{500, "", tidings.Unknown, tidings.ProviderSilent},
		{502, "Bad Gateway", tidings.Unknown, tidings.ProviderSilent},
		{503, "Temporal failure, try again later.", tidings.Busy, tidings.ProviderBusy},
		{503, "upstream timed out", tidings.Unknown, tidings.ProviderSilent},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(c.status)
			w.Write([]byte(c.body))
		}))
		s := newSender(t, kannel.Config{URL: server.URL, PublicURL: "http://127.0.0.1:1", Sign: sign})
		_, err := s.Send(t.Context(), call("x"))
		e, _ := err.(*tidings.SendError)
		if c.outcome == "" && err != nil || c.outcome != "" && (e == nil || e.Outcome != c.outcome || e.Reason != c.reason) {
			t.Errorf("%d %q: %v, want %s %s", c.status, c.body, err, c.outcome, c.reason)
		}
		server.Close()
	}
}

func TestWhatCannotBeAnSMSIsRefusedWithoutACall(t *testing.T) {
	s := newSender(t, kannel.Config{URL: "http://127.0.0.1:1", PublicURL: "http://127.0.0.1:1", Sign: sign})
	for name, c := range map[string]struct {
		change func(*tidings.Call)
		reason tidings.Reason
		dead   bool
	}{
		"no number":     {func(c *tidings.Call) { c.Address.Value = "" }, tidings.AddressRefused, true},
		"two numbers":   {func(c *tidings.Call) { c.Address.Value = "13800138000 13800138001" }, tidings.AddressRefused, true},
		"a header":      {func(c *tidings.Call) { c.Address.Value = "13800138000\r\nX-Kannel-Account: x" }, tidings.AddressRefused, true},
		"control marks": {func(c *tidings.Call) { c.Content.Body = "\x00\u202e\t\r\n" }, tidings.TemplateFailed, false},
	} {
		in := call("x")
		c.change(&in)
		_, err := s.Send(t.Context(), in)
		if e, ok := err.(*tidings.SendError); !ok || e.Outcome != tidings.Refused || e.Reason != c.reason || e.AddressDead != c.dead {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTextsAreCleanedBeforeTheyAreSent(t *testing.T) {
	for in, want := range map[string]string{
		"a\x00b\x1bc\u0085": "abc", "pay \u202e001\u202c now\u2066": "pay 001 now", "a\tb\r\nc\rd\u2028e": "a b\nc\nd\ne",
		"\xff中\xc3": "\uFFFD中\uFFFD", " x\n": "x", "\ufeff中": "中", "👨‍👩‍👧": "👨‍👩‍👧",
	} {
		if got := tidings.CleanSMS(in); got != want {
			t.Errorf("tidings.CleanSMS(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestAWrongConfigurationIsToldAtTheStart(t *testing.T) {
	good := kannel.Config{URL: "http://127.0.0.1:13013/cgi-bin/sendsms", PublicURL: "https://push.example", Sign: sign}
	for name, change := range map[string]func(*kannel.Config){
		"no URL":           func(c *kannel.Config) { c.URL = "" },
		"no public URL":    func(c *kannel.Config) { c.PublicURL = "push.example" },
		"no signer":        func(c *kannel.Config) { c.Sign = nil },
		"line in password": func(c *kannel.Config) { c.Password = "a\nb" },
	} {
		c := good
		change(&c)
		if _, err := kannel.New(c); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if _, err := kannel.New(good); err != nil {
		t.Error(err)
	}
}

func TestTheGatewaySimulatorAlsoTakesAGET(t *testing.T) {
	g := gateway.New(gateway.Config{User: "u", Password: "p"})
	t.Cleanup(g.Close)
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	q := url.Values{"username": {"u"}, "password": {"p"}, "to": {"8613800138000"}, "coding": {"2"}, "charset": {"UTF-8"}, "text": {"订单"}}
	response, err := http.Get(server.URL + "/cgi-bin/sendsms?" + q.Encode())
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != 202 || len(g.Records()) != 1 || g.Records()[0].Text != "订单" {
		t.Errorf("%d, %+v", response.StatusCode, g.Records())
	}
}

func failing(text, kind string) operator.Fault { return operator.Fault{Text: text, Kind: kind} }
