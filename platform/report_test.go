package platform

import (
	"encoding/json"
	"slices"
	"testing"

	"tidings"
)

func TestRealDataIsMaskedAndKeepsItsForm(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]string{
		`{"name":"Li Hua 13"}`:                    `{"name":"xx xxx 00"}`,
		`{"phone":"+8613912345678","n":1203.5}`:   `{"n":1000.0,"phone":"+0000000000000"}`,
		`{"url":"https://shop.example/o/17"}`:     `{"url":"https://xxxx.xxxxxxx/x/00"}`,
		`{"list":[{"a":"你好"},true,null],"e":1e9}`: `{"e":1,"list":[{"a":"文文"},true,null]}`,
		`nonsense`: `{}`,
	} {
		if got := string(mask(json.RawMessage(data))); got != want {
			t.Errorf("%s: %s, want %s", data, got, want)
		}
	}
}

func TestADifferenceIsToldLineByLine(t *testing.T) {
	t.Parallel()
	old, changed := tidings.Template{Title: "T", Body: "a\nb\nc"}, tidings.Template{Title: "T", Body: "a\nx\nc", Signature: "【S】"}
	want := []string{" title: T", "+signature: 【S】", " body: a", "-body: b", "+body: x", " body: c"}
	if got := difference(lines(old), lines(changed)); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
