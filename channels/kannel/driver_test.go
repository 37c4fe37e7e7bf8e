package kannel_test

import (
	"strings"
	"testing"

	"tidings"
	"tidings/channels/kannel"
)

func TestTheDriverChecksItsSettings(t *testing.T) {
	values := map[string]string{"url": "http://127.0.0.1:1/cgi-bin/sendsms", "user": "u", "password": "p", "max_parts": "4"}
	setup := tidings.Setup{Values: values, ReportURL: func(tidings.ID) string { return "http://us/r?sig=x" }}
	if _, err := kannel.Driver.Open(setup); err != nil {
		t.Fatal(err)
	}
	for field, bad := range map[string]string{"url": "ftp://x", "user": "a\nb", "max_parts": "none"} {
		good := values[field]
		values[field] = bad
		if _, err := kannel.Driver.Open(setup); tidings.CodeOf(err) != tidings.Invalid || !strings.Contains(err.Error(), field) {
			t.Errorf("%s %q: %v", field, bad, err)
		}
		values[field] = good
	}
}

func TestReportsOfASignedURL(t *testing.T) {
	s, err := kannel.New(kannel.Config{URL: "http://k/", ReportURL: func(tidings.ID) string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := s.Report(tidings.Report{Attempt: 7, Query: map[string][]string{"type": {"1"}, "reply": {"ok"}, "attempt": {"forged"}}})
	if err != nil || len(got) != 1 || got[0].Attempt != 7 || got[0].Kind != tidings.ReceiptDelivered {
		t.Errorf("%+v %v", got, err)
	}
	if _, _, err := s.Report(tidings.Report{Attempt: 7, Query: nil}); err == nil {
		t.Error("a report without a type is taken")
	}
}
