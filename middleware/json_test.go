package middleware_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"tidings"
	"tidings/middleware"
)

type letter struct {
	To   []address       `json:"to"`
	Text string          `json:"text"`
	Free json.RawMessage `json:"free"`
	Tags map[string]int  `json:"tags"`
}

type address struct {
	Name string `json:"name"`
}

func TestStrictJSONNamesTheFieldThatIsWrong(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", 40) + strings.Repeat("]", 40)
	for _, c := range []struct{ body, field, code string }{
		{`{"txt":"x"}`, "txt", "unknown"},
		{`{"Text":"x"}`, "Text", "unknown"},
		{`{"to":[{"name":"a"},{"nme":"b"}]}`, "to[1].nme", "unknown"},
		{`{"text":"a","text":"b"}`, "text", "repeated"},
		{`{"text":"a\u0000b"}`, "text", "malformed"},
		{`{"free":{"a":["\u0000"]}}`, "free.a[0]", "malformed"},
		{`{"text":"\ud83d"}`, "text", "malformed"},
		{`{"text":"\ud83dx\ude00"}`, "text", "malformed"},
		{`{"text":1}`, "text", "type"},
		{`{"to":[{"name":{}}]}`, "to[0].name", "type"},
		{`{"tags":{"a":"b"}}`, "tags.a", "type"},
		{`{"free":` + deep + `}`, "free" + strings.Repeat("[0]", 32), "too_deep"},
	} {
		var l letter
		e, ok := errors.AsType[*tidings.Error](middleware.Decode([]byte(c.body), &l))
		if !ok || e.Code != tidings.Invalid || len(e.Fields) != 1 || !names(e.Fields[0].Field, c.field) || e.Fields[0].Code != c.code {
			t.Errorf("%.60s: %+v, want %s %s", c.body, e, c.field, c.code)
		}
	}
}

// names tells whether a field is the one that is wrong. The first implementation of encoding/json leaves out of a path what
// lies in arrays and maps; the second, with which scripts/build builds, does not.
func names(field, want string) bool {
	return field == want || field == "to.name" && want == "to[0].name" || field == "tags" && want == "tags.a"
}

func TestWhatIsNoJSONObjectIsRefused(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "  ", "{", `{"text":"a"} x`, `{"text":"a"}{}`, "[]", `"x"`, "7", `{"text":"` + "\xff" + `"}`,
		"{\"text\":\"\x00\"}", "\xef\xbb\xbf{}", `{text:1}`, `{"text":'a'}`} {
		var l letter
		if err := middleware.Decode([]byte(body), &l); tidings.CodeOf(err) != tidings.Invalid {
			t.Errorf("%q: %v", body, err)
		}
	}
}

func TestStrictJSONReadsWhatIsGood(t *testing.T) {
	t.Parallel()
	var l letter
	body := ` { "to" : [ { "name" : "a" } , { } ] , "text" : "订单\ud83d\ude00\"\\\u00e9" , "free" : [1e3,-0.5,{"a":null,"a":true}],"tags":{"x":1} } `
	if err := middleware.Decode([]byte(body), &l); err != nil {
		t.Fatal(err)
	}
	if l.Text != "订单😀\"\\é" || len(l.To) != 2 || l.Tags["x"] != 1 {
		t.Errorf("%+v", l)
	}
}

func FuzzStrictJSONAcceptsOnlyWhatEncodingJSONAcceptsToo(f *testing.F) {
	for _, s := range []string{`{"to":[{"name":"a"}],"text":"\ud83d\ude00","free":[1,{"a":null}],"tags":{"x":1}}`, `{"text":1}`, `[[`, `{"a":"\u0000"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var a, b letter
		err := middleware.Decode(body, &a)
		if err != nil {
			if tidings.CodeOf(err) != tidings.Invalid {
				t.Fatalf("%q: %v", body, err)
			}
			return
		}
		if err := json.Unmarshal(body, &b); err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		if strings.Contains(a.Text, "\x00") {
			t.Fatalf("%q: NUL came through", body)
		}
	})
}
