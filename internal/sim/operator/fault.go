package operator

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// Fault is something that goes wrong with the next parts it matches.
type Fault struct {
	To   string `json:"to,omitempty"`   // only to this number; empty: any
	Text string `json:"text,omitempty"` // only parts that hold this; empty: any
	// Kind is one of permfail, tempfail, status, undelivered, no_report, reset_before_accept, reset_after_accept, hang;
	// empty with DelayMS: late, but taken.
	Kind    string `json:"kind"`
	Status  int    `json:"status,omitempty"`   // of kind status
	DelayMS int    `json:"delay_ms,omitempty"` // before anything else
	Count   int    `json:"count,omitempty"`    // how many parts it hits; 0: one; negative: all
}

var faultKinds = []string{"", "permfail", "tempfail", "status", "undelivered", "no_report", "reset_before_accept", "reset_after_accept", "hang"}

// Fail makes the next parts that f matches go wrong.
func (o *Operator) Fail(f Fault) {
	if f.Count == 0 {
		f.Count = 1
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.faults = append(o.faults, &f)
}

// fault takes the first fault that matches p.
func (o *Operator) fault(p part) Fault {
	text, _ := p.text()
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, f := range o.faults {
		if f.Count != 0 && (f.To == "" || f.To == p.to) && strings.Contains(text, f.Text) {
			f.Count--
			return *f
		}
	}
	return Fault{}
}

func (o *Operator) addFault(w http.ResponseWriter, r *http.Request) {
	var f Fault
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&f); err != nil || !slices.Contains(faultKinds, f.Kind) {
		http.Error(w, "a fault has to, text, kind, status, delay_ms, count", http.StatusBadRequest)
		return
	}
	o.Fail(f)
}

// Reset forgets records, reports, faults and half SMS.
func (o *Operator) Reset() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.records, o.reports, o.faults, o.waiting = nil, nil, nil, map[string]*assembly{}
}

// Records lists every whole SMS in the order in which it became whole.
func (o *Operator) Records() []Record {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.records)
}

// Reports lists what was reported to Kannel.
func (o *Operator) Reports() []Report {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.reports)
}

// Count is how often one text came to one number. More than once is a duplicate: the operator never drops one.
type Count struct {
	To    string `json:"to"`
	Text  string `json:"text"`
	Times int    `json:"times"`
}

// Counts lists every number and text with its count, in the order in which they first came.
func (o *Operator) Counts() []Count {
	o.mu.Lock()
	defer o.mu.Unlock()
	at := map[[2]string]int{}
	var counts []Count
	for _, r := range o.records {
		key := [2]string{r.To, r.Text}
		i, ok := at[key]
		if !ok {
			i = len(counts)
			at[key] = i
			counts = append(counts, Count{To: r.To, Text: r.Text})
		}
		counts[i].Times++
	}
	return counts
}
