package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"golang.org/x/text/width"
)

// printer writes a command's answer: an aligned table for a person, tab-separated lines for a pipe, or JSON.
type printer struct {
	out  io.Writer
	tty  bool
	json bool
}

// withOutput gives a command --json.
func withOutput(c *cobra.Command) *cobra.Command {
	c.Flags().Bool("json", false, "print JSON")
	return c
}

func (d *deps) printer(c *cobra.Command) *printer {
	asJSON, _ := c.Flags().GetBool("json")
	return &printer{out: d.out, tty: isTerminal(d.out), json: asJSON}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// value prints v as indented JSON.
func (p *printer) value(v any) error {
	e := json.NewEncoder(p.out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// line prints a sentence for a person; it is left out of JSON.
func (p *printer) line(format string, args ...any) {
	if !p.json {
		fmt.Fprintf(p.out, format+"\n", args...)
	}
}

// table prints rows under a header. A pipe gets no header and one tab between cells, so that cut and awk can read it.
func (p *printer) table(header []string, rows [][]string) error {
	for i, row := range rows {
		for j, cell := range row {
			rows[i][j] = plain(cell)
		}
	}
	if !p.tty {
		for _, row := range rows {
			if _, err := fmt.Fprintln(p.out, strings.Join(row, "\t")); err != nil {
				return err
			}
		}
		return nil
	}
	_, err := io.WriteString(p.out, align(append([][]string{header}, rows...)))
	return err
}

// align pads cells to the width of their column, two columns for a Chinese character.
func align(rows [][]string) string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], cellWidth(cell))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		for i, cell := range row {
			b.WriteString(cell)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-cellWidth(cell)+2))
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// cellWidth is how many columns a terminal gives s.
func cellWidth(s string) int {
	n := 0
	for _, r := range s {
		switch k := width.LookupRune(r).Kind(); {
		case unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Cf, r):
		case k == width.EastAsianWide || k == width.EastAsianFullwidth:
			n += 2
		default:
			n++
		}
	}
	return n
}

// plain replaces what would move the cursor, colour the terminal or turn the direction of the text: contents come from
// outside, and a terminal obeys them.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return ' '
		}
		return r
	}, s)
}

// plainLines is plain but for line feeds.
func plainLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = plain(l)
	}
	return strings.Join(lines, "\n")
}

// shownTime writes a time for a table, in the reader's zone; the zero time is empty.
func shownTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// or is s, or what stands for nothing.
func or(s, none string) string {
	if s == "" {
		return none
	}
	return s
}
