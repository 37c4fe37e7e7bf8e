package tidings

import (
	"encoding/json"
	"strconv"
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
	Title       string        `json:"title,omitempty"` // all but sms
	Body        string        `json:"body"`
	URL         string        `json:"url,omitempty"` // all but sms: what a click opens
	// ProviderCode is the name under which the channel's provider knows the template, where it needs one; see NewCallTemplate.
	ProviderCode string    `json:"provider_code,omitempty"`
	Signature    string    `json:"signature,omitempty"` // sms: who sends, put in front of the body: "【Acme】"
	Percent      int       `json:"percent,omitempty"`   // of the stores, while published; 100: all that no newer version takes
	Author       string    `json:"author,omitempty"`    // an account
	Reviewer     string    `json:"reviewer,omitempty"`  // an account, never the author's
	Comment      string    `json:"comment,omitempty"`   // the reviewer's
	CreatedAt    time.Time `json:"created_at"`
}

// TemplateRef names one version of a template.
type TemplateRef struct {
	Application string  `json:"application"`
	Type        string  `json:"type"`
	Channel     Channel `json:"channel"`
	Locale      string  `json:"locale"`
	Version     int     `json:"version"`
}

// String is the ref as the audit log writes it: shop/order.paid/sms/zh-CN/3.
func (r TemplateRef) String() string {
	return r.Application + "/" + r.Type + "/" + string(r.Channel) + "/" + r.Locale + "/" + strconv.Itoa(r.Version)
}

// Ref names the version.
func (t Template) Ref() TemplateRef {
	return TemplateRef{Application: t.Application, Type: t.Type, Channel: t.Channel, Locale: t.Locale, Version: t.Version}
}

// TemplateState is where a version stands in its life.
type TemplateState string

// The states of a template version.
const (
	TemplateDraft     TemplateState = "draft"
	TemplateSubmitted TemplateState = "submitted"
	TemplateApproved  TemplateState = "approved"
	TemplateRejected  TemplateState = "rejected"
	TemplatePublished TemplateState = "published"
	TemplateRetired   TemplateState = "retired"
)

// TemplateMoves are the legal moves of a template version, drawn in docs/states.md. From draft straight to published goes
// only an admin who says that nobody reviewed it.
var TemplateMoves = map[TemplateState][]TemplateState{
	"":                {TemplateDraft},
	TemplateDraft:     {TemplateSubmitted, TemplatePublished},
	TemplateSubmitted: {TemplateApproved, TemplateRejected},
	TemplateApproved:  {TemplatePublished},
	TemplatePublished: {TemplateRetired},
	TemplateRetired:   {TemplatePublished},
}

// TemplateReport is what a reviewer sees of a version: how it looks with the type's examples and with the last real data
// (its letters and digits replaced), and how it differs from what is published.
type TemplateReport struct {
	Template   Template            `json:"template"`
	Renderings []TemplateRendering `json:"renderings"`
	Missing    []string            `json:"missing"` // variables that it uses and the type does not declare
	Diff       []string            `json:"diff"`    // lines that begin with "+", "-" or " "; none: nothing is published
	Warnings   []string            `json:"warnings"`
}

// TemplateRendering is a version rendered with one set of data.
type TemplateRendering struct {
	Source   string          `json:"source"` // "example", or the id of a message whose data it is, masked
	Data     json.RawMessage `json:"data"`
	Content  Content         `json:"content"`
	Error    string          `json:"error,omitempty"`
	Parts    int             `json:"parts,omitempty"`    // sms: how many are charged
	Encoding string          `json:"encoding,omitempty"` // sms
}

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
