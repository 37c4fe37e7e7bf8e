package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"tidings"
)

// importChunk is how many lines go in one request: few enough that the bar moves and an interrupted import has lost little.
const importChunk = 2000

const importLong = `Import merchants, stores, users and their addresses into the directory.

A file of JSON lines holds on each line one of
  {"merchant":{"id":"acme","name":"Acme","attributes":{"tier":"gold"}}}
  {"store":{"id":"acme-1","merchant":"acme","name":"Acme 1","hours":{"mon":["09:00-18:00"]},"holidays":["2026-10-01"]}}
  {"user":{"id":"u-lin","name":"Lin","memberships":[{"store":"acme-1","role":"manager"}]}}
  {"addresses":{"user":"u-lin","addresses":[{"channel":"sms","value":"+8613800138000"}]}}
and a tombstone takes away what it names: {"user":{"id":"u-lin","deleted":true}}

A CSV file has a header that begins with merchant, store or user and says what each column is:
  merchant,name,attributes,deleted                 attributes: "tier=gold; floor=2"   deleted: yes or no
  store,merchant,name,region,timezone,hours,holidays,attributes,deleted
                                                   hours: "mon-fri 09:00-12:00 13:00-18:00; sat 10:00-14:00"
                                                   holidays: "2026-10-01 2026-10-02"
  user,name,locale,memberships,sms,app,platform,deleted
                                                   memberships: "m:acme:owner s:acme-1:manager"

What is there already is replaced. Lines that are refused are reported, with the field and the reason, and the others are
taken; the command then ends with 1. --report writes the refused lines to a file, as a table or as JSON by its name.

With --sync the files are the whole truth about each kind (merchants, stores, users) that they hold: what they do not name is
deleted afterwards. Nothing is deleted when a line could not be understood, or when more than 20 % of a kind would go; --force
says that this is meant.`

func newImport(d *deps) *cobra.Command {
	c := &cobra.Command{
		Use: "import FILE...", Short: "Import or sync the directory from CSV or JSON lines", Long: importLong,
		Example: "  tidings import merchants.csv stores.csv users.csv\n  tidings import --sync --report refused.csv users.csv\n  tidings import - <directory.jsonl",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("FILE is missing")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return importFiles(c, d, args) },
	}
	c.Flags().Bool("sync", false, "delete what the files do not name, of each kind that they hold")
	c.Flags().Bool("force", false, "let --sync delete more than 20 % of a kind")
	c.Flags().String("report", "", "file for the refused lines: .csv or .json")
	return withClient(c)
}

// importReport is what became of an import, in the words of POST /v1/directory/import.
type importReport struct {
	Merchants int           `json:"merchants"`
	Stores    int           `json:"stores"`
	Users     int           `json:"users"`
	Addresses int           `json:"addresses"`
	Deleted   int           `json:"deleted"`
	Refused   int           `json:"refused"`
	Problems  []lineProblem `json:"problems"`
}

// lineProblem is why a line was refused.
type lineProblem struct {
	File    string  `json:"file,omitempty"`
	Line    int     `json:"line"`
	Problem problem `json:"problem"`
}

func (r *importReport) add(o importReport) {
	r.Merchants += o.Merchants
	r.Stores += o.Stores
	r.Users += o.Users
	r.Addresses += o.Addresses
	r.Deleted += o.Deleted
	r.Refused += o.Refused
	r.Problems = append(r.Problems, o.Problems...)
}

// importFiles imports one file after another, and then deletes what a sync misses. Refused lines make it fail after everything
// else was taken.
func importFiles(c *cobra.Command, d *deps, names []string) error {
	api, err := d.adminClient(c)
	if err != nil {
		return err
	}
	sync := &syncing{ctx: c.Context(), api: api, kinds: map[string]*kindSync{}}
	sync.wanted, _ = c.Flags().GetBool("sync")
	sync.force, _ = c.Flags().GetBool("force")
	total := importReport{Problems: []lineProblem{}}
	for _, name := range names {
		im := &importing{ctx: c.Context(), api: api, name: name, sync: sync}
		err := im.file(c.InOrStdin(), d.errout)
		slices.SortStableFunc(im.report.Problems, func(a, b lineProblem) int { return cmp.Compare(a.Line, b.Line) })
		total.add(im.report)
		if err != nil {
			return fmt.Errorf("%s: %w (%d lines were taken before)", name, err, im.taken)
		}
	}
	deleted, failed := sync.finish()
	total.add(deleted)
	if file, _ := c.Flags().GetString("report"); file != "" {
		failed = errors.Join(failed, total.write(file))
	}
	for _, p := range total.Problems {
		fmt.Fprintf(d.errout, "%s:%d: %s\n", plain(p.File), p.Line, strings.ReplaceAll(plainLines(p.Problem.Error()), "\n", ";"))
	}
	p := d.printer(c)
	if p.json {
		failed = errors.Join(failed, p.value(total))
	}
	p.line("%d merchants, %d stores, %d users, addresses of %d users; %d deleted; %d lines refused",
		total.Merchants, total.Stores, total.Users, total.Addresses, total.Deleted, total.Refused)
	if failed == nil && total.Refused > 0 {
		return errQuiet
	}
	return failed
}

// importing is the import of one file.
type importing struct {
	ctx    context.Context
	api    *client
	name   string
	sync   *syncing
	bar    *progressbar.ProgressBar
	body   bytes.Buffer
	lines  []int // the file's line behind each line of body
	taken  int
	report importReport
}

func (im *importing) file(stdin io.Reader, errout io.Writer) error {
	in, size := stdin, int64(-1)
	if im.name != "-" {
		f, err := os.Open(im.name)
		if err != nil {
			return err
		}
		defer f.Close() //nolint:errcheck // read only
		if info, err := f.Stat(); err == nil {
			size = info.Size()
		}
		in = f
	}
	if isTerminal(errout) {
		im.bar = progressbar.NewOptions64(size, progressbar.OptionSetWriter(errout), progressbar.OptionSetDescription(filepath.Base(im.name)),
			progressbar.OptionShowBytes(true), progressbar.OptionClearOnFinish(), progressbar.OptionFullWidth())
		defer im.bar.Finish() //nolint:errcheck // a bar
		in = io.TeeReader(in, im.bar)
	}
	read := im.jsonLines
	if strings.EqualFold(filepath.Ext(im.name), ".csv") {
		read = im.csv
	}
	if err := read(in); err != nil {
		return err
	}
	return im.send()
}

func (im *importing) jsonLines(in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		text := bytes.TrimSpace(bytes.TrimPrefix(lines.Bytes(), []byte("\ufeff")))
		if len(text) == 0 {
			continue
		}
		var l tidings.ImportLine
		if json.Unmarshal(text, &l) != nil {
			l = tidings.ImportLine{} // the API says what is wrong with it
		}
		if err := im.line(n, l, text); err != nil {
			return err
		}
	}
	return lines.Err()
}

func (im *importing) csv(in io.Reader) error {
	r := csv.NewReader(in)
	r.FieldsPerRecord = -1
	first, err := r.Read()
	if err != nil {
		return fmt.Errorf("the header: %w", err)
	}
	header, err := tidings.ParseImportHeader(first)
	if err != nil {
		return fmt.Errorf("%w; see 'tidings import --help'", err)
	}
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if e, broken := errors.AsType[*csv.ParseError](err); broken {
			im.sync.unread++
			im.refuse(e.StartLine, problem{Code: string(tidings.Invalid), Detail: e.Error()})
			continue
		}
		if err != nil {
			return err
		}
		n, _ := r.FieldPos(0)
		lines, errs := header.Lines(record)
		if len(errs) > 0 {
			if err := im.sync.name(header[0], strings.TrimSpace(record[0])); err != nil { // it stays, as it is
				return err
			}
			im.refuse(n, problem{Code: string(tidings.Invalid), Detail: "the record is malformed", Errors: errs})
			continue
		}
		for _, l := range lines {
			text, err := json.Marshal(l)
			if err != nil {
				return err
			}
			if err := im.line(n, l, text); err != nil {
				return err
			}
		}
	}
}

// line adds a line to the request under way, and sends it when it is full.
func (im *importing) line(n int, l tidings.ImportLine, text []byte) error {
	if err := im.sync.name(l.Names()); err != nil {
		return err
	}
	im.body.Write(text)
	im.body.WriteByte('\n')
	im.lines = append(im.lines, n)
	if len(im.lines) < importChunk {
		return nil
	}
	return im.send()
}

func (im *importing) send() error {
	if len(im.lines) == 0 {
		return nil
	}
	report, err := im.api.importLines(im.ctx, im.body.Bytes())
	if err != nil {
		return err
	}
	im.answered(report)
	im.body.Reset()
	im.lines = im.lines[:0]
	return nil
}

// answered takes in what became of the lines under way, by their place in the file. A record that stands for two lines is
// refused once.
func (im *importing) answered(report importReport) {
	for _, p := range report.Problems {
		n := 0
		if p.Line >= 1 && p.Line <= len(im.lines) {
			n = im.lines[p.Line-1]
		}
		if k := len(im.report.Problems); k > 0 && im.report.Problems[k-1].Line == n {
			report.Refused--
			continue
		}
		im.report.Problems = append(im.report.Problems, lineProblem{File: im.name, Line: n, Problem: p.Problem})
	}
	im.taken += len(im.lines) - report.Refused
	report.Problems = nil
	im.report.add(report)
}

// refuse notes a record that is not even sent.
func (im *importing) refuse(n int, p problem) {
	im.report.Refused++
	im.report.Problems = append(im.report.Problems, lineProblem{File: im.name, Line: n, Problem: p})
}

// write puts the refused lines into a file: a table with a row for each field that is wrong, or JSON.
func (r importReport) write(name string) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if strings.EqualFold(filepath.Ext(name), ".json") {
		return (&printer{out: f}).value(r)
	}
	w := csv.NewWriter(f)
	rows := [][]string{{"file", "line", "field", "code", "why"}}
	for _, p := range r.Problems {
		line := strconv.Itoa(p.Line)
		if len(p.Problem.Errors) == 0 {
			rows = append(rows, []string{p.File, line, "", p.Problem.Code, or(p.Problem.Detail, p.Problem.Title)})
		}
		for _, e := range p.Problem.Errors {
			rows = append(rows, []string{p.File, line, e.Field, e.Code, e.Detail})
		}
	}
	return w.WriteAll(rows)
}
