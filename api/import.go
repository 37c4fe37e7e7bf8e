package api

import (
	"bufio"
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"

	"tidings"
	"tidings/auth"
	"tidings/middleware"
)

// Bounds of a directory import.
const (
	maxImport     = 256 << 20 // bytes of the whole
	maxTable      = 32 << 20  // bytes of a table: a quote that is not closed makes one field of it
	maxImportLine = 256 << 10
	importChunk   = 500    // lines written with one statement for each table
	maxRefused    = 10_000 // refused lines that the report names
	refusedKept   = 10_000 // that are remembered: the two lines of a record are near each other
)

// importReport tells what an import did. Refused lines changed nothing, all others are in the directory.
type importReport struct {
	Merchants int           `json:"merchants"`
	Stores    int           `json:"stores"`
	Users     int           `json:"users"`
	Addresses int           `json:"addresses"` // users whose addresses were replaced
	Deleted   int           `json:"deleted"`   // what tombstones took out of the directory
	Refused   int           `json:"refused"`
	Problems  []lineProblem `json:"problems"` // of the first 10,000 refused lines, in order
}

type lineProblem struct {
	Line    int                `json:"line"`
	Problem middleware.Problem `json:"problem"`
}

// importer gathers lines and writes them in chunks: either of what is put, or of tombstones.
type importer struct {
	store   Directory
	report  importReport
	chunk   []numbered
	seen    map[string]bool // what the chunk has already: a statement must not write a row twice
	refused map[int]bool    // by line: a record of a table that stands for two lines is refused once
}

type numbered struct {
	line int
	tidings.ImportLine
}

// importDirectory reads JSON lines, {"merchant":{...}}, {"store":{...}}, {"user":{...}} or {"addresses":{...}}, or a table as
// CSV, in an order in which what is named stands before it is named.
func (a *API) importDirectory(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	if err := queryOf(r).err(); err != nil {
		return err
	}
	im := importer{store: a.Store, seen: map[string]bool{}, refused: map[int]bool{}, report: importReport{Problems: []lineProblem{}}}
	read, limit := im.jsonLines, int64(maxImport)
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind == "text/csv" {
		read, limit = im.table, maxTable
	}
	failed := read(r.Context(), http.MaxBytesReader(w, r.Body, limit))
	if err := im.flush(r.Context()); err != nil {
		return err
	}
	if failed != nil {
		return importError(failed)
	}
	slices.SortStableFunc(im.report.Problems, func(a, b lineProblem) int { return cmp.Compare(a.Line, b.Line) })
	return middleware.WriteJSON(w, http.StatusOK, im.report)
}

func (im *importer) jsonLines(ctx context.Context, body io.Reader) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 0, 64<<10), maxImportLine)
	for n := 1; lines.Scan(); n++ {
		if len(lines.Bytes()) == 0 {
			continue
		}
		l := numbered{line: n}
		err := middleware.Decode(lines.Bytes(), &l.ImportLine)
		if err == nil {
			err = im.take(ctx, l)
		}
		if err := im.refuse(n, err); err != nil {
			return err
		}
	}
	return lines.Err()
}

// table reads CSV. A record that is broken is refused like a line that is wrong.
func (im *importer) table(ctx context.Context, body io.Reader) error {
	r := csv.NewReader(body)
	r.FieldsPerRecord = -1
	first, err := r.Read()
	if errors.Is(err, io.EOF) {
		return tidings.Errorf(tidings.Invalid, "the table has no header")
	}
	if err != nil {
		return recordError(err)
	}
	header, err := tidings.ParseImportHeader(first)
	if err != nil {
		return tidings.Errorf(tidings.Invalid, "%s", err)
	}
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if e, broken := errors.AsType[*csv.ParseError](err); broken {
			if err := im.refuse(e.StartLine, recordError(err)); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		n, _ := r.FieldPos(0)
		if err := im.record(ctx, n, header, record); err != nil {
			return err
		}
	}
}

// record takes the lines that a record stands for.
func (im *importer) record(ctx context.Context, n int, header tidings.ImportHeader, record []string) error {
	lines, errs := header.Lines(record)
	if err := errs.Err(tidings.Invalid); err != nil {
		return im.refuse(n, err)
	}
	for _, l := range lines { // all of them before any is taken: a record that is refused changes nothing
		if err := l.Validate().Err(tidings.Invalid); err != nil {
			return im.refuse(n, err)
		}
	}
	for _, l := range lines {
		if err := im.take(ctx, numbered{n, l}); err != nil {
			return im.refuse(n, err)
		}
	}
	return nil
}

// recordError is what is wrong with a record that is no CSV.
func recordError(err error) error {
	if e, ok := errors.AsType[*csv.ParseError](err); ok {
		if errors.Is(e.Err, csv.ErrQuote) && e.Line > e.StartLine {
			return tidings.Errorf(tidings.Invalid, "a quote that begins here is not closed, or closed in the wrong place on line %d", e.Line)
		}
		return tidings.Errorf(tidings.Invalid, "%s", e.Err)
	}
	return err
}

func importError(err error) error {
	if e, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tidings.Errorf(tidings.TooLarge, "an import of this kind has at most %d bytes; the lines before that were taken", e.Limit)
	}
	if errors.Is(err, bufio.ErrTooLong) {
		return tidings.Errorf(tidings.TooLarge, "a line has at most %d bytes; the lines before it were taken", maxImportLine)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return tidings.Errorf(tidings.Invalid, "the body ended early; the lines before that were taken")
	}
	return err
}

// take checks a line and adds it to the chunk. What is put and what is deleted never share one, so that the order of lines
// counts.
func (im *importer) take(ctx context.Context, l numbered) error {
	if err := l.Validate().Err(tidings.Invalid); err != nil {
		return err
	}
	kind, id := l.Names()
	key := kind + " " + id
	if im.seen[key] || len(im.chunk) == importChunk || len(im.chunk) > 0 && im.chunk[0].Deletes() != l.Deletes() {
		if err := im.flush(ctx); err != nil {
			return err
		}
	}
	im.seen[key] = true
	im.chunk = append(im.chunk, l)
	return nil
}

// refuse reports a line. Only an error of ours ends the import.
func (im *importer) refuse(line int, err error) error {
	if err == nil || tidings.CodeOf(err) == "" || tidings.CodeOf(err) == tidings.Unavailable {
		return err
	}
	if im.refused[line] {
		return nil
	}
	if len(im.refused) == refusedKept {
		clear(im.refused)
	}
	im.refused[line] = true
	im.report.Refused++
	if len(im.report.Problems) < maxRefused {
		im.report.Problems = append(im.report.Problems, lineProblem{Line: line, Problem: middleware.ProblemOf(err)})
	}
	return nil
}

// flush writes the chunk with one statement for each table. When that is refused, the lines are written one by one to find
// the one at fault.
func (im *importer) flush(ctx context.Context) error {
	chunk := im.chunk
	im.chunk, im.seen = im.chunk[:0], map[string]bool{}
	if len(chunk) == 0 {
		return nil
	}
	err := im.write(ctx, chunk)
	if err == nil || tidings.CodeOf(err) == "" {
		return err
	}
	for i, l := range chunk {
		if err := im.refuse(l.line, im.write(ctx, chunk[i:i+1])); err != nil {
			return err
		}
	}
	return nil
}

// write puts lines into the directory: merchants before the stores that name them, stores before users; or takes out what they
// name, in the other order. What was written before an error is written again by the next call, which changes nothing; only
// what ended well is counted.
func (im *importer) write(ctx context.Context, lines []numbered) error {
	if lines[0].Deletes() {
		return im.delete(ctx, lines)
	}
	var ms []tidings.Merchant
	var ss []tidings.Store
	var us []tidings.User
	var as []tidings.ImportAddresses
	for _, l := range lines {
		switch {
		case l.Merchant != nil:
			ms = append(ms, l.Merchant.Merchant)
		case l.Store != nil:
			ss = append(ss, l.Store.Store)
		case l.User != nil:
			us = append(us, l.User.User)
		default:
			as = append(as, *l.Addresses)
		}
	}
	if err := some(ctx, ms, im.store.PutMerchants); err != nil {
		return err
	}
	if err := some(ctx, ss, im.store.PutStores); err != nil {
		return err
	}
	if err := some(ctx, us, im.store.PutUsers); err != nil {
		return err
	}
	if err := some(ctx, as, im.store.PutAddressesOf); err != nil {
		return err
	}
	im.report.Merchants += len(ms)
	im.report.Stores += len(ss)
	im.report.Users += len(us)
	im.report.Addresses += len(as)
	return nil
}

// delete takes out what tombstones name. One of what is not there changes nothing.
func (im *importer) delete(ctx context.Context, lines []numbered) error {
	ids := map[string][]string{}
	for _, l := range lines {
		kind, id := l.Names()
		ids[kind] = append(ids[kind], id)
	}
	for _, k := range []struct {
		kind string
		del  func(context.Context, []string) (int, error)
	}{{"user", im.store.DeleteUsers}, {"store", im.store.DeleteStores}, {"merchant", im.store.DeleteMerchants}} {
		if len(ids[k.kind]) == 0 {
			continue
		}
		n, err := k.del(ctx, ids[k.kind])
		if err != nil {
			return err
		}
		im.report.Deleted += n
	}
	return nil
}

func some[T any](ctx context.Context, items []T, put func(context.Context, []T) error) error {
	if len(items) == 0 {
		return nil
	}
	return put(ctx, items)
}
