package baidu

import (
	"net/url"
	"testing"
)

func TestSignaturesAreThoseOfTheDocumentsAndOfPHP(t *testing.T) {
	const demo = "SK_demo_0123456789abcdef"
	for _, c := range []struct {
		address    string
		parameters url.Values
		secret     string
		want       string
	}{
		{"http://api.tuisong.baidu.com/rest/3.0/test/echo", // Baidu's own example
			url.Values{"apikey": {"Ljc710pzAa99GULCo8y48NvB"}, "expires": {"1313293565"}, "timestamp": {"1427180905"}},
			"87772555E1C16715EBA5C85341684C58", "7d14113142e2a1583b4e9dad3fba73d0"},
		{"http://api.tuisong.baidu.com/rest/3.0/push/all", // push.baidu.com/issue/view/1068
			url.Values{"apikey": {"tf9G7QicWAh2aEGFlrI1Ohyb"}, "timestamp": {"1447401600"}, "device_type": {"3"},
				"msg": {`{"title":"hello","description":"test"}`}, "msg_expires": {"3600"}, "msg_type": {"1"}},
			"qQ1h43yGQYG6H6mYgSPizDuCmtbMj6Ld", "f462b3fdac8b92d28bc52fc47c54f56e"},
		{"https://api.tuisong.baidu.com/rest/3.0/push/single_device", // real PHP 8.2
			url.Values{"apikey": {"AK_demo_0123456789abcdef"}, "channel_id": {"3915728604212165383"}, "device_type": {"3"},
				"expires": {"1700000600"}, "msg_expires": {"3600"}, "msg_type": {"1"}, "timestamp": {"1700000000"},
				"msg": {`{"title":"订单 已发货","description":"望京店~*(1)","custom_content":{"mid":"m-1"}}`}},
			demo, "e8bfea2ecd18be4b35c6af5fecf62afe"},
		{"http://api.tuisong.baidu.com/rest/3.0/push/batch_device",
			url.Values{"apikey": {"AK_demo_0123456789abcdef"}, "channel_ids": {`["3915728604212165383","3915728604212165384"]`},
				"deploy_status": {"2"}, "device_type": {"4"}, "msg": {`{"aps":{"alert":"hello","badge":1}}`}, "msg_type": {"1"},
				"timestamp": {"1700000000"}, "topic_id": {"order_shipped"}},
			demo, "b3f7777375c7a0ecee082fe8d1f11f8d"},
	} {
		if got := sign("POST", c.address, c.parameters, c.secret); got != c.want {
			t.Errorf("%s: %s, want %s", c.address, got, c.want)
		}
	}
}
