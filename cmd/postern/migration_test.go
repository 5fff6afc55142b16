// The pages on migration are held like code: their configurations load, their commands run, and
// what comes out leads where the old gateway leads.

package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"postern/configs"
)

// page is a document's named blocks in a folder of their own.
type page struct{ dir string }

// openPage writes the blocks of a document, with some addresses replaced: old, new, old, new.
func openPage(t *testing.T, document string, replace ...string) page {
	t.Helper()
	p := page{t.TempDir()}
	named := 0
	for _, e := range examples(readFile(t, document)) {
		if e.file != "" {
			e.text = strings.NewReplacer(replace...).Replace(e.text)
			writeExample(t, p.dir, e)
			named++
		}
	}
	if named == 0 {
		t.Fatalf("%s has no named block", document)
	}
	return p
}

func (p page) path(name string) string { return filepath.Join(p.dir, name) }

func (p page) read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(p.path(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (p page) write(t *testing.T, name, text string) {
	t.Helper()
	writeExample(t, p.dir, example{file: name, text: text})
}

// run runs one of the page's scripts in its folder.
func (p page) run(t *testing.T, script string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-eu", script)
	cmd.Dir = p.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

// lookup expects lines of "postern lookup", without the source that each ends in.
func (p page) lookup(t *testing.T, config string, want ...string) {
	t.Helper()
	args := []string{"lookup", "--config", p.path(config)}
	for _, line := range want {
		address, _, _ := strings.Cut(line, " ")
		args = append(args, address)
	}
	cmd := postern(t, args...)
	var faults strings.Builder
	cmd.Stderr = &faults
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("lookup with %s: %v\n%s%s", config, err, out, faults.String())
	}
	var got []string
	for line := range strings.Lines(string(out)) {
		got = append(got, strings.Join(strings.Fields(line)[:3], " "))
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("lookup with %s:\n%s\nwant:\n%s", config, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestConfigurationsThatNeedServersLoad: a document's NAME.yml has a source that "postern check" would
// ask, such as a database. Tests with real servers ask it; here it is loaded.
func TestConfigurationsThatNeedServersLoad(t *testing.T) {
	t.Setenv("POSTERN_DB_PASSWORD", "secret")
	t.Setenv("POSTERN_CONSUL_TOKEN", "secret")
	loaded := 0
	for _, name := range documents(t) {
		if !strings.Contains(readFile(t, name), ".yml\n") {
			continue
		}
		p := openPage(t, name)
		for _, secret := range []string{"dsn", "bind.password", "consul.token"} {
			if _, err := os.Stat(p.path(secret)); err != nil {
				p.write(t, secret, "secret\n")
			}
		}
		files, err := filepath.Glob(p.path("*.yml"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			loaded++
			if _, err := configs.Load(file); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if loaded == 0 {
		t.Error("no document has a configuration that needs a server")
	}
}

func TestMigrationFromPerdition(t *testing.T) {
	p := openPage(t, "docs/migration/perdition.md")
	p.lookup(t, "postern.yaml",
		"alice@example.com guest-01 alice@example.com",
		"bob@example.com guest-02 robert",
		"Erin@example.org guest-02 Erin@example.org", // what was typed, as Perdition sends it
		"frank@example.com old-mail frank@example.com")
	p.lookup(t, "behind.yaml", "alice@example.com guest-01 alice@example.com", "bob@example.com perdition bob@example.com")

	p.run(t, "without-users.sh")
	want := strings.Replace(p.read(t, "popmap"), "robert@", "", 1)
	if got := p.read(t, "popmap.new"); got != want {
		t.Errorf("without users:\n%s\nwant:\n%s", got, want)
	}
}

func TestMigrationFromNginx(t *testing.T) {
	p := openPage(t, "docs/migration/nginx.md")
	for _, config := range []string{"step2.yaml", "step3.yaml"} {
		p.lookup(t, config, "alice@example.com guest-01 alice@example.com", "bob@example.com guest-02 robert")
	}
}

func TestMigrationFromDovecot(t *testing.T) {
	p := openPage(t, "docs/migration/dovecot.md")
	p.write(t, "proxy", p.read(t, "proxy")+"# a comment\n\n"+
		"carol@example.com:{PLAIN}secret:::Carol C.::/srv/carol:host=192.0.2.12 proxy=y\nlocal@example.com:{PLAIN}secret::::::\n")
	p.run(t, "tomap.sh")
	p.lookup(t, "postern.yaml",
		"alice@example.com guest-01 alice@example.com",
		"BOB@example.com guest-02 robert",
		"carol@example.com guest-02 carol@example.com")
	if got := p.read(t, "mailboxes.map"); strings.Count(got, "\n") != 3 {
		t.Errorf("the map is %q", got)
	}
	p.lookup(t, "behind.yaml", "alice@example.com guest-01 alice@example.com", "bob@example.com old-proxy bob@example.com")
}
