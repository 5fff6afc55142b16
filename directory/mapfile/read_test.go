package mapfile

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"postern/directory"
)

func TestFaultsAreCountedBeyondTheFirst(t *testing.T) {
	var text strings.Builder
	for i := range 30 {
		fmt.Fprintf(&text, "user%d\n", i)
	}
	fmt.Fprint(&text, "alice g\nalice g\n")
	_, err := entries(t, text.String())
	var faults *Faults
	if !errors.As(err, &faults) || len(faults.List) != maxFaults || faults.More != 11 {
		t.Fatalf("%v", err)
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != maxFaults+1 || lines[19] != "m.map:20:7: no backend behind the address" || lines[20] != "m.map: and 11 more" {
		t.Errorf("%v", err)
	}
}

func TestKnows(t *testing.T) {
	asked := make(map[string]int)
	knows := func(value string) bool { asked[value]++; return strings.HasPrefix(value, "guest") }
	text := "alice guest-01\nbob  elsewhere\ncarol guest-01\n@example.org: x@nowhere:110\ndave elsewhere\n"
	table, err := Read(strings.NewReader(text), Options{File: "m.map", Knows: knows})
	want := `m.map:2:6: mailbox bob: backend "elsewhere" is not configured
m.map:4:17: mailbox @example.org: backend "nowhere:110" is not configured
m.map:5:6: mailbox dave: backend "elsewhere" is not configured`
	if table != nil || err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	for value, times := range asked {
		if times != 1 {
			t.Errorf("%s was asked for %d times", value, times)
		}
	}
}

// TestReadIsWholeWhateverTheChunks: the text comes in pieces of one octet, and a
// reader's error is never a shorter file.
func TestReadIsWholeWhateverTheChunks(t *testing.T) {
	text := "alice guest-01\r\n\n# x\nbob: b@guest-02\n"
	table, err := Read(seeker{iotest.OneByteReader(strings.NewReader(text))}, Options{})
	if err != nil || table.Len() != 2 {
		t.Errorf("octet by octet: %v, %v", table.Len(), err)
	}
	failing := io.MultiReader(strings.NewReader(text), iotest.ErrReader(io.ErrUnexpectedEOF))
	if table, err := Read(seeker{failing}, Options{}); !errors.Is(err, io.ErrUnexpectedEOF) || table != nil {
		t.Errorf("a reader that fails: %v, %v", table, err)
	}
}

type seeker struct{ io.Reader }

func (seeker) Seek(int64, int) (int64, error) { return 0, errors.ErrUnsupported }

func TestDuplicatesThatCannotBeFoundAgain(t *testing.T) {
	if _, err := Read(seeker{strings.NewReader("a g\na g\n")}, Options{}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("%v, want the reader's error", err)
	}
}

func TestAppend(t *testing.T) {
	for want, e := range map[string]struct {
		address string
		value   directory.Value
	}{
		"alice@example.com guest-01":                     {"alice@example.com", directory.Value{Backend: "guest-01"}},
		"@example.org g login={local} state=suspended":   {"@example.org", directory.Value{Backend: "g", Login: "{local}", State: directory.Suspended}},
		"%23a%25%3A [2001:db8::1]:110 login=a%20%23=%25": {"#a%:", directory.Value{Backend: "[2001:db8::1]:110", Login: "a #=%"}},
	} {
		if got := string(Append([]byte("> "), e.address, e.value)); got != "> "+want {
			t.Errorf("%+v is written %q, want %q", e, got, want)
		}
	}
}

// TestOnly: what is passed over is still read, or a file would be good for one lookup
// and broken for the next.
func TestOnly(t *testing.T) {
	text := "alice guest-01\nBob guest-02\ncarol guest-03\n@example.com guest-04\n@example.org guest-05\n"
	only := []string{"bob@example.com", "@example.com"}
	read := func(text string) (*directory.Table, error) {
		return Read(strings.NewReader(text), Options{File: "m.map", DefaultDomain: "example.com", Only: only})
	}
	table, err := read(text)
	if err != nil || table.Len() != 2 {
		t.Fatalf("%d entries, %v", table.Len(), err)
	}
	for address, want := range map[string]string{"bob@example.com": "guest-02", "@example.com": "guest-04"} {
		if v, _ := table.Get(address); v.Backend != want {
			t.Errorf("%s is at %q, want %s", address, v.Backend, want)
		}
	}
	for _, broken := range []string{"dave\n", "a@b@ guest-01\n", "bob guest-03\n"} {
		if _, err := read(text + broken); err == nil || !strings.Contains(err.Error(), "m.map:6:") {
			t.Errorf("%q is let through: %v", broken, err)
		}
	}
}
