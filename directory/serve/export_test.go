package serve

import (
	"errors"
	"iter"
	"strings"
	"testing"

	"postern/backend"
	"postern/directory"
)

func entries() iter.Seq2[string, directory.Value] {
	return func(yield func(string, directory.Value) bool) {
		for _, e := range []struct {
			address string
			value   directory.Value
		}{
			{"alice@example.com", directory.Value{Backend: "guest-01", Login: "alice"}},
			{"bob@example.com", directory.Value{Backend: "guest-02"}},
			{"dave@example.com", directory.Value{Backend: "guest-01", State: directory.Suspended}},
			{"erin@example.com", directory.Value{Backend: "guest-01", State: directory.Moving}},
			{"@example.org", directory.Value{Backend: "guest-02"}},
			{"bare", directory.Value{Backend: "guest-01"}},
			{"a b@example.com", directory.Value{Backend: "guest-01"}},
			{"\"a\"@example.com", directory.Value{Backend: "guest-01"}},
			{"#a@example.com", directory.Value{Backend: "guest-01"}},
			{"lost@example.com", directory.Value{Backend: "none"}},
			{"frank@example.com", directory.Value{Backend: "deaf"}},
		} {
			if !yield(e.address, e.value) {
				return
			}
		}
	}
}

func TestExport(t *testing.T) {
	resolve := func(value string) (*backend.Target, bool) {
		t := map[string]*backend.Target{
			"guest-01": guest1, "guest-02": guest2, "deaf": {Name: "deaf", Addresses: guest1.Addresses},
		}[value]
		return t, t != nil
	}
	for format, want := range map[Format]string{
		Postfix: `alice@example.com	smtp:[192.0.2.1]:25
bob@example.com	smtp:[2001:db8::2]:25
dave@example.com	smtp:[192.0.2.1]:25
erin@example.com	retry:4.2.1 the mailbox is moving
example.org	smtp:[2001:db8::2]:25
`,
		Sendmail: `alice@example.com	smtp:[192.0.2.1]:25
bob@example.com	smtp:[2001:db8::2]:25
dave@example.com	smtp:[192.0.2.1]:25
erin@example.com	error:4.2.1:450 the mailbox is moving
@example.org	smtp:[2001:db8::2]:25
`,
	} {
		var out strings.Builder
		done, err := Export(&out, entries(), ExportOptions{Format: format, Transport: transportOf(t, ""), Resolve: resolve})
		if err != nil || out.String() != want {
			t.Errorf("%s: %v\n%s", format, err, out.String())
		}
		if done != (Exported{Written: 5, NoBackend: 2, Unwritten: 4}) {
			t.Errorf("%s: %+v", format, done)
		}
	}
	if _, err := Export(&strings.Builder{}, entries(), ExportOptions{Format: "exim", Transport: transportOf(t, ""), Resolve: resolve}); err == nil {
		t.Error("a format that isn't known is written")
	}
	full := errors.New("disk full")
	if _, err := Export(broken{full}, entries(), ExportOptions{Format: Postfix, Transport: transportOf(t, ""), Resolve: resolve}); !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
}

type broken struct{ err error }

func (b broken) Write([]byte) (int, error) { return 0, b.err }
