// Package wecom posts into groups of WeCom (企业微信) through their robots. The key in a robot's URL is its only credential.
package wecom

import (
	"net/url"
	"time"

	"tidings"
	"tidings/channels/robot"
)

// Driver offers WeCom's group robots.
var Driver = robot.Driver(robot.Kind{
	Provider: "wecom", URL: "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=", PerMin: 20, MaxText: 2048,
	Body: body, Verdict: verdict,
})

type text struct {
	Type string `json:"msgtype"`
	Text struct {
		Content string `json:"content"`
	} `json:"text"`
}

// body is a text, not markdown, in which <@user> would call people.
func body(c tidings.Content, _ url.Values, _ string, _ time.Time) any {
	t := text{Type: "text"}
	t.Text.Content = robot.Text(c)
	return t
}

// verdict knows the codes of developer.work.weixin.qq.com.
func verdict(code int) tidings.SendError {
	switch code {
	case 45009, 45033: // too many calls
		return tidings.SendError{Outcome: tidings.Busy, Reason: tidings.ProviderBusy, After: time.Minute}
	case -1: // system busy
		return tidings.SendError{Outcome: tidings.Busy, Reason: tidings.ProviderBusy}
	case 93000: // no such robot
		return tidings.SendError{Outcome: tidings.Refused, Reason: tidings.AddressRefused, AddressDead: true}
	}
	return tidings.SendError{Outcome: tidings.Refused, Reason: tidings.ProviderRefused}
}
