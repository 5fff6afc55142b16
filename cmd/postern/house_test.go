// The rules of the house, held by reading the source: which folder may import
// which, how long a function may get, what a package says of itself. A rule that
// nobody checks is a wish.

package main_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

const (
	root = "../.."

	maxFunctionLines  = 80
	longFunctionLines = 45 // at most one function in ten is longer
	maxFileLines      = 450
	maxMethods        = 3
)

// exceptions lets findings through: "rule path" with the reason. It is empty, and
// who adds a row argues for it.
var exceptions = map[string]string{}

// mayImport says what each folder's packages may import besides the standard
// library. A folder of the project stands for itself, a module for all its
// packages. A library that has one row here has one home. A new folder needs a row.
var mayImport = map[string][]string{
	"cmd/postern": {
		"postern/admin", "postern/backend", "postern/backend/consul", "postern/configs", "postern/directory", "postern/directory/authhttp",
		"postern/directory/cache", "postern/directory/consul", "postern/directory/file", "postern/directory/ldap",
		"postern/directory/mapfile", "postern/directory/serve", "postern/directory/sql", "postern/directory/state", "postern/pop3", "postern/pop3/maildrop", "postern/proxy", "postern/proxy/limits", "postern/proxy/tls",
		"github.com/coreos/go-systemd/v22", "github.com/spf13/cobra", "github.com/coreos/go-systemd", "golang.org/x/sys",
	},
	"admin":          {"postern/pop3", "github.com/hashicorp/golang-lru/v2", "github.com/prometheus/client_golang"},
	"configs":        {"github.com/goccy/go-yaml"},
	"pop3":           {},
	"pop3/maildrop":  {"postern/pop3"},
	"pop3/pop3test":  {"postern/pop3"},
	"backend":        {"postern/pop3", "github.com/pires/go-proxyproto", "github.com/sony/gobreaker/v2", "golang.org/x/sys"},
	"backend/consul": {"postern/backend", "postern/pop3", "github.com/hashicorp/consul/api"},
	"directory": {
		"postern/backend", "postern/directory/cache", "postern/directory/state", "postern/pop3",
		"github.com/hashicorp/go-memdb", "golang.org/x/text",
	},
	"directory/authhttp":      {"postern/directory", "postern/pop3", "golang.org/x/sys"},
	"directory/cache":         {"github.com/hashicorp/golang-lru/v2"},
	"directory/consul":        {"postern/directory", "postern/directory/mapfile", "postern/pop3", "github.com/hashicorp/consul/api"},
	"directory/directorytest": {"postern/backend", "postern/directory", "postern/directory/mapfile"},
	"directory/file":          {"postern/directory", "postern/directory/mapfile", "github.com/fsnotify/fsnotify"},
	"directory/ldap":          {"postern/directory", "postern/pop3", "github.com/go-asn1-ber/asn1-ber", "github.com/go-ldap/ldap/v3"},
	"directory/mapfile":       {"postern/directory"},
	"directory/serve":         {"postern/backend", "postern/directory", "postern/pop3"},
	"directory/sql":           {"postern/directory", "postern/pop3", "github.com/go-sql-driver/mysql", "github.com/jackc/pgx/v5"},
	"directory/state":         {},
	"proxy": {
		"postern/backend", "postern/directory", "postern/pop3", "postern/proxy/limits", "postern/proxy/origin",
		"postern/proxy/relay", "postern/proxy/tls", "golang.org/x/sys",
	},
	"proxy/limits":      {},
	"proxy/origin":      {"postern/pop3", "github.com/pires/go-proxyproto"},
	"proxy/tls":         {"github.com/fsnotify/fsnotify"},
	"proxy/tls/tlstest": {}, // imported by tests only
	"proxy/relay":       {"golang.org/x/sys"},

	"cmd/postern/realtest": {}, // imported by tests only, being in no other row
}

// testsMayImport is what test files may import besides: what exists for tests.
var testsMayImport = []string{
	"postern/backend", "postern/pop3", "postern/pop3/maildrop", "postern/pop3/pop3test", "postern/directory/directorytest", "postern/directory/file", "postern/directory/mapfile",
	"postern/cmd/postern/realtest", "postern/proxy/tls/tlstest", "github.com/emersion/go-sasl",
	"github.com/rogpeppe/go-internal",
}

// withoutIO are the folders and files that own no socket, log or lock and start
// no goroutine, so that a test of them is a table. The wire grammar has no clock either.
var withoutIO = map[string][]string{
	"pop3":                   {"net", "os", "sync", "log", "log/slog", "time"},
	"backend/login.go":       {"net", "os", "sync", "log", "log/slog", "context"},
	"backend/preamble.go":    {"net", "os", "sync", "log", "log/slog", "context"},
	"backend/verdict.go":     {"net", "os", "sync", "log", "log/slog", "context", "time"},
	"proxy/entry.go":         {"net", "os", "sync", "log", "log/slog", "context"},
	"proxy/reconsider.go":    {"net", "os", "sync", "log", "log/slog", "context"},
	"proxy/relay/framing.go": {"net", "os", "sync", "log", "log/slog", "context", "time"},
	"backend/refusal.go":     {"net", "os", "sync", "log", "log/slog", "context"},
	"proxy/origin":           {"net", "os", "sync", "log", "log/slog", "time", "context"},
	"proxy/introduction.go":  {"net", "os", "sync", "log", "log/slog", "context"},
	"proxy/sasl.go":          {"net", "os", "sync", "log", "log/slog", "context"},
	"proxy/dialogue.go":      {"net", "os", "sync", "log", "log/slog", "context"},
	"proxy/authorization.go": {"net", "os", "sync", "log", "log/slog", "context"},
	"proxy/failure.go":       {"net", "os", "sync", "log", "context"},
}

// source is one parsed file of the project.
type source struct {
	path string // from the root, with slashes
	fset *token.FileSet
	file *ast.File
}

func (s source) folder() string { return path.Dir(s.path) }
func (s source) isTest() bool   { return strings.HasSuffix(s.path, "_test.go") }
func (s source) lines() int     { return s.fset.File(s.file.Pos()).LineCount() }

// fault is a finding at a place of the file.
func (s source) fault(pos token.Pos, format string, args ...any) string {
	return fmt.Sprintf("%s:%d: %s", s.path, s.fset.Position(pos).Line, fmt.Sprintf(format, args...))
}

// functionLines counts from the signature to the closing brace.
func (s source) functionLines(f *ast.FuncDecl) int {
	return s.fset.Position(f.End()).Line - s.fset.Position(f.Pos()).Line + 1
}

func (s source) functions() []*ast.FuncDecl {
	var found []*ast.FuncDecl
	for _, d := range s.file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok {
			found = append(found, f)
		}
	}
	return found
}

func parse(t *testing.T, name, text string) source {
	t.Helper()
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return source{path: name, fset: fset, file: file}
}

// projectFiles names every file of the project whose name passes, from the root.
// Build output is not the project.
func projectFiles(t *testing.T, wanted func(name string) bool) []string {
	t.Helper()
	var found []string
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (name == ".git" || name == "bin"):
			return fs.SkipDir
		case d.Type().IsRegular() && wanted(name):
			found = append(found, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// projectSources parses the Go files of this module. One below the root with a
// go.mod is a module of its own.
func projectSources(t *testing.T) []source {
	t.Helper()
	modules := projectFiles(t, func(name string) bool { return path.Base(name) == "go.mod" && name != "go.mod" })
	var found []source
	for _, name := range projectFiles(t, func(name string) bool { return path.Ext(name) == ".go" }) {
		foreign := slices.ContainsFunc(modules, func(m string) bool { return strings.HasPrefix(name, path.Dir(m)+"/") })
		if !foreign && !strings.Contains(name, "testdata/") {
			found = append(found, parse(t, name, readFile(t, name)))
		}
	}
	return found
}

// TestHouse applies every rule to every Go file.
func TestHouse(t *testing.T) {
	files := projectSources(t)
	if !slices.ContainsFunc(files, func(s source) bool { return s.path == "cmd/postern/house_test.go" }) {
		t.Fatal("the walk doesn't find this very file")
	}
	for _, r := range houseRules {
		t.Run(r.name, func(t *testing.T) {
			for _, fault := range r.check(files) {
				place, _, _ := strings.Cut(fault, ":")
				if exceptions[r.name+" "+place] == "" {
					t.Error(fault)
				}
			}
		})
	}
}

// TestHouseRulesCatch gives each rule what it has to refuse, and all rules what
// they have to let through.
func TestHouseRulesCatch(t *testing.T) {
	for _, r := range houseRules {
		if len(r.bad) == 0 {
			t.Errorf("%s: no sample of what it refuses", r.name)
		}
		for _, sample := range r.bad {
			if r.check(unpack(t, sample)) == nil {
				t.Errorf("%s lets through:\n%s", r.name, sample)
			}
		}
		for _, fault := range r.check(unpack(t, goodSample)) {
			t.Errorf("%s refuses good code: %s", r.name, fault)
		}
	}
}

func unpack(t *testing.T, sample string) []source {
	t.Helper()
	var files []source
	for _, f := range txtar.Parse([]byte(sample)).Files {
		files = append(files, parse(t, f.Name, string(f.Data)))
	}
	if files == nil {
		t.Fatalf("a sample without files: %q", sample)
	}
	return files
}

// A rule names what breaks it, "path:line: what" each.
type rule struct {
	name  string
	check func([]source) []string
	bad   []string // txtar archives, each of which it refuses
}

var houseRules = []rule{
	{"imports", checkImports, []string{
		"-- backend/x.go --\npackage backend\nimport _ \"postern/proxy\"",
		"-- configs/x.go --\npackage configs\nimport _ \"postern/pop3\"",
		"-- proxy/x.go --\npackage proxy\nimport _ \"postern/configs\"",
		"-- proxy/x.go --\npackage proxy\nimport _ \"github.com/hashicorp/go-memdb\"",
		"-- proxy/x.go --\npackage proxy\nimport _ \"postern/pop3/pop3test\"",
		"-- proxy/relay/x_test.go --\npackage relay\nimport _ \"postern/directory\"",
		"-- misc/x.go --\npackage misc\nimport _ \"postern/pop3\"",
	}},
	{"without I/O", checkWithoutIO, []string{
		"-- pop3/x.go --\npackage pop3\nimport _ \"time\"",
		"-- pop3/x.go --\npackage pop3\nfunc f() { go f() }",
		"-- proxy/dialogue.go --\npackage proxy\nimport _ \"net\"",
		"-- backend/login.go --\npackage backend\ntype t struct{ c chan int }",
	}},
	{"function length", checkFunctions, []string{
		"-- pop3/x_test.go --\npackage pop3\nfunc f() {" + strings.Repeat("\n", maxFunctionLines) + "}",
	}},
	{"nine in ten", checkNineInTen, []string{
		"-- pop3/x.go --\npackage pop3\nfunc f() {" + strings.Repeat("\n", longFunctionLines) + "}" + strings.Repeat("\nfunc g() {}", 8),
	}},
	{"file length", checkFiles, []string{
		"-- pop3/x.go --\npackage pop3\n" + strings.Repeat("// line\n", maxFileLines),
	}},
	{"interfaces", checkInterfaces, []string{
		"-- pop3/x.go --\npackage pop3\ntype i interface { a(); b(); c(); d() }",
		"-- pop3/x.go --\npackage pop3\nfunc f(i interface { a(); b(); c(); error }) {}",
	}},
	{"package docs", checkPackageDocs, []string{
		"-- pop3/x.go --\npackage pop3",
		"-- pop3/x.go --\n// Some words.\npackage pop3",
		"-- cmd/postern/x.go --\n// Package main is a command.\npackage main",
		"-- pop3/x.go --\n// Package pop3 is one.\npackage pop3\n-- pop3/y.go --\n// Package pop3 is two.\npackage pop3",
	}},
	{"package state", checkState, []string{
		"-- pop3/x.go --\npackage pop3\nvar count int",
		"-- pop3/x.go --\npackage pop3\nvar cache = make(map[string]int)",
		"-- pop3/x.go --\npackage pop3\nvar now = time.Now",
		"-- pop3/x.go --\npackage pop3\nvar mu = sync.Mutex{}",
		"-- pop3/x.go --\npackage pop3\nvar current = &record{}",
		"-- pop3/x.go --\npackage pop3\nvar table = map[string]int{}\n-- pop3/y.go --\npackage pop3\nfunc f() { table[\"a\"]++ }",
		"-- pop3/x.go --\npackage pop3\nvar table = []int{1}\nfunc f() { table[0] = 2 }",
	}},
	{"forbidden", checkForbidden, []string{
		"-- pop3/x.go --\npackage pop3\nfunc init() {}",
		"-- pop3/pop3test/x.go --\npackage pop3test\nfunc f() { time.Sleep(1) }",
	}},
	{"names", checkNames, []string{
		"-- pop3/x.go --\npackage pop3\ntype SessionManager struct{}",
		"-- pop3/x.go --\npackage pop3\nfunc dialHelper() {}",
		"-- pop3/string_utils.go --\npackage pop3",
		"-- proxy/util/x.go --\npackage util",
		"-- pop3/LineReader.go --\npackage pop3",
		"-- pop3/line-reader.go --\npackage pop3",
	}},
}

const goodSample = `
-- pop3/x.go --
// Package pop3 is good.
package pop3

import "errors"

var errGone = errors.New("gone")
var digits = regexp.MustCompile("[0-9]+")
var verbs = map[string]int{"USER": 1}

//go:embed reference.yaml
var reference []byte

var _ caller = (*thing)(nil)

type caller interface { a(); b(); c() }

type number interface { ~int | ~int8 | ~int16 | ~int32 | ~int64 }

// f declares a name of its own that a table has, and may change that one.
func f() {
	verbs := map[string]int{}
	verbs["PASS"]++
	utilization()
}
-- pop3/x_test.go --
package pop3_test

import "postern/pop3/pop3test"

type fakeT struct{ testing.TB }

func (fakeT) Helper() {}

func TestF(t *testing.T) {
	t.Helper()
	time.Sleep(1)
}
-- cmd/postern/main.go --
// Command postern is good.
package main

var version = "dev"
`
