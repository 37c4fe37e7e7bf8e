package operator

import (
	"encoding/binary"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// part is one message as it comes over the air: a whole SMS or a part of one.
type part struct {
	id       string
	from, to string
	body     []byte
	coding   int
	ref      int // which SMS the part belongs to, a number from 0 to 255 that the sender uses over and over
	of, n    int // n-th of so many
}

// readPart reads Kannel's call: from=%P&to=%p&text=%b&coding=%c&udh=%u.
func readPart(query string) (part, error) {
	v, err := url.ParseQuery(query)
	if err != nil {
		return part{}, fmt.Errorf("query: %w", err)
	}
	p := part{from: v.Get("from"), to: v.Get("to"), body: []byte(v.Get("text")), of: 1, n: 1}
	if p.to == "" {
		return part{}, fmt.Errorf("no receiver")
	}
	if c := v.Get("coding"); c != "" {
		if p.coding, err = strconv.Atoi(c); err != nil {
			return part{}, fmt.Errorf("coding: %w", err)
		}
	}
	return p, p.readHeader([]byte(v.Get("udh")))
}

// readHeader reads the user data header of a part: 05 00 03 ref of n (3GPP TS 23.040, 9.2.3.24.1). No header: a whole SMS.
func (p *part) readHeader(udh []byte) error {
	if len(udh) == 0 {
		return nil
	}
	if len(udh) != 6 || udh[0] != 5 || udh[1] != 0 || udh[2] != 3 || udh[4] == 0 || udh[5] == 0 || udh[5] > udh[4] {
		return fmt.Errorf("header % x", udh)
	}
	p.ref, p.of, p.n = int(udh[3]), int(udh[4]), int(udh[5])
	return nil
}

// assembly is the parts of an SMS that came so far, in their order.
type assembly struct {
	parts []part
}

// add puts p in its place and tells whether the SMS is whole.
func (a *assembly) add(p part) bool {
	if p.n > len(a.parts) {
		return false
	}
	a.parts[p.n-1] = p
	for _, q := range a.parts {
		if q.of == 0 {
			return false
		}
	}
	return true
}

// join reads each part's text by itself, as simple phones do, and puts them together.
func join(parts []part) Record {
	first := parts[0]
	r := Record{From: first.from, To: first.to, Coding: first.coding, Parts: len(parts), ID: first.id, At: time.Now()}
	var text strings.Builder
	for _, p := range parts {
		s, ok := p.text()
		r.Undecodable = r.Undecodable || !ok
		text.WriteString(s)
	}
	r.Text = text.String()
	return r
}

// text decodes the part: UTF-16 big endian in coding 2, else what Kannel writes for its 7-bit texts, which is UTF-8.
func (p part) text() (s string, ok bool) {
	if p.coding != 2 {
		return string(p.body), utf8.Valid(p.body)
	}
	units := make([]uint16, len(p.body)/2)
	for i := range units {
		units[i] = binary.BigEndian.Uint16(p.body[2*i:])
	}
	s = string(utf16.Decode(units))
	return s, len(p.body)%2 == 0 && !strings.ContainsRune(s, utf8.RuneError)
}
