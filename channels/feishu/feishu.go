// Package feishu posts into groups of Feishu (飞书; Lark abroad) through their custom robots.
package feishu

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"strconv"
	"strings"
	"time"

	"tidings"
	"tidings/channels/robot"
)

// Driver offers Feishu's custom robots.
var Driver = robot.Driver(robot.Kind{
	Provider: "feishu", URL: "https://open.feishu.cn/open-apis/bot/v2/hook/", PerMin: 100, MaxText: 18 << 10,
	Body: body, Verdict: verdict,
})

type post struct {
	Timestamp string `json:"timestamp,omitempty"`
	Sign      string `json:"sign,omitempty"`
	Type      string `json:"msg_type"`
	Content   struct {
		Post struct {
			Chinese struct {
				Title string      `json:"title,omitempty"`
				Lines [][]element `json:"content"`
			} `json:"zh_cn"`
		} `json:"post"`
	} `json:"content"`
}

type element struct {
	Tag  string `json:"tag"`
	Text string `json:"text"`
	Href string `json:"href,omitempty"`
}

// body is a post and no plain text: in a text Feishu reads <at user_id="all">, in a post's elements it reads nothing.
func body(c tidings.Content, _ url.Values, secret string, now time.Time) any {
	p := post{Type: "post"}
	if secret != "" {
		p.Timestamp, p.Sign = strconv.FormatInt(now.Unix(), 10), sign(secret, now.Unix())
	}
	zh := &p.Content.Post.Chinese
	zh.Title = c.Title
	for line := range strings.SplitSeq(c.Body, "\n") {
		zh.Lines = append(zh.Lines, []element{{Tag: "text", Text: line}})
	}
	if strings.HasPrefix(c.URL, "https://") || strings.HasPrefix(c.URL, "http://") {
		zh.Lines = append(zh.Lines, []element{{Tag: "a", Text: c.URL, Href: c.URL}})
	}
	return p
}

// sign is Feishu's: HMAC-SHA256 of nothing, by the time and the secret.
func sign(secret string, at int64) string {
	return base64.StdEncoding.EncodeToString(hmac.New(sha256.New, []byte(strconv.FormatInt(at, 10)+"\n"+secret)).Sum(nil))
}

// verdict knows the codes of open.feishu.cn, "custom bot guide".
func verdict(code int) tidings.SendError {
	switch code {
	case 11232: // too many posts
		return tidings.SendError{Outcome: tidings.Busy, Reason: tidings.ProviderBusy, After: time.Minute}
	case 19001: // no such robot
		return tidings.SendError{Outcome: tidings.Refused, Reason: tidings.AddressRefused, AddressDead: true}
	case 19021, 19022, 19024: // signature or time, IP, keyword do not match what the robot asks for
		return tidings.SendError{Outcome: tidings.Refused, Reason: tidings.AddressRefused}
	}
	return tidings.SendError{Outcome: tidings.Refused, Reason: tidings.ProviderRefused}
}
