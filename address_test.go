package tidings_test

import (
	"strings"
	"testing"
	"time"

	"tidings"
)

const (
	secret       = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	subscription = `{"endpoint":"https://push.example/1","expirationTime":null,"keys":{` +
		`"p256dh":"BNcRdreALRFXTkOOUHK1EtK2wtaz5Ry4YfYCA_0QTpQtUbVlUls0VJXg7A8u-Ts1XbjhazAkj7I99e8QcYP7DkM=","auth":"tBHItJI5svbpez7KI4CCXg=="}}`
)

func TestAddressesAreCheckedByTheirChannel(t *testing.T) {
	for _, c := range []struct {
		address tidings.Address
		field   string // that is wrong; "" is none
	}{
		{tidings.Address{Channel: "email", Value: "lin@shop.example"}, ""},
		{tidings.Address{Channel: "email", Value: "林@shop.example"}, ""},
		{tidings.Address{Channel: "email", Value: "Lin <lin@shop.example>"}, "addresses[0].value"},
		{tidings.Address{Channel: "email", Value: "lin@shop.example\r\nBcc: all@shop.example"}, "addresses[0].value"},
		{tidings.Address{Channel: "email", Value: strings.Repeat("l", 250) + "@shop.example"}, "addresses[0].value"},
		{tidings.Address{Channel: "webhook", Value: "https://shop.example/hook#" + secret}, ""},
		{tidings.Address{Channel: "webhook", Value: "https://shop.example/hook#" + secret + "," + secret}, ""},
		{tidings.Address{Channel: "webhook", Value: "https://shop.example/hook#" + secret + "," + secret + "," + secret}, "addresses[0].value"},
		{tidings.Address{Channel: "webhook", Value: "https://shop.example/hook"}, "addresses[0].value"},
		{tidings.Address{Channel: "webhook", Value: "https://shop.example/hook#whsec_c2hvcnQ="}, "addresses[0].value"},
		{tidings.Address{Channel: "webhook", Value: "http://shop.example/hook#" + secret}, "addresses[0].value"},
		{tidings.Address{Channel: "webhook", Value: "https://user:word@shop.example/hook#" + secret}, "addresses[0].value"},
		{tidings.Address{Channel: "webhook", Value: "https:///hook#" + secret}, "addresses[0].value"},
		{tidings.Address{Channel: "bot", Provider: "wecom", Value: "693a91f6-7xxx-4bc4-97a0-0ec2sifa5aaa"}, ""},
		{tidings.Address{Channel: "bot", Provider: "dingtalk", Value: "https://oapi.dingtalk.com/robot/send?access_token=1#SEC2"}, ""},
		{tidings.Address{Channel: "bot", Provider: "slack", Value: "1"}, "addresses[0].provider"},
		{tidings.Address{Channel: "bot", Provider: "feishu", Value: "file:///secret"}, "addresses[0].value"},
		{tidings.Address{Channel: "bot", Provider: "feishu", Value: "http://open.feishu.cn/1"}, "addresses[0].value"},
		{tidings.Address{Channel: "app", Provider: "webpush", Value: subscription}, ""},
		{tidings.Address{Channel: "app", Provider: "webpush", Value: strings.Replace(subscription, "https", "http", 1)}, "addresses[0].value"},
		{tidings.Address{Channel: "app", Provider: "webpush", Value: strings.Replace(subscription, "BNcR", "", 1)}, "addresses[0].value"},
		{tidings.Address{Channel: "app", Provider: "webpush", Value: "3915728604212165383"}, "addresses[0].value"},
		{tidings.Address{Channel: "web", Value: "1"}, "addresses[0].channel"},
	} {
		errs := tidings.ValidateAddresses([]tidings.Address{c.address})
		if c.field == "" && len(errs) > 0 || c.field != "" && (len(errs) != 1 || errs[0].Field != c.field) {
			t.Errorf("%+v: %v, want %q", c.address, errs, c.field)
		}
	}
}

// The known answer is the Standard Webhooks library's own.
func TestASignatureIsTheKnownOne(t *testing.T) {
	const want = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	got, err := tidings.SignWebhook([]string{secret, secret}, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if err != nil || got != want+" "+want {
		t.Errorf("%q, %v", got, err)
	}
}

func TestATableGivesAddressesOnEveryChannel(t *testing.T) {
	h, err := tidings.ParseImportHeader([]string{"user", "sms", "app", "email", "webhook", "bot"})
	if err != nil {
		t.Fatal(err)
	}
	lines, errs := h.Lines([]string{"u-lin", "+8613800138000", "3915728604212165383", "lin@shop.example", "https://shop.example/hook#" + secret, "dingtalk:https://oapi.dingtalk.com/robot/send?access_token=1"})
	if len(errs) > 0 || len(lines) != 2 || len(lines[1].Addresses.Addresses) != len(tidings.Addressed) || len(lines[1].Validate()) > 0 {
		t.Errorf("%+v %v", lines, errs)
	}
	if bot := lines[1].Addresses.Addresses[4]; bot.Provider != "dingtalk" || !strings.HasPrefix(bot.Value, "https://oapi") {
		t.Errorf("%+v", bot)
	}
}

func TestATablesAppAddressMayBeOfAnyProvider(t *testing.T) {
	for _, c := range []struct {
		values map[string]string
		want   tidings.Address
	}{
		{map[string]string{"app": "123"}, tidings.Address{Channel: tidings.App, Value: "123", Provider: "baidu", Platform: "android"}},
		{map[string]string{"app": "123", "platform": "ios"}, tidings.Address{Channel: tidings.App, Value: "123", Provider: "baidu", Platform: "ios"}},
		{map[string]string{"app": "ab:APA91", "provider": "fcm"}, tidings.Address{Channel: tidings.App, Value: "ab:APA91", Provider: "fcm"}},
		{map[string]string{"app": `{"endpoint":"https://x"}`, "provider": tidings.WebPush}, tidings.Address{Channel: tidings.App, Value: `{"endpoint":"https://x"}`, Provider: tidings.WebPush}},
		{map[string]string{"bot": "feishu:t#s"}, tidings.Address{Channel: tidings.Bot, Value: "t#s", Provider: "feishu"}},
	} {
		if got := tidings.UserAddresses(c.values); len(got) != 1 || got[0] != c.want {
			t.Errorf("%v: %+v", c.values, got)
		}
	}
}
