package console

import (
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"

	"tidings"
)

// asked finds the texts that pages and code ask for by name.
var asked = regexp.MustCompile(`(?:\bt |\.t\(|say\(v?\.?lang, )"([a-z0-9.-]+)"`)

// named are keys that are put together or listed: those that begin so are used.
var named = []string{"done.", "inbox.", "nav.", "prefer."}

func TestEveryTextStandsInBothLanguages(t *testing.T) {
	for key, text := range texts {
		if text.en == "" || text.zh == "" {
			t.Errorf("%s lacks a language", key)
		}
		if strings.Count(text.en, "%") != strings.Count(text.zh, "%") {
			t.Errorf("%s takes other values in one language than in the other", key)
		}
	}
	for kind, list := range words {
		for word, text := range list {
			if word != "" && (text.en == "" || text.zh == "") {
				t.Errorf("%s %q lacks a language", kind, word)
			}
		}
	}
	for key, en := range demoTexts["en"] {
		if en == "" || demoTexts["zh"][key] == "" {
			t.Errorf("%s of the demo lacks a language", key)
		}
	}
	if len(demoTexts["en"]) != len(demoTexts["zh"]) {
		t.Error("the demo says other things in one language than in the other")
	}
}

func TestEveryTextAskedForIsThereAndNoneIsForNothing(t *testing.T) {
	used := map[string]bool{}
	read := func(name, text string) {
		for _, m := range asked.FindAllStringSubmatch(text, -1) {
			used[m[1]] = true
			if _, ok := texts[m[1]]; !ok && !strings.HasSuffix(m[1], ".") {
				t.Errorf("%s asks for %q, which is no text", name, m[1])
			}
		}
	}
	names, err := fs.Glob(pageFiles, "pages/*.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(pageFiles, name)
		if err != nil {
			t.Fatal(err)
		}
		read(name, string(text))
	}
	files, err := fs.Glob(os.DirFS("."), "*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		read(name, string(text))
	}
	for key := range texts {
		listed := false
		for _, prefix := range named {
			listed = listed || strings.HasPrefix(key, prefix)
		}
		if !used[key] && !listed {
			t.Errorf("nothing says %q", key)
		}
	}
}

func TestTheClosedListsHaveTheirWords(t *testing.T) {
	has := func(kind string, w string) {
		if _, ok := words[kind][w]; !ok {
			t.Errorf("there is no word for the %s %q", kind, w)
		}
	}
	for _, s := range tidings.States {
		has("state", string(s))
	}
	for _, r := range tidings.Reasons {
		has("reason", string(r))
	}
	for _, r := range tidings.LeftOuts {
		has("left-out", string(r))
	}
	for _, r := range tidings.Roles {
		has("role", string(r))
	}
	for _, c := range tidings.Channels {
		has("channel", string(c))
	}
	for _, r := range tidings.Spares {
		has("spared", string(r))
	}
	for _, l := range tidings.Lanes {
		has("lane", string(l))
	}
	for _, r := range tidings.Rules {
		has("rule", string(r))
	}
	for from, to := range tidings.TemplateMoves {
		for _, s := range append(to, from) {
			if s != "" {
				has("state", string(s))
			}
		}
	}
	for from, to := range tidings.ApplicationMoves {
		for _, s := range append(to, from) {
			if s != "" {
				has("state", string(s))
			}
		}
	}
	for _, key := range inboxKeys {
		if _, ok := texts[key]; !ok {
			t.Errorf("there is no text %q", key)
		}
	}
}
