package mapfile

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"postern/directory"
)

func to(v directory.Value) Change {
	return func(directory.Value, bool) (directory.Value, error) { return v, nil }
}

func TestRewrite(t *testing.T) {
	moved := directory.Value{Backend: "guest-09", Login: "a b", State: directory.Moving}
	for _, test := range []struct {
		name, before, after string
		existed             bool
	}{
		{"a line in the middle", "# head\na@x g1\nalice@example.com\tguest-01  # VIP\nb@x g2\n",
			"# head\na@x g1\nalice@example.com\tguest-09 login=a%20b state=moving  # VIP\nb@x g2\n", true},
		{"line ends of Windows", "a@x g1\r\nALICE@example.com guest-01\r\n", "a@x g1\r\nALICE@example.com guest-09 login=a%20b state=moving\r\n", true},
		{"no end", "alice guest-01", "alice guest-09 login=a%20b state=moving", true},
		{"a popmap line", "alice: a2@guest-01:110\n", "alice@example.com guest-09 login=a%20b state=moving\n", true},
		{"a mark at the beginning", "\xef\xbb\xbfalice guest-01\n", "\xef\xbb\xbfalice guest-09 login=a%20b state=moving\n", true},
		{"escaped", "%61lice  guest-01 #x\n", "%61lice  guest-09 login=a%20b state=moving #x\n", true},
		{"not there", "a@x g1\r\n", "a@x g1\r\nalice@example.com guest-09 login=a%20b state=moving\r\n", false},
		{"not there, no end", "a@x g1", "a@x g1\nalice@example.com guest-09 login=a%20b state=moving\n", false},
		{"nothing there", "", "alice@example.com guest-09 login=a%20b state=moving\n", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := Options{File: "f", DefaultDomain: "example.com"}
			var got bytes.Buffer
			r, err := Rewrite(&got, strings.NewReader(test.before), o, "alice@example.com", to(moved))
			if err != nil || got.String() != test.after || r.Existed != test.existed || !r.Changed {
				t.Fatalf("%q, %+v, %v", got.String(), r, err)
			}
			if r.Existed != (r.Before.Backend == "guest-01" || r.Before.Backend == "guest-01:110") {
				t.Errorf("before: %+v", r.Before)
			}
			table, err := Read(bytes.NewReader(got.Bytes()), o)
			if v, _ := table.Get("alice@example.com"); err != nil || v != moved {
				t.Errorf("read again: %+v, %v", v, err)
			}
			again := got.String()
			got.Reset()
			if r, err := Rewrite(&got, strings.NewReader(again), o, "alice@example.com", to(moved)); err != nil || r.Changed || got.String() != again {
				t.Errorf("once more: %+v, %v, %q", r, err, got.String())
			}
		})
	}
}

func TestRewriteRefuses(t *testing.T) {
	full := errors.New("full")
	for _, test := range []struct {
		name, text, want string
		change           Change
	}{
		{"a faulty line", "alice guest-01\nbob\n", "f:2:4: no backend behind the address", to(directory.Value{Backend: "g"})},
		{"an address twice", "alice g\nALICE h\n", "f:2:1: alice has an entry already, in line 1", to(directory.Value{Backend: "g"})},
		{"an address that is none", "a@ g\n", "f:1:1: nothing behind the @", to(directory.Value{Backend: "g"})},
		{"a line without end", "alice g\n" + strings.Repeat("x", 100_000), "the line is longer", to(directory.Value{Backend: "g"})},
		{"no backend", "alice g\n", "the entry of alice: no backend", to(directory.Value{})},
		{"two lines in a login", "alice g\n", "control octets", to(directory.Value{Backend: "g", Login: "a\r\nb"})},
		{"the change itself", "", "full", func(directory.Value, bool) (directory.Value, error) { return directory.Value{}, full }},
	} {
		var got bytes.Buffer
		_, err := Rewrite(&got, strings.NewReader(test.text), Options{File: "f"}, "alice", test.change)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", test.name, err, test.want)
		}
	}
}
