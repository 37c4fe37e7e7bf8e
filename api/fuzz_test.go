package api

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"testing"
	"time"

	"tidings"
	"tidings/middleware"
)

func FuzzAMessageIsReadOrRefusedAndNeverBreaksARule(f *testing.F) {
	f.Add([]byte(`{"type":"t","audience":{"users":["u1"],"scope":"all"},"data":{"n":"x"},"channels":["web"],"send_at":"2026-01-02T15:04:05Z"}`))
	f.Add([]byte(`{"type":"t","audience":{"everyone":true},"expires_at":"2027-01-01T00:00:00+08:00","collapse_key":"k"}`))
	typ := tidings.MessageType{Name: "t", Lane: tidings.Normal, Channels: []tidings.Channel{tidings.Web}, Variables: []tidings.Variable{{Name: "n", Type: tidings.VariableString}}}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, body []byte) {
		var r messageRequest
		if err := middleware.Decode(body, &r); err != nil {
			return
		}
		m, err := r.message("shop", typ, now)
		if err != nil {
			if tidings.CodeOf(err) != tidings.Unprocessable {
				t.Fatal(err)
			}
			return
		}
		if m.Audience.Empty() || !m.ExpiresAt.After(now) || !m.ExpiresAt.After(m.SendAt) || !json.Valid(m.Data) || m.Data[0] != '{' || bytes.Contains(m.Data, []byte{0}) {
			t.Fatalf("%q became %+v", body, m)
		}
	})
}

func FuzzTheHashOfARequestIgnoresOnlyWhiteSpace(f *testing.F) {
	f.Add([]byte(`{"a": [1, "b c"]}`), []byte(`{"a":[1,"bc"]}`))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		hash := requestHash("POST", "/v1/messages", a)
		if hash == requestHash("POST", "/v1/messages/batch", a) {
			t.Fatal("the path does not count")
		}
		var spaced, compactA, compactB bytes.Buffer
		if json.Indent(&spaced, a, " ", "\t") != nil {
			return
		}
		if requestHash("POST", "/v1/messages", spaced.Bytes()) != hash {
			t.Fatalf("%q and %q differ", a, spaced.Bytes())
		}
		if json.Compact(&compactA, a) == nil && json.Compact(&compactB, b) == nil {
			same := bytes.Equal(compactA.Bytes(), compactB.Bytes())
			if same != (requestHash("POST", "/v1/messages", b) == hash) {
				t.Fatalf("%q and %q", a, b)
			}
		}
	})
}

func FuzzAPageIsReadOrRefused(f *testing.F) {
	f.Add("after=0000000000001&limit=3")
	f.Add("before=%00&limit=-1&x=y")
	f.Fuzz(func(t *testing.T, raw string) {
		r := httptest.NewRequest("GET", "/v1/inbox", nil)
		r.URL.RawQuery = raw
		q := queryOf(r)
		p := q.page()
		if err := q.err(); err == nil && (p.Limit < 1 || p.Limit > maxLimit || p.After != 0 && p.Before != 0) {
			t.Fatalf("%q became %+v", raw, p)
		} else if err != nil && tidings.CodeOf(err) != tidings.Invalid {
			t.Fatal(err)
		}
	})
}
