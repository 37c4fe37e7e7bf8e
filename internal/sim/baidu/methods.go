package baidu

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// method is one call of the API. run answers its response_params.
type method struct {
	query bool // GET is allowed too
	run   func(*Simulator, *call) (map[string]any, *problem)
}

// methods are all of REST API 3.0; those that only report answer with nothing to report.
var methods map[string]method

func init() { // the methods refer to what refers to them
	empty := method{query: true, run: func(*Simulator, *call) (map[string]any, *problem) {
		return map[string]any{"total_num": 0, "result": []any{}}, nil
	}}
	methods = map[string]method{
		"push/single_device":         {run: (*Simulator).pushSingle},
		"push/batch_device":          {run: (*Simulator).pushBatch},
		"push/all":                   {run: (*Simulator).pushMany},
		"push/tags":                  {run: (*Simulator).pushMany},
		"report/query_msg_status":    {query: true, run: (*Simulator).queryStatus},
		"report/query_timer_records": empty, "report/query_topic_records": empty, "report/statistic_device": empty,
		"report/statistic_topic": empty, "report/statistic_msg": empty, "timer/query_list": empty, "topic/query_list": empty,
		"app/query_tags":  {query: true, run: (*Simulator).queryTags},
		"app/create_tag":  {run: (*Simulator).createTag},
		"app/del_tag":     {run: (*Simulator).deleteTag},
		"tag/add_devices": {run: (*Simulator).tagDevices},
		"tag/del_devices": {run: (*Simulator).tagDevices},
		"tag/device_num":  {query: true, run: (*Simulator).tagSize},
		"timer/cancel":    {run: (*Simulator).cancelTimer},
	}
}

var (
	channelID = regexp.MustCompile(`^[0-9]{10,25}$`)
	topicID   = regexp.MustCompile(`^[A-Za-z0-9_]{1,128}$`)
)

const maxPayload = 4096

// checkMessage checks what every push has: msg, msg_type, msg_expires, deploy_status, topic_id.
func checkMessage(c *call) *problem {
	p := c.parameters
	in := func(name string, least, most int64) bool {
		v := p.Get(name)
		return v == "" || isNumber(v) && integer(v) >= least && integer(v) <= most
	}
	switch text := p.Get("msg"); {
	case text == "" || len(text) > maxPayload:
		return invalid("msg")
	case !in("msg_type", 0, 1):
		return invalid("msg_type")
	case p.Get("msg_type") == "1" && !notification(text, c.ios()):
		return invalid("msg")
	case !in("msg_expires", 0, 604800):
		return invalid("msg_expires")
	case !in("deploy_status", 1, 2):
		return invalid("deploy_status")
	case p.Has("topic_id") && !topicID.MatchString(p.Get("topic_id")):
		return invalid("topic_id")
	}
	return nil
}

func (c *call) ios() bool { return c.parameters.Get("device_type") == "4" || !c.app.Android }

// notification tells whether text is one: JSON with a description, or with aps on iOS.
func notification(text string, ios bool) bool {
	var n struct {
		Description string          `json:"description"`
		APS         json.RawMessage `json:"aps"`
	}
	if json.Unmarshal([]byte(text), &n) != nil {
		return false
	}
	return ios && len(n.APS) > 0 || !ios && n.Description != ""
}

func (s *Simulator) pushSingle(c *call) (map[string]any, *problem) {
	id := c.parameters.Get("channel_id")
	if !channelID.MatchString(id) {
		return nil, invalid("channel_id")
	}
	if p := checkMessage(c); p != nil {
		return nil, p
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.app.devices[id] && !c.app.AnyDevice {
		return nil, &problem{code: bindNotFound, status: 404}
	}
	return s.accept(c, []string{id}, 0), nil
}

func (s *Simulator) pushBatch(c *call) (map[string]any, *problem) {
	var ids []string
	err := json.Unmarshal([]byte(c.parameters.Get("channel_ids")), &ids)
	if err != nil || len(ids) == 0 || len(ids) > 10_000 {
		return nil, invalid("channel_ids")
	}
	if p := checkMessage(c); p != nil {
		return nil, p
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	known := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !c.app.devices[id] && !c.app.AnyDevice })
	return s.accept(c, known, len(ids)-len(known)), nil
}

// pushMany is push/all and push/tags, which go to the app's devices.
func (s *Simulator) pushMany(c *call) (map[string]any, *problem) {
	if p := checkMessage(c); p != nil {
		return nil, p
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	devices := c.app.devices
	if c.method == "push/tags" {
		tag := c.parameters.Get("tag")
		if c.parameters.Get("type") == "1" && tag == "" || c.parameters.Get("type") == "" {
			return nil, invalid("tag")
		}
		known := false
		if devices, known = c.app.tags[tag]; tag != "" && !known {
			return nil, &problem{code: groupNotFound, status: 404}
		}
	}
	at := c.parameters.Get("send_time")
	if at == "" {
		return s.accept(c, sorted(devices), 0), nil
	}
	if t := integer(at); t < c.now.Unix()+60 || t > c.now.AddDate(1, 0, 0).Unix() {
		return nil, invalid("send_time")
	}
	if len(c.app.timers) >= 10 {
		return nil, invalid("send_time")
	}
	result := s.accept(c, nil, 0)
	timer := strconv.FormatInt(s.next, 10)
	c.app.timers[timer] = true
	result["timer_id"] = timer
	return result, nil
}

// accept records a push to devices. The caller holds the lock.
func (s *Simulator) accept(c *call, devices []string, failed int) map[string]any {
	s.next++
	id := strconv.FormatInt(s.next, 10)
	message := message{unicast: c.method == "push/single_device", sent: c.now}
	s.messages[id] = message
	r := Record{MsgID: id, App: c.app.Key, Method: c.method, Channels: devices, Failed: failed, Msg: c.parameters.Get("msg"),
		MsgExpires: integer(c.parameters.Get("msg_expires")), DeviceType: c.parameters.Get("device_type"),
		Topic: c.parameters.Get("topic_id"), At: c.now}
	r.Message = messageID(r.Msg)
	for _, device := range devices {
		s.seen[c.app.Key+" "+device+" "+r.Message]++
		r.Attempt = max(r.Attempt, s.seen[c.app.Key+" "+device+" "+r.Message])
	}
	s.records = append(s.records, r)
	s.stats["accepted"]++
	if s.config.Log != nil {
		fmt.Fprintf(s.config.Log, "push to %d devices: %s\n", len(devices), r.Msg)
	}
	result := map[string]any{"msg_id": id, "send_time": c.now.Unix()}
	if s.config.NumberID {
		result["msg_id"] = s.next
	}
	return result
}

// messageID is the sender's own id of the message, in custom_content (Android) or beside aps (iOS).
func messageID(msg string) string {
	var m struct {
		Custom  map[string]any `json:"custom_content"`
		Message string         `json:"message"`
	}
	if json.Unmarshal([]byte(msg), &m) != nil {
		return ""
	}
	if id, ok := m.Custom["message"].(string); ok {
		return id
	}
	return m.Message
}

func (s *Simulator) queryStatus(c *call) (map[string]any, *problem) {
	text := c.parameters.Get("msg_id")
	var ids []string
	if json.Unmarshal([]byte(text), &ids) != nil {
		ids = []string{text}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var result []any
	for _, id := range ids {
		m, ok := s.messages[id]
		if !ok || m.unicast {
			return nil, &problem{code: notFound, status: 404}
		}
		result = append(result, map[string]any{"msg_id": id, "status": 0, "send_time": m.sent.Unix(), "success": 1})
	}
	return map[string]any{"total_num": len(result), "result": result}, nil
}

func (s *Simulator) cancelTimer(c *call) (map[string]any, *problem) {
	id := c.parameters.Get("timer_id")
	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.app.timers[id] {
		return nil, &problem{code: notFound, status: 404}
	}
	delete(c.app.timers, id)
	return map[string]any{"timer_id": id, "send_time": time.Time{}.Unix()}, nil
}
