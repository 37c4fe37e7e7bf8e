package fleet

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// Client speaks to the fleet's API as an application does.
type Client struct {
	URL  string
	Key  string
	HTTP *http.Client
	// of an application: who publishes its templates without a review
	admin *Client
	id    string
}

// NewClient returns a client that keeps up to connections open.
func NewClient(url, key string, connections int) *Client {
	return &Client{URL: url, Key: key, HTTP: &http.Client{Timeout: 30 * time.Second,
		Transport: &http.Transport{MaxIdleConns: connections, MaxIdleConnsPerHost: connections, MaxConnsPerHost: 0}}}
}

// Do sends body as JSON and reads the answer into into. Any answer of 300 or more is an error.
func (c *Client) Do(ctx context.Context, method, path string, body, into any, header ...string) (int, error) {
	var reader io.Reader
	switch b := body.(type) {
	case nil:
	case []byte:
		reader = bytes.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			return 0, err
		}
		reader = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, c.URL+path, reader)
	if err != nil {
		return 0, err
	}
	r.Header.Set("Authorization", "Bearer "+c.Key)
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := c.HTTP.Do(r)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close() //nolint:errcheck // it was read whole
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return answer.StatusCode, err
	}
	if answer.StatusCode >= 300 {
		return answer.StatusCode, fmt.Errorf("%s %s: %s: %.500s", method, path, answer.Status, text)
	}
	if into != nil {
		err = json.Unmarshal(text, into)
	}
	return answer.StatusCode, err
}

// Application makes an application with a key that may do everything an application can.
func (c *Client) Application(ctx context.Context, id string) (*Client, error) {
	if _, err := c.Do(ctx, "POST", "/v1/applications", map[string]any{"id": id, "name": id}, nil); err != nil {
		return nil, err
	}
	var key struct {
		Key string `json:"key"`
	}
	scopes := []string{"messages:send", "messages:read", "templates:write", "directory:write", "tokens:mint"}
	if _, err := c.Do(ctx, "POST", "/v1/applications/"+id+"/keys", map[string]any{"name": "fleet", "scopes": scopes}, &key); err != nil {
		return nil, err
	}
	return &Client{URL: c.URL, Key: key.Key, HTTP: c.HTTP, admin: c, id: id}, nil
}

// Type makes a message type with one string variable, text, and publishes a template of it on each channel.
func (c *Client) Type(ctx context.Context, name, lane string, unknown map[string]string, channels ...string) error {
	spec := map[string]any{"lane": lane, "channels": channels, "variables": []map[string]any{{"name": "text", "type": "string", "required": true}}}
	if unknown != nil {
		spec["on_unknown"] = unknown
	}
	if _, err := c.Do(ctx, "PUT", "/v1/types/"+name, spec, nil); err != nil {
		return err
	}
	for _, channel := range channels {
		template := map[string]any{"type": name, "channel": channel, "locale": "zh-CN", "title": "消息", "body": "{{ text }}"}
		if channel == "sms" {
			delete(template, "title")
		}
		var made struct {
			Version int `json:"version"`
		}
		if _, err := c.Do(ctx, "POST", "/v1/templates", template, &made); err != nil {
			return err
		}
		publish := map[string]any{"type": name, "channel": channel, "locale": "zh-CN", "version": made.Version, "unreviewed": true}
		if _, err := c.admin.Do(ctx, "POST", "/v1/templates/publish?application="+c.id, publish, nil); err != nil {
			return err
		}
	}
	return nil
}

// Users writes a merchant with n users named prefix0, prefix1, ... Each has a phone and a device.
func (c *Client) Users(ctx context.Context, merchant, prefix string, n int, addresses bool) error {
	var lines bytes.Buffer
	fmt.Fprintf(&lines, `{"merchant":{"id":%q,"name":"M"}}`+"\n"+`{"store":{"id":"%s-1","merchant":%q,"name":"S"}}`+"\n", merchant, merchant, merchant)
	for i := range n {
		fmt.Fprintf(&lines, `{"user":{"id":"%s%d","name":"U","locale":"zh-CN","memberships":[{"merchant":%q,"role":"owner"}]}}`+"\n", prefix, i, merchant)
		if addresses {
			fmt.Fprintf(&lines, `{"addresses":{"user":"%s%d","addresses":[{"channel":"sms","value":"+86138%08d"},{"channel":"app","value":"39157286042%08d","provider":"baidu","platform":"android"}]}}`+"\n", prefix, i, i, i)
		}
	}
	_, err := c.Do(ctx, "POST", "/v1/directory/import", lines.Bytes(), nil, "Content-Type", "application/x-ndjson")
	return err
}

// Token mints a user token.
func (c *Client) Token(ctx context.Context, user string) (string, error) {
	var token struct {
		Token string `json:"token"`
	}
	_, err := c.Do(ctx, "POST", "/v1/tokens", map[string]any{"user": user}, &token)
	return token.Token, err
}

// Frame is what comet sends.
type Frame struct {
	Cursor   string `json:"cursor"`
	Reset    bool   `json:"reset"`
	Messages []struct {
		Number int64  `json:"number"`
		ID     string `json:"id"`
		Body   string `json:"body"`
		Gone   bool   `json:"gone"`
	} `json:"messages"`
	Close *struct {
		Code int `json:"code"`
	} `json:"close"`
}

// Stream listens on comet's HTTP stream until ctx is done or the connection ends, and gives f every frame.
func Stream(ctx context.Context, client *http.Client, comet, token, id, cursor string, f func(Frame)) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, comet+"/comet/stream?client="+id+"&cursor="+url.QueryEscape(cursor), nil)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close() //nolint:errcheck // it ended or we left
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(answer.Body)
		return fmt.Errorf("stream: %s: %.300s", answer.Status, text)
	}
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var frame Frame
		if err := json.Unmarshal(lines.Bytes(), &frame); err != nil {
			return fmt.Errorf("a frame: %w: %.300s", err, lines.Bytes())
		}
		f(frame)
	}
	return lines.Err()
}
