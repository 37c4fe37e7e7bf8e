package comet

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// A bell is a word from the scripts in lua/ to a node, on the node's channel:
//
//	e <user> <number> <entry as JSON, or nothing when it is large>   the user has a new number
//	t <user> <client> <fence> <code>                                 close that client's connections of a lower fence
//	m <user> <tidings.Marked as JSON>                                the user marked something
//
// Several stand in one word, a line each.

// bell is what a node hears.
type bell struct {
	user   string
	number int64           // an entry's
	entry  json.RawMessage // nil: read it
	client string          // "": the bell is about an entry
	fence  int64
	code   Code
	marked json.RawMessage // nil: not about marks
}

func parseBell(s string) (bell, error) {
	kind, rest, _ := strings.Cut(s, " ")
	user, rest, _ := strings.Cut(rest, " ")
	b := bell{user: user}
	ok := user != ""
	switch kind {
	case "e":
		ok = parseEntryBell(&b, rest) && ok
	case "t":
		ok = parseCloseBell(&b, rest) && ok
	case "m":
		ok = parseMarkBell(&b, rest) && ok
	default:
		ok = false
	}
	if !ok {
		return bell{}, fmt.Errorf("a bell that no script rings: %.40q", s)
	}
	return b, nil
}

func parseEntryBell(b *bell, s string) (ok bool) {
	number, entry, _ := strings.Cut(s, " ")
	b.number, ok = parseNumber(number)
	if entry != "" {
		b.entry = json.RawMessage(entry)
		ok = ok && json.Valid(b.entry)
		b.entry = oneLine(b.entry)
	}
	return ok && b.number > 0
}

func parseCloseBell(b *bell, s string) bool {
	parts := strings.Split(s, " ")
	if len(parts) != 3 || parts[0] == "" {
		return false
	}
	fence, ok := parseNumber(parts[1])
	code, err := strconv.Atoi(parts[2])
	b.client, b.fence, b.code = parts[0], fence, Code(code)
	return ok && err == nil && b.code.text() != ""
}

// entryBells are the bells of entries of one user, given as append.lua takes them: number and content in turn.
func entryBells(user string, entries []any) (bells []string) {
	for i := 0; i+1 < len(entries); i += 2 {
		content, _ := entries[i+1].([]byte)
		if len(content) > bellBytes {
			content = nil
		}
		bells = append(bells, fmt.Sprintf("e %s %d %s", user, entries[i], content))
	}
	return bells
}

// parseStreamID reads the number of a stream entry's ID, "<number>-0".
func parseStreamID(id string) (int64, bool) {
	digits, ok := strings.CutSuffix(id, "-0")
	if !ok {
		return 0, false
	}
	n, ok := parseNumber(digits)
	return n, ok && n > 0
}
