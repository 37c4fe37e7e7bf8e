package sql

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"
)

//go:embed queries/*.sql
var queryFiles embed.FS

// query is one named text of queries/*.sql, compiled for a dialect.
type query struct {
	name    string
	text    string
	columns int // of its rows(...), 0 if it has none
	// SQLite parses a text anew each time unless it is prepared; pgx caches statements by itself. A query that
	// writes has no readStmt.
	readStmt, writeStmt *sqlx.Stmt
}

// loadQueries reads every "-- name: x" block and compiles it.
func loadQueries(d dialect) (map[string]*query, error) {
	queries := map[string]*query{}
	files, err := fs.Glob(queryFiles, "queries/*.sql")
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		text, err := queryFiles.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for _, block := range strings.Split("\n"+string(text), "\n-- name:")[1:] {
			name, body, _ := strings.Cut(block, "\n")
			q, err := d.compile(strings.TrimSpace(name), body)
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", file, name, err)
			}
			if queries[q.name] != nil {
				return nil, fmt.Errorf("%s: %s: a second query of that name", file, name)
			}
			queries[q.name] = q
		}
	}
	return queries, nil
}

var (
	rowsCall  = regexp.MustCompile(`\brows\(([^)]*)\)`)
	parameter = regexp.MustCompile(`\$(\d+)`)
	remark    = regexp.MustCompile(`(?m)--.*$`)
)

// compile writes a query in the dialect. "rows(a bigint, b text)" is a table made of the arguments: on PostgreSQL one array
// for each column, on SQLite one JSON text. It takes the first parameters; $1, $2, ... are what follows them.
func (d dialect) compile(name, body string) (*query, error) {
	q := &query{name: name}
	text := d.words.Replace(remark.ReplaceAllString(body, ""))
	calls := rowsCall.FindAllStringSubmatch(text, -1)
	if len(calls) > 1 {
		return nil, fmt.Errorf("rows(...) may stand once")
	}
	shift := 0
	if len(calls) == 1 {
		columns := strings.Split(calls[0][1], ",")
		q.columns = len(columns)
		shift = d.rowsParameters(q.columns)
		text = parameter.ReplaceAllStringFunc(text, d.shift(shift))
		text = strings.Replace(text, calls[0][0], d.rows(columns), 1)
	} else {
		text = parameter.ReplaceAllStringFunc(text, d.shift(0))
	}
	q.text = strings.TrimSuffix(strings.TrimSpace(text), ";")
	return q, nil
}

func (d dialect) rowsParameters(columns int) int {
	if d.postgres {
		return columns
	}
	return 1
}

func (d dialect) shift(by int) func(string) string {
	mark := "?"
	if d.postgres {
		mark = "$"
	}
	return func(p string) string {
		n, _ := strconv.Atoi(p[1:]) // the pattern matches digits only
		return mark + strconv.Itoa(n+by)
	}
}

func (d dialect) rows(columns []string) string {
	var values []string
	for i, column := range columns {
		name, kind, _ := strings.Cut(strings.TrimSpace(column), " ")
		if d.postgres {
			values = append(values, fmt.Sprintf("unnest($%d::%s[]) AS %s", i+1, kind, name))
		} else {
			values = append(values, fmt.Sprintf("json_extract(value, '$[%d]') AS %s", i, name))
		}
	}
	if d.postgres { // in the SELECT list rows are made one by one; in FROM, PostgreSQL would write them all to a store of tuples first
		return "(SELECT " + strings.Join(values, ", ") + ") AS rows"
	}
	return "(SELECT " + strings.Join(values, ", ") + " FROM json_each(?1)) AS rows"
}

// bulk is the argument of a query with rows(...): its columns, slices of equal length.
type bulk []any

// columns makes a bulk of slices: []int64, []string, []bool.
func columns(slices ...any) bulk { return slices }

// arguments puts a bulk in the form that the dialect's rows(...) takes.
func (d dialect) arguments(q *query, args []any) ([]any, error) {
	if q.columns == 0 {
		return args, nil
	}
	if len(args) == 0 {
		return nil, fmt.Errorf("%s: its rows are missing", q.name)
	}
	b, ok := args[0].(bulk)
	if !ok || len(b) != q.columns {
		return nil, fmt.Errorf("%s: wants %d columns of rows first", q.name, q.columns)
	}
	if d.postgres {
		return append(append(make([]any, 0, len(b)+len(args)-1), b...), args[1:]...), nil
	}
	text, err := b.json()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", q.name, err)
	}
	return append([]any{text}, args[1:]...), nil
}

// json writes the bulk row by row: [[a1,b1],[a2,b2],...].
func (b bulk) json() (string, error) {
	n, out := -1, []byte{'['}
	for _, c := range b {
		if l := length(c); n < 0 {
			n = l
		} else if l != n {
			return "", fmt.Errorf("columns of %d and %d rows", n, l)
		}
	}
	for i := range n {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, '[')
		for j, c := range b {
			if j > 0 {
				out = append(out, ',')
			}
			var err error
			if out, err = appendCell(out, c, i); err != nil {
				return "", err
			}
		}
		out = append(out, ']')
	}
	return string(append(out, ']')), nil
}

func length(column any) int {
	switch c := column.(type) {
	case []int64:
		return len(c)
	case []string:
		return len(c)
	case []bool:
		return len(c)
	}
	return 0
}

func appendCell(out []byte, column any, i int) ([]byte, error) {
	switch c := column.(type) {
	case []int64:
		return strconv.AppendInt(out, c[i], 10), nil
	case []bool:
		return strconv.AppendBool(out, c[i]), nil
	case []string:
		cell, err := json.Marshal(c[i])
		return append(out, cell...), err
	}
	return nil, fmt.Errorf("a column of %T", column)
}

// prepare compiles every query and has the database parse it.
func (db *DB) prepare(ctx context.Context) (err error) {
	if db.queries, err = loadQueries(db.dialect); err != nil {
		return err
	}
	if db.dialect.postgres {
		return db.parse(ctx)
	}
	for _, q := range db.queries {
		if q.writeStmt, err = db.write.PreparexContext(ctx, q.text); err != nil {
			return fmt.Errorf("query %s: %w", q.name, err)
		}
		if q.writes() { // never on the reading pool
			continue
		}
		if q.readStmt, err = db.read.PreparexContext(ctx, q.text); err != nil {
			return fmt.Errorf("query %s: %w", q.name, err)
		}
	}
	return nil
}

// parse has PostgreSQL parse every query, without waiting for the answer to one before it sends the next.
func (db *DB) parse(ctx context.Context) error {
	conn, err := db.write.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // it goes back to the pool
	return conn.Raw(func(driver any) error {
		pipeline := driver.(*stdlib.Conn).Conn().PgConn().StartPipeline(ctx)
		queries := slices.Collect(maps.Values(db.queries))
		for _, q := range queries {
			pipeline.SendPrepare("", q.text, nil) // each takes the place of the one before
		}
		err := pipeline.Sync()
		for i := 0; err == nil && i < len(queries); i++ {
			if _, err = pipeline.GetResults(); err != nil {
				err = fmt.Errorf("query %s: %w", queries[i].name, err)
			}
		}
		return errors.Join(err, pipeline.Close())
	})
}
