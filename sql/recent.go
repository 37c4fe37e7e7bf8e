package sql

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"tidings"
)

// recent is what this process remembers of messages on their way, so that the stage which follows need not read again what
// the one before it has just written: the usual case, since a worker serves all stages. It holds only what is committed and
// does not change, and it may forget anything at any time: the record is read then. A segment that the record lost (the
// lazy pool's last commits, when PostgreSQL crashes) is refused at its commit, like any stale one.
type recent struct {
	mu       sync.Mutex
	messages map[tidings.ID]*onItsWay
	items    map[tidings.ID]written // by segment
	began    int64                  // lines of readings so far
	kept     []keeping              // in order of age
	bytes    int
	limit    int
	skew     time.Duration // of the database's clock, seen from ours
	skewed   bool          // skew is known
}

// written are the items of a segment.
type written struct {
	list []tidings.Item
	at   int64 // after so many lines of readings
}

// onItsWay is a message as it was read. One with a large audience is read for each page of it: the next reading takes over
// what is known besides, so that they are one line.
type onItsWay struct {
	tidings.Audienced
	read     time.Time           // when, by this process's clock
	line     int64               // which line of readings: what was written before it may rest on more than is known in it
	contents []tidings.Rendered  // in order of channel and locale
	via      map[string][]string // by user, where it is not the user himself
}

// keeping is a thing remembered, and about what it takes: a segment's items, or a reading of a message with what was learned
// after it.
type keeping struct {
	segment tidings.ID
	message *onItsWay
	users   []string // of whom it was learned how they were reached
	bytes   int
}

// recentLimit bounds what is remembered, in bytes: about a second of a full load. More would only be garbage to keep.
const recentLimit = 16 << 20

func newRecent() *recent {
	return &recent{messages: map[tidings.ID]*onItsWay{}, items: map[tidings.ID]written{}, limit: recentLimit}
}

// keep notes what was remembered, and forgets the oldest where it grew too much. The lock is held.
func (r *recent) keep(k keeping) {
	r.kept, r.bytes = append(r.kept, k), r.bytes+k.bytes
	n := 0
	for r.bytes > r.limit {
		old := r.kept[n]
		delete(r.items, old.segment)
		if m := old.message; m != nil {
			for _, u := range old.users {
				delete(m.via, u)
			}
			if r.messages[m.ID] == m { // it was not read again since
				delete(r.messages, m.ID)
			}
		}
		r.bytes -= old.bytes
		n++
	}
	r.kept = r.kept[n:]
}

// read remembers messages as the acquire stage read them, and the database's time.
func (r *recent) read(ms []tidings.Audienced, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	read := time.Now()
	r.skew, r.skewed = now.Sub(read), true
	for _, m := range ms {
		// What waits for its time is read again: it may be canceled meanwhile, and must not be shown as waiting then.
		if !m.SendAt.IsZero() {
			continue
		}
		reading := &onItsWay{Audienced: m, read: read}
		if before := r.messages[m.ID]; before != nil {
			reading.contents, reading.via, reading.line = before.contents, before.via, before.line
		} else {
			r.began++
			reading.line = r.began
		}
		r.messages[m.ID] = reading
		r.keep(keeping{message: reading, bytes: len(m.Data) + 500})
	}
}

// reached remembers through which dimensions users were reached.
func (r *recent) reached(ns []tidings.Notification) {
	r.mu.Lock()
	defer r.mu.Unlock()
	users := map[*onItsWay][]string{}
	for _, n := range ns {
		m := r.messages[n.Message]
		if m == nil || m.Audience.ByThemselves() {
			continue
		}
		if m.via == nil {
			m.via = map[string][]string{}
		}
		m.via[n.User] = n.Via
		users[m] = append(users[m], n.User)
	}
	for m, reached := range users {
		r.keep(keeping{message: m, users: reached, bytes: 170 * len(reached)})
	}
}

// rendered remembers contents that stand in the record.
func (r *recent) rendered(rs []tidings.Rendered) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range rs {
		m := r.messages[c.Message]
		if m == nil {
			continue
		}
		i, known := slices.BinarySearchFunc(m.contents, c, byChannel)
		behind := m.contents[i:]
		if known {
			behind = behind[1:]
		} else {
			r.keep(keeping{message: m, bytes: len(c.Content.Title) + len(c.Content.Body) + len(c.Content.URL) + 200})
		}
		m.contents = slices.Concat(m.contents[:i], []tidings.Rendered{c}, behind) // a copy: stages read it without the lock
	}
}

// fresh tells whether none of rs is known to be there.
func (r *recent) fresh(rs []tidings.Rendered) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range rs {
		if m := r.messages[c.Message]; m != nil && m.content(c.Channel, c.Locale) != nil {
			return false
		}
	}
	return true
}

// byChannel is the order of the contents of a message: by channel and locale.
func byChannel(a, b tidings.Rendered) int {
	return cmp.Or(cmp.Compare(a.Channel, b.Channel), cmp.Compare(a.Locale, b.Locale))
}

func (m *onItsWay) content(c tidings.Channel, locale string) *tidings.Rendered {
	for i, r := range m.contents {
		if r.Channel == c && r.Locale == locale {
			return &m.contents[i]
		}
	}
	return nil
}

// wrote remembers the items of segments that were just committed.
func (r *recent) wrote(rows []segmentRow) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range rows {
		if s.list != nil {
			r.items[s.ID] = written{s.list, r.began}
			r.keep(keeping{segment: s.ID, bytes: 80 * len(s.list)})
		}
	}
}

// recentAge is how long a message is remembered: what waited longer, in a queue that was paused, may be canceled, and
// canceled-messages looks back for little more.
const recentAge = time.Minute

// take gives the items of segments and their messages, and forgets the items: a second run reads the record. ok is false
// unless everything is known.
func (r *recent) take(ss []tidings.Segment) (items []tidings.Item, messages map[tidings.ID]*onItsWay, now time.Time, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	messages, ok, now = map[tidings.ID]*onItsWay{}, r.skewed, time.Now()
	for _, s := range ss {
		w := r.items[s.ID]
		delete(r.items, s.ID)
		ok = ok && w.list != nil
		for _, item := range w.list {
			m := r.messages[item.Message]
			if m == nil || m.line > w.at || now.Sub(m.read) > recentAge {
				ok = false
				break
			}
			messages[m.ID] = m
		}
		items = append(items, w.list...)
	}
	return items, messages, now.Add(r.skew), ok
}

// renderWork is what the render stage works on.
func (r *recent) renderWork(ss []tidings.Segment) (w tidings.RenderWork, ok bool) {
	items, messages, _, ok := r.take(ss)
	if !ok {
		return w, false
	}
	w.Items, w.Messages = items, make(map[tidings.ID]tidings.Message, len(messages))
	for id, m := range messages {
		w.Messages[id] = m.Message
	}
	return w, true
}

// routeWork is what the route stage decides on, but for the addresses.
func (r *recent) routeWork(ss []tidings.Segment) (w tidings.RouteWork, ok bool) {
	items, messages, now, ok := r.take(ss)
	if !ok {
		return w, false
	}
	w = tidings.RouteWork{Now: now, Items: items, Messages: make(map[tidings.ID]tidings.Audienced, len(messages)),
		Contents: make(map[tidings.ID][]tidings.Rendered, len(messages))}
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, m := range messages {
		if len(m.contents) == 0 {
			return w, false
		}
		w.Messages[id], w.Contents[id] = m.Audienced, m.contents
	}
	return w, true
}

// entries are those of the web deliveries of segments.
func (r *recent) entries(ss []tidings.Segment) (entries []tidings.UserEntry, ok bool) {
	items, messages, _, ok := r.take(ss)
	if !ok {
		return nil, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	entries = make([]tidings.UserEntry, len(items))
	for i, item := range items {
		m := messages[item.Message]
		c, via := m.content(tidings.Web, item.Locale), []string{tidings.ViaUser}
		if !m.Audience.ByThemselves() {
			via = m.via[item.User]
		}
		if c == nil || via == nil || item.Number == 0 {
			return nil, false
		}
		entries[i] = tidings.UserEntry{User: item.User, Entry: tidings.Entry{Number: item.Number, ID: m.ID, Application: m.Application, Type: m.Type,
			Title: c.Content.Title, Body: c.Content.Body, URL: c.Content.URL, Via: via, At: m.AcceptedAt, Replaces: item.Replaces}}
	}
	return entries, true
}
