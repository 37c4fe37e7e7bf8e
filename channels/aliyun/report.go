package aliyun

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strconv"

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

// A page of QuerySendDetails holds at most 50 SMS. Nobody is sent more than mostPages of them on one day.
const (
	pageSize  = 50
	mostPages = 20
)

// Query looks through what was sent to the number on the attempt's day, page by page.
func (s *Sender) Query(ctx context.Context, q tidings.Question) (tidings.Receipt, error) {
	form := url.Values{"PhoneNumber": {plain(q.Address.Value)}, "SendDate": {q.At.In(beijing).Format("20060102")}, "PageSize": {strconv.Itoa(pageSize)}}
	if q.ProviderID != "" {
		form.Set("BizId", q.ProviderID)
	}
	for page := 1; page <= mostPages; page++ {
		form.Set("CurrentPage", strconv.Itoa(page))
		var r reply
		if err := s.call(ctx, "QuerySendDetails", form, &r); err != nil {
			return tidings.Receipt{}, errors.Join(errors.New("aliyun: query"), err)
		}
		if got, ok := about(q, r.Details.List); ok || len(r.Details.List) < pageSize {
			return got, nil
		}
	}
	return tidings.Receipt{}, nil
}

// about is what details say of an attempt, if any of them is of it.
func about(q tidings.Question, details []detail) (tidings.Receipt, bool) {
	for _, d := range details {
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
		return got, true
	}
	return tidings.Receipt{}, false
}
