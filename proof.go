package tidings

import (
	"bufio"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// A proof is a file of lines, CSV or JSON, each of which ends with a check: the first 16 hex characters of the hash that chains it to all lines before it. The
// last line has the whole hash and its signature by the installation, so that nobody can change, add, drop or reorder a line unseen.

// ProofHead is what a proof is about. It is the first line.
type ProofHead struct {
	Broadcast   ID        `json:"broadcast"`
	Application string    `json:"application"`
	Type        string    `json:"type"`
	MadeAt      time.Time `json:"made_at"`
}

// ProofSeal ends a proof.
type ProofSeal struct {
	Broadcast ID     `json:"broadcast"`
	Lines     int    `json:"lines"`
	Hash      string `json:"sha256"`
	Signature string `json:"signature"`
}

// Proof writes a proof.
type Proof struct {
	w     *bufio.Writer
	json  bool
	head  ProofHead
	hash  string
	lines int
}

var proofColumns = []string{"user", "region", "merchant", "store", "deliveries", "seen_at", "read_at"}

// NewProof begins a proof on w.
func NewProof(w io.Writer, asJSON bool, head ProofHead) (*Proof, error) {
	p := &Proof{w: bufio.NewWriter(w), json: asJSON, head: head}
	if asJSON {
		return p, p.object(head)
	}
	if err := p.record("#broadcast", head.Broadcast.String(), head.Application, head.Type, head.MadeAt.UTC().Format(time.RFC3339)); err != nil {
		return nil, err
	}
	return p, p.record(proofColumns...)
}

// Line adds a recipient.
func (p *Proof) Line(l ProofLine) error {
	if p.json {
		return p.object(l)
	}
	deliveries := make([]string, len(l.Deliveries))
	for i, d := range l.Deliveries {
		name := string(d.Channel)
		if d.Reminder > 0 {
			name += "#" + strconv.Itoa(d.Reminder)
		}
		deliveries[i] = strings.TrimSpace(fmt.Sprintf("%s %s %s %s", name, d.State, proofTime(d.At), d.Receipt))
	}
	return p.record(l.User, l.Region, l.Merchant, l.Store, strings.Join(deliveries, "; "), proofTime(l.SeenAt), proofTime(l.ReadAt))
}

func proofTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// End writes the last line. sign makes the signature of what is sealed.
func (p *Proof) End(sign func(ProofSeal) string) error {
	s := ProofSeal{Broadcast: p.head.Broadcast, Lines: p.lines, Hash: p.hash}
	s.Signature = sign(s)
	if p.json {
		text, err := json.Marshal(map[string]ProofSeal{"proof": s})
		if err != nil {
			return err
		}
		p.w.Write(append(text, '\n')) //nolint:errcheck // Flush tells
	} else {
		fmt.Fprintf(p.w, "#proof,%s,%d,%s,%s\n", s.Broadcast, s.Lines, s.Hash, s.Signature)
	}
	return p.w.Flush()
}

func (p *Proof) object(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	check := p.chain(string(text))
	_, err = p.w.WriteString(string(text[:len(text)-1]) + jsonCheck + check + "\"}\n")
	return err
}

const jsonCheck = `,"check":"`

func (p *Proof) record(fields ...string) error {
	for i, f := range fields {
		fields[i] = strings.Map(func(r rune) rune { // a line is a record
			if r < ' ' {
				return ' '
			}
			return r
		}, f)
	}
	var b strings.Builder
	c := csv.NewWriter(&b)
	if err := c.Write(fields); err != nil {
		return err
	}
	c.Flush()
	text := strings.TrimSuffix(b.String(), "\n")
	_, err := p.w.WriteString(text + "," + p.chain(text) + "\n")
	return err
}

// chain adds a line to the hash and returns its check.
func (p *Proof) chain(text string) string {
	sum := sha256.Sum256([]byte(p.hash + "\n" + text))
	p.hash = hex.EncodeToString(sum[:])
	p.lines++
	return p.hash[:16]
}

// CheckProof reads a proof, checks its chain and returns the seal, whose signature is then to be verified by the installation that made it. The error names the
// first line that is not what was written.
func CheckProof(r io.Reader) (seal ProofSeal, err error) {
	var p Proof
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		if seal.Hash != "" {
			return seal, fmt.Errorf("line %d stands behind the end", n)
		}
		line := lines.Text()
		if done, err := p.sealed(line, &seal); done {
			if err != nil {
				return seal, fmt.Errorf("line %d: %w", n, err)
			}
			continue
		}
		text, check, ok := "", "", false
		if p.json = strings.HasPrefix(line, "{"); p.json {
			if text, check, ok = cutLast(line, jsonCheck); ok {
				text, check = text+"}", strings.TrimSuffix(check, `"}`)
			}
		} else {
			text, check, ok = cutLast(line, ",")
		}
		if !ok || p.chain(text) != check {
			return seal, fmt.Errorf("line %d is not what was written, or a line before it is missing", n)
		}
	}
	if err := lines.Err(); err != nil {
		return seal, err
	}
	if seal.Hash == "" {
		return seal, fmt.Errorf("the proof has no end: it was cut off")
	}
	if seal.Hash != p.hash || seal.Lines != p.lines {
		return seal, fmt.Errorf("the last line does not seal the lines before it")
	}
	return seal, nil
}

// sealed reads the last line of a proof.
func (p *Proof) sealed(line string, seal *ProofSeal) (bool, error) {
	if strings.HasPrefix(line, `{"proof":`) {
		var last struct{ Proof ProofSeal }
		err := json.Unmarshal([]byte(line), &last)
		*seal = last.Proof
		return true, err
	}
	f := strings.Split(line, ",")
	if f[0] != "#proof" || len(f) != 5 {
		return false, nil
	}
	id, err := ParseID(f[1])
	if err != nil {
		return true, err
	}
	n, err := strconv.Atoi(f[2])
	*seal = ProofSeal{Broadcast: id, Lines: n, Hash: f[3], Signature: f[4]}
	return true, err
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}
