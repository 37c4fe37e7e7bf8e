package huawei

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"tidings"
)

const (
	maxPayload = 4096 // bytes of a message without its tokens
	maxTTL     = 15 * 24 * time.Hour
)

// form is how a push is written down.
type form int

const (
	v1 form = iota // HMS: message.android
	v3             // HarmonyOS: payload, target, pushOptions
)

// body is the request's body. In both forms a later notification with the same collapse id replaces the first on the device: by its
// tag, or by a number made of it.
func (a account) body(c tidings.Call, tag string, tokens []string, now time.Time) ([]byte, error) {
	text := strings.TrimSpace(c.Content.Body)
	if text == "" {
		return nil, refused(tidings.TemplateFailed, "the text is empty")
	}
	title := c.Content.Title
	if title == "" {
		title = text // Huawei requires one
	}
	data := map[string]string{"message": c.Message.String()}
	if c.Content.URL != "" {
		data["url"] = c.Content.URL
	}
	var ttl int64 // seconds
	if !c.ExpiresAt.IsZero() {
		ttl = max(int64(min(c.ExpiresAt.Sub(now), maxTTL)/time.Second), 1)
	}
	write := a.v1
	if a.form == v3 {
		write = a.v3
	}
	build := func(tokens []string) ([]byte, error) { return marshal(write(c, title, text, data, tag, ttl, tokens)) }
	bare, err := build([]string{})
	if err != nil {
		return nil, err
	}
	if len(bare) > maxPayload {
		return nil, refused(tidings.TooLong, fmt.Sprintf("%d bytes, at most %d are pushed", len(bare), maxPayload))
	}
	return build(tokens)
}

func (a account) v1(c tidings.Call, title, text string, data map[string]string, tag string, ttl int64, tokens []string) map[string]any {
	click := map[string]any{"type": 3} // opens the app
	if u := data["url"]; u != "" {
		click = map[string]any{"type": 2, "url": u}
	}
	android := map[string]any{"urgency": "HIGH", "bi_tag": tag,
		"notification": map[string]any{"title": title, "body": text, "click_action": click, "tag": tidings.CollapseID(c)}}
	if ttl > 0 {
		android["ttl"] = strconv.FormatInt(ttl, 10) + "s"
	}
	if a.category != "" {
		android["category"] = a.category
	}
	custom, err := marshal(data)
	if err != nil {
		custom = nil // of strings: it cannot be
	}
	return map[string]any{"validate_only": false, "message": map[string]any{"data": string(custom), "android": android, "token": tokens}}
}

func (a account) v3(c tidings.Call, title, text string, data map[string]string, tag string, ttl int64, tokens []string) map[string]any {
	sum := sha256.Sum256([]byte(tidings.CollapseID(c)))
	notification := map[string]any{"title": title, "body": text, "clickAction": map[string]any{"actionType": 0, "data": data},
		"notifyId": binary.BigEndian.Uint32(sum[:4]) >> 1} // 31 bits
	if a.category != "" {
		notification["category"] = a.category
	}
	options := map[string]any{"biTag": tag}
	if ttl > 0 {
		options["ttl"] = ttl
	}
	return map[string]any{"payload": map[string]any{"notification": notification}, "target": map[string]any{"token": tokens}, "pushOptions": options}
}

// marshal leaves < and & as they are: as six bytes each they would make the payload longer than it is.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
