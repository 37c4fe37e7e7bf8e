package baidu

import (
	"encoding/json"
	"maps"
	"slices"
)

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// tag reads the parameter of that name; "" is not one.
func (c *call) tag() (string, *problem) {
	if t := c.parameters.Get("tag"); t != "" && len(t) <= 128 {
		return t, nil
	}
	return "", invalid("tag")
}

func (s *Simulator) createTag(c *call) (map[string]any, *problem) {
	tag, p := c.tag()
	if p != nil {
		return nil, p
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.app.tags[tag] == nil {
		c.app.tags[tag] = map[string]bool{}
	}
	return map[string]any{"tag": tag, "result": 0}, nil
}

func (s *Simulator) deleteTag(c *call) (map[string]any, *problem) {
	tag, p := c.tag()
	if p != nil {
		return nil, p
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	result := 0
	if c.app.tags[tag] == nil {
		result = 1
	}
	delete(c.app.tags, tag)
	return map[string]any{"tag": tag, "result": result}, nil
}

func (s *Simulator) queryTags(c *call) (map[string]any, *problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	result := []any{}
	for _, tag := range sorted(c.app.tags) {
		result = append(result, map[string]any{"tid": tag, "tag": tag, "type": 0})
	}
	return map[string]any{"total_num": len(result), "result": result}, nil
}

func (s *Simulator) tagSize(c *call) (map[string]any, *problem) {
	tag, p := c.tag()
	if p != nil {
		return nil, p
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	devices, ok := c.app.tags[tag]
	if !ok {
		return nil, &problem{code: groupNotFound, status: 404}
	}
	return map[string]any{"device_num": len(devices)}, nil
}

// tagDevices is tag/add_devices and tag/del_devices, of 1 to 10 devices.
func (s *Simulator) tagDevices(c *call) (map[string]any, *problem) {
	tag, p := c.tag()
	if p != nil {
		return nil, p
	}
	var ids []string
	if err := json.Unmarshal([]byte(c.parameters.Get("channel_ids")), &ids); err != nil || len(ids) == 0 || len(ids) > 10 {
		return nil, invalid("channel_ids")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	devices, ok := c.app.tags[tag]
	if !ok {
		return nil, &problem{code: groupNotFound, status: 404}
	}
	var result []any
	for _, id := range ids {
		failed := 0
		switch {
		case !c.app.devices[id]:
			failed = 1
		case c.method == "tag/add_devices":
			devices[id] = true
		default:
			delete(devices, id)
		}
		result = append(result, map[string]any{"channel_id": id, "result": failed})
	}
	return map[string]any{"devices": result}, nil
}
