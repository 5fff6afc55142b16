package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestTable(t *testing.T) {
	rows := newTable("A", "LONG TITLE", "C")
	var out bytes.Buffer
	if err := rows.write(&out); err != nil || out.Len() != 0 {
		t.Errorf("a table without rows is %q, %v", out.String(), err)
	}
	rows.add("1", "", "x\ty\n")
	rows.add("", "longer than its title", "z")
	const want = "A  LONG TITLE             C\n1  -                      x?y?\n-  longer than its title  z\n"
	if err := rows.write(&out); err != nil || out.String() != want {
		t.Errorf("%v:\n%s", err, out.String())
	}
	narrow := &screen{width: 8}
	if err := rows.write(narrow); err != nil || narrow.String() != "A  LONG…\n1  -   …\n-  long…\n" {
		t.Errorf("%v:\n%s", err, narrow.String())
	}
}

func TestClean(t *testing.T) {
	for text, want := range map[string]string{
		"alice@example.com": "alice@example.com", "é 漢字": "é 漢字", "": "",
		"\x1b[31mred": "?[31mred", "a\x00b\x7fc\u009bd": "a?b?c?d", "\u202egnp\u2066.exe": "?gnp?.exe",
		"a\u2028b\u200bc\ufeffd": "a?b?c?d", "a\xffb": "a?b", "tab\tend\r\n": "tab?end??",
	} {
		if got := clean(text); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
	if got := clean(strings.Repeat("é", 1000)); len(got) > maxCell+len("…") || !strings.HasSuffix(got, "é…") {
		t.Errorf("%d octets: %q", len(got), got)
	}
}

func TestSpansAndOctets(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 999 * time.Millisecond: "0s", 59 * time.Second: "59s", time.Minute: "1m0s",
		61*time.Minute + 30*time.Second: "1h1m", 49*time.Hour + time.Minute: "2d1h",
	} {
		if got := span(d); got != want {
			t.Errorf("%v is %s, want %s", d, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 1023: "1023", 1024: "1.0KiB", 1536: "1.5KiB", 5 << 20: "5.0MiB", 1 << 62: "4.0EiB"} {
		if got := octets(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
}

func TestRemoteAddresses(t *testing.T) {
	for address, base := range map[string]string{
		"/run/a": socketBase, "./a": socketBase, "unix:a": socketBase, "unix:/run/a": socketBase,
		"127.0.0.1:9110": "http://127.0.0.1:9110", "[::1]:9110": "http://[::1]:9110", "gw1:9110": "http://gw1:9110",
		"http://gw1:9110": "http://gw1:9110", "https://gw1.example.com": "https://gw1.example.com", "https://gw1:9110/": "https://gw1:9110",
		"": "", "gw1": "", "consul:postern": "", "ftp://gw1:21": "", "http://gw1:9110/api": "", "http://user:pw@gw1:9110": "",
		"http://:9110": "", "http://gw1": "", "gw1:9110?x": "", "https://": "", "http://gw1:x": "",
	} {
		r, err := newRemote(address)
		switch {
		case base == "" && err == nil:
			t.Errorf("%q is taken as %s", address, r.base)
		case base != "" && (err != nil || r.base != base):
			t.Errorf("%q: %+v, %v", address, r, err)
		}
	}
}
