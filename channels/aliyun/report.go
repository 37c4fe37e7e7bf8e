package aliyun

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"

	"tidings"
	"tidings/channels/once"
)

// report is one of a SmsReport push.
type report struct {
	Success *bool  `json:"success"`
	ErrCode string `json:"err_code"`
	BizID   string `json:"biz_id"`
	OutID   string `json:"out_id"`
}

// Report reads a SmsReport push: an array. Aliyun signs nothing itself; the URL is signed and the caller has checked it.
func (s *Sender) Report(r tidings.Report) ([]tidings.Receipt, tidings.ReportAnswer, error) {
	answer := tidings.ReportAnswer{Status: 200, Type: "application/json", Body: `{"code":0,"msg":"kept"}`}
	var reports []report
	if err := json.Unmarshal(r.Body, &reports); err != nil {
		return nil, answer, tidings.Errorf(tidings.Invalid, "the body is not an array of reports")
	}
	var got []tidings.Receipt
	for _, p := range reports {
		if p.Success == nil {
			return nil, answer, tidings.Errorf(tidings.Invalid, "a report says neither success nor failure")
		}
		kind := tidings.ReceiptNotDelivered
		if *p.Success {
			kind = tidings.ReceiptDelivered
		}
		id, err := tidings.ParseID(p.OutID)
		if err != nil { // not ours, or one of a batch
			id = 0
		}
		if id == 0 && p.BizID == "" {
			continue
		}
		got = append(got, tidings.Receipt{Attempt: id, ProviderID: p.BizID, Kind: kind, Detail: once.Excerpt(p.ErrCode)})
	}
	return got, answer, nil
}

// Query looks through what was sent to the number on the attempt's day.
func (s *Sender) Query(ctx context.Context, q tidings.Question) (tidings.Receipt, error) {
	form := url.Values{"PhoneNumber": {plain(q.Address.Value)}, "SendDate": {q.At.In(beijing).Format("20060102")}, "PageSize": {"50"}, "CurrentPage": {"1"}}
	if q.ProviderID != "" {
		form.Set("BizId", q.ProviderID)
	}
	var r reply
	if err := s.call(ctx, "QuerySendDetails", form, &r); err != nil {
		return tidings.Receipt{}, errors.Join(errors.New("aliyun: query"), err)
	}
	for _, d := range r.Details.List {
		if d.OutID != q.Attempt.String() && (q.ProviderID == "" || d.OutID != "") {
			continue
		}
		got := tidings.Receipt{Attempt: q.Attempt, ProviderID: q.ProviderID, Detail: once.Excerpt(d.ErrCode)}
		switch d.Status {
		case "1":
			got.Kind = tidings.ReceiptAccepted
		case "2":
			got.Kind = tidings.ReceiptNotDelivered
		case "3":
			got.Kind = tidings.ReceiptDelivered
		}
		return got, nil
	}
	return tidings.Receipt{}, nil
}
