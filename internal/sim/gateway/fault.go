package gateway

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// Fault is something that goes wrong with the next SMS it matches.
type Fault struct {
	To   string `json:"to,omitempty"`   // only to this number; empty: any
	Text string `json:"text,omitempty"` // only texts that hold this; empty: any
	// Kind is one of status, undelivered, no_report, reset_before_accept, reset_after_accept, hang; empty with DelayMS:
	// late, but taken.
	Kind    string `json:"kind"`
	Status  int    `json:"status,omitempty"`   // of kind status
	Body    string `json:"body,omitempty"`     // of kind status
	DelayMS int    `json:"delay_ms,omitempty"` // before anything else
	Count   int    `json:"count,omitempty"`    // how many SMS it hits; 0: one; negative: all
}

var faultKinds = []string{"", "status", "undelivered", "no_report", "reset_before_accept", "reset_after_accept", "hang"}

// Fail makes the next SMS that f matches go wrong.
func (g *Gateway) Fail(f Fault) {
	if f.Count == 0 {
		f.Count = 1
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.faults = append(g.faults, &f)
}

// fault takes the first fault that matches m.
func (g *Gateway) fault(m sms) Fault {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, f := range g.faults {
		if f.Count != 0 && (f.To == "" || f.To == m.To) && strings.Contains(m.Text, f.Text) {
			f.Count--
			return *f
		}
	}
	return Fault{}
}

func (g *Gateway) addFault(w http.ResponseWriter, r *http.Request) {
	var f Fault
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&f)
	if err != nil || !slices.Contains(faultKinds, f.Kind) || f.Kind == "status" && (f.Status < 200 || f.Status > 599) {
		http.Error(w, "a fault has to, text, kind, status, body, delay_ms, count", http.StatusBadRequest)
		return
	}
	g.Fail(f)
}
