package kannel_test

import (
	"net/url"
	"strings"
	"testing"
	"unicode"

	"tidings"
	"tidings/channels/kannel"
)

const attempt = tidings.ID(1 << 50)

func TestAReportSaysWhatBecameOfItsAttempt(t *testing.T) {
	for typ, want := range map[string]tidings.ReceiptKind{
		"1": tidings.ReceiptDelivered, "2": tidings.ReceiptNotDelivered, "4": tidings.ReceiptBuffered, "8": tidings.ReceiptAccepted,
		"16": tidings.ReceiptRejected, "34": tidings.ReceiptNotDelivered, "66": tidings.ReceiptNotDelivered,
	} {
		id, kind, _, err := kannel.ParseReceipt(url.Values{"attempt": {attempt.String()}, "type": {typ}})
		if id != attempt || kind != want || err != nil {
			t.Errorf("type %s: %v %s %v, want %s", typ, id, kind, err, want)
		}
	}
}

func TestAReportWithoutAttemptOrTypeIsTheCallersMistake(t *testing.T) {
	id := attempt.String()
	for _, query := range []string{"", "attempt=" + id, "type=1", "attempt=" + id + "&type=", "attempt=" + id + "&type=3", "attempt=x&type=1",
		"attempt=" + id + "&type=%25d", "attempt=" + id + "&type=1e0"} {
		v, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := kannel.ParseReceipt(v); tidings.CodeOf(err) != tidings.Invalid {
			t.Errorf("%q: %v", query, err)
		}
	}
}

func TestAReportsDetailHoldsNeitherNumberNorText(t *testing.T) {
	reply := "NACK/PERMFAIL\r\nto +8613800138000 id:12345678 stat:UNDELIV err:012 Text:your code is 991"
	_, _, detail, err := kannel.ParseReceipt(url.Values{"attempt": {attempt.String()}, "type": {"16"}, "reply": {reply}})
	if err != nil || detail != "NACK/PERMFAIL to +# id:# stat:UNDELIV err:012" {
		t.Errorf("%q, %v", detail, err)
	}
}

func FuzzAReportIsReadOrRefused(f *testing.F) {
	f.Add("attempt="+attempt.String()+"&type=1&reply=ACK%2F", "")
	f.Add("attempt="+attempt.String()+"&type=16", "text:x\ny \x00\xff 13800138000")
	f.Add("type=9999999999999999999999", "")
	f.Fuzz(func(t *testing.T, query, reply string) {
		v, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		v.Set("reply", reply)
		_, kind, detail, err := kannel.ParseReceipt(v)
		if (err == nil) != (kind != "") {
			t.Fatalf("kind %q with error %v", kind, err)
		}
		bad := strings.ContainsFunc(detail, func(r rune) bool { return !unicode.IsPrint(r) })
		if bad || len([]rune(detail)) > 200 {
			t.Fatalf("detail %q", detail)
		}
	})
}
