package pop3

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

const canary = "canary"

// leaked lists the forms in which fmt and the encoders would show the canary: as
// text, as decimal octets, as hexadecimal in both cases, and as base64.
func leaked(out string) bool {
	octets := strings.Trim(fmt.Sprint([]byte(canary)), "[]")
	for _, form := range []string{canary, octets, "0x63", "63616e617279", "63616E617279", "63 61 6e", "Y2FuYXJ5", "1100011 1100001"} {
		if strings.Contains(out, form) {
			return true
		}
	}
	return false
}

type (
	nested struct {
		Secret Secret
		secret Secret
		inside struct{ secret Secret }
		ptr    *Secret
		many   []Secret
		byName map[string]Secret
		any    any
	}
	holder struct {
		Command Command
		command Command
		ptr     *Command
		many    []Command
		any     any
	}
)

// holders are the ways in which a secret may lie in something that is printed.
func holders() map[string]any {
	s, c := NewSecret([]byte(canary)), ParseCommand([]byte("PASS "+canary))
	n := nested{Secret: s, secret: s, ptr: &s, many: []Secret{s}, byName: map[string]Secret{"a": s}, any: s}
	n.inside.secret = s
	h := holder{Command: c, command: c, ptr: &c, many: []Command{c}, any: c}
	return map[string]any{
		"secret": s, "pointer to secret": &s, "slice of secrets": []Secret{s}, "map of secrets": map[string]Secret{"a": s},
		"array of pointers": [1]*Secret{&s}, "nested": n, "pointer to nested": &n, "any": any(n),
		"command": c, "pointer to command": &c, "slice of commands": []Command{c}, "holder": h, "pointer to holder": &h,
		"error": fmt.Errorf("doing %v with %v", c, s),
	}
}

// oddFormat leaves an argument over. A variable, since vet finds such formats and
// here they are the point.
var oddFormat = "%z %d"

func TestSecretsInFmt(t *testing.T) {
	for name, v := range holders() {
		for _, verb := range "vsqxXdobcUteEfgGpz!" {
			for _, flags := range []string{"", "+", "#", "-20", "020", "+#", " ", ".3"} {
				format := "%" + flags + string(verb)
				if out := fmt.Sprintf(format, v); leaked(out) {
					t.Errorf("%s in %s: %s", format, name, out)
				}
			}
		}
		if out := fmt.Sprint(v) + fmt.Sprintln(v) + fmt.Sprintf(oddFormat, v, v, v); leaked(out) {
			t.Errorf("%s: %s", name, out)
		}
	}
}

func TestSecretsInEncoders(t *testing.T) {
	for name, v := range holders() {
		if out, err := json.Marshal(v); leaked(string(out)) || leaked(fmt.Sprint(err)) {
			t.Errorf("json of %s: %s", name, out)
		}
		if out, err := xml.Marshal(v); leaked(string(out)) || leaked(fmt.Sprint(err)) {
			t.Errorf("xml of %s: %s", name, out)
		}
	}
}

func TestSecretsInLogs(t *testing.T) {
	var out bytes.Buffer
	options := &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true}
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, options), slog.NewJSONHandler(&out, options)} {
		log := slog.New(h)
		for name, v := range holders() {
			log.Debug(name, "v", v)
			log.With("v", v).WithGroup("g").Info(name, slog.Group("h", "v", v))
		}
	}
	if leaked(out.String()) {
		t.Errorf("leaked:\n%s", out.String())
	}
}

// The forms above must be the ones that a leak would have: an ordinary type shows it.
func TestLeakedSeesLeaks(t *testing.T) {
	type plain struct{ octets []byte }
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%b"} {
		if out := fmt.Sprintf(format, plain{[]byte(canary)}); !leaked(out) {
			t.Errorf("%s: not seen in %s", format, out)
		}
	}
	if out, _ := json.Marshal([]byte(canary)); !leaked(string(out)) {
		t.Errorf("not seen in %s", out)
	}
}

func TestSecretReveal(t *testing.T) {
	octets := []byte(canary)
	s := NewSecret(octets)
	clear(octets)
	if string(s.Reveal()) != canary {
		t.Errorf("the secret shares the caller's buffer: %q", s.Reveal())
	}
	if Secret.Reveal(Secret{}) != nil {
		t.Error("the zero secret holds something")
	}
}

func TestSecretWipe(t *testing.T) {
	s := NewSecret([]byte(canary))
	held, other := s.Reveal(), s
	s.Wipe()
	if bytes.ContainsAny(held, canary) {
		t.Errorf("left in memory: %q", held)
	}
	if len(s.Reveal()) != 0 || len(other.Reveal()) != 0 {
		t.Error("a wiped secret can be revealed")
	}
	s.Wipe()
	Secret{}.Wipe()
	if got := fmt.Sprint(s, Secret{}); got != "[redacted] [redacted]" {
		t.Errorf("prints as %q", got)
	}
}
