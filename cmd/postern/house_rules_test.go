// The rules themselves: each looks at all files and names what breaks it.

package main_test

import (
	"fmt"
	"go/ast"
	"go/token"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

func checkImports(files []source) []string {
	var faults []string
	for _, s := range files {
		allowed, known := mayImport[s.folder()]
		if !known {
			faults = append(faults, s.fault(s.file.Pos(), "folder %s has no row in mayImport", s.folder()))
			continue
		}
		if s.isTest() {
			allowed = slices.Concat(allowed, testsMayImport, []string{"postern/" + s.folder()})
		}
		for _, i := range s.file.Imports {
			if name := strings.Trim(i.Path.Value, `"`); !importAllowed(name, allowed) {
				faults = append(faults, s.fault(i.Pos(), "%s may not import %s", s.folder(), name))
			}
		}
	}
	return faults
}

func importAllowed(name string, allowed []string) bool {
	first, _, _ := strings.Cut(name, "/")
	if first != "postern" && !strings.Contains(first, ".") {
		return true // the standard library
	}
	return slices.ContainsFunc(allowed, func(a string) bool {
		return name == a || first != "postern" && strings.HasPrefix(name, a+"/")
	})
}

func checkWithoutIO(files []source) []string {
	var faults []string
	for _, s := range files {
		banned := slices.Concat(withoutIO[s.folder()], withoutIO[s.path])
		if s.isTest() || banned == nil {
			continue
		}
		for _, i := range s.file.Imports {
			if slices.Contains(banned, strings.Trim(i.Path.Value, `"`)) {
				faults = append(faults, s.fault(i.Pos(), "imports %s", i.Path.Value))
			}
		}
		for n := range ast.Preorder(s.file) {
			switch n.(type) {
			case *ast.GoStmt, *ast.ChanType, *ast.SelectStmt:
				faults = append(faults, s.fault(n.Pos(), "a goroutine or a channel"))
			}
		}
	}
	return faults
}

func checkFunctions(files []source) []string {
	var faults []string
	for _, s := range files {
		for _, f := range s.functions() {
			if n := s.functionLines(f); n > maxFunctionLines {
				faults = append(faults, s.fault(f.Pos(), "%s has %d lines, at most %d", f.Name, n, maxFunctionLines))
			}
		}
	}
	return faults
}

func checkNineInTen(files []source) []string {
	var long []string
	all := 0
	for _, s := range files {
		for _, f := range s.functions() {
			all++
			if n := s.functionLines(f); n > longFunctionLines {
				long = append(long, s.fault(f.Pos(), "%s has %d lines, and too many have more than %d", f.Name, n, longFunctionLines))
			}
		}
	}
	if 10*len(long) <= all {
		return nil
	}
	return long
}

func checkFiles(files []source) []string {
	var faults []string
	for _, s := range files {
		if n := s.lines(); n > maxFileLines {
			faults = append(faults, fmt.Sprintf("%s:%d: at most %d lines", s.path, n, maxFileLines))
		}
	}
	return faults
}

// checkInterfaces counts an embedded interface as one method: what it holds is
// counted where it is declared. A union of types is no method.
func checkInterfaces(files []source) []string {
	var faults []string
	for _, s := range files {
		for n := range ast.Preorder(s.file) {
			i, ok := n.(*ast.InterfaceType)
			if ok && i.Methods.NumFields() > maxMethods {
				faults = append(faults, s.fault(i.Pos(), "an interface of %d methods, at most %d", i.Methods.NumFields(), maxMethods))
			}
		}
	}
	return faults
}

func checkPackageDocs(files []source) []string {
	comments := map[string]int{}
	var faults []string
	for _, s := range files {
		if s.isTest() {
			continue
		}
		text, begin := s.file.Doc.Text(), "Package "+s.file.Name.Name+" "
		if s.file.Name.Name == "main" {
			begin = "Command " + path.Base(s.folder()) + " "
		}
		comments[s.folder()] += min(1, len(text))
		if text != "" && !strings.HasPrefix(text, begin) {
			faults = append(faults, s.fault(s.file.Doc.Pos(), "a package comment begins with %q", begin))
		}
	}
	for _, folder := range slices.Sorted(maps.Keys(comments)) {
		if n := comments[folder]; n != 1 {
			faults = append(faults, fmt.Sprintf("%s: %d package comments, one is right", folder, n))
		}
	}
	return faults
}

// checkForbidden refuses init, because an import then does something, and
// sleeping outside tests, because nobody can interrupt it.
func checkForbidden(files []source) []string {
	var faults []string
	for _, s := range files {
		for n := range ast.Preorder(s.file) {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Recv == nil && n.Name.Name == "init" {
					faults = append(faults, s.fault(n.Pos(), "an init function"))
				}
			case *ast.CallExpr:
				if !s.isTest() && called(n) == "time.Sleep" {
					faults = append(faults, s.fault(n.Pos(), "time.Sleep outside a test"))
				}
			}
		}
	}
	return faults
}

var (
	fileName = regexp.MustCompile(`^[a-z][a-z0-9_]*\.go$`)
	// emptyWord finds a word that says nothing, at a camel-case or underscore boundary.
	emptyWord = regexp.MustCompile(`(^|_|/)(manager|helper|util)s?([A-Z_./]|$)|(Manager|Helper|Util)s?([A-Z_0-9]|$)`)
)

func checkNames(files []source) []string {
	var faults []string
	for _, s := range files {
		if !fileName.MatchString(path.Base(s.path)) || emptyWord.MatchString(s.path) {
			faults = append(faults, s.fault(s.file.Pos(), "not a name for a file"))
		}
		for n := range ast.Preorder(s.file) {
			var name *ast.Ident
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Recv == nil || n.Name.Name != "Helper" { // testing.TB asks for that method
					name = n.Name
				}
			case *ast.TypeSpec:
				name = n.Name
			}
			if name != nil && emptyWord.MatchString(name.Name) {
				faults = append(faults, s.fault(name.Pos(), "%s: say what it does", name))
			}
		}
	}
	return faults
}

// checkState refuses package variables that can change: what is not a table, a
// sentinel, a compiled pattern or an embedded file, and what any function of the
// package writes to. It knows names, not types, and errs on the side of silence.
func checkState(files []source) []string {
	var faults []string
	variables := map[string]bool{} // "folder name"
	for _, s := range files {
		if s.isTest() {
			continue
		}
		for _, v := range packageVariables(s.file) {
			variables[s.folder()+" "+v.name.Name] = true
			if !v.embedded && !neverChanges(v.value) && (s.file.Name.Name != "main" || v.name.Name != "version") {
				faults = append(faults, s.fault(v.name.Pos(), "package variable %s may change", v.name))
			}
		}
	}
	for _, s := range files {
		for _, f := range s.functions() {
			for name, pos := range written(f) {
				if !s.isTest() && variables[s.folder()+" "+name] {
					faults = append(faults, s.fault(pos, "%s writes to package variable %s", f.Name, name))
				}
			}
		}
	}
	return faults
}

type variable struct {
	name     *ast.Ident
	value    ast.Expr // nil: the zero value
	embedded bool     // filled by go:embed
}

func packageVariables(file *ast.File) []variable {
	var found []variable
	for _, d := range file.Decls {
		decl, ok := d.(*ast.GenDecl)
		if !ok || decl.Tok != token.VAR {
			continue
		}
		for _, spec := range decl.Specs {
			spec := spec.(*ast.ValueSpec)
			for i, name := range spec.Names {
				v := variable{name: name, embedded: embeds(decl.Doc) || embeds(spec.Doc)}
				if i < len(spec.Values) {
					v.value = spec.Values[i]
				}
				if name.Name != "_" {
					found = append(found, v)
				}
			}
		}
	}
	return found
}

func embeds(comments *ast.CommentGroup) bool {
	return comments != nil && slices.ContainsFunc(comments.List, func(c *ast.Comment) bool {
		return strings.HasPrefix(c.Text, "//go:embed ")
	})
}

// neverChanges is true of a table and of what a call built: errors.New,
// regexp.MustCompile. A plain value is a constant's place, a function's name is a hook.
func neverChanges(value ast.Expr) bool {
	switch v := value.(type) {
	case *ast.CompositeLit:
		s, ok := v.Type.(*ast.SelectorExpr)
		return !ok || !slices.Contains([]string{"sync", "atomic"}, fmt.Sprint(s.X))
	case *ast.CallExpr:
		return !slices.Contains([]string{"new", "make"}, called(v))
	}
	return false
}

// called spells the function of a call: "f" or "x.f".
func called(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return fmt.Sprint(f.X) + "." + f.Sel.Name
	}
	return ""
}

// written yields the names that a function assigns to, or into, without declaring
// them anywhere in itself.
func written(f *ast.FuncDecl) map[string]token.Pos {
	found := map[string]token.Pos{}
	own := map[string]bool{}
	for n := range ast.Preorder(f) {
		switch n := n.(type) {
		case *ast.AssignStmt:
			for _, target := range n.Lhs {
				if name := variableBehind(target); n.Tok == token.DEFINE {
					own[name] = true
				} else {
					found[name] = n.Pos()
				}
			}
		case *ast.IncDecStmt:
			found[variableBehind(n.X)] = n.Pos()
		case *ast.CallExpr:
			if slices.Contains([]string{"delete", "clear"}, called(n)) {
				found[variableBehind(n.Args[0])] = n.Pos()
			}
		case *ast.RangeStmt:
			if n.Tok == token.DEFINE {
				own[variableBehind(n.Key)], own[variableBehind(n.Value)] = true, true
			}
		case *ast.Field:
			for _, name := range n.Names {
				own[name.Name] = true
			}
		case *ast.ValueSpec:
			for _, name := range n.Names {
				own[name.Name] = true
			}
		}
	}
	maps.DeleteFunc(found, func(name string, _ token.Pos) bool { return own[name] })
	return found
}

// variableBehind is the variable behind x, x[i], x.f and *x.
func variableBehind(target ast.Expr) string {
	switch t := target.(type) {
	case *ast.Ident:
		return t.Name
	case *ast.IndexExpr:
		return variableBehind(t.X)
	case *ast.SelectorExpr:
		return variableBehind(t.X)
	case *ast.StarExpr:
		return variableBehind(t.X)
	case *ast.ParenExpr:
		return variableBehind(t.X)
	}
	return ""
}
