package kills

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	push "github.com/SherClockHolmes/webpush-go"

	"tidings/internal/sim/aliyun"
	"tidings/internal/sim/apns"
	"tidings/internal/sim/baidu"
	"tidings/internal/sim/fcm"
	"tidings/internal/sim/gateway"
	"tidings/internal/sim/huawei"
	"tidings/internal/sim/jpush"
	"tidings/internal/sim/mail"
	"tidings/internal/sim/phones"
	"tidings/internal/sim/robot"
	"tidings/internal/sim/tencent"
	"tidings/internal/sim/twilio"
	"tidings/internal/sim/webpush"
)

// far is the far side of one driver.
type far struct {
	provider, channel string
	bound             bool
	address           string
	code, signature   string // of the template that the provider has approved
	settings          map[string]string
	seen              func() []string // the texts that it accepted, repeats included
}

// far sides that report do so when the attempt is long unknown.
const reportAfter = 20 * time.Second

// fars are the far sides of all drivers. Some report (Kannel, Twilio, the company's gateway), some can be asked (Aliyun, Tencent); of the
// others nothing is heard again.
func fars(t *testing.T, g *guillotine) []far {
	all := append(smsFars(t, g), appFars(t, g)...)
	all = append(all, robots(t, g)...)
	return append(all, mailServer(t, g), merchant(t, g))
}

func smsFars(t *testing.T, g *guillotine) []far {
	params := func(p *phones.Phones, name string) func() []string {
		return func() (texts []string) {
			for _, r := range p.Records() {
				texts = append(texts, r.Params[name])
			}
			return texts
		}
	}
	ali := aliyun.New(aliyun.Config{Key: "AK", Secret: "SK", Signature: "望京店", Template: "SMS_1"})
	ten := tencent.New(tencent.Config{Key: "AKID", Secret: "SK", App: "1400000001"})
	twi := twilio.New(twilio.Config{Config: phones.Config{ReportAfter: reportAfter}, Account: "AC0123456789abcdef0123456789abcdef", Token: "token"})
	kan := gateway.New(gateway.Config{User: "u", Password: "p", ReportAfter: reportAfter})
	com := &company{client: &http.Client{Timeout: 5 * time.Second}}
	for _, stop := range []func(){ali.Close, ten.Close, twi.Close, kan.Close, com.work.Wait} {
		t.Cleanup(stop)
	}
	twilioSeen := func() (texts []string) {
		for _, r := range twi.Records() {
			texts = append(texts, r.Text)
		}
		return texts
	}
	kannelSeen := func() (texts []string) {
		for _, r := range kan.Records() {
			texts = append(texts, r.Text)
		}
		return texts
	}
	aliSeen, tenSeen := params(ali.Phones, "text"), params(ten.Phones, "1")
	return []far{
		{provider: "aliyun", channel: "sms", code: "SMS_1:text", signature: "望京店", seen: aliSeen,
			settings: map[string]string{"key": "AK", "secret": "SK", "url": g.serve(t, "aliyun", ali, aliSeen)}},
		{provider: "tencent", channel: "sms", code: "449739:text", signature: "望京店", seen: tenSeen,
			settings: map[string]string{"key": "AKID", "secret": "SK", "app": "1400000001", "url": g.serve(t, "tencent", ten, tenSeen)}},
		{provider: "twilio", channel: "sms", seen: twilioSeen, settings: map[string]string{"account": "AC0123456789abcdef0123456789abcdef", "token": "token",
			"from": "+15005550006", "url": g.serve(t, "twilio", twi, twilioSeen)}},
		{provider: "kannel", channel: "sms", seen: kannelSeen, settings: map[string]string{"user": "u", "password": "p", "url": g.serve(t, "kannel", kan, kannelSeen) + "/cgi-bin/sendsms"}},
		{provider: "httpsms", channel: "sms", seen: com.seen, settings: map[string]string{"url": g.serve(t, "httpsms", com, com.seen), "success": "code=0",
			"body": `{"to":"{number}","text":"{text}","report":"{report}"}`, "report_type": "json", "report_delivered": "status=DELIVRD"}},
	}
}

// company is a gateway as a company might have built it.
type company struct {
	client *http.Client
	work   sync.WaitGroup
	mu     sync.Mutex
	texts  []string
}

func (c *company) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var m struct{ To, Text, Report string }
	if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
		w.WriteHeader(400)
		return
	}
	c.mu.Lock()
	c.texts = append(c.texts, m.Text)
	c.mu.Unlock()
	c.work.Add(1)
	time.AfterFunc(reportAfter, func() {
		defer c.work.Done()
		if answer, err := c.client.Post(m.Report, "application/json", strings.NewReader(`{"status":"DELIVRD"}`)); err == nil {
			answer.Body.Close()
		}
	})
	io.WriteString(w, `{"code":0}`)
}

func (c *company) seen() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string{}, c.texts...)
}

func appFars(t *testing.T, g *guillotine) []far {
	bai := baidu.New(baidu.Config{Apps: []baidu.App{{Key: "AK", Secret: "SK", Android: true, AnyDevice: true}}})
	t.Cleanup(bai.Close)
	app, fire, jp, hua := apns.New(apns.Config{Topic: "com.example.shop"}), fcm.New(fcm.Config{Project: "shop"}), jpush.New(jpush.Config{Key: "AK", Secret: "MS"}),
		huawei.New(huawei.Config{App: "1001", Secret: "app-secret"})
	private, public, err := push.GenerateVAPIDKeys()
	must(t, err)
	web, err := webpush.New(public)
	must(t, err)
	seen := map[string]func() []string{
		"baidu": func() (texts []string) {
			for _, r := range bai.Records() {
				texts = append(texts, field(r.Msg, "description"))
			}
			return texts
		},
		"apns": func() (texts []string) {
			for _, r := range app.Records() {
				texts = append(texts, r.Body)
			}
			return texts
		},
		"fcm": func() (texts []string) {
			for _, r := range fire.Records() {
				texts = append(texts, r.Body)
			}
			return texts
		},
		"jpush": func() (texts []string) {
			for _, r := range jp.Records() {
				texts = append(texts, r.Body)
			}
			return texts
		},
		"huawei": func() (texts []string) {
			for _, r := range hua.Records() {
				texts = append(texts, r.Body)
			}
			return texts
		},
		"webpush": func() (texts []string) {
			for _, r := range web.Records() {
				texts = append(texts, field(string(r.Data), "body"))
			}
			return texts
		},
	}
	serve := func(provider string, h http.Handler) string { return g.serve(t, provider, h, seen[provider]) }
	fireURL, huaweiURL, jpushURL := serve("fcm", fire), serve("huawei", hua), serve("jpush", jp)
	web.URL = g.serveTLS(t, "webpush", web, seen["webpush"])
	return list{
		{provider: "baidu", address: "3915728604212165383", settings: map[string]string{"key": "AK", "secret": "SK", "url": serve("baidu", bai)}},
		{provider: "apns", address: strings.Repeat("0a", 32), settings: map[string]string{"key": app.Key(), "key_id": apns.KeyID, "team_id": apns.TeamID,
			"topic": "com.example.shop", "url": serve("apns", app)}},
		{provider: "fcm", address: "cRF3:APA91bEdevice_0123456789", settings: map[string]string{"service_account": fire.ServiceAccount(fireURL), "url": fireURL}},
		{provider: "jpush", address: "1a0018970a8dd8dc001", settings: map[string]string{"app_key": "AK", "master_secret": "MS", "url": jpushURL, "report_url": jpushURL}},
		{provider: "huawei", address: "IQAAAACy0tYAAA_device1", settings: map[string]string{"app_id": "1001", "app_secret": "app-secret", "url": huaweiURL,
			"token_url": huaweiURL + "/oauth2/v3/token"}},
		{provider: "webpush", address: web.Subscription(web.URL + "/push/1"), settings: map[string]string{"private_key": private,
			"subscriber": "mailto:push@acme.example", "networks": "127.0.0.0/8"}},
	}.with("app", true, seen)
}

func robots(t *testing.T, g *guillotine) []far {
	const token, secret = "693a91f6-7abc-4bc4-97a0-0ec2sifa5aaa", "SEC693a91f67abc"
	sim := robot.New(robot.Config{Token: token, Secret: secret})
	seen := map[string]func() []string{}
	var all []far
	for provider, path := range map[string]string{"dingtalk": "/robot/send?access_token=", "wecom": "/cgi-bin/webhook/send?key=", "feishu": "/open-apis/bot/v2/hook/"} {
		seen[provider] = func() (texts []string) {
			for _, r := range sim.Records() {
				if r.Provider == provider {
					texts = append(texts, ours(r.Text))
				}
			}
			return texts
		}
		url := g.serve(t, provider, sim, seen[provider])
		all = append(all, far{provider: provider, address: token + "#" + secret,
			settings: map[string]string{"url": url + path, "per_minute": "1000"}})
	}
	return list(all).with("bot", true, seen)
}

func mailServer(t *testing.T, g *guillotine) far {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var server *mail.Server
	var mu sync.Mutex
	seen := func() (texts []string) {
		mu.Lock()
		s := server
		mu.Unlock()
		for _, r := range s.Records() {
			texts = append(texts, ours(r.Text))
		}
		return texts
	}
	mu.Lock()
	server = mail.Serve(listener{l, g, seen}, mail.Config{})
	mu.Unlock()
	t.Cleanup(server.Close)
	host, port, err := net.SplitHostPort(l.Addr().String())
	must(t, err)
	return far{provider: "email", channel: "email", address: "lin@shop.example", seen: seen,
		settings: map[string]string{"host": host, "port": port, "tls": "none", "from": "商城 <notice@acme.example>"}}
}

// merchant is a merchant's own system.
func merchant(t *testing.T, g *guillotine) far {
	var mu sync.Mutex
	var texts []string
	seen := func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string{}, texts...)
	}
	url := g.serveTLS(t, "webhook", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var e struct{ Data struct{ Body string } }
		if err := json.NewDecoder(r.Body).Decode(&e); err == nil {
			mu.Lock()
			defer mu.Unlock()
			texts = append(texts, e.Data.Body)
		}
	}), seen)
	return far{provider: "webhook", channel: "webhook", address: url + "/hook#whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", seen: seen,
		settings: map[string]string{"networks": "127.0.0.0/8"}}
}

// list is a few far sides that have something in common.
type list []far

func (l list) with(channel string, bound bool, seen map[string]func() []string) []far {
	for i := range l {
		l[i].channel, l[i].bound, l[i].seen = channel, bound, seen[l[i].provider]
	}
	return l
}

// field is a text field of a JSON object.
func field(text, name string) string {
	var m map[string]any
	json.Unmarshal([]byte(text), &m)
	s, _ := m[name].(string)
	return s
}

// ours is the line of a text that the test wrote: drivers set a title above it, and mail a link below.
func ours(text string) string {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "Message ") {
			return strings.TrimSpace(line)
		}
	}
	return text
}
