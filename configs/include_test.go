package configs

import (
	"strings"
	"testing"
)

const includes = minimal + "backends:\n  include: backends.d/*.yaml\n  defaults: {login: local}\n  static: [{name: s, address: s}]\n"

func names(c *Config) string {
	var list []string
	for _, b := range c.Backends.Static {
		list = append(list, string(b.Name)+"="+string(b.Login))
	}
	return strings.Join(list, " ")
}

func TestInclude(t *testing.T) {
	inFolder(t, map[string]string{
		"etc/postern.yaml":            includes,
		"etc/backends.d/b.yaml":       "static:\n  - {name: b1, address: b1}\n  - {name: b2, address: b2, login: typed}\n",
		"etc/backends.d/a.yaml":       "- {name: a1, address: a1}\n",
		"etc/backends.d/empty.yaml":   "# nothing yet\n",
		"etc/backends.d/null.yaml":    "static:\n",
		"etc/backends.d/.#a.yaml":     "an editor's lock",
		"etc/backends.d/c.yaml.saved": "not matched",
	})
	c, err := Load("etc/postern.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if got := names(c); got != "s=local a1=local b1=local b2=typed" {
		t.Errorf("got %s", got)
	}
	at, exact := c.Position("backends.static[3].login")
	if want := (Fault{File: "etc/backends.d/b.yaml", Line: 3, Column: 36}); at != want || !exact {
		t.Errorf("position: got %v", at)
	}
	if at, _ := c.Position("backends.static"); at.File != "etc/postern.yaml" {
		t.Errorf("an included file took over the list's position: %v", at)
	}
}

func TestIncludeTakesListsAndOverlaps(t *testing.T) {
	inFolder(t, map[string]string{
		"[odd]*/postern.yaml": minimal + "backends: {include: [none/*, more/*.yaml, more/x.*, .hidden.yaml]}\n",
		"[odd]*/more/x.yaml":  "- {name: x, address: x}\n",
		"[odd]*/.hidden.yaml": "- {name: h, address: h}\n",
		"o/more/y.yaml":       "- {name: y, address: y}\n",
	})
	c, err := Load("[odd]*/postern.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if got := names(c); got != "h=mailbox x=mailbox" {
		t.Errorf("got %s", got)
	}
}

func TestFaultsOfIncluded(t *testing.T) {
	for _, test := range []struct {
		name, file string
		want       []string
	}{
		{"syntax", "- {name: a\n- b\n", []string{"backends.d/a.yaml:2:1: not YAML: "}},
		{"a value", "hello\n", []string{"backends.d/a.yaml:1:1: static: a single value: want a list"}},
		{"a value below static", "static: 1\n", []string{"backends.d/a.yaml:1:9: static: a single value: want a list"}},
		{"another key", "# x\ndefaults: {}\nstatic: []\n", []string{`backends.d/a.yaml:2:1: unknown key "defaults" at the top (allowed: static)`}},
		{"key of an element", "- name: a\n  addres: a\n", []string{"backends.d/a.yaml:1:3: address is missing or empty", `backends.d/a.yaml:2:3: unknown key "addres" in static; did you mean address?`}},
		{"no name", "\n-\n  address: a\n", []string{"backends.d/a.yaml:3:3: name is missing"}},
		{"empty entries", "- {name: a, address: a}\n-\n- ~\n", []string{"backends.d/a.yaml:2:1: static: want no empty entry", "backends.d/a.yaml:3:3: static: want no empty entry"}},
		{"a name of the main file", "- {name: S, address: a}\n", []string{`backends.d/a.yaml:1:10: name: "S" is taken already, in postern.yaml:6`}},
		{"an address of another file", "- {name: a, address: o}\n", []string{`backends.d/other.yaml:1:22: address: "o" is taken already, in backends.d/a.yaml:1`}},
		{"two documents", "---\n- {name: a, address: a}\n---\n", []string{"backends.d/a.yaml:3:1: want one document"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			inFolder(t, map[string]string{
				"postern.yaml":          includes,
				"backends.d/a.yaml":     test.file,
				"backends.d/other.yaml": "- {name: o, address: o}\n",
			})
			_, err := Load("postern.yaml")
			expectFaults(t, err, "", test.want)
		})
	}
}

func TestFaultsOfSeveralFilesComeTogether(t *testing.T) {
	inFolder(t, map[string]string{
		"postern.yaml":      includes + "log: {level: x}\n",
		"backends.d/a.yaml": "- {name: a, address: [, ]\n",
		"backends.d/b.yaml": "- {name: b}\n",
	})
	_, err := Load("postern.yaml")
	expectFaults(t, err, "", []string{"backends.d/a.yaml:1:", "backends.d/b.yaml:1:3: address is missing", "postern.yaml:7:14: level: "})
}

func TestFaultsOfInclude(t *testing.T) {
	inFolder(t, map[string]string{
		"postern.yaml":    minimal + "backends:\n  include:\n    - '*.yaml'\n    - folder*\n",
		"folder.d/x.yaml": "",
	})
	_, err := Load("postern.yaml")
	expectFaults(t, err, "", []string{
		"folder.d:1:1: this file can't be read: is a directory",
		`postern.yaml:5:7: include: "*.yaml": want a pattern that does not match this file itself`,
	})
}

func TestIncludedFilesCountAsOne(t *testing.T) {
	half := "#" + strings.Repeat("x", maxConfig/2) + "\n"
	inFolder(t, map[string]string{"postern.yaml": includes, "backends.d/a.yaml": half, "backends.d/b.yaml": half})
	_, err := Load("postern.yaml")
	expectFaults(t, err, "", []string{"backends.d/b.yaml:1:1: this file can't be read: want at most 4194304 octets, with all included files"})
}

func TestFaultsAreSorted(t *testing.T) {
	faults := Faults{{"b", 1, 1, "x"}, {"a", 10, 1, "x"}, {"a", 9, 2, "x"}, {"a", 9, 1, "y"}, {"a", 9, 1, "x"}}
	faults.sort()
	want := "a:9:1: x\na:9:1: y\na:9:2: x\na:10:1: x\nb:1:1: x"
	if faults.Error() != want {
		t.Errorf("got\n%v", faults)
	}
}
