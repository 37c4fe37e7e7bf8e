package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"tidings"
)

// importChunk is how many lines go in one request: few enough that the bar moves and an interrupted import has lost little.
const importChunk = 2000

const importLong = `Import merchants, stores, users and their addresses into the directory.

A file of JSON lines holds on each line one of
  {"merchant":{"id":"acme","name":"Acme"}}
  {"store":{"id":"acme-1","merchant":"acme","name":"Acme 1"}}
  {"user":{"id":"u-lin","name":"Lin","memberships":[{"store":"acme-1","role":"manager"}]}}
  {"addresses":{"user":"u-lin","addresses":[{"channel":"sms","value":"+8613800138000"}]}}

A CSV file has a header that begins with merchant, store or user and says what each column is:
  merchant,name
  store,merchant,name,region,timezone
  user,name,locale,memberships,sms,app,platform     memberships: "m:acme:owner s:acme-1:manager"

What is there already is replaced. Lines that are refused are reported, the others are taken.`

func newImport(d *deps) *cobra.Command {
	c := &cobra.Command{
		Use: "import FILE...", Short: "Import the directory from CSV or JSON lines", Long: importLong,
		Example: "  tidings import merchants.csv stores.csv users.csv\n  tidings import - <directory.jsonl",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("FILE is missing")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return importFiles(c, d, args) },
	}
	return withClient(c)
}

// importReport is what became of an import, in the words of POST /v1/directory/import.
type importReport struct {
	Merchants int           `json:"merchants"`
	Stores    int           `json:"stores"`
	Users     int           `json:"users"`
	Addresses int           `json:"addresses"`
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
	r.Refused += o.Refused
	r.Problems = append(r.Problems, o.Problems...)
}

// importFiles imports one file after another. Refused lines make it fail after everything else was taken.
func importFiles(c *cobra.Command, d *deps, names []string) error {
	api, err := d.adminClient(c)
	if err != nil {
		return err
	}
	total := importReport{Problems: []lineProblem{}}
	for _, name := range names {
		im := &importing{ctx: c.Context(), api: api, name: name}
		err := im.file(c.InOrStdin(), d.errout)
		total.add(im.report)
		if err != nil {
			return fmt.Errorf("%s: %w (%d lines were taken before)", name, err, im.taken)
		}
	}
	for _, p := range total.Problems {
		fmt.Fprintf(d.errout, "%s:%d: %s\n", plain(p.File), p.Line, strings.ReplaceAll(plainLines(p.Problem.Error()), "\n", ";"))
	}
	p := d.printer(c)
	if p.json {
		if err := p.value(total); err != nil {
			return err
		}
	}
	p.line("%d merchants, %d stores, %d users, addresses of %d users; %d lines refused",
		total.Merchants, total.Stores, total.Users, total.Addresses, total.Refused)
	if total.Refused > 0 {
		return errQuiet
	}
	return nil
}

// importing is the import of one file.
type importing struct {
	ctx    context.Context
	api    *client
	name   string
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
		if text := bytes.TrimSpace(lines.Bytes()); len(text) > 0 {
			if err := im.line(n, text); err != nil {
				return err
			}
		}
	}
	return lines.Err()
}

func (im *importing) csv(in io.Reader) error {
	r := csv.NewReader(in)
	r.FieldsPerRecord = -1
	header, err := r.Read()
	if err != nil {
		return fmt.Errorf("the header: %w", err)
	}
	for i := range header {
		header[i] = strings.ToLower(strings.TrimSpace(strings.TrimPrefix(header[i], "\ufeff"))) // as spreadsheets write it
	}
	if err := checkColumns(header); err != nil {
		return err
	}
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		n, _ := r.FieldPos(0)
		if err != nil {
			return err
		}
		values, err := csvLines(header, record)
		if err != nil {
			im.refuse(n, err)
			continue
		}
		for _, v := range values {
			text, err := json.Marshal(v)
			if err != nil {
				return err
			}
			if err := im.line(n, text); err != nil {
				return err
			}
		}
	}
}

// columns are those that a CSV file may have, by its first one.
var columns = map[string][]string{
	"merchant": {"merchant", "name"},
	"store":    {"store", "merchant", "name", "region", "timezone"},
	"user":     {"user", "name", "locale", "memberships", "sms", "app", "platform"},
}

func checkColumns(header []string) error {
	known, ok := columns[header[0]]
	if !ok {
		return fmt.Errorf("the first column is %q and must be merchant, store or user; see 'tidings import --help'", header[0])
	}
	for _, column := range header {
		if !strings.Contains(" "+strings.Join(known, " ")+" ", " "+column+" ") {
			return fmt.Errorf("no column %q is known for a %s; there are %s", column, header[0], strings.Join(known, ", "))
		}
	}
	return nil
}

// csvLines turns a record into lines of the import. A user's addresses are a line of their own, and are only replaced
// where the file has columns for them.
func csvLines(header, record []string) ([]any, error) {
	if len(record) != len(header) {
		return nil, fmt.Errorf("has %d columns, the header %d", len(record), len(header))
	}
	v := map[string]string{}
	for i, column := range header {
		v[column] = strings.TrimSpace(record[i])
	}
	switch header[0] {
	case "merchant":
		return []any{map[string]any{"merchant": tidings.Merchant{ID: v["merchant"], Name: or(v["name"], v["merchant"])}}}, nil
	case "store":
		return []any{map[string]any{"store": tidings.Store{ID: v["store"], Merchant: v["merchant"], Name: or(v["name"], v["store"]),
			Region: v["region"], Timezone: v["timezone"]}}}, nil
	}
	memberships, err := parseMemberships(strings.Fields(v["memberships"]))
	if err != nil {
		return nil, err
	}
	lines := []any{map[string]any{"user": tidings.User{ID: v["user"], Name: or(v["name"], v["user"]), Locale: v["locale"], Memberships: memberships}}}
	_, sms := v["sms"]
	if _, app := v["app"]; !sms && !app {
		return lines, nil
	}
	in := map[string]any{"user": v["user"], "addresses": userAddresses(v["sms"], v["app"], or(v["platform"], "android"))}
	return append(lines, map[string]any{"addresses": in}), nil
}

// userAddresses are the addresses of a user with this phone and device; either may be missing.
func userAddresses(phone, device, platform string) []tidings.Address {
	addresses := []tidings.Address{}
	if phone != "" {
		addresses = append(addresses, tidings.Address{Channel: tidings.SMS, Value: phone})
	}
	if device != "" {
		addresses = append(addresses, tidings.Address{Channel: tidings.App, Value: device, Provider: "baidu", Platform: platform})
	}
	return addresses
}

// line adds a line to the request under way, and sends it when it is full.
func (im *importing) line(n int, text []byte) error {
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
	resp, err := im.api.open(im.ctx, http.MethodPost, "/v1/directory/import", bytes.NewReader(im.body.Bytes()), "Content-Type", "application/x-ndjson")
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // read
	var report importReport
	if err := json.NewDecoder(resp.Body).Decode(&report); err != nil {
		return err
	}
	for i, p := range report.Problems {
		report.Problems[i].File = im.name
		if p.Line >= 1 && p.Line <= len(im.lines) {
			report.Problems[i].Line = im.lines[p.Line-1]
		}
	}
	im.report.add(report)
	im.taken += len(im.lines) - report.Refused
	im.body.Reset()
	im.lines = im.lines[:0]
	return nil
}

// refuse notes a record that is not even sent.
func (im *importing) refuse(n int, err error) {
	im.report.Refused++
	im.report.Problems = append(im.report.Problems, lineProblem{File: im.name, Line: n, Problem: problem{Code: string(tidings.Invalid), Detail: err.Error()}})
}
