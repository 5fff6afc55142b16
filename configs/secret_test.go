package configs

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"testing"
)

const canary = "Canary-7f2"

// withSecret is a section such as a later source will have.
type withSecret struct {
	Token  Secret   `yaml:"token"`
	Tokens []Secret `yaml:"tokens"`
	Path   Path     `yaml:"path"`
}

// loadSecret walks text into a withSecret, as the file etc/postern.yaml.
func loadSecret(t *testing.T, text string) (withSecret, error) {
	t.Helper()
	var out withSecret
	r := newReport()
	r.marks[""] = mark{file: "etc/postern.yaml", line: 1, column: 1}
	root, ok := parse("etc/postern.yaml", []byte(text), r)
	if !ok {
		t.Fatal(r.faults)
	}
	w := &walk{"etc/postern.yaml", "etc", os.LookupEnv, readSecretFile, r}
	w.value(root, reflect.ValueOf(&out).Elem(), slot{})
	for path, m := range r.marks {
		if strings.Contains(m.text, canary) {
			t.Errorf("the mark of %s keeps the secret", path)
		}
	}
	if len(r.faults) > 0 {
		return out, r.faults
	}
	return out, nil
}

func TestSecretSources(t *testing.T) {
	inFolder(t, map[string]string{
		"etc/token":      canary + "\n",
		"etc/crlf":       canary + "\r\n",
		"etc/two":        canary + "\n\n",
		"etc/file:x":     "no",
		"etc/sub/${A}":   canary,
		"etc/${T_WORD}":  "no",
		"etc/sub/inside": canary,
	})
	t.Setenv("T_SECRET", canary)
	t.Setenv("T_FILE", "file:token")
	t.Setenv("T_WORD", "token")
	folder, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		canary:                          canary,
		`"${T_SECRET}"`:                 canary,
		`"x${T_SECRET}y"`:               "x" + canary + "y",
		"file:token":                    canary,
		"file:crlf":                     canary,
		"file:two":                      canary + "\n",
		"file:sub/inside":               canary,
		"'file:${T_WORD}'":              canary,
		"'file:sub/$${A}'":              canary,
		"file:" + folder + "/etc/token": canary,
		"'${T_FILE}'":                   "file:token", // a password, whatever it looks like
		"123":                           "123",
		"true":                          "true",
	} {
		out, err := loadSecret(t, "token: "+text+"\n")
		if err != nil || out.Token.Reveal() != want {
			t.Errorf("%s: got %q, %v", text, out.Token.Reveal(), err)
		}
	}
}

func TestFaultsOfSecrets(t *testing.T) {
	inFolder(t, map[string]string{
		"etc/empty": "\n",
		"etc/big":   strings.Repeat("x", maxSecret+1),
	})
	t.Setenv("T_EMPTY", "")
	t.Setenv("T_PATH", canary)
	for text, want := range map[string]string{
		`""`:                      "1:8: token: want a secret that is not empty",
		"'${T_EMPTY}'":            "1:8: token: want a secret that is not empty",
		"file:empty":              "1:8: token: want a secret that is not empty",
		"'file:'":                 "1:8: token: want the path of a file",
		"file:absent":             "1:8: token: the secret's file can't be read: no such file or directory",
		"'file:${T_PATH}'":        "1:8: token: the secret's file can't be read: no such file or directory",
		"file:.":                  "1:8: token: the secret's file can't be read: is a directory",
		"file:big":                "1:8: token: want a file of at most 65536 octets",
		"'" + canary + "${NONE}'": "1:8: token: the environment variable NONE is not set",
		"[" + canary + "]":        "1:8: token: a list: want a single value",
		"{" + canary + ": x}":     "1:8: token: a mapping: want a single value",
		"&a " + canary:            "1:8: token: an anchor (&): want",
	} {
		_, err := loadSecret(t, "token: "+text+"\n")
		expectFaults(t, err, "etc/postern.yaml:", []string{want})
		if err != nil && strings.Contains(err.Error(), canary) {
			t.Errorf("%s: the fault shows the secret: %v", text, err)
		}
	}
}

// TestSecretFilesAreClosedToOthers: the owner's and the group's rights do not matter.
func TestSecretFilesAreClosedToOthers(t *testing.T) {
	inFolder(t, map[string]string{"etc/token": canary})
	if err := os.Symlink("token", "etc/link"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"token", "link"} {
		for mode, closed := range map[os.FileMode]bool{0o600: true, 0o400: true, 0o640: true, 0o660: true, 0o644: false, 0o604: false, 0o666: false} {
			if err := os.Chmod("etc/token", mode); err != nil {
				t.Fatal(err)
			}
			out, err := loadSecret(t, "path: x\ntoken: file:"+name+"\n")
			if closed && (err != nil || out.Token.Reveal() != canary) {
				t.Errorf("%s with mode %o: %v", name, mode, err)
			}
			if !closed {
				expectFaults(t, err, "etc/postern.yaml:", []string{"2:8: token: others may read the secret's file: want it closed to them, with chmod o-r"})
			}
			if !closed && out.Token.Reveal() != "" {
				t.Errorf("%s with mode %o was read", name, mode)
			}
		}
	}
}

// TestLoadReadsSecretsCarefully: Load itself asks for the mode, not only the test's walk.
func TestLoadReadsSecretsCarefully(t *testing.T) {
	inFolder(t, map[string]string{
		"etc/postern.yaml": minimal + "admin:\n  tokens:\n    - {name: a, role: viewer, token: file:token}\n",
		"etc/token":        canary + canary + "\n",
	})
	c, err := Load("etc/postern.yaml")
	if err != nil || c.Admin.Tokens[0].Token.Reveal() != canary+canary {
		t.Fatalf("got %v", err)
	}
	if err := os.Chmod("etc/token", 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = Load("etc/postern.yaml")
	expectFaults(t, err, "etc/postern.yaml:", []string{"5:38: token: others may read the secret's file"})
	if _, ok := errors.AsType[Faults](err); !ok {
		t.Errorf("got %v", err)
	}
}

// TestSecretCannotPrintItself also from inside structs, unexported fields among
// them, which fmt prints without asking their methods.
func TestSecretCannotPrintItself(t *testing.T) {
	s := NewSecret(canary)
	inside := struct {
		Public  Secret
		private Secret
		list    []Secret
		byName  map[string]Secret
	}{s, s, []Secret{s}, map[string]Secret{"a": s}}
	var logged strings.Builder
	for _, handler := range []slog.Handler{slog.NewTextHandler(&logged, nil), slog.NewJSONHandler(&logged, nil)} {
		slog.New(handler).Info("x", "secret", s, "inside", inside, "pointer", &s)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T"} {
		for _, value := range []any{s, &s, inside, &inside} {
			fmt.Fprintf(&logged, verb, value)
		}
	}
	encoded, err := json.Marshal(inside)
	if err != nil {
		t.Fatal(err)
	}
	logged.Write(encoded)
	fmt.Fprint(&logged, s.String(), s.GoString(), s.LogValue())
	hex := fmt.Sprintf("%x", canary)
	for _, leak := range []string{canary, hex, strings.ToUpper(hex)} {
		if strings.Contains(logged.String(), leak) {
			t.Errorf("shown: %s", logged.String())
		}
	}
	if !strings.Contains(logged.String(), redacted) || s.Reveal() != canary || (Secret{}).Reveal() != "" {
		t.Error("the test shows nothing")
	}
}

func TestSecretsCompare(t *testing.T) {
	a, b, c := withSecret{Token: NewSecret("a")}, withSecret{Token: NewSecret("a")}, withSecret{Token: NewSecret("c")}
	if !reflect.DeepEqual(a, b) || reflect.DeepEqual(a, c) {
		t.Error("a reload could not tell secrets apart")
	}
}
