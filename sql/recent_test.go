package sql

import (
	"testing"
	"time"

	"tidings"
)

// walk remembers a message for one user as far as its deliver segment, and returns that segment.
func walk(r *recent, id tidings.ID) tidings.Segment {
	m := tidings.Audienced{Message: tidings.Message{ID: id, Type: "note", Channels: []tidings.Channel{tidings.Web}, Audience: tidings.Audience{Users: []string{"ann"}}}}
	r.read([]tidings.Audienced{m}, time.Now())
	r.rendered([]tidings.Rendered{{Message: id, Channel: tidings.Web, Locale: "zh-CN", Content: tidings.Content{Body: "text"}}})
	s := tidings.Segment{ID: id + 1000}
	r.wrote([]segmentRow{{Segment: s, list: []tidings.Item{{Message: id, User: "ann", Locale: "zh-CN", Number: 7}}}})
	return s
}

func TestWhatIsRememberedIsGivenOnce(t *testing.T) {
	r := newRecent()
	s := walk(r, 1)
	if got, ok := r.entries([]tidings.Segment{s}); !ok || len(got) != 1 || got[0].Entry.Number != 7 || got[0].Entry.Body != "text" {
		t.Fatalf("%+v %v", got, ok)
	}
	if _, ok := r.entries([]tidings.Segment{s}); ok {
		t.Error("a second run was given what the first had: it must read the record")
	}
}

func TestTheOldestIsForgottenFirst(t *testing.T) {
	r := newRecent()
	r.limit = 10_000
	first := walk(r, 1)
	var last tidings.Segment
	for id := tidings.ID(2); id < 50; id++ {
		last = walk(r, id)
	}
	if r.bytes > r.limit {
		t.Errorf("%d bytes are remembered, of %d", r.bytes, r.limit)
	}
	if len(r.messages) > 30 || len(r.items) > 30 {
		t.Errorf("%d messages, %d segments", len(r.messages), len(r.items))
	}
	if _, ok := r.entries([]tidings.Segment{first}); ok {
		t.Error("the first is still there")
	}
	if _, ok := r.entries([]tidings.Segment{last}); !ok {
		t.Error("the last is gone")
	}
}

func TestHalfRememberedIsNotGiven(t *testing.T) {
	r := newRecent()
	s := walk(r, 1)
	r.limit = r.bytes
	other := walk(r, 2) // which displaces the first
	if _, ok := r.entries([]tidings.Segment{s, other}); ok {
		t.Error("a message that was forgotten has an entry")
	}
}

func TestALargeAudienceIsRememberedFromPageToPage(t *testing.T) {
	r := newRecent()
	m := tidings.Audienced{Message: tidings.Message{ID: 1, Type: "note", Channels: []tidings.Channel{tidings.Web}, Audience: tidings.Audience{Merchants: []string{"acme"}}}}
	content := tidings.Rendered{Message: 1, Channel: tidings.Web, Locale: "zh-CN", Content: tidings.Content{Body: "text"}}
	page := func(n int) []tidings.Segment {
		user := tidings.ID(n).String()
		r.read([]tidings.Audienced{m}, time.Now())
		r.reached([]tidings.Notification{{Message: 1, User: user, Via: []string{"m:acme"}}})
		s := tidings.Segment{ID: tidings.ID(1000 + n)}
		r.wrote([]segmentRow{{Segment: s, list: []tidings.Item{{Message: 1, User: user, Locale: "zh-CN", Number: int64(n)}}}})
		return []tidings.Segment{s}
	}
	first := page(1)
	r.rendered([]tidings.Rendered{content})
	second := page(2)
	for _, ss := range [][]tidings.Segment{first, second} {
		if got, ok := r.entries(ss); !ok || got[0].Entry.Body != "text" || got[0].Entry.Via[0] != "m:acme" {
			t.Fatalf("%+v %v", got, ok)
		}
	}
	content.Content.Body = "as it stands"
	r.rendered([]tidings.Rendered{content})
	old := page(3)
	r.limit = 4000
	var last []tidings.Segment
	for n := range 50 {
		last = page(4 + n)
	}
	if got, ok := r.entries(last); !ok || got[0].Entry.Body != "as it stands" {
		t.Errorf("the last page: %+v %v", got, ok)
	}
	if _, ok := r.entries(old); ok {
		t.Error("a page that was forgotten is there")
	}
	if known := len(r.messages[1].via); r.bytes > r.limit || known > 10 {
		t.Errorf("%d bytes are remembered, of %d users how they were reached", r.bytes, known)
	}
}

// A page's contents were forgotten with its message; what another page of the same message was rendered for is not all of them.
func TestAPageIsNotRoutedByTheContentsOfAnother(t *testing.T) {
	r := newRecent()
	m := tidings.Audienced{Message: tidings.Message{ID: 1, Type: "note", Channels: []tidings.Channel{tidings.Web}, Audience: tidings.Audience{Merchants: []string{"acme"}}}}
	in := func(locale string) tidings.Rendered {
		return tidings.Rendered{Message: 1, Channel: tidings.Web, Locale: locale, Content: tidings.Content{Body: locale}}
	}
	page := func(n int) []tidings.Segment {
		s := tidings.Segment{ID: tidings.ID(1000 + n)}
		r.wrote([]segmentRow{{Segment: s, list: []tidings.Item{{Message: 1, User: "u", Locale: "en-US"}}}})
		return []tidings.Segment{s}
	}
	r.read([]tidings.Audienced{m}, time.Now())
	r.rendered([]tidings.Rendered{in("zh-CN"), in("en-US")})
	first := page(1)
	delete(r.messages, 1) // so much else was remembered meanwhile
	r.read([]tidings.Audienced{m}, time.Now())
	r.rendered([]tidings.Rendered{in("zh-CN")})
	second := page(2)
	if w, ok := r.routeWork(first); ok {
		t.Errorf("%+v", w.Contents)
	}
	if _, ok := r.routeWork(second); !ok {
		t.Error("what is known in one line is not given")
	}
}

func TestWhatWaitsForItsTimeIsReadAgain(t *testing.T) {
	r := newRecent()
	m := tidings.Audienced{Message: tidings.Message{ID: 1, SendAt: time.Now().Add(time.Hour)}}
	r.read([]tidings.Audienced{m}, time.Now())
	s := tidings.Segment{ID: 2}
	r.wrote([]segmentRow{{Segment: s, list: []tidings.Item{{Message: 1, User: "ann"}}}})
	if _, ok := r.renderWork([]tidings.Segment{s}); ok {
		t.Error("it may be canceled meanwhile")
	}
}
