package email_test

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidings"
	"tidings/channels/channeltest"
	"tidings/channels/email"
	"tidings/internal/proctest"
	sim "tidings/internal/sim/mail"
)

var attempts atomic.Int64

// far is a mail server and a sender that hands over to it.
type far struct {
	*sim.Server
	port   string
	sender tidings.Sender
}

func newFar(t *testing.T, c sim.Config, values map[string]string) *far {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	f := &far{Server: sim.Serve(listener, c), port: port}
	t.Cleanup(f.Close)
	f.sender = open(t, port, values)
	return f
}

func open(t *testing.T, port string, values map[string]string) tidings.Sender {
	t.Helper()
	all := map[string]string{"host": "127.0.0.1", "port": port, "tls": "none", "from": "商城 <notice@acme.example>"}
	for k, v := range values {
		all[k] = v
	}
	s, err := email.Driver.Open(tidings.Setup{Now: time.Now, Values: all})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func call(body string) tidings.Call {
	n := tidings.ID(attempts.Add(1))
	return tidings.Call{Attempt: n, Message: n, User: "u", Content: tidings.Content{Title: "订单", Body: body},
		Address: tidings.Address{Channel: tidings.Email, Value: "lin@shop.example"}}
}

// said sends a mail and fails unless the driver says outcome and reason of it ("" is a yes); it writes a cell of the conformance table.
func (f *far) said(t *testing.T, ctx context.Context, fault string, c tidings.Call, outcome tidings.Outcome, reason tidings.Reason, recorded int) *tidings.SendError {
	t.Helper()
	began, before := time.Now(), len(f.Records())
	_, err := f.sender.Send(ctx, c)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("%s: it took %s", fault, took)
	}
	e, _ := errors.AsType[*tidings.SendError](err)
	if e == nil {
		e = &tidings.SendError{}
	}
	if err != nil && e.Err == nil || e.Outcome != outcome || e.Reason != reason {
		t.Errorf("%s: %v, want %s, %s", fault, err, outcome, reason)
	}
	if n := len(f.Records()); n != recorded {
		t.Errorf("%s: the server has %d mails, want %d", fault, n, recorded)
	}
	if err != nil && strings.Contains(err.Error(), "lin@") {
		t.Errorf("%s: the error names the recipient: %v", fault, err)
	}
	channeltest.Cell(t, "email", fault, channeltest.Said(err), recorded-before)
	return e
}

// TestItIsASender is the suite's table for a far side that is no HTTP.
func TestItIsASender(t *testing.T) {
	f := newFar(t, sim.Config{}, nil)
	ctx := t.Context()
	f.said(t, ctx, "good", call("your order"), "", "", 1)
	nobody := call("to nobody")
	nobody.Address.Value = "nobody@shop.example"
	if e := f.said(t, ctx, "refused", nobody, tidings.Refused, tidings.AddressRefused, 1); !e.AddressDead {
		t.Error("nobody's address is not dead")
	}
	f.Fail(sim.Fault{At: "rcpt", Code: 451, Text: "4.7.1 greylisted, come back"})
	f.said(t, ctx, "throttled", call("later"), tidings.Busy, tidings.ProviderBusy, 1)
	f.said(t, ctx, "good", call("later"), "", "", 2)
	channeltest.Cell(t, "email", "partial batch", "takes no batches", 0)

	hold := make(chan struct{})
	f.Fail(sim.Fault{At: "data", Hold: hold})
	result := make(chan error, 1)
	go func() {
		_, err := f.sender.Send(ctx, call("slowly"))
		result <- err
	}()
	taken := func() error {
		if n := len(f.Records()); n != 3 {
			return fmt.Errorf("%d mails", n)
		}
		return nil
	}
	if err := proctest.Until(20*time.Second, taken); err != nil {
		t.Fatal(err)
	}
	close(hold)
	if err := <-result; err != nil {
		t.Error(err)
	}
	channeltest.Cell(t, "email", "slow", channeltest.Said(nil), 1)

	short, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	never := make(chan struct{})
	defer close(never)
	f.Fail(sim.Fault{At: "data", Hold: never})
	f.said(t, short, "too slow", call("too slowly"), tidings.Unknown, tidings.ProviderSilent, 4)
	for _, at := range []string{"connect", "mail", "rcpt"} {
		f.Fail(sim.Fault{At: at})
		f.said(t, ctx, "reset before bytes", call("never"), tidings.Busy, tidings.ProviderDown, 4)
	}
	f.Fail(sim.Fault{At: "data", Take: true})
	f.said(t, ctx, "answer lost", call("taken, but nobody told"), tidings.Unknown, tidings.ProviderSilent, 5)
	f.Fail(sim.Fault{At: "data", Take: true, Raw: "HTTP/1.1 200 OK\r\n\r\n<html>welcome</html>\r\n"})
	f.said(t, ctx, "garbage", call("taken, and garbage said"), tidings.Unknown, tidings.ProviderSilent, 6)

	stopped, stop := context.WithCancel(ctx)
	stop()
	if _, err := f.sender.Send(stopped, call("never")); !strings.Contains(channeltest.Said(err), "busy, provider_down") {
		t.Error(err)
	}
	expired := call("too late")
	expired.ExpiresAt = time.Now()
	if _, err := f.sender.Send(ctx, expired); channeltest.Said(err) != "refused, expired" {
		t.Error(err)
	}
	if _, err := f.sender.Send(ctx, call(strings.Repeat("订", 100<<10))); channeltest.Said(err) != "refused, too_long" {
		t.Error(err)
	}
	if n := len(f.Records()); n != 6 {
		t.Errorf("%d mails", n)
	}
}

func TestAnswersAreClassedByStepAndCode(t *testing.T) {
	f := newFar(t, sim.Config{}, nil)
	for _, c := range []struct {
		fault sim.Fault
		want  tidings.SendError
	}{
		{sim.Fault{At: "connect", Code: 421, Text: "4.3.2 too many connections"}, tidings.SendError{Outcome: tidings.Busy, Reason: tidings.ProviderBusy}},
		{sim.Fault{At: "mail", Code: 550, Text: "5.7.1 not as this sender"}, tidings.SendError{Outcome: tidings.Busy, Reason: tidings.Misconfigured, After: time.Minute, Configuration: true}},
		{sim.Fault{At: "mail", Code: 452, Text: "4.3.1 full"}, tidings.SendError{Outcome: tidings.Busy, Reason: tidings.ProviderBusy}},
		{sim.Fault{At: "rcpt", Code: 550, Text: "5.1.1 no such user"}, tidings.SendError{Outcome: tidings.Refused, Reason: tidings.AddressRefused, AddressDead: true}},
		{sim.Fault{At: "rcpt", Code: 550, Text: "5.7.1 blocked by policy"}, tidings.SendError{Outcome: tidings.Refused, Reason: tidings.AddressRefused}},
		{sim.Fault{At: "rcpt", Code: 452, Text: "4.2.2 mailbox full"}, tidings.SendError{Outcome: tidings.Busy, Reason: tidings.ProviderBusy, OfAddress: true}},
		{sim.Fault{At: "data", Code: 554, Text: "5.7.1 looks like spam"}, tidings.SendError{Outcome: tidings.Refused, Reason: tidings.ProviderRefused}},
		{sim.Fault{At: "data", Code: 552, Text: "5.3.4 too big"}, tidings.SendError{Outcome: tidings.Refused, Reason: tidings.TooLong}},
		{sim.Fault{At: "data", Code: 451, Text: "4.3.0 later"}, tidings.SendError{Outcome: tidings.Busy, Reason: tidings.ProviderBusy}},
	} {
		f.Fail(c.fault)
		_, err := f.sender.Send(t.Context(), call("x"))
		e, ok := errors.AsType[*tidings.SendError](err)
		if !ok {
			t.Errorf("%+v: %v", c.fault, err)
			continue
		}
		got := *e
		if got.Err = nil; got != c.want {
			t.Errorf("%+v: %v", c.fault, err)
		}
	}
	if n := len(f.Records()); n != 0 {
		t.Errorf("%d mails were taken", n)
	}
}

// certificate is one for 127.0.0.1, with the PEM of the authority behind it.
func certificate(t *testing.T) (*tls.Config, string) {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return &tls.Config{Certificates: server.TLS.Certificates}, string(authority)
}

func TestALoginGoesOverTLSAndAWrongOneIsOurFault(t *testing.T) {
	config, authority := certificate(t)
	for _, how := range []string{"starttls", "tls"} {
		f := newFar(t, sim.Config{User: "acme", Password: "right", TLS: config, Implicit: how == "tls"}, nil)
		for name, values := range map[string]map[string]string{
			"wrong":    {"tls": how, "authority": authority, "username": "acme", "password": "wrong-word"},
			"missing":  {"tls": how, "authority": authority},
			"stranger": {"tls": how, "username": "acme", "password": "right"},
		} {
			_, err := open(t, f.port, values).Send(t.Context(), call("x"))
			e, ok := errors.AsType[*tidings.SendError](err)
			if !ok || !e.Configuration || e.Outcome != tidings.Busy || strings.Contains(err.Error(), "wrong-word") {
				t.Errorf("%s, %s: %v", how, name, err)
			}
		}
		good := map[string]string{"tls": how, "authority": authority, "username": "acme", "password": "right"}
		if _, err := open(t, f.port, good).Send(t.Context(), call("x")); err != nil {
			t.Errorf("%s: %v", how, err)
		}
	}
	plain := newFar(t, sim.Config{User: "acme", Password: "right"}, nil)
	for name, values := range map[string]map[string]string{
		"no TLS to be had": {"tls": "starttls"}, "a login in the open": {"tls": "none", "username": "acme", "password": "right"},
	} {
		_, err := open(t, plain.port, values).Send(t.Context(), call("x"))
		if e, ok := errors.AsType[*tidings.SendError](err); !ok || !e.Configuration {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAMailIsSafeAndWhole(t *testing.T) {
	f := newFar(t, sim.Config{}, nil)
	c := call("【望京店】 <script>alert(1)</script> & \"quotes\"\n.\nafter a line of one period 😀")
	c.Content.Title = "订单\r\nBcc: all@shop.example"
	c.Content.URL, c.Unsubscribe = `javascript:alert(1)`, "https://tidings.example/u/abc"
	for range 2 {
		if _, err := f.sender.Send(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	linked := call("plain")
	linked.Content.URL = `https://m.example/?a=1&b="><script>`
	good := call("plain")
	good.Content.Title, good.Content.URL = "", "https://m.example/?a=1&b=2"
	for _, c := range []tidings.Call{linked, good} {
		if _, err := f.sender.Send(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	r := f.Records()
	if r[0].ID == "" || r[0].ID != r[1].ID || r[0].ID == r[2].ID || !strings.HasSuffix(r[0].ID, "@acme.example>") {
		t.Errorf("ids %q %q %q", r[0].ID, r[1].ID, r[2].ID)
	}
	if len(f.Shown("lin@shop.example")) != 3 {
		t.Errorf("%q", f.Shown("lin@shop.example"))
	}
	if r[0].Header.Get("Bcc") != "" || r[0].Subject != "订单  Bcc: all@shop.example" {
		t.Errorf("%q %v", r[0].Subject, r[0].Header)
	}
	if !strings.HasPrefix(r[0].Text, c.Content.Body) || strings.Contains(r[0].Text, "javascript:") {
		t.Errorf("%q", r[0].Text)
	}
	for i, m := range r {
		if strings.Contains(m.HTML, "<script>") || strings.Contains(m.HTML, "javascript:") || !strings.Contains(m.HTML, "<p") {
			t.Errorf("%d: %s", i, m.HTML)
		}
	}
	if r[0].Header.Get("List-Unsubscribe") != "<https://tidings.example/u/abc>" || r[0].Header.Get("List-Unsubscribe-Post") != "List-Unsubscribe=One-Click" ||
		!strings.Contains(r[0].HTML, `href="https://tidings.example/u/abc"`) || r[2].Header.Get("List-Unsubscribe") != "" {
		t.Errorf("%v", r[0].Header)
	}
	if !strings.Contains(r[3].HTML, `href="https://m.example/?a=1&amp;b=2"`) || r[3].Subject != "plain" || r[3].Header.Get("Auto-Submitted") != "auto-generated" {
		t.Errorf("%+v", r[3])
	}
}

func TestAWrongSettingIsToldByItsName(t *testing.T) {
	for field, value := range map[string]string{"host": "", "port": "0", "tls": "maybe", "from": "acme", "reply_to": "x", "domain": "a b", "authority": "x"} {
		values := map[string]string{"host": "mail.example", "port": "587", "tls": "starttls", "from": "a@acme.example"}
		values[field] = value
		_, err := email.Driver.Open(tidings.Setup{Now: time.Now, Values: values})
		e, ok := errors.AsType[*tidings.Error](err)
		if !ok || len(e.Fields) != 1 || e.Fields[0].Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}
