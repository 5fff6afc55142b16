package directory

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCanonical(t *testing.T) {
	for _, test := range []struct{ typed, domain, want string }{
		{"alice@example.com", "", "alice@example.com"},
		{"alice@example.com", "example.org", "alice@example.com"},
		{"Alice@EXAMPLE.com", "", "alice@example.com"},
		{"alice@example.com.", "", "alice@example.com"},
		{"alice", "", "alice"},
		{"ALICE", "", "alice"},
		{"alice", "example.com", "alice@example.com"},
		{"alice", "Example.COM", "alice@example.com"},
		{"alice%example.com", "", "alice@example.com"},
		{"alice%example.com", "example.org", "alice@example.com"},
		{"a%b%example.com", "", "a%b@example.com"},
		{"100%@example.com", "", "100%@example.com"},
		{"a@b@example.com", "", "a@b@example.com"},
		{"@a@example.com", "", "@a@example.com"},
		{"alice+tag@example.com", "", "alice+tag@example.com"},
		{"bob smith@example.com", "", "bob smith@example.com"},
		{"bob  smith", "", "bob  smith"},
		{"a..b@example.com", "", "a..b@example.com"},
		{".@example.com", "", ".@example.com"},
		{"a:b'\"<>&;#@example.com", "", "a:b'\"<>&;#@example.com"},
		{"alice@localhost", "", "alice@localhost"},
		{"alice@[192.0.2.1]", "", "alice@[192.0.2.1]"},
		{"BÜCHER@example.com", "", "bücher@example.com"},
		{"bu\u0308cher@example.com", "", "bücher@example.com"},
		{"ÅNGSTRÖM", "example.com", "ångström@example.com"},
		{"alice@BÜCHER.example", "", "alice@bücher.example"},
		{"ÉMILE zola@example.com", "", "émile zola@example.com"},
		{"Ａｌｉｃｅ＠ｅｘａｍｐｌｅ．ｃｏｍ", "", "alice@example.com"}, // full width throughout
		{"alice％example.com", "", "alice@example.com"},
		{"אליס@example.com", "", "אליס@example.com"},
		{"alice@דוגמה.example", "", "alice@דוגמה.example"},
		{strings.Repeat("a", 242) + "@example.com", "", strings.Repeat("a", 242) + "@example.com"},
	} {
		got, err := Canonical(test.typed, test.domain)
		if err != nil || got != test.want {
			t.Errorf("Canonical(%q, %q) = %q, %v, want %q", test.typed, test.domain, got, err, test.want)
		}
	}
}

// hostile are names that nobody has. Each begins or ends differently from what
// a careless reader expects.
var hostile = []string{
	"", " ", "  ", "@", "@@", "%", "@example.org", "%example.org", "＠example.org", "@example.org.",
	"alice@", "alice%", "alice@.", "alice@..", "alice@example.com..", "alice@.example.com",
	"alice@example..com", "alice@exa mple.com", "alice@ example.com", "alice@example.com ",
	" alice", "alice ", " alice@example.com", "alice @example.com", " @example.com",
	"alice\r\nDELE 1", "alice\nPASS x", "alice\r", "a\x00b", "a\x7fb", "a\tb@example.com", "\x1b[2J",
	"alice@example.com\r\n", "alice@exam\x00ple.com",
	"\xff", "alice\xc3@example.com", "\xc0\xaf@example.com", "\xed\xa0\x80@example.com",
	"al\u200bice@example.com", // zero width space
	"al\u00adice@example.com", // soft hyphen
	"alice\u202e@example.com", // right-to-left override
	"\ufeffalice@example.com", // byte order mark
	"al\u00a0ice@example.com", // no-break space
	"alice\u3000@example.com", // ideographic space
	"alice@example\u3002com",  // ideographic full stop
	"ﬁnn@example.com",         // compatibility ligature
	"Ⅷ@example.com",           // compatibility numeral
	"☃@example.com",           // symbol
	"a\u0085b@example.com",    // C1 control
	"a\u2028b@example.com",    // line separator
	"aliceא@example.com",      // two directions in one userpart
	"alice@example\u2024com",  // one dot leader
	strings.Repeat("a", 255), strings.Repeat("a", 1<<16),
	strings.Repeat("a", 243) + "@example.com", strings.Repeat("é", 128),
}

func TestCanonicalRefuses(t *testing.T) {
	for _, typed := range hostile {
		for _, domain := range []string{"", "example.com"} {
			if got, err := Canonical(typed, domain); err == nil {
				t.Errorf("Canonical(%q, %q) = %q, want an error", typed, domain, got)
			}
		}
	}
	if got, err := Canonical(strings.Repeat("a", 250), "example.com"); err == nil {
		t.Errorf("a name made too long by the default domain: %q, want an error", got)
	}
}

func TestAppendAddress(t *testing.T) {
	for _, test := range []struct{ address, want string }{
		{"Alice@Example.com", "alice@example.com"},
		{"alice", "alice@example.net"},
		{"@Example.ORG", "@example.org"},
		{"@example.org.", "@example.org"},
		{"＠example.org", "@example.org"},
		{"@bücher.example", "@bücher.example"},
		{"@a@example.org", "@a@example.org"}, // a mailbox, with an @ in its local part
		{"@", ""},
		{"@.", ""},
		{"%example.org", ""},
		{"@exa mple.org", ""},
		{"@example.org\r\n", ""},
		{"@\xff.org", ""},
		{"", ""},
	} {
		got, err := AppendAddress([]byte("kept "), []byte(test.address), "example.net")
		if test.want == "" {
			if err == nil {
				t.Errorf("AppendAddress(%q) = %q, want an error", test.address, got)
			}
		} else if err != nil || string(got) != "kept "+test.want {
			t.Errorf("AppendAddress(%q) = %q, %v, want %q", test.address, got, err, test.want)
		}
	}
}

func TestDomain(t *testing.T) {
	for name, want := range map[string]string{
		"example.com": "example.com", "Example.COM.": "example.com", "localhost": "localhost",
		"": "", ".": "", "a@b": "", "a b": "", "a..b": "", "@": "", "a\nb": "", strings.Repeat("a", 254): "",
	} {
		got, err := Domain(name)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("Domain(%q) = %q, %v, want %q", name, got, err, want)
		}
	}
}

func TestCanonicalCostsNothing(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() {
		if _, err := Canonical("alice@example.com", "example.org"); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations for a name that is canonical, want none", n)
	}
	if n := testing.AllocsPerRun(100, func() {
		if _, err := Canonical("Alice", "example.org"); err != nil {
			t.Fatal(err)
		}
	}); n != 1 {
		t.Errorf("%v allocations for a name that is not canonical, want the result's", n)
	}
}

func FuzzCanonical(f *testing.F) {
	for _, typed := range append(hostile, "alice", "a%b", "Ａ＠ｂ", "ΑΣ@example.com", "İ@example.com", "ß") {
		f.Add(typed, "example.com")
		f.Add(typed, "")
	}
	f.Fuzz(func(t *testing.T, typed, domain string) {
		if domain != "" {
			var err error
			if domain, err = Domain(domain); err != nil {
				t.Skip()
			}
		}
		name, err := Canonical(typed, domain)
		if err != nil {
			return
		}
		checkCanonical(t, name)
		if again, err := Canonical(name, domain); again != name || err != nil {
			t.Errorf("%q became %q, and that %q, %v", typed, name, again, err)
		}
		row, err := AppendAddress(nil, []byte(typed), domain)
		if typedRow := len(row) > 0 && strings.LastIndexByte(string(row), '@') == 0; err != nil || typedRow || string(row) != name {
			t.Errorf("%q is %q as typed and %q, %v as an entry", typed, name, row, err)
		}
	})
}

func checkCanonical(t *testing.T, name string) {
	t.Helper()
	if name == "" || len(name) > maxName || !utf8.ValidString(name) {
		t.Errorf("canonical form %q is empty, too long or no UTF-8", name)
	}
	for _, c := range []byte(name) {
		if c < ' ' || c == 0x7f || 'A' <= c && c <= 'Z' {
			t.Errorf("canonical form %q holds octet 0x%02x", name, c)
		}
	}
	if at := strings.LastIndexByte(name, '@'); at == 0 || at == len(name)-1 || strings.HasSuffix(name, "@.") {
		t.Errorf("canonical form %q has an empty part", name)
	}
}
