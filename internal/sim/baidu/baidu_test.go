package baidu

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestSignaturesAreThoseOfTheDocumentsAndOfPHP(t *testing.T) {
	for _, c := range []struct{ address, query, msg, secret, want string }{
		{"http://api.tuisong.baidu.com/rest/3.0/test/echo", "apikey=Ljc710pzAa99GULCo8y48NvB&expires=1313293565&timestamp=1427180905", "",
			"87772555E1C16715EBA5C85341684C58", "7d14113142e2a1583b4e9dad3fba73d0"},
		{"http://api.tuisong.baidu.com/rest/3.0/push/all",
			"apikey=tf9G7QicWAh2aEGFlrI1Ohyb&timestamp=1447401600&device_type=3&msg_expires=3600&msg_type=1", `{"title":"hello","description":"test"}`,
			"qQ1h43yGQYG6H6mYgSPizDuCmtbMj6Ld", "f462b3fdac8b92d28bc52fc47c54f56e"},
		{"https://api.tuisong.baidu.com/rest/3.0/push/single_device",
			"apikey=AK_demo_0123456789abcdef&channel_id=3915728604212165383&device_type=3&expires=1700000600&msg_expires=3600&msg_type=1&timestamp=1700000000",
			`{"title":"订单 已发货","description":"望京店~*(1)","custom_content":{"mid":"m-1"}}`, "SK_demo_0123456789abcdef", "e8bfea2ecd18be4b35c6af5fecf62afe"},
		{"http://api.tuisong.baidu.com/rest/3.0/push/batch_device",
			"apikey=AK_demo_0123456789abcdef&channel_ids=%5B%223915728604212165383%22,%223915728604212165384%22%5D&deploy_status=2&device_type=4" +
				"&msg_type=1&timestamp=1700000000&topic_id=order_shipped", `{"aps":{"alert":"hello","badge":1}}`,
			"SK_demo_0123456789abcdef", "b3f7777375c7a0ecee082fe8d1f11f8d"},
	} {
		p, err := url.ParseQuery(c.query)
		if err != nil {
			t.Fatal(err)
		}
		if c.msg != "" {
			p.Set("msg", c.msg)
		}
		p.Set("sign", "not signed over")
		if got := signature("POST", c.address, p, c.secret); got != c.want {
			t.Errorf("%s: %s, want %s", c.address, got, c.want)
		}
	}
}

func TestEveryByteIsEncodedAsPHPDoes(t *testing.T) {
	for in, want := range map[string]string{"azAZ09-_.": "azAZ09-_.", " ": "+", "~*'()!": "%7E%2A%27%28%29%21", "+%&=/:": "%2B%25%26%3D%2F%3A",
		"订\n\x00\xff": "%E8%AE%A2%0A%00%FF"} {
		if got := phpURLEncode(in); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

const device = "3915728604212165383"

var instant = time.Unix(1_700_000_000, 0)

// bench is a simulator with an Android app "A", an iOS app "I" and an app "B" of both.
type bench struct {
	*Simulator
	url string
}

func newBench(t *testing.T, change func(*Config)) *bench {
	t.Helper()
	c := Config{Apps: []App{{Key: "A", Secret: "sa"}, {Key: "I", Secret: "si", IOS: true}, {Key: "B", Secret: "sb", Android: true, IOS: true}},
		Now: func() time.Time { return instant }}
	if change != nil {
		change(&c)
	}
	b := &bench{Simulator: New(c)}
	for _, a := range c.Apps {
		b.Bind(a.Key, device)
	}
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	t.Cleanup(b.Close)
	b.url = server.URL
	return b
}

// push is a good call of the app A that edits may spoil before it is signed.
func push(edits ...string) url.Values {
	p := url.Values{"apikey": {"A"}, "timestamp": {strconv.FormatInt(instant.Unix(), 10)}, "channel_id": {device}, "msg_type": {"1"},
		"msg": {`{"title":"t","description":"订单~ *'()!","custom_content":{"message":"m-1"}}`}}
	for _, e := range edits {
		name, value, _ := strings.Cut(e, "=")
		if p.Set(name, value); value == "" {
			p.Del(name)
		}
	}
	return p
}

// call signs p unless it is signed and posts it, and gives status and error code (0: taken).
func (b *bench) call(t *testing.T, method string, p url.Values, secret string) (status, code int) {
	t.Helper()
	address := b.url + "/rest/3.0/" + method
	if !p.Has("sign") {
		p.Set("sign", signature("POST", address, p, secret))
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(p.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded;charset=utf-8")
	r.Header.Set("User-Agent", "BCCS_SDK/3.0 (test)")
	return do(t, r)
}

func do(t *testing.T, r *http.Request) (status, code int) {
	t.Helper()
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var body struct {
		RequestID uint32          `json:"request_id"`
		Code      int             `json:"error_code"`
		Result    json.RawMessage `json:"response_params"`
	}
	if err := json.NewDecoder(response.Body).Decode(&body); err != nil || body.RequestID == 0 || (body.Code == 0) != (body.Result != nil) {
		t.Errorf("answer %+v, %v", body, err)
	}
	return response.StatusCode, body.Code
}

func TestEachThingWrongHasItsCode(t *testing.T) {
	now := instant.Unix()
	at := func(name string, seconds int64) string { return name + "=" + strconv.FormatInt(now+seconds, 10) }
	for name, c := range map[string]struct {
		method string
		p      url.Values
		secret string
		code   int
	}{
		"nothing":                    {"push/single_device", push(), "sa", 0},
		"unknown method":             {"push/nobody", push(), "sa", 30605},
		"no apikey":                  {"push/single_device", push("apikey="), "sa", 30602},
		"no timestamp":               {"push/single_device", push("timestamp="), "sa", 30602},
		"timestamp is a word":        {"push/single_device", push("timestamp=now"), "sa", 30602},
		"device type is a word":      {"push/single_device", push("device_type=android"), "sa", 30602},
		"unknown app":                {"push/single_device", push("apikey=X"), "sa", 30603},
		"another app's secret":       {"push/single_device", push(), "si", 30603},
		"600 s old":                  {"push/single_device", push(at("timestamp", -600)), "sa", 0},
		"601 s old":                  {"push/single_device", push(at("timestamp", -601)), "sa", 30606},
		"old, but not expired":       {"push/single_device", push(at("timestamp", -9000), at("expires", 1)), "sa", 0},
		"expired":                    {"push/single_device", push(at("expires", -1)), "sa", 30606},
		"from the future":            {"push/single_device", push(at("timestamp", 601)), "sa", 30606},
		"iOS of an Android app":      {"push/single_device", push("device_type=4"), "sa", 30602},
		"Android of an iOS app":      {"push/single_device", push("apikey=I", "device_type=3"), "si", 30602},
		"no platform of two":         {"push/single_device", push("apikey=B"), "sb", 30602},
		"a platform of two":          {"push/single_device", push("apikey=B", "device_type=3"), "sb", 0},
		"Android's msg for iOS":      {"push/single_device", push("apikey=I"), "si", 30602},
		"iOS's msg for iOS":          {"push/single_device", push("apikey=I", `msg={"aps":{"alert":"x"}}`), "si", 0},
		"no device":                  {"push/single_device", push("channel_id="), "sa", 30602},
		"device is a word":           {"push/single_device", push("channel_id=abcdefghijkl"), "sa", 30602},
		"unknown device":             {"push/single_device", push("channel_id=1111111111111"), "sa", 30608},
		"no msg":                     {"push/single_device", push("msg="), "sa", 30602},
		"msg without description":    {"push/single_device", push(`msg={"title":"t"}`), "sa", 30602},
		"text for msg_type 0":        {"push/single_device", push("msg=any text", "msg_type=0"), "sa", 0},
		"msg of 4096 bytes":          {"push/single_device", push("msg="+strings.Repeat("x", 4096), "msg_type=0"), "sa", 0},
		"msg of 4097 bytes":          {"push/single_device", push("msg="+strings.Repeat("x", 4097), "msg_type=0"), "sa", 30602},
		"msg_type 2":                 {"push/single_device", push("msg_type=2"), "sa", 30602},
		"msg_expires of a week":      {"push/single_device", push("msg_expires=604800"), "sa", 0},
		"msg_expires beyond":         {"push/single_device", push("msg_expires=604801"), "sa", 30602},
		"deploy_status 3":            {"push/single_device", push("deploy_status=3"), "sa", 30602},
		"topic with a dash":          {"push/single_device", push("topic_id=a-b"), "sa", 30602},
		"batch":                      {"push/batch_device", push("channel_id=", `channel_ids=["`+device+`","1111111111"]`), "sa", 0},
		"batch of a word":            {"push/batch_device", push("channel_ids=x"), "sa", 30602},
		"batch of none":              {"push/batch_device", push("channel_ids=[]"), "sa", 30602},
		"batch of numbers":           {"push/batch_device", push("channel_ids=[1]"), "sa", 30602},
		"batch of too many":          {"push/batch_device", push(`channel_ids=["1"` + strings.Repeat(`,"1"`, 10_000) + "]"), "sa", 30602},
		"all":                        {"push/all", push(), "sa", 0},
		"all in 59 s":                {"push/all", push(at("send_time", 59)), "sa", 30602},
		"all in a minute":            {"push/all", push(at("send_time", 60)), "sa", 0},
		"a tag nobody made":          {"push/tags", push("type=1", "tag=vip"), "sa", 30611},
		"no tag":                     {"push/tags", push("type=1"), "sa", 30602},
		"status of an unknown push":  {"report/query_msg_status", push("msg_id=1"), "sa", 30605},
		"members of an unknown tag":  {"tag/add_devices", push("tag=x", `channel_ids=["1"]`), "sa", 30611},
		"statistics":                 {"report/statistic_msg", push(), "sa", 0},
		"a timer that is not":        {"timer/cancel", push("timer_id=1"), "sa", 30605},
		"a tag is made":              {"app/create_tag", push("tag=new"), "sa", 0},
		"parameters msg msg_expires": {"push/single_device", push("msg_expires=1", "msg_type=0"), "sa", 0},
	} {
		for _, plain := range []int{0, 200} {
			b := newBench(t, func(c *Config) { c.Plain = plain })
			status, code := b.call(t, c.method, c.p, c.secret)
			c.p.Del("sign") // it covers the address, which is another one the next time
			if code != c.code || code == 0 && status != 200 || code != 0 && plain == 200 && status != 200 || code != 0 && plain == 0 && status == 200 {
				t.Errorf("%s: %d with %d, want %d", name, code, status, c.code)
			}
		}
	}
}

func TestAnUpperCaseSignatureIsRefused(t *testing.T) {
	b := newBench(t, nil)
	p := push()
	p.Set("sign", strings.ToUpper(signature("POST", b.url+"/rest/3.0/push/single_device", p, "sa")))
	if _, code := b.call(t, "push/single_device", p, ""); code != 30603 {
		t.Error(code)
	}
}

func TestASignatureOverBaidusOwnHostIsGoodToo(t *testing.T) {
	b := newBench(t, nil)
	for host, want := range map[string]int{"http://api.tuisong.baidu.com": 0, "https://api.push.baidu.com": 0, "https://elsewhere.example": 30603} {
		p := push()
		p.Set("sign", signature("POST", host+"/rest/3.0/push/single_device", p, "sa"))
		if _, code := b.call(t, "push/single_device", p, ""); code != want {
			t.Errorf("%s: %d", host, code)
		}
	}
}

func TestOnlyAFormIsACall(t *testing.T) {
	b := newBench(t, func(c *Config) { c.Strict = true })
	address := b.url + "/rest/3.0/push/single_device"
	p := push()
	p.Set("sign", signature("POST", address, p, "sa"))
	good := p.Encode()
	for name, c := range map[string]struct {
		method, kind, agent, body string
		code                      int
	}{
		"good":        {"POST", "application/x-www-form-urlencoded", "BCCS_SDK/3.0", good, 0},
		"GET":         {"GET", "application/x-www-form-urlencoded", "BCCS_SDK/3.0", good, 30601},
		"JSON":        {"POST", "application/json", "BCCS_SDK/3.0", good, 30602},
		"not UTF-8":   {"POST", "application/x-www-form-urlencoded", "BCCS_SDK/3.0", good + "&x=%ff", 30602},
		"no escape":   {"POST", "application/x-www-form-urlencoded", "BCCS_SDK/3.0", good + "&x=%zz", 30602},
		"twice":       {"POST", "application/x-www-form-urlencoded", "BCCS_SDK/3.0", good + "&apikey=A", 30602},
		"other agent": {"POST", "application/x-www-form-urlencoded", "curl/8", good, 30603},
	} {
		r, err := http.NewRequestWithContext(t.Context(), c.method, address, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", c.kind)
		r.Header.Set("User-Agent", c.agent)
		if _, code := do(t, r); code != c.code {
			t.Errorf("%s: %d, want %d", name, code, c.code)
		}
	}
}

func TestRateAndQuotaAreKept(t *testing.T) {
	now := instant
	b := newBench(t, func(c *Config) {
		c.Apps[0].Rate, c.Apps[0].Quota = 2, 3
		c.Now = func() time.Time { return now }
	})
	var codes []int
	send := func() {
		_, code := b.call(t, "push/single_device", push("timestamp="+strconv.FormatInt(now.Unix(), 10)), "sa")
		codes = append(codes, code)
	}
	for range 3 {
		send()
	}
	now = now.Add(time.Second)
	send()
	send()
	now = now.Add(24 * time.Hour)
	send()
	want := []int{0, 0, 30699, 0, 30604, 0}
	for i, code := range codes {
		if code != want[i] {
			t.Fatalf("%v, want %v", codes, want)
		}
	}
}

func TestFaultsAreSetFromOutsideAndHitWhatTheyMatch(t *testing.T) {
	b := newBench(t, nil)
	tell := func(path, body string) {
		response, err := http.Post(b.url+path, "application/json", strings.NewReader(body))
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("%s %s: %v %v", path, body, response, err)
		}
		response.Body.Close()
	}
	tell("/_sim/faults", `{"kind":"reject:30699","channel_id":"`+device+`","skip":1}`)
	tell("/_sim/devices", `{"app":"A","channel_ids":["2222222222"]}`)
	for i, want := range []int{0, 30699, 0} {
		if _, code := b.call(t, "push/single_device", push(), "sa"); code != want {
			t.Errorf("call %d: %d, want %d", i, code, want)
		}
	}
	if _, code := b.call(t, "push/single_device", push("channel_id=2222222222"), "sa"); code != 0 {
		t.Errorf("a device bound from outside: %d", code)
	}
	tell("/_sim/clock", `{"offset_s":601}`)
	if _, code := b.call(t, "push/single_device", push(), "sa"); code != 30606 {
		t.Errorf("the clock was not moved: %d", code)
	}
	response, err := http.Get(b.url + "/_sim/duplicates")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || !strings.Contains(string(body), `"message":"m-1","times":2`) {
		t.Errorf("%s %v", body, err)
	}
	response, err = http.Post(b.url+"/_sim/faults", "application/json", strings.NewReader(`{"kind":"fire"}`))
	if err != nil || response.StatusCode != http.StatusBadRequest {
		t.Errorf("an unknown fault: %v %v", response, err)
	}
	response.Body.Close()
}

func TestALostAnswerIsRecordedAndACutOneIsNoJSON(t *testing.T) {
	b := newBench(t, nil)
	for kind, records := range map[string]int{"reset_after_accept": 1, "reset_before_accept": 0, "truncate_body": 1, "http:502": 0} {
		b.Reset()
		b.Fail(Fault{Kind: kind})
		p := push()
		address := b.url + "/rest/3.0/push/single_device"
		p.Set("sign", signature("POST", address, p, "sa"))
		response, err := http.PostForm(address, p)
		if strings.HasPrefix(kind, "reset") != (err != nil) || len(b.Records()) != records {
			t.Errorf("%s: %v, %d records, want %d", kind, err, len(b.Records()), records)
		}
		if err == nil {
			body, _ := io.ReadAll(response.Body)
			response.Body.Close()
			if json.Valid(body) {
				t.Errorf("%s: %s", kind, body)
			}
		}
	}
}
