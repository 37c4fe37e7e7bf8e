package comet

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

func FuzzACursorHasOneSpelling(f *testing.F) {
	for _, s := range []string{"e1.0", "abc.17", "", ".", "e1.", "e1.-1", "e1.01", "e1.99999999999999999999", "a.b.1", "e\n.1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseCursor(s)
		if err == nil && (c.String() != s || c.Number < 0 || strings.ContainsAny(s, " \r\n\"")) {
			t.Fatalf("%q was read as %+v", s, c)
		}
	})
}

func FuzzABellIsUnderstoodOrRefused(f *testing.F) {
	for _, s := range []string{`e ann 7 {"number":7}`, "e ann 7 ", "t ann c1 123 3500", "e  1 ", "x", "t ann c1 1 9", `m ann {"mark":"read","ids":["a"],"unread":1}`, "m ann {}"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b, err := parseBell(s)
		if err != nil {
			return
		}
		if b.marked != nil {
			checkFrame(t, frame{cursor: Cursor{Epoch: "e1", Number: 1}, marked: b.marked})
			return
		}
		if b.user == "" || b.client == "" && b.number <= 0 || b.client != "" && b.code.text() == "" {
			t.Fatalf("%q was read as %+v", s, b)
		}
		checkFrames(t, b.entry)
	})
}

func FuzzAStreamEntryIsUnderstoodOrLeftToSQL(f *testing.F) {
	f.Add("1-0", `{"number":1}`, int64(1))
	f.Add("1-1", "{\n}", int64(1))
	f.Add("0-0", "", int64(0))
	f.Fuzz(func(t *testing.T, id, entry string, from int64) {
		for _, it := range contiguous([]redis.XMessage{{ID: id, Values: map[string]any{"e": entry}}}, from) {
			if it.number != from || it.number <= 0 {
				t.Fatalf("%q from %d was read as %+v", id, from, it)
			}
			checkFrames(t, it.entry)
		}
	})
}

// checkFrames checks that an entry can neither end a frame early nor begin another field of an event.
func checkFrames(t *testing.T, entry json.RawMessage) {
	t.Helper()
	if entry == nil {
		return
	}
	checkFrame(t, frame{cursor: Cursor{Epoch: "e1", Number: 1}, items: []item{{number: 1, entry: entry}}})
}

func checkFrame(t *testing.T, f frame) {
	t.Helper()
	for _, kind := range []transport{poll, stream, events} {
		text := string(f.encode(kind))
		lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
		if want := map[transport]int{poll: 1, stream: 1, events: 2}[kind]; len(lines) != want {
			t.Fatalf("%s: %d lines: %q", kind, len(lines), text)
		}
		if body := strings.TrimPrefix(lines[len(lines)-1], "data: "); !json.Valid([]byte(body)) {
			t.Fatalf("%s: not JSON: %q", kind, body)
		}
	}
}
