package httpsms

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/url"
	"strings"

	"tidings"
	"tidings/channels/once"
)

// Report reads a report as the settings describe it. The gateway's reports come to a signed URL, which the caller has checked.
func (s *Sender) Report(r tidings.Report) ([]tidings.Receipt, tidings.ReportAnswer, error) {
	v := s.setup.Values
	answer := tidings.ReportAnswer{}
	if v["report_answer"] != "" {
		answer = tidings.ReportAnswer{Status: 200, Type: "text/plain; charset=utf-8", Body: v["report_answer"]}
		if strings.HasPrefix(answer.Body, "{") {
			answer.Type = "application/json"
		}
	}
	list, err := s.reports(r)
	if err != nil {
		return nil, answer, err
	}
	var got []tidings.Receipt
	var foreign error // the account may be another system's as well
	for _, one := range list {
		f := facts{json: one, body: string(r.Body)}
		if len(list) > 1 { // a rule that looks at the text looks at this report's
			text, _ := json.Marshal(one) // it was JSON
			f.body = string(text)
		}
		receipt := tidings.Receipt{Attempt: r.Attempt, ProviderID: f.find(v["report_id"])}
		if v["report_attempt"] != "" {
			id, err := tidings.ParseID(f.find(v["report_attempt"]))
			switch {
			case err == nil && r.Attempt != 0 && id != r.Attempt:
				return nil, answer, tidings.Errorf(tidings.Invalid, "a report names no attempt of ours")
			case err == nil:
				receipt.Attempt = id
			case receipt.ProviderID == "":
				foreign = tidings.Errorf(tidings.Invalid, "a report names no attempt of ours")
				continue
			}
		}
		switch {
		case s.rules["report_delivered"].fit(f):
			receipt.Kind = tidings.ReceiptDelivered
		case s.rules["report_failed"].fit(f):
			receipt.Kind = tidings.ReceiptNotDelivered
		default:
			continue // on its way, or a word that the settings do not know
		}
		if receipt.Attempt == 0 && receipt.ProviderID == "" {
			foreign = tidings.Errorf(tidings.Invalid, "a report names neither an attempt nor the gateway's id")
			continue
		}
		receipt.Detail = once.Excerpt(cmp.Or(f.find("status"), string(receipt.Kind)))
		got = append(got, receipt)
	}
	if len(got) == 0 {
		return nil, answer, foreign
	}
	return got, answer, nil
}

// reports are the single reports of a call.
func (s *Sender) reports(r tidings.Report) ([]any, error) {
	values := url.Values(r.Query)
	switch s.setup.Values["report_type"] {
	case "form":
		form, err := url.ParseQuery(string(r.Body))
		if err != nil {
			return nil, tidings.Errorf(tidings.Invalid, "the body is no form")
		}
		values = form
		fallthrough
	case "query":
		one := map[string]any{}
		for name := range values {
			one[name] = values.Get(name)
		}
		return []any{one}, nil
	}
	var body any
	d := json.NewDecoder(bytes.NewReader(r.Body))
	d.UseNumber() // ids keep their digits
	if err := d.Decode(&body); err != nil {
		return nil, tidings.Errorf(tidings.Invalid, "the body is no JSON")
	}
	if path := s.setup.Values["report_list"]; path != "" {
		for step := range strings.SplitSeq(path, ".") {
			object, _ := body.(map[string]any) // another thing has no such step
			body = object[step]
		}
	}
	switch b := body.(type) {
	case []any:
		return b, nil
	case map[string]any:
		return []any{b}, nil
	}
	return nil, tidings.Errorf(tidings.Invalid, "the body holds no reports where the settings say")
}
