package baidu

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fault is something that goes wrong with calls it matches.
type Fault struct {
	Method  string `json:"method,omitempty"`     // "push/single_device"; empty: any
	Channel string `json:"channel_id,omitempty"` // only to this device; empty: any
	Message string `json:"message,omitempty"`    // only msg that holds this; empty: any
	Skip    int    `json:"skip,omitempty"`       // matching calls that pass unharmed before
	// Kind is one of reject:<code>, http:<status> (with a body that is no JSON), hang, reset_before_accept,
	// reset_after_accept, truncate_body, wrong_request_id; empty with DelayMS: late, but taken.
	Kind    string `json:"kind"`
	DelayMS int    `json:"delay_ms,omitempty"` // before anything else
	Count   int    `json:"count,omitempty"`    // how many calls it hits; 0: one; negative: all
}

var faultKinds = []string{"", "hang", "reset_before_accept", "reset_after_accept", "truncate_body", "wrong_request_id"}

func (f Fault) valid() bool {
	for _, prefix := range []string{"reject:", "http:"} {
		if n, ok := strings.CutPrefix(f.Kind, prefix); ok {
			return isNumber(n) && (prefix == "reject:" || integer(n) >= 200 && integer(n) <= 599)
		}
	}
	return slices.Contains(faultKinds, f.Kind)
}

// Fail makes the next calls that f matches go wrong.
func (s *Simulator) Fail(f Fault) {
	if f.Count == 0 {
		f.Count = 1
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
}

// fault takes the first fault that matches the call.
func (s *Simulator) fault(c *call) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.faults {
		to := c.parameters.Get("channel_id") + c.parameters.Get("channel_ids")
		if f.Count == 0 || f.Method != "" && f.Method != c.method || !strings.Contains(to, f.Channel) || !strings.Contains(c.parameters.Get("msg"), f.Message) {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		f.Count--
		return *f
	}
	return Fault{}
}

// before does what a fault does before the push is taken, and tells whether to go on.
func (s *Simulator) before(w http.ResponseWriter, r *http.Request, f Fault) bool {
	if f.DelayMS > 0 && !s.pause(r, time.Duration(f.DelayMS)*time.Millisecond) {
		return false
	}
	kind, argument, _ := strings.Cut(f.Kind, ":")
	number := int(integer(argument))
	switch kind {
	case "reject":
		s.refuse(w, &problem{code: number, status: 400})
	case "http":
		w.WriteHeader(number)
		io.WriteString(w, "<html><h1>"+strconv.Itoa(number)+"</h1></html>")
	case "hang":
		s.pause(r, time.Hour)
	case "reset_before_accept":
		panic(http.ErrAbortHandler)
	default:
		return true
	}
	return false
}

// after answers a push that was taken, unless the fault keeps it from that.
func (s *Simulator) after(w http.ResponseWriter, f Fault, result map[string]any) {
	id := s.requestID()
	switch f.Kind {
	case "reset_after_accept":
		panic(http.ErrAbortHandler)
	case "truncate_body":
		io.WriteString(w, `{"request_id":1,"response_params":{"msg_id":"24`)
		return
	case "wrong_request_id":
		id = 1
	}
	answer(w, http.StatusOK, map[string]any{"request_id": id, "response_params": result})
}

// pause waits unless the call or the simulator ends first.
func (s *Simulator) pause(r *http.Request, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
	case <-s.ctx.Done():
	}
	return false
}

func (s *Simulator) addFault(w http.ResponseWriter, r *http.Request) {
	var f Fault
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&f); err != nil || !f.valid() {
		http.Error(w, "a fault has method, channel_id, message, skip, kind, delay_ms, count", http.StatusBadRequest)
		return
	}
	s.Fail(f)
}
