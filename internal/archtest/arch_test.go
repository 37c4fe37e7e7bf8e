// Package archtest keeps the shape of the house: which package may import which (docs: the table of the design), how long
// a file and a function may grow, and what never stands in the tree. It reads the source and has no code of its own.
package archtest

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "tidings"

// allowed is the table: what of ours each package may import in its own code. "*" stands for one folder name, and a package
// may always import those below itself. Its tests may import more: internal/* and the packages they set up.
var allowed = map[string][]string{
	".":                     {},
	"sql":                   {"."},
	"tasks":                 {"."},
	"templates":             {"."},
	"auth":                  {"."},
	"middleware":            {"."},
	"comet":                 {".", "auth", "middleware"},
	"channels/*":            {".", "channels/once", "channels/bearer", "channels/guard", "channels/robot"}, // once: one HTTP call without a hidden second one; bearer: tokens and their signatures; guard: hosts that users name; robot: what bots share
	"channels/web":          {".", "comet"},
	"platform":              {".", "templates"},
	"handlers":              {".", "tasks", "templates"},
	"api":                   {".", "auth", "middleware", "platform", "templates"},
	"console":               {".", "auth", "middleware", "platform", "templates"},
	"client":                {}, // the standard library alone: it can be copied
	"cmd/tidings":           {"*"},
	"internal/sqltest":      {"sql", "internal/proctest"},
	"internal/redistest":    {"internal/proctest"},
	"internal/fleet":        {"internal/proctest"},
	"internal/bench":        {".", "auth", "comet", "sql", "internal/failover", "internal/fleet", "internal/proctest", "internal/redistest", "internal/sqltest"},
	"internal/chaos":        {"internal/fleet", "internal/kanneltest", "internal/proctest", "internal/redistest", "internal/sim/baidu", "internal/sqltest"},
	"internal/failover":     {".", "internal/fleet", "internal/proctest", "internal/sim/gateway"},
	"internal/kills":        {},
	"internal/kanneltest":   {"internal/proctest", "internal/sim/operator"},
	"internal/walk":         {},
	"internal/chromiumtest": {},
	"internal/sim/aliyun":   {"internal/sim/phones"}, // the SMS providers reach the same phones
	"internal/sim/tencent":  {"internal/sim/phones"},
	"internal/sim/twilio":   {"internal/sim/phones"},
}

// required are the folders that the table speaks of; one that vanished or was renamed must be renamed here as well.
var required = []string{".", "sql", "tasks", "templates", "auth", "middleware", "comet", "channels/web", "platform", "handlers",
	"api", "client", "console", "cmd/tidings", "internal/sqltest", "internal/redistest", "internal/sim"}

// owners are the outside modules that only one package may import (cmd/tidings wires, and so may all).
var owners = map[string][]string{
	"github.com/hibiken/asynq":      {"tasks"},
	"github.com/hibiken/asynqmon":   {"console"},
	"github.com/jmoiron/sqlx":       {"sql"},
	"github.com/jackc/pgx/v5":       {"sql"},
	"modernc.org/sqlite":            {"sql"},
	"github.com/spf13/cobra":        {},
	"github.com/osteele/liquid":     {"templates"},
	"github.com/golang-jwt/jwt/v5":  {"auth"},
	"golang.org/x/crypto/argon2":    {"auth"},
	"database/sql":                  {"sql"},
	"github.com/redis/go-redis/v9":  {"comet", "tasks", "channels/web"},
	"github.com/alicebob/miniredis": {},
}

type goPackage struct {
	Dir, ImportPath string
	Imports         []string
}

// folder is where a package lies: "." for the root.
func (p goPackage) folder() string {
	if p.ImportPath == module {
		return "."
	}
	return strings.TrimPrefix(p.ImportPath, module+"/")
}

// packages lists our packages with the imports of their own code, tests left out.
func packages(t *testing.T) (ps []goPackage) {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=Dir,ImportPath,Imports", "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return ps
		} else if err != nil {
			t.Fatal(err)
		}
		ps = append(ps, p)
	}
}

const root = "../.."

func TestPackagesImportOnlyWhatTheTableAllows(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range packages(t) {
		folder := p.folder()
		seen[folder] = true
		for parent := filepath.Dir(folder); parent != "."; parent = filepath.Dir(parent) {
			seen[parent] = true
		}
		may, ok := rule(folder)
		if !ok {
			t.Errorf("%s stands in no table: add it, or put the code where it belongs", folder)
			continue
		}
		for _, path := range p.Imports {
			if path != module && !strings.HasPrefix(path, module+"/") {
				continue
			}
			if of := (goPackage{ImportPath: path}).folder(); !permitted(folder, of, may) {
				t.Errorf("%s imports %s; it may import %v", folder, of, may)
			}
		}
	}
	for _, folder := range required {
		if !seen[folder] {
			t.Errorf("%s is gone", folder)
		}
	}
}

// rule finds what the table says of a folder: by its own line, then by its nearest parent's.
func rule(folder string) ([]string, bool) {
	if may, ok := allowed[folder]; ok {
		return may, true
	}
	if strings.HasPrefix(folder, "internal/") {
		return nil, true // what serves tests, and the simulators: nothing of ours
	}
	for parent := filepath.Dir(folder); parent != "."; parent = filepath.Dir(parent) {
		if may, ok := allowed[parent+"/*"]; ok {
			return may, true
		}
		if may, ok := allowed[parent]; ok {
			return may, true
		}
	}
	return nil, false
}

func permitted(folder, imported string, may []string) bool {
	return strings.HasPrefix(imported, folder+"/") || slices.Contains(may, "*") || slices.Contains(may, imported)
}

func TestTheRootImportsTheStandardLibraryAlone(t *testing.T) {
	for _, p := range packages(t) {
		if p.folder() != "." {
			continue
		}
		for _, path := range p.Imports {
			if first, _, _ := strings.Cut(path, "/"); strings.Contains(first, ".") || first == module {
				t.Errorf("the root imports %s", path)
			}
		}
	}
}

func TestEachTechnologyHasOneOwner(t *testing.T) {
	for _, p := range packages(t) {
		folder := p.folder()
		if strings.HasPrefix(folder, "cmd/") || strings.HasPrefix(folder, "internal/") {
			continue
		}
		for _, path := range p.Imports {
			for outside, by := range owners {
				owned := path == outside || strings.HasPrefix(path, outside+"/") && outside != "database/sql"
				if owned && !slices.ContainsFunc(by, func(o string) bool { return folder == o || strings.HasPrefix(folder, o+"/") }) {
					t.Errorf("%s imports %s, which belongs to %v", folder, path, by)
				}
			}
		}
	}
}

func TestNoPackageIsADrawerForAnything(t *testing.T) {
	for _, p := range packages(t) {
		name := filepath.Base(p.folder())
		if slices.Contains([]string{"util", "utils", "common", "helper", "helpers", "misc", "shared", "lib", "base"}, name) {
			t.Errorf("%s: a package is named for what it owns", p.folder())
		}
	}
}

// files walks the tree without what is fetched or built.
func files(t *testing.T, visit func(path, text string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if slices.Contains([]string{".git", "node_modules", "bin", "data"}, d.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		if !slices.Contains([]string{".go", ".md", ".sql", ".lua", ".js", ".mjs", ".ts", ".sh", ".yaml", ".yml", ".json", ".html", ".css", ".mod", ""}, filepath.Ext(path)) {
			return nil
		}
		text, err := readText(path, d)
		if err == nil && text != "" {
			relative, _ := filepath.Rel(root, path) // both begin with root
			visit(relative, text)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

const (
	longestFile     = 500 // lines
	longestFunction = 80
)

func TestFilesAndFunctionsStayShort(t *testing.T) {
	files(t, func(path, text string) {
		if filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return
		}
		if n := strings.Count(text, "\n"); n > longestFile {
			t.Errorf("%s has %d lines: at most %d, a file is about one noun", path, n, longestFile)
		}
		if strings.HasPrefix(path, "cmd/") {
			return // wiring is one straight line
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, text, 0)
		if err != nil {
			t.Error(err)
			return
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok {
				if n := set.Position(f.End()).Line - set.Position(f.Pos()).Line + 1; n > longestFunction {
					t.Errorf("%s: %s has %d lines: at most %d", path, f.Name.Name, n, longestFunction)
				}
			}
		}
	})
}

// The patterns are put together so that this file does not match them.
var (
	sleeping = regexp.MustCompile(`\btime\.` + `Sleep\(`)
	skipping = regexp.MustCompile(`\b(t|b|tb)\.` + `Skip(f|Now)?\(`)
	machine  = regexp.MustCompile(`/(` + `root|home/[a-z]+|work/(main|shared)|tmp/` + `w)/` + `|GOPROXY` + `=http|registry\.npm` + `mirror|artifact` + `ory`)
	promises = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|X` + `XX|HA` + `CK)\b`)
)

func TestTestsNeitherSleepNorSkip(t *testing.T) {
	files(t, func(path, text string) {
		if !strings.HasSuffix(path, "_test.go") && !strings.Contains(filepath.Dir(path), "test") {
			return
		}
		if sleeping.MatchString(text) {
			t.Errorf("%s sleeps: wait for a signal, or poll with a deadline (proctest.Until)", path)
		}
		if skipping.MatchString(text) {
			t.Errorf("%s skips: a test that cannot run has failed", path)
		}
	})
}

func TestNothingOfTheMachineStandsInTheTree(t *testing.T) {
	files(t, func(path, text string) {
		if found := machine.FindString(text); found != "" {
			t.Errorf("%s names %q, which is somebody's machine", path, found)
		}
	})
}

func TestNothingIsLeftForLater(t *testing.T) {
	files(t, func(path, text string) {
		if filepath.Ext(path) != ".go" && filepath.Ext(path) != ".sql" {
			return
		}
		if found := promises.FindString(text); found != "" {
			t.Errorf("%s says %q: do it, or write an issue", path, found)
		}
	})
}
