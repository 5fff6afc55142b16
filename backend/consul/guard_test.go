package consul

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"

	"postern/backend"
)

// host is an address of its own for each name of one letter, or of one letter behind a g.
func host(name string) string { return fmt.Sprintf("192.0.2.%d", name[len(name)-1]) }

// several are instances of these names.
func several(names string) (entries []*api.ServiceEntry) {
	for _, name := range strings.Fields(names) {
		entries = append(entries, at(name, host(name)))
	}
	return entries
}

func held(names string) string {
	var words []string
	for _, name := range strings.Fields(names) {
		base, tilde := strings.CutSuffix(name, "~")
		word := base + "@" + host(base) + ":1110"
		if tilde {
			word += "~"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

// TestHold: a loss that is too large to be believed is held, until it is back or confirmed.
func TestHold(t *testing.T) {
	for _, test := range []struct {
		name  string
		steps []string // what Consul has; "confirm"; "down"
		want  string
	}{
		{"one leaves", []string{"a b c", "a b"}, "a b"},
		{"the last one leaves", []string{"a", ""}, ""},
		{"half leaves", []string{"a b c d", "a b"}, "a b"},
		{"one after the other", []string{"a b c d", "a b c", "a b", "a", ""}, ""},
		{"more than half", []string{"a b c d", "a"}, "a b~ c~ d~"},
		{"wiped", []string{"a b c d", ""}, "a~ b~ c~ d~"},
		{"wiped and refilled", []string{"a b c d", "", "a b c d"}, "a b c d"},
		{"they come back one by one", []string{"a b c d", "", "a b", "a b c"}, "a b c d~"},
		{"others come instead", []string{"a b c", "x y z"}, "a~ b~ c~ x y z"},
		{"a held one and one that leaves", []string{"a b c d e f g h", "a b c", "a b"}, "a b d~ e~ f~ g~ h~"},
		{"wiped again", []string{"a b c d e f g h", "a b c", ""}, "a~ b~ c~ d~ e~ f~ g~ h~"},
		{"confirmed", []string{"a b c d", "a", "confirm"}, "a"},
		{"confirmed, all of it", []string{"a b c d", "", "confirm"}, ""},
		{"Consul is down", []string{"a b c d", "down"}, "a b c d"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBook(options())
			var s State
			for _, step := range test.steps {
				switch step {
				case "confirm":
					b.confirm()
				case "down":
					b.hearServices(answer[[]*api.ServiceEntry]{err: errors.New("gone")})
				default:
					b.services1(several(step)...)
				}
				s = b.state()
			}
			wantLine(t, s, held(test.want))
			if held := strings.Contains(test.want, "~"); held != errors.Is(s.Err, errHeld) {
				t.Errorf("error %v", s.Err)
			}
		})
	}
}

// TestReplaced: what stays against Consul's word does not stay where another backend is now.
func TestReplaced(t *testing.T) {
	b := newBook(options())
	b.services1(at("a", "192.0.2.1"), at("b", "192.0.2.2"), at("c", "192.0.2.3"))
	s := b.services1(at("x", "192.0.2.1"), at("b", "192.0.2.9", "weight=no"), at("y", "192.0.2.2"))
	wantLine(t, s, "c@192.0.2.3:1110~ x@192.0.2.1:1110 y@192.0.2.2:1110")
	s = b.services1()
	wantLine(t, s, "c@192.0.2.3:1110~ x@192.0.2.1:1110~ y@192.0.2.2:1110~")
	s = b.services1(at("z", "192.0.2.1"))
	wantLine(t, s, "c@192.0.2.3:1110~ y@192.0.2.2:1110~ z@192.0.2.1:1110")
}

// FuzzDeclared: whatever the key holds, what is taken of it are names and weights that may be.
func FuzzDeclared(f *testing.F) {
	f.Add("a\nb weight=7 # why\n")
	f.Fuzz(func(t *testing.T, text string) {
		declared, err := parseDeclared([]byte(text))
		if err != nil {
			return
		}
		for name, d := range declared {
			if !isName(name) || name != strings.ToLower(name) || d.Weight < 0 || d.Weight > maxWeight || d.Held {
				t.Errorf("%q: %q %+v", text, name, d)
			}
		}
	})
}

// TestDeclared: the key says who may own what nobody assigned, and with which share; the
// instance's own weight doesn't count there.
func TestDeclared(t *testing.T) {
	o := options()
	o.DeclaredKey = "postern/declared"
	o.Defaults.Target.Weight = 2
	o.Reserved = []backend.Target{{Name: "static"}}
	b := newBook(o)
	if s := b.services1(at("a", "192.0.2.1", "weight=9"), at("b", "192.0.2.2", "weight=9", "aliases=away")); !errors.Is(s.Err, errNotAsked) || len(s.Targets) > 0 || !s.At.IsZero() {
		t.Fatalf("half of the truth serves: %s %v", line(s), s.Err)
	}
	s := b.key1("# who may own mail\nA\naway weight=3 # off for repair\n\nstatic\n")
	wantLine(t, s, "a@192.0.2.1:1110* b@192.0.2.2:1110 -away")
	if s.Targets[0].Weight != 2 || s.Targets[1].Weight != 9 || s.Absent[0].Weight != 3 || !s.Absent[0].Declared || len(s.Targets[1].Aliases) > 0 {
		t.Errorf("%+v %+v", s.Targets, s.Absent)
	}
	// A declared backend that leaves Consul is counted still: else its users would be sent elsewhere.
	wantLine(t, b.services1(at("b", "192.0.2.2")), "b@192.0.2.2:1110 -a -away")
	s = b.key1("a\nwhat ever\n")
	wantLine(t, s, "b@192.0.2.2:1110 -a -away")
	if s.Err == nil || !strings.Contains(s.Err.Error(), `key postern/declared of declared backends: line 2: "ever": want weight=N`) {
		t.Errorf("error %v", s.Err)
	}
	wantLine(t, b.key1("a\naway\n"), "b@192.0.2.2:1110 -a -away")
	b.hearKey(answer[*api.KVPair]{index: 9}) // the key is gone
	s = b.state()
	wantLine(t, s, "b@192.0.2.2:1110 -a -away")
	if !errors.Is(s.Err, errHeld) || fmt.Sprint(s.Held) != "[a away]" {
		t.Errorf("held %v, error %v", s.Held, s.Err)
	}
	b.confirm()
	if s = b.state(); s.Err != nil {
		t.Error(s.Err)
	}
	wantLine(t, s, "b@192.0.2.2:1110")
}

// TestDeclaredLines: each line that can't be read is named; nothing of such a key is taken.
func TestDeclaredLines(t *testing.T) {
	for text, want := range map[string]string{
		"":                          "map[]",
		"a\r\nb weight=7\r\n":       "map[a:{0 false} b:{7 false}]",
		"a#b":                       `line 1: name "a#b"`,
		"a\nA":                      "line 2: a is there already",
		"a weight=0":                "line 1: weight: want a number",
		"a weight=":                 "line 1: weight: want a number",
		"a Weight=1":                "line 1: \"Weight=1\"",
		"a b":                       `line 1: "b": want weight=N`,
		"192.0.2.1":                 "line 1: name",
		"a:110":                     "line 1: name",
		"\x1b[2J":                   `line 1: name "?[2j"`,
		"a\x00":                     `line 1: name "a?"`,
		strings.Repeat("a", 254):    "line 1: name",
		strings.Repeat("\n", 1<<20): "more than 524288 octets",
	} {
		declared, err := parseDeclared([]byte(text))
		if got := fmt.Sprint(declared); err == nil && got != want || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %s, %v, want %s", text, got, err, want)
		}
	}
}

// TestSaved: what was saved serves where Consul doesn't answer, and a wiped Consul is compared with it.
func TestSaved(t *testing.T) {
	o := options()
	o.DeclaredKey = "declared"
	b := newBook(o)
	b.key1("a weight=4")
	first := b.services1(at("a", "192.0.2.1", "tls=stls", "weight=3"), at("b", "192.0.2.2"), at("c", "192.0.2.3"))
	saved, err := first.Encode()
	if err != nil {
		t.Fatal(err)
	}
	const all = "a@192.0.2.1:1110* b@192.0.2.2:1110 c@192.0.2.3:1110"

	o.Saved = saved
	down := newBook(o)
	if s := down.state(); !errors.Is(s.Err, errNotAsked) || len(s.Targets) > 0 {
		t.Errorf("served before Consul was asked: %s, %v", line(s), s.Err)
	}
	down.hearServices(answer[[]*api.ServiceEntry]{err: errors.New("refused")})
	down.hearKey(answer[*api.KVPair]{err: errors.New("refused")})
	s := down.state()
	wantLine(t, s, all)
	if !s.Saved || !s.At.Equal(first.At) || s.Err.Error() != "refused" || s.Targets[0].TLS.Mode() != backend.TLSByCommand || s.Targets[0].Weight != 4 {
		t.Errorf("%+v", s)
	}
	if s = down.services1(several("x")...); s.Saved || len(s.Held) != 3 {
		t.Errorf("a wiped Consul is believed after a restart: %s", line(s))
	}

	hung := newBook(o)
	hung.useSaved()
	if s := hung.state(); !errors.Is(s.Err, errSaved) || line(s) != all {
		t.Errorf("%s %v", line(s), s.Err)
	}

	o.Defaults.TLS.Mode, o.Reserved = backend.TLSImplicit, []backend.Target{{Name: "b"}}
	o.Saved = []byte(strings.Replace(string(saved), `"tls":"stls"`, `"tls":"none"`, 1))
	other := newBook(o)
	other.useSaved()
	if s = other.state(); line(s) != "c@192.0.2.3:1110 -a" || len(s.Faults) != 2 {
		t.Errorf("under another configuration: %s %v", line(s), s.Faults)
	}

	for _, bad := range []string{"", "{", "null", "{}", string(saved[:len(saved)/2]), strings.Replace(string(saved), "pop3", "imap", 1), strings.Replace(string(saved), `["192.0.2.3:1110"]`, "[]", 1)} {
		o.Saved = []byte(bad)
		empty := newBook(o)
		empty.useSaved()
		if s := empty.state(); !errors.Is(s.Err, errNotAsked) || len(s.Targets) > 0 {
			t.Errorf("%.40q: %s %v", bad, line(s), s.Err)
		}
		if s := empty.services1(); len(s.Targets) > 0 {
			t.Errorf("%.40q: half of it was taken: %s", bad, line(s))
		}
	}
	if nothing, err := (State{}).Encode(); nothing != nil || err != nil {
		t.Errorf("%q %v", nothing, err)
	}
}

// TestMany: a list that can't be true is refused whole.
func TestMany(t *testing.T) {
	b := newBook(options())
	b.services1(at("a", "192.0.2.1"))
	s := b.services1(make([]*api.ServiceEntry, maxInstances+1)...)
	wantLine(t, s, "a@192.0.2.1:1110")
	if s.Err == nil || !strings.Contains(s.Err.Error(), "10001 instances") {
		t.Error(s.Err)
	}
	if s = b.services1(nil, at("a", "192.0.2.9")); s.Err == nil || line(s) != "a@192.0.2.1:1110" {
		t.Errorf("%s %v", line(s), s.Err)
	}
	var ways []*api.ServiceEntry
	for i := range maxAddresses + 1 {
		ways = append(ways, at(fmt.Sprint("x", i), fmt.Sprint("192.0.2.", i), "guest=g"))
	}
	if s = b.services1(ways...); !strings.Contains(s.Faults["g"], "more than 16 addresses") {
		t.Errorf("%s %v", line(s), s.Faults)
	}
}
