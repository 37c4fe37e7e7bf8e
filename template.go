package tidings

import (
	"strings"
	"time"
)

// Template is one immutable version of the content of a message type for one channel and locale. Its fields are Liquid.
type Template struct {
	Application string        `json:"application"`
	Type        string        `json:"type"`
	Channel     Channel       `json:"channel"`
	Locale      string        `json:"locale"`
	Version     int           `json:"version"`
	State       TemplateState `json:"state"`
	Title       string        `json:"title,omitempty"` // web, app
	Body        string        `json:"body"`
	URL         string        `json:"url,omitempty"` // web, app: what a click opens
	CreatedAt   time.Time     `json:"created_at"`
}

// TemplateState is where a version stands in its life.
type TemplateState string

// The states of a template version.
const (
	TemplateDraft     TemplateState = "draft"
	TemplatePublished TemplateState = "published"
	TemplateRetired   TemplateState = "retired"
)

// Content is what a template made of a message's data for one channel and locale.
type Content struct {
	Title string `json:"title,omitempty"`
	Body  string `json:"body"`
	URL   string `json:"url,omitempty"`
}

// ChooseLocale picks from the locales for which templates are published the one for a user: his own, then one of the same
// language, then DefaultLocale, then the first. offered is sorted; the answer is "" only when it is empty.
func ChooseLocale(want string, offered []string) string {
	language := func(l string) string { head, _, _ := strings.Cut(l, "-"); return strings.ToLower(head) }
	pick := func(match func(string) bool) (string, bool) {
		for _, l := range offered {
			if match(l) {
				return l, true
			}
		}
		return "", false
	}
	for _, match := range []func(string) bool{
		func(l string) bool { return strings.EqualFold(l, want) },
		func(l string) bool { return language(l) == language(want) },
		func(l string) bool { return l == DefaultLocale },
		func(string) bool { return true },
	} {
		if l, ok := pick(match); ok {
			return l
		}
	}
	return ""
}
