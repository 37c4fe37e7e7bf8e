package tidings

import (
	"fmt"
	"sync"
	"time"
)

// ID names a batch, message, segment or attempt: 41 bits of milliseconds since idEpoch, 10 bits of the process that
// made it, 12 bits of sequence. IDs of one process only rise, those of several rise within clock skew, so that rows
// are written at the right edge of their index and lists are in order of time. Two processes can share the middle bits
// after 1,024 starts; a primary key then refuses the (very unlikely) second row and its writer draws a new ID.
type ID int64

// idEpoch is 2026-01-01T00:00:00Z in Unix milliseconds: 41 bits last until 2095.
const idEpoch = 1767225600000

const idAlphabet = "0123456789abcdefghjkmnpqrstvwxyz" // Crockford's base 32: no i, l, o, u

// String writes the ID as 13 characters of Crockford's base 32; the order of the strings is that of the IDs.
func (id ID) String() string {
	var b [13]byte
	v := uint64(id)
	for i := 12; i >= 0; i-- {
		b[i] = idAlphabet[v&31]
		v >>= 5
	}
	return string(b[:])
}

// ParseID reads what String wrote.
func ParseID(s string) (ID, error) {
	if len(s) != 13 {
		return 0, fmt.Errorf("an id has 13 characters, not %d", len(s))
	}
	var v uint64
	for i := 0; i < len(s); i++ {
		d := idDigit(s[i])
		if d < 0 || i == 0 && d > 7 {
			return 0, fmt.Errorf("an id has no %q at place %d", s[i], i+1)
		}
		v = v<<5 | uint64(d)
	}
	return ID(v), nil
}

func idDigit(c byte) int {
	for i := 0; i < len(idAlphabet); i++ {
		if idAlphabet[i] == c {
			return i
		}
	}
	return -1
}

// MarshalText writes the ID as String does: JSON numbers above 2^53 would be rounded by browsers.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (id *ID) UnmarshalText(b []byte) error {
	v, err := ParseID(string(b))
	*id = v
	return err
}

// Time is when the ID was made, to the millisecond.
func (id ID) Time() time.Time { return time.UnixMilli(int64(id)>>22 + idEpoch) }

// IDAt is the least ID that can be made at a time.
func IDAt(t time.Time) ID { return ID(max(0, t.UnixMilli()-idEpoch) << 22) }

// IDs makes IDs. It is safe for use by several goroutines.
type IDs struct {
	mu   sync.Mutex
	node int64
	last int64 // the last ID without its node bits: milliseconds << 12 | sequence
	now  func() time.Time
}

// NewIDs returns a maker of IDs for the process that SQL gave the start number start.
func NewIDs(start int64, now func() time.Time) *IDs { return &IDs{node: start & 1023, now: now} }

// Next returns a new ID, higher than every one before it. More than 4,096 in a millisecond borrow from the next.
func (g *IDs) Next() ID {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := (g.now().UnixMilli() - idEpoch) << 12
	if t <= g.last {
		t = g.last + 1
	}
	g.last = t
	return ID(t>>12<<22 | g.node<<12 | t&4095)
}
