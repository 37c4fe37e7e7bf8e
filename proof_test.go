package tidings_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"tidings"
)

func TestAChangedLineOfAProofIsFound(t *testing.T) {
	for _, asJSON := range []bool{false, true} {
		var b bytes.Buffer
		p, err := tidings.NewProof(&b, asJSON, tidings.ProofHead{Broadcast: 7, Application: "orders", Type: "rules", MadeAt: time.Unix(0, 0)})
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range []string{"u1", "u2", "u3"} {
			l := tidings.ProofLine{User: u, Region: "east, \"1\"\nside", Merchant: "acme", Store: "acme-1", ReadAt: time.Unix(99, 0),
				Deliveries: []tidings.ProofDelivery{{Channel: tidings.Web, State: tidings.Sent, At: time.Unix(9, 0), Receipt: "inbox:4"}}}
			if err := p.Line(l); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.End(func(tidings.ProofSeal) string { return "ab" }); err != nil {
			t.Fatal(err)
		}
		whole := b.String()
		if seal, err := tidings.CheckProof(strings.NewReader(whole)); err != nil || seal.Broadcast != 7 || seal.Signature != "ab" {
			t.Fatalf("%v %+v\n%s", err, seal, whole)
		}
		lines := strings.SplitAfter(strings.TrimSuffix(whole, "\n"), "\n")
		last := len(lines) - 1
		for name, text := range map[string]string{
			"changed": strings.Replace(whole, "u2", "u9", 1), "dropped": whole[:strings.Index(whole, lines[2])] + strings.Join(lines[3:], ""),
			"swapped": strings.Join(lines[:last-2], "") + lines[last-1] + lines[last-2] + lines[last], "cut off": strings.Join(lines[:last], ""),
			"added": whole + lines[1], "other end": strings.Replace(whole, lines[last], strings.Replace(lines[last], "0", "1", 1), 1),
			"empty": "",
		} {
			if text == whole {
				t.Fatal(name, "changes nothing")
			}
			if seal, err := tidings.CheckProof(strings.NewReader(text)); err == nil && seal.Broadcast == 7 {
				t.Errorf("%s: not found", name)
			}
		}
	}
}

func TestAPaceCatchesUpALittleAndNotWithAFlood(t *testing.T) {
	from := time.Unix(1000, 0)
	for _, c := range []struct {
		after    time.Duration
		released int
		most     int
		want     int
		wait     bool
	}{
		{0, 0, 5000, 100, true}, {0, 100, 5000, 0, true}, {time.Second, 100, 5000, 100, true}, {3 * time.Second, 100, 5000, 300, true},
		{3 * time.Second, 100, 50, 50, false}, {time.Hour, 100, 5000, 100, true},
	} {
		n, next, _ := tidings.Pace{Now: from.Add(c.after), Rate: 100, From: from, Released: c.released}.Page(c.most)
		if n != c.want || next.IsZero() == c.wait {
			t.Errorf("%+v: %d, %v", c, n, next)
		}
	}
}
