package baidu

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"tidings"
	"tidings/channels/once"
)

func TestAnErrorCodeDecidesWhateverTheHTTPStatus(t *testing.T) {
	for code, want := range verdicts {
		for _, status := range []int{200, 400, 403, 500, 503} {
			body := `{"request_id":1,"error_code":` + strconv.FormatInt(code, 10) + `,"error_msg":"m"}`
			_, err := decode(once.Answer{Status: status, Body: []byte(body)})
			e, ok := errors.AsType[*tidings.SendError](err)
			if !ok || e.Outcome != want.outcome || e.Reason != want.reason || e.AddressDead != want.dead || e.Configuration != want.config {
				t.Errorf("%d with %d: %v", code, status, err)
			}
		}
	}
}

func TestAnswersThatAreNotBaidusSayNothing(t *testing.T) {
	for _, a := range []once.Answer{
		{Status: 200, Body: []byte("")}, {Status: 502, Body: []byte("<html>")}, {Status: 200, Body: []byte(`{}`)},
		{Status: 200, Body: []byte(`{"request_id":1,"response_params":{"msg_id":"24`)}, {Status: 200, Body: []byte(`[]`)},
		{Status: 200, Body: []byte(`{"request_id":1,"response_params":null}`)},
		{Status: 200, Body: []byte(`{"request_id":1,"response_params":{"msg_id":"1"}}`), Cut: true},
		{Status: 500, Body: []byte(`{"request_id":1,"error_code":30600,"error_msg":"Internal Server Error"}`)},
	} {
		_, err := decode(a)
		if e, ok := errors.AsType[*tidings.SendError](err); !ok || e.Outcome != tidings.Unknown {
			t.Errorf("%d %q: %v", a.Status, a.Body, err)
		}
	}
}

func TestAMessageIDIsANumberOrAString(t *testing.T) {
	for _, id := range []string{`"24234532453245"`, `9223372036854775807`} {
		got, err := decode(once.Answer{Status: 200, Body: []byte(`{"request_id":1,"response_params":{"msg_id":` + id + `,"send_time":1}}`)})
		if err != nil || got != strings.Trim(id, `"`) {
			t.Errorf("%s: %q, %v", id, got, err)
		}
	}
}

func TestAnUnknownCodeIsACertainNo(t *testing.T) {
	_, err := decode(once.Answer{Status: 200, Body: []byte(`{"request_id":1,"error_code":39999,"error_msg":"new\n"}`)})
	if e, ok := errors.AsType[*tidings.SendError](err); !ok || e.Outcome != tidings.Refused || strings.Contains(e.Error(), "\n") {
		t.Error(err)
	}
}

func FuzzAnAnswerIsTakenOrClassed(f *testing.F) {
	f.Add(200, []byte(`{"request_id":1,"response_params":{"msg_id":24234532453245,"send_time":1}}`))
	f.Add(400, []byte(`{"request_id":4294967295,"error_code":30602,"error_msg":"\u0000\ud800"}`))
	f.Add(400, []byte(`{"error_code":1e999}`))
	f.Add(200, []byte(`{"response_params":{"msg_id":{}}}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		_, err := decode(once.Answer{Status: status, Body: body})
		if err == nil {
			return
		}
		e, ok := errors.AsType[*tidings.SendError](err)
		if !ok || e.Outcome == "" || e.Reason == "" || e.Err == nil || len([]rune(e.Error())) > 2000 {
			t.Fatalf("%#v", err)
		}
	})
}
