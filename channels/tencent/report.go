package tencent

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"tidings"
	"tidings/channels/once"
)

// report is one of a callback.
type report struct {
	Status  string `json:"report_status"`
	Words   string `json:"errmsg"`
	Serial  string `json:"sid"`
	Session string `json:"ext"` // only where the account has it switched on
}

// pulled is one of what PullSmsSendStatusByPhoneNumber gives.
type pulled struct {
	Status  string `json:"ReportStatus"`
	Words   string `json:"Description"`
	Serial  string `json:"SerialNo"`
	Session string `json:"SessionContext"`
}

func kind(status string) (tidings.ReceiptKind, bool) {
	switch status {
	case "SUCCESS":
		return tidings.ReceiptDelivered, true
	case "FAIL":
		return tidings.ReceiptNotDelivered, true
	}
	return "", false
}

// Report reads a callback: an array. Tencent signs nothing itself; the URL is signed and the caller has checked it.
func (s *Sender) Report(r tidings.Report) ([]tidings.Receipt, tidings.ReportAnswer, error) {
	answer := tidings.ReportAnswer{Status: 200, Type: "application/json", Body: `{"result":0,"errmsg":"OK"}`}
	var reports []report
	if err := json.Unmarshal(r.Body, &reports); err != nil {
		return nil, answer, tidings.Errorf(tidings.Invalid, "the body is not an array of reports")
	}
	var got []tidings.Receipt
	for _, p := range reports {
		k, ok := kind(p.Status)
		if !ok {
			return nil, answer, tidings.Errorf(tidings.Invalid, "a report says neither SUCCESS nor FAIL")
		}
		id, err := tidings.ParseID(p.Session)
		if err != nil { // of a batch, or the account does not send it back
			id = 0
		}
		if id == 0 && p.Serial == "" {
			continue
		}
		got = append(got, tidings.Receipt{Attempt: id, ProviderID: p.Serial, Kind: k, Detail: once.Excerpt(p.Words)})
	}
	return got, answer, nil
}

const (
	queryBefore = time.Minute // our clock may run ahead
	queryFor    = 72 * time.Hour
)

// Query looks through what was reported of the number since the attempt.
func (s *Sender) Query(ctx context.Context, q tidings.Question) (tidings.Receipt, error) {
	begin := q.At.Add(-queryBefore)
	end := begin.Add(queryFor)
	if now := s.setup.Now(); end.After(now) {
		end = now
	}
	request := map[string]any{"BeginTime": begin.Unix(), "EndTime": end.Unix(), "Offset": 0, "Limit": 100,
		"PhoneNumber": international(q.Address.Value), "SmsSdkAppId": s.setup.Values["app"]}
	var a answer
	if err := s.call(ctx, "PullSmsSendStatusByPhoneNumber", request, &a); err != nil {
		return tidings.Receipt{}, fmt.Errorf("tencent: query: %w", err)
	}
	for _, p := range a.Response.Pulled {
		k, ok := kind(strings.ToUpper(p.Status))
		if ok && (q.ProviderID != "" && p.Serial == q.ProviderID || p.Session == q.Attempt.String()) {
			return tidings.Receipt{Attempt: q.Attempt, ProviderID: p.Serial, Kind: k, Detail: once.Excerpt(p.Words)}, nil
		}
	}
	return tidings.Receipt{}, nil
}
