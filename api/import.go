package api

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"

	"tidings"
	"tidings/auth"
	"tidings/middleware"
)

// Bounds of a directory import.
const (
	maxImport     = 256 << 20 // bytes of the whole
	maxImportLine = 256 << 10
	importChunk   = 500  // lines written with one statement for each table
	maxRefused    = 1000 // refused lines that the report names
)

// importLine is one line of an import: exactly one of its fields is set.
type importLine struct {
	Merchant  *tidings.Merchant `json:"merchant"`
	Store     *tidings.Store    `json:"store"`
	User      *tidings.User     `json:"user"`
	Addresses *importAddresses  `json:"addresses"`
}

type importAddresses struct {
	User      string            `json:"user"`
	Addresses []tidings.Address `json:"addresses"`
}

// importReport tells what an import did. Refused lines changed nothing, all others are in the directory.
type importReport struct {
	Merchants int           `json:"merchants"`
	Stores    int           `json:"stores"`
	Users     int           `json:"users"`
	Addresses int           `json:"addresses"` // users whose addresses were replaced
	Refused   int           `json:"refused"`
	Problems  []lineProblem `json:"problems"` // of the first 1,000 refused lines
}

type lineProblem struct {
	Line    int                `json:"line"`
	Problem middleware.Problem `json:"problem"`
}

// importer gathers lines and writes them in chunks.
type importer struct {
	store  Directory
	report importReport
	chunk  []numbered
	seen   map[string]bool // what the chunk has already: a statement must not write a row twice
}

type numbered struct {
	line int
	importLine
}

// importDirectory reads JSON lines, {"merchant":{...}}, {"store":{...}}, {"user":{...}} or {"addresses":{...}}, in an order
// in which what is named stands before it is named.
func (a *API) importDirectory(w http.ResponseWriter, r *http.Request, _ auth.Principal) error {
	if err := queryOf(r).err(); err != nil {
		return err
	}
	im := importer{store: a.Store, seen: map[string]bool{}, report: importReport{Problems: []lineProblem{}}}
	lines := bufio.NewScanner(http.MaxBytesReader(w, r.Body, maxImport))
	lines.Buffer(make([]byte, 0, 64<<10), maxImportLine)
	for n := 1; lines.Scan(); n++ {
		if err := im.take(r.Context(), n, lines.Bytes()); err != nil {
			return err
		}
	}
	if err := im.flush(r.Context()); err != nil {
		return err
	}
	if err := lines.Err(); err != nil {
		return importError(err)
	}
	return middleware.WriteJSON(w, http.StatusOK, im.report)
}

func importError(err error) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tidings.Errorf(tidings.TooLarge, "an import has at most %d bytes; the lines before that were taken", maxImport)
	}
	if errors.Is(err, bufio.ErrTooLong) {
		return tidings.Errorf(tidings.TooLarge, "a line has at most %d bytes; the lines before it were taken", maxImportLine)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return tidings.Errorf(tidings.Invalid, "the body ended early; the lines before that were taken")
	}
	return err
}

// take reads one line. Only an error of ours ends the import; a line that is wrong is reported.
func (im *importer) take(ctx context.Context, n int, text []byte) error {
	if len(text) == 0 {
		return nil
	}
	l := numbered{line: n}
	key, err := l.read(text)
	if err != nil {
		return im.refuse(n, err)
	}
	if im.seen[key] || len(im.chunk) == importChunk {
		if err := im.flush(ctx); err != nil {
			return err
		}
	}
	im.seen[key] = true
	im.chunk = append(im.chunk, l)
	return nil
}

// read decodes and checks a line; key names the row it writes.
func (l *importLine) read(text []byte) (key string, err error) {
	if err := middleware.Decode(text, l); err != nil {
		return "", err
	}
	var errs tidings.FieldErrors
	n := 0
	if l.Merchant != nil {
		n, key, errs = n+1, "m"+l.Merchant.ID, l.Merchant.Validate()
	}
	if l.Store != nil {
		n, key, errs = n+1, "s"+l.Store.ID, l.Store.Validate()
	}
	if l.User != nil {
		n, key, errs = n+1, "u"+l.User.ID, l.User.Validate()
	}
	if l.Addresses != nil {
		n, key, errs = n+1, "a"+l.Addresses.User, tidings.ValidateAddresses(l.Addresses.Addresses)
	}
	if n != 1 {
		return "", tidings.Errorf(tidings.Invalid, "a line has exactly one of merchant, store, user, addresses")
	}
	return key, errs.Err(tidings.Invalid)
}

// refuse reports a line, unless the error is ours.
func (im *importer) refuse(line int, err error) error {
	if tidings.CodeOf(err) == "" || tidings.CodeOf(err) == tidings.Unavailable {
		return err
	}
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
	err := im.write(ctx, chunk)
	if err == nil || tidings.CodeOf(err) == "" {
		return err
	}
	for i, l := range chunk {
		if err := im.write(ctx, chunk[i:i+1]); err != nil {
			if err := im.refuse(l.line, err); err != nil {
				return err
			}
		}
	}
	return nil
}

// write puts lines into the directory: merchants before the stores that name them, stores before users. What was written
// before an error is written again by the next call, which changes nothing; only what ended well is counted.
func (im *importer) write(ctx context.Context, lines []numbered) error {
	var ms []tidings.Merchant
	var ss []tidings.Store
	var us []tidings.User
	var as []importAddresses
	for _, l := range lines {
		switch {
		case l.Merchant != nil:
			ms = append(ms, *l.Merchant)
		case l.Store != nil:
			ss = append(ss, *l.Store)
		case l.User != nil:
			us = append(us, *l.User)
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
	for _, a := range as {
		if err := im.store.PutAddresses(ctx, a.User, a.Addresses); err != nil {
			return err
		}
	}
	im.report.Merchants += len(ms)
	im.report.Stores += len(ss)
	im.report.Users += len(us)
	im.report.Addresses += len(as)
	return nil
}

func some[T any](ctx context.Context, items []T, put func(context.Context, []T) error) error {
	if len(items) == 0 {
		return nil
	}
	return put(ctx, items)
}
