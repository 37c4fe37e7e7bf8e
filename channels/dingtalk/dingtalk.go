// Package dingtalk posts into groups of DingTalk through their custom robots.
package dingtalk

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strconv"
	"time"

	"tidings"
	"tidings/channels/robot"
)

// Driver offers DingTalk's custom robots.
var Driver = robot.Driver(robot.Kind{
	Provider: "dingtalk", URL: "https://oapi.dingtalk.com/robot/send?access_token=", PerMin: 20, MaxText: 18 << 10,
	Body: body, Verdict: verdict,
})

type text struct {
	Type string `json:"msgtype"`
	Text struct {
		Content string `json:"content"`
	} `json:"text"`
}

// body names nobody in "at", so that no text can call a person or all of the group.
func body(c tidings.Content, query url.Values, secret string, now time.Time) any {
	if secret != "" {
		query.Set("timestamp", strconv.FormatInt(now.UnixMilli(), 10))
		query.Set("sign", sign(secret, now.UnixMilli()))
	}
	t := text{Type: "text"}
	t.Text.Content = robot.Text(c)
	return t
}

// sign is DingTalk's: HMAC-SHA256 by the secret over the time and the secret.
func sign(secret string, ms int64) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(strconv.FormatInt(ms, 10) + "\n" + secret))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// verdict knows the codes of open.dingtalk.com, "custom robot access". A robot beyond its limit is shut out for ten minutes.
func verdict(code int) tidings.SendError {
	switch code {
	case 130101, 410100: // send too fast
		return tidings.SendError{Outcome: tidings.Busy, Reason: tidings.ProviderBusy, After: 10 * time.Minute}
	case -1: // system busy
		return tidings.SendError{Outcome: tidings.Busy, Reason: tidings.ProviderBusy}
	case 300001, 300005, 400101, 400102, 400013: // no such token, stopped, the group was dissolved
		return tidings.SendError{Outcome: tidings.Refused, Reason: tidings.AddressRefused, AddressDead: true}
	case 310000: // signature, keyword or IP do not match what the robot asks for
		return tidings.SendError{Outcome: tidings.Refused, Reason: tidings.AddressRefused}
	}
	return tidings.SendError{Outcome: tidings.Refused, Reason: tidings.ProviderRefused}
}
