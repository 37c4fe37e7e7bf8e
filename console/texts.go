package console

import "fmt"

// text is one thing that the console says, in both its languages.
type text struct{ en, zh string }

func (t text) in(lang string) string {
	if lang == "zh" {
		return t.zh
	}
	return t.en
}

// texts are all that the pages say, by key. A test compares them with the keys that the pages ask for.
var texts = merged(frameTexts, pageTexts, templateTexts, sendingTexts, peopleTexts, preferenceTexts, integrationTexts, endpointTexts, broadcastTexts, replayTexts)

func merged(parts ...map[string]text) map[string]text {
	all := map[string]text{}
	for _, part := range parts {
		for key, t := range part {
			all[key] = t
		}
	}
	return all
}

// say is the text of key in lang, with args put in.
func say(lang, key string, args ...any) string {
	t, ok := texts[key]
	if !ok {
		return key
	}
	if len(args) == 0 {
		return t.in(lang)
	}
	return fmt.Sprintf(t.in(lang), args...)
}

// word names one of a closed list: a state, a role, a reason. A word that is new here shows as it is.
func word(lang, kind, w string) string {
	if t, ok := words[kind][w]; ok {
		return t.in(lang)
	}
	return w
}

// doneWords are what a page may be asked to say that was done: whatever else stands in the address is not repeated.
var doneWords = map[string]bool{}

func init() {
	for key := range texts {
		if len(key) > 5 && key[:5] == "done." {
			doneWords[key[5:]] = true
		}
	}
}
