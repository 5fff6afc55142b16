// The documents are held like code: links lead somewhere, examples load, each
// decision has its page and its headings.

package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"postern/proxy/tls/tlstest"
)

func documents(t *testing.T) []string {
	t.Helper()
	return projectFiles(t, func(name string) bool { return path.Ext(name) == ".md" })
}

func TestDocumentLinksResolve(t *testing.T) {
	for _, name := range documents(t) {
		for _, fault := range brokenLinks(name, readFile(t, name), readProject) {
			t.Error(fault)
		}
	}
}

// readProject is how brokenLinks sees the project: a file's text, or whether it is there.
func readProject(name string) (string, bool) {
	info, err := os.Stat(filepath.Join(root, name))
	if err != nil || info.IsDir() {
		return "", err == nil
	}
	text, err := os.ReadFile(filepath.Join(root, name))
	return string(text), err == nil
}

var (
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	remote   = regexp.MustCompile(`^(https?|mailto):`)
	noAnchor = regexp.MustCompile(`[^\pL\pN _-]`)
)

// brokenLinks names the relative links that lead to no file, or to no heading in it.
func brokenLinks(name, text string, read func(name string) (string, bool)) []string {
	var faults []string
	for _, l := range link.FindAllStringSubmatch(prose(text), -1) {
		if remote.MatchString(l[1]) {
			continue
		}
		file, anchor, _ := strings.Cut(l[1], "#")
		target := name
		if file != "" {
			target = path.Join(path.Dir(name), file)
		}
		content, ok := read(target)
		if !ok || anchor != "" && !slices.Contains(anchors(content), anchor) {
			faults = append(faults, fmt.Sprintf("%s: the link to %s leads nowhere", name, l[1]))
		}
	}
	return faults
}

// anchors are the headings as links name them.
func anchors(text string) []string {
	var found []string
	for line := range strings.Lines(prose(text)) {
		if heading := strings.TrimLeft(line, "#"); heading != line {
			plain := noAnchor.ReplaceAllString(strings.ToLower(strings.TrimSpace(heading)), "")
			found = append(found, strings.ReplaceAll(plain, " ", "-"))
		}
	}
	return found
}

// prose is a document without its fenced blocks.
func prose(text string) string {
	var kept strings.Builder
	fenced := false
	for line := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(line, "```"):
			fenced = !fenced
		case !fenced:
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// example is a fenced block that says which file it is: ```yaml file=postern.yaml.
type example struct{ language, file, text string }

func examples(text string) []example {
	var found []example
	open := false
	for line := range strings.Lines(text) {
		info, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && !open:
			language, rest, _ := strings.Cut(strings.TrimSpace(info), " ")
			found = append(found, example{language: language, file: strings.TrimPrefix(rest, "file=")})
			open = true
		case fence:
			open = false
		case open:
			found[len(found)-1].text += line
		}
	}
	return found
}

// TestDocumentExamplesLoad puts the named blocks of each document into a folder and
// lets "postern check" load every configuration among them, with its map file. A
// yaml block without a name would escape.
func TestDocumentExamplesLoad(t *testing.T) {
	loaded := 0
	for _, name := range documents(t) {
		dir := t.TempDir()
		writeExample(t, dir, example{file: "mailboxes.map"}) // for those that are not about it
		writeCertificates(t, dir)
		for _, e := range examples(readFile(t, name)) {
			if e.language == "yaml" && e.file == "" {
				t.Errorf("%s: a yaml block without file=NAME is loaded by nobody", name)
			}
			if e.file != "" {
				writeExample(t, dir, e)
			}
		}
		written, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range written {
			loaded++
			if out, err := postern(t, "check", "--config", file).CombinedOutput(); err != nil {
				t.Errorf("%s: %v: %s", name, err, out)
			}
		}
	}
	if loaded == 0 {
		t.Error("no document has a configuration to load")
	}
}

// writeCertificates writes what examples with TLS name: a pair, and a folder with another.
func writeCertificates(t *testing.T, dir string) {
	t.Helper()
	folder := filepath.Join(dir, "certs.d")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	cert, key := tlstest.Issue(t, "pop.example.com")
	tlstest.WriteFile(t, filepath.Join(dir, "cert.pem"), cert)
	tlstest.WriteFile(t, filepath.Join(dir, "key.pem"), key)
	tlstest.Write(t, folder, "pop.example.com", cert, key)
}

func writeExample(t *testing.T, dir string, e example) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, e.file), []byte(e.text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// postern is the command itself: the test binary, told so by the variable that TestMain reads.
func postern(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Env = append(os.Environ(), "POSTERN_TEST_AS_COMMAND=1")
	return cmd
}

func TestDecisionsAreIndexedAndComplete(t *testing.T) {
	index := readFile(t, "docs/adr/README.md")
	pages := projectFiles(t, func(name string) bool {
		return path.Dir(name) == "docs/adr" && name != "docs/adr/README.md"
	})
	if len(pages) == 0 {
		t.Fatal("no decisions")
	}
	for i, name := range pages {
		for _, fault := range decisionFaults(i+1, path.Base(name), readFile(t, name), index) {
			t.Error(fault)
		}
	}
}

var decisionStatus = regexp.MustCompile(`(?m)^Status: (accepted|superseded by \d+)$`)

// decisionFaults names what a page of docs/adr lacks; number is its place in the row.
func decisionFaults(number int, file, text, index string) []string {
	var faults []string
	need := func(ok bool, what string) {
		if !ok {
			faults = append(faults, file+": "+what)
		}
	}
	first, _, _ := strings.Cut(text, "\n")
	title, numbered := strings.CutPrefix(first, fmt.Sprintf("# %d. ", number))
	need(numbered, fmt.Sprintf("the first line is not %q and a title", fmt.Sprintf("# %d.", number)))
	need(strings.HasPrefix(file, fmt.Sprintf("%04d-", number)), "the file's number is not the next one")
	need(decisionStatus.MatchString(text), "no status")
	at := 0
	for _, heading := range []string{"\n## Context\n", "\n## Decision\n", "\n## Consequences\n"} {
		i := strings.Index(text, heading)
		need(i > at, fmt.Sprintf("no %q at its place", strings.TrimSpace(heading)))
		at = i
	}
	need(strings.Contains(index, fmt.Sprintf("| %d | [%s](%s) |", number, title, file)), "not in the index under its title")
	need(strings.Count(text, "\n") <= 45, "longer than a page")
	return faults
}

// machinePath finds a path of the machine that something was written on. (The
// brackets keep the pattern from finding itself.)
var machinePath = regexp.MustCompile(`(^|[^\w.])/(home|root|Users|w[o]rk|workspace|builds?)/`)

func TestNothingNamesTheMachineItWasWrittenOn(t *testing.T) {
	published := projectFiles(t, func(name string) bool {
		return slices.Contains([]string{".md", ".yaml", ".service", ".conf", ""}, path.Ext(name)) && !strings.Contains(name, "testdata/")
	})
	for _, name := range published {
		if found := machinePath.FindString(readFile(t, name)); found != "" {
			t.Errorf("%s names %q", name, found)
		}
	}
}

// TestDocumentChecksCatch shows the checks something that each has to refuse.
func TestDocumentChecksCatch(t *testing.T) {
	project := map[string]string{"docs/a.md": "# A\n\n## The `one` heading\n"}
	read := func(name string) (string, bool) { text, ok := project[name]; return text, ok }
	sample := "[x](docs/a.md) [x](docs/a.md#the-one-heading) [x](https://example.com/)\n```\n[x](nothing)\n```\n" +
		"[x](docs/b.md) [x](docs/a.md#none) [x](#none)\n"
	project["README.md"] = sample
	if faults := brokenLinks("README.md", sample, read); len(faults) != 3 {
		t.Errorf("of three broken links these are found: %q", faults)
	}

	page := "# 7. Title\n\nStatus: accepted\n\n## Context\n\n## Decision\n\n## Consequences\n"
	index := "| 7 | [Title](0007-title.md) |\n"
	if faults := decisionFaults(7, "0007-title.md", page, index); faults != nil {
		t.Errorf("a good page is refused: %q", faults)
	}
	for _, cut := range []string{"# 7.", "Status: accepted", "## Context", "## Decision", "## Consequences", "Title"} {
		if decisionFaults(7, "0007-title.md", strings.Replace(page, cut, "", 1), index) == nil {
			t.Errorf("a page without %q is let through", cut)
		}
	}
	if decisionFaults(7, "0007-title.md", page, "") == nil {
		t.Error("a page that isn't in the index is let through")
	}

	if got := examples("```yaml file=a.yaml\nb: c\n```\n```yaml\n```\n"); len(got) != 2 || got[0].file != "a.yaml" || got[0].text != "b: c\n" || got[1].file != "" {
		t.Errorf("examples are read as %q", got)
	}
	if !machinePath.MatchString("see /home/anna/postern") || machinePath.MatchString("see docs/home/a or /etc/postern") {
		t.Error("paths of machines are not told from others")
	}
}
