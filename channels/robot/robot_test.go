package robot_test

import (
	"errors"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidings"
	"tidings/channels/channeltest"
	"tidings/channels/dingtalk"
	"tidings/channels/feishu"
	"tidings/channels/robot"
	"tidings/channels/wecom"
	sim "tidings/internal/sim/robot"
)

const token, secret = "693a91f6-7abc-4bc4-97a0-0ec2sifa5aaa", "SEC693a91f67abc"

var attempts atomic.Int64

// kinds are the three drivers, with what each provider says when it has had enough.
var kinds = []struct {
	driver    tidings.Driver
	path      string
	busy      string
	busyAfter time.Duration
	most      int // bytes of a text
}{
	{dingtalk.Driver, "/robot/send?access_token=", `{"errcode":130101,"errmsg":"send too fast"}`, 10 * time.Minute, 18 << 10},
	{wecom.Driver, "/cgi-bin/webhook/send?key=", `{"errcode":45009,"errmsg":"api freq out of limit"}`, time.Minute, 2048},
	{feishu.Driver, "/open-apis/bot/v2/hook/", `{"code":11232,"msg":"frequency limited"}`, time.Minute, 18 << 10},
}

func open(t *testing.T, d tidings.Driver, base string, now func() time.Time) tidings.Sender {
	t.Helper()
	s, err := d.Open(tidings.Setup{Now: now, Values: map[string]string{"url": base, "per_minute": d.Fields[1].Default}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.(*robot.Sender).Close)
	return s
}

func call(d tidings.Driver, value, body string) tidings.Call {
	n := tidings.ID(attempts.Add(1))
	return tidings.Call{Attempt: n, Message: n, User: "u", Content: tidings.Content{Body: body},
		Address: tidings.Address{Channel: tidings.Bot, Provider: d.Provider, Value: value + "#" + secret}}
}

func serve(t *testing.T, c sim.Config) (*sim.Simulator, string) {
	t.Helper()
	c.Token, c.Secret = token, secret
	s := sim.New(c)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return s, server.URL
}

func TestItIsASender(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.driver.Provider, func(t *testing.T) {
			channeltest.Run(t, func(t *testing.T) channeltest.Harness {
				far, base := serve(t, sim.Config{})
				return channeltest.Harness{
					URL: base + k.path,
					New: func(t *testing.T, url string, now func() time.Time) tidings.Sender {
						return open(t, k.driver, url, now)
					},
					Call: func(body string) tidings.Call { return call(k.driver, base+k.path+token, body) },
					Aim: func(c tidings.Call, url string) tidings.Call {
						c.Address.Value = url + token + "#" + secret
						return c
					},
					Seen: func() (texts []string) {
						for _, r := range far.Records() {
							texts = append(texts, r.Text)
						}
						return texts
					},
					Refuse: func(c tidings.Call) tidings.Call {
						c.Address.Value = strings.Replace(c.Address.Value, token, "nobody", 1)
						return c
					},
					Busy:      channeltest.Reply{Status: 200, Body: k.busy},
					BusyAfter: k.busyAfter,
					NoAccount: "the robot is the address",
					Long:      strings.Repeat("订", k.most/3),
					TooLong:   strings.Repeat("订", k.most/3+1),
					Secrets:   []string{secret},
				}
			})
		})
	}
}

func TestARobotIsNotLetBeyondItsLimit(t *testing.T) {
	for _, k := range kinds[:2] {
		now := time.Now()
		far, base := serve(t, sim.Config{Limit: 20, Now: func() time.Time { return now }})
		s := open(t, k.driver, base+k.path, func() time.Time { return now })
		for range 20 {
			if _, err := s.Send(t.Context(), call(k.driver, token, "x")); err != nil {
				t.Fatal(err)
			}
			now = now.Add(time.Second)
		}
		_, err := s.Send(t.Context(), call(k.driver, base+k.path+token, "one too many"))
		e, ok := errors.AsType[*tidings.SendError](err)
		if !ok || e.Outcome != tidings.Busy || e.After != 40*time.Second || !e.OfAddress {
			t.Fatalf("%s: %v", k.driver.Provider, err)
		}
		now = now.Add(e.After)
		if _, err := s.Send(t.Context(), call(k.driver, token, "in time")); err != nil {
			t.Errorf("%s after %s: %v", k.driver.Provider, e.After, err)
		}
		if n := len(far.Records()); n != 21 {
			t.Errorf("%s: %d posts", k.driver.Provider, n)
		}
	}
}

func TestASignatureThatDoesNotMatchIsNoDeadAddress(t *testing.T) {
	for _, k := range []int{0, 2} {
		k := kinds[k]
		_, base := serve(t, sim.Config{})
		c := call(k.driver, token, "x")
		c.Address.Value = token + "#SECanother"
		_, err := open(t, k.driver, base+k.path, time.Now).Send(t.Context(), c)
		if e, ok := errors.AsType[*tidings.SendError](err); !ok || e.Outcome != tidings.Refused || e.Reason != tidings.AddressRefused || e.AddressDead {
			t.Errorf("%s: %v", k.driver.Provider, err)
		}
	}
}

func TestAnAddressNamesARobotAndNoHost(t *testing.T) {
	for _, k := range kinds {
		far, base := serve(t, sim.Config{})
		s := open(t, k.driver, "https://robots.example"+k.path, time.Now)
		for _, value := range []string{base + k.path + token, "https://robots.example.evil.example/" + token, "http://127.0.0.1/", "https://robots.example" + k.path} {
			_, err := s.Send(t.Context(), call(k.driver, value, "x"))
			if e, ok := errors.AsType[*tidings.SendError](err); !ok || !e.AddressDead {
				t.Errorf("%s %s: %v", k.driver.Provider, value, err)
			}
		}
		if len(far.Records()) > 0 {
			t.Error("it was called")
		}
	}
}

func TestTitleAndLinkStandBesideTheText(t *testing.T) {
	for _, k := range kinds {
		far, base := serve(t, sim.Config{})
		c := call(k.driver, url.PathEscape(token), `<at user_id="all"></at> [x](http://evil.example) **b**`)
		c.Content.Title, c.Content.URL = "订单", "https://m.example/1?a=1&b=2"
		if _, err := open(t, k.driver, base+k.path, time.Now).Send(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		r := far.Records()[0]
		all := strings.Trim(r.Title+"\n"+r.Text+"\n"+r.Link, "\n")
		if all != c.Content.Title+"\n"+c.Content.Body+"\n"+c.Content.URL {
			t.Errorf("%s: %q", k.driver.Provider, all)
		}
	}
}
