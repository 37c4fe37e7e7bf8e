package baidu

import (
	"encoding/json"
	"net/http"
)

// The error codes of the service.
const (
	internalError    = 30600
	methodNotAllowed = 30601
	invalidParameter = 30602
	unauthenticated  = 30603
	quotaUsedUp      = 30604
	notFound         = 30605
	requestExpired   = 30606
	bindNotFound     = 30608
	tagTooMany       = 30609
	duplicate        = 30610
	groupNotFound    = 30611
	noUnicast        = 30616
	notApproved      = 30618
	tooFrequent      = 30699
)

var texts = map[int]string{
	internalError: "Internal Server Error", methodNotAllowed: "Method Not Allowed", invalidParameter: "Request Params Not Valid",
	unauthenticated: "Authentication Failed", quotaUsedUp: "Quota Use Up Payment Required", notFound: "Data Required Not Found",
	requestExpired: "Request Time Expires Timeout", 30607: "Channel Token Timeout", bindNotFound: "Bind Relation Not Found",
	tagTooMany: "Bind Number Too Many", duplicate: "Duplicate Operation", groupNotFound: "Group Not Found",
	noUnicast: "Application Has No Unicast Capability", 30617: "Application Has No Multicast Capability", notApproved: "Application Not Approved",
	tooFrequent: "Requests Are Too Frequent To Be Temporarily Rejected", 110001: "User Blacked This App",
}

// problem is a refusal: its error code, and the HTTP status that Config.Plain may replace.
type problem struct {
	code      int
	status    int
	parameter string // of code invalidParameter: which
}

func invalid(parameter string) *problem {
	return &problem{code: invalidParameter, status: 400, parameter: parameter}
}

func (s *Simulator) refuse(w http.ResponseWriter, p *problem) {
	text := texts[p.code]
	if text == "" {
		text = "Error"
	}
	if p.parameter != "" {
		text += ", parameter " + p.parameter + " format invalid"
	}
	status := p.status
	if s.config.Plain != 0 {
		status = s.config.Plain
	}
	s.count("refused")
	answer(w, status, map[string]any{"request_id": s.requestID(), "error_code": p.code, "error_msg": text})
}

func (s *Simulator) requestID() uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.request++
	return s.request
}

func (s *Simulator) count(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats[what]++
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}
