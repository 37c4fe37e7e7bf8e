package tidings

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// Preferences are what a user wants to be sent, and when. They are the user's own: no application sees or changes them, unless
// its key writes the directory.
type Preferences struct {
	User  string       `json:"user,omitempty"`
	Rules []Preference `json:"rules"`
	Quiet *QuietHours  `json:"quiet,omitempty"` // the user's own quiet hours
}

// Preference says whether messages are muted on a channel. What is left empty stands for all: all channels, all types of the
// application, all applications. Of the rules that fit, the most specific counts: one of the type before one of the
// application before one of all, and in each one of the channel before one of all channels.
type Preference struct {
	Application string  `json:"application,omitempty"`
	Type        string  `json:"type,omitempty"`
	Channel     Channel `json:"channel,omitempty"`
	Muted       bool    `json:"muted"`
}

// PreferenceType is a message type as its receiver meets it: what he may mute.
type PreferenceType struct {
	Application     string    `json:"application"`
	ApplicationName string    `json:"application_name"`
	Type            string    `json:"type"`
	Title           string    `json:"title,omitempty"`
	Channels        []Channel `json:"channels"`
	Mandatory       []Channel `json:"mandatory"` // cannot be muted
	Muted           []Channel `json:"muted"`     // are muted now
}

// MaxPreferences is how many rules a user may have.
const MaxPreferences = 500

// Validate checks preferences and returns what is wrong, by field. Whether a type may be muted at all is for others to know.
func (p Preferences) Validate() FieldErrors {
	var errs FieldErrors
	if p.Rules == nil {
		errs.Add("rules", "missing", "a list; an empty one mutes nothing")
	}
	if len(p.Rules) > MaxPreferences {
		errs.Add("rules", "too_many", "at most 500")
		return errs
	}
	seen := map[Preference]bool{}
	for i, r := range p.Rules {
		field := "rules[" + strconv.Itoa(i) + "]"
		if r.Application != "" && !ValidName(r.Application) {
			errs.Add(field+".application", "malformed", "the id of an application, or nothing for all")
		}
		if r.Type != "" && (r.Application == "" || !ValidName(r.Type)) {
			errs.Add(field+".type", "malformed", "the name of a message type of the application, or nothing for all")
		}
		if r.Channel != "" && !r.Channel.Valid() {
			errs.Add(field+".channel", "unknown", "a channel, or nothing for all")
		}
		r.Muted = false
		if seen[r] {
			errs.Add(field, "repeated", "a rule for the same stands before it")
		}
		seen[r] = true
	}
	p.Quiet.validate(&errs)
	return errs
}

// Mutes tells whether the user has muted a message type on a channel. Nil mutes nothing.
func (p *Preferences) Mutes(application, typ string, c Channel) bool {
	if p == nil {
		return false
	}
	muted, best := false, -1
	for _, r := range p.Rules {
		if rank, fits := r.rank(application, typ, c); fits && rank > best {
			muted, best = r.Muted, rank
		}
	}
	return muted
}

// rank tells whether the rule is about a type on a channel, and how specific it is.
func (r Preference) rank(application, typ string, c Channel) (rank int, fits bool) {
	if r.Application != "" && r.Application != application || r.Type != "" && r.Type != typ || r.Channel != "" && r.Channel != c {
		return 0, false
	}
	for i, part := range []string{string(r.Channel), r.Application, r.Type} {
		if part != "" {
			rank += 1 << i
		}
	}
	return rank, true
}

// Mute returns the preferences with a type muted, or let through, on a channel; "" for all of its channels.
func (p Preferences) Mute(application, typ string, c Channel, muted bool) Preferences {
	wanted := Preference{Application: application, Type: typ, Channel: c, Muted: muted}
	rules := slices.DeleteFunc(slices.Clone(p.Rules), func(r Preference) bool {
		return r.Application == application && r.Type == typ && (r.Channel == c || c == "")
	})
	p.Rules = append(rules, wanted)
	return p
}

// Shown is the message type as the owner of the preferences meets it.
func (p *Preferences) Shown(t MessageType) PreferenceType {
	shown := PreferenceType{Application: t.Application, Type: t.Name, Title: t.Title, Channels: t.Channels,
		Mandatory: []Channel{}, Muted: []Channel{}}
	for _, c := range t.Channels {
		switch {
		case t.Must(c):
			shown.Mandatory = append(shown.Mandatory, c)
		case p.Mutes(t.Application, t.Name, c):
			shown.Muted = append(shown.Muted, c)
		}
	}
	return shown
}

// Must tells whether what the user prefers has no say in messages of the type on a channel.
func (t *MessageType) Must(c Channel) bool { return slices.Contains(t.Mandatory, c) }

// Urgent tells whether messages of the type go out on a channel at any hour and however many there are.
func (t *MessageType) Urgent(c Channel) bool { return t.Lane == Critical || t.Must(c) }

// maxQuietTurns bounds how often quiet hours are asked again where the end of one lies in another: a year of nights.
const maxQuietTurns = 800

// quietUntil is when neither the type's nor the user's quiet hours hold a delivery on a channel: at itself when they do not
// then. ofType and ofUser tell which of them had a say; ok is false when together they leave no hour of the day.
func (p Planning) quietUntil(c Channel, at time.Time) (end time.Time, ofType, ofUser, ok bool) {
	own := p.Preferences.quiet(p.Type, c)
	if p.Quiet == nil && own == nil {
		return at, false, false, true
	}
	for range maxQuietTurns {
		end, typ := p.Quiet.Until(c, at)
		if typ {
			at, ofType = end, true
		}
		end, user := own.Until(c, at)
		if user {
			at, ofUser = end, true
		}
		if !typ && !user || own == nil || p.Quiet == nil || !p.ExpiresAt.IsZero() && !at.Before(p.ExpiresAt) {
			return at, ofType, ofUser, true
		}
	}
	return at, ofType, ofUser, false
}

// quiet are the user's quiet hours as far as the type heeds them on a channel.
func (p *Preferences) quiet(t *MessageType, c Channel) *QuietHours {
	if p == nil || t == nil || t.Urgent(c) {
		return nil
	}
	return p.Quiet
}

// Subscription is what an unsubscribe link is about: the messages of one type to one user on one channel.
type Subscription struct {
	User        string
	Application string
	Type        string
	Channel     Channel
}

// UnsubscribeVariable is the name by which templates for channels outside put a user's unsubscribe link into a text.
const UnsubscribeVariable = "unsubscribe_url"

// UnsubscribeMark stands for the link in a content until it is sent, for the content is that of many users. It is as long as a
// long link, by which the parts of an SMS are counted.
const UnsubscribeMark = "https://unsubscribe.invalid/------------------------------------------------------------"

// Unmarked is the content with a link in the mark's place; "" takes the mark out.
func (c Content) Unmarked(link string) Content {
	c.Title, c.Body = strings.ReplaceAll(c.Title, UnsubscribeMark, link), strings.ReplaceAll(c.Body, UnsubscribeMark, link)
	c.URL = strings.ReplaceAll(c.URL, UnsubscribeMark, link)
	return c
}

// Marked tells whether the content wants an unsubscribe link.
func (c Content) Marked() bool {
	return strings.Contains(c.Body, UnsubscribeMark) || strings.Contains(c.URL, UnsubscribeMark) || strings.Contains(c.Title, UnsubscribeMark)
}
