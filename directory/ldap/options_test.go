package ldap

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"postern/directory"
	"postern/pop3"
)

func good() Options {
	return Options{
		URLs: []string{"ldap://127.0.0.1:1"}, Base: "o=x", Filter: "(mail={address})", Backend: "mailHost", Login: "uid",
		BindDN: "cn=x", BindPassword: pop3.NewSecret([]byte(canary)),
	}
}

func TestOptionsThatAreRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(o *Options){
		"no url":                          func(o *Options) { o.URLs = nil },
		"url 2: want ldap://":             func(o *Options) { o.URLs = append(o.URLs, "http://127.0.0.1") },
		"url 1: it is no url":             func(o *Options) { o.URLs[0] = "ldap://[" + canary },
		"url 1: a user in it":             func(o *Options) { o.URLs[0] = "ldap://x:" + canary + "@127.0.0.1" },
		"url 1: no host":                  func(o *Options) { o.URLs[0] = "ldap:///o=x" },
		"url 1: more than a host":         func(o *Options) { o.URLs[0] = "ldap://127.0.0.1/o=x?uid" },
		"url 1: want ldapi:// and":        func(o *Options) { o.URLs[0] = "ldapi://socket" },
		"scope \"all\"":                   func(o *Options) { o.Scope = "all" },
		"base \"nonsense\"":               func(o *Options) { o.Base = "nonsense" },
		"no attribute for the backend":    func(o *Options) { o.Backend = "" },
		"\"*\" is no attribute":           func(o *Options) { o.Login = "*" },
		"\"a b\" is no attribute":         func(o *Options) { o.State = "a b" },
		"go together":                     func(o *Options) { o.BindPassword = pop3.Secret{} },
		"and bind_password go together":   func(o *Options) { o.BindDN = "" },
		"reading the authority":           func(o *Options) { o.TLS.CA = file + "x" },
		"holds no certificate":            func(o *Options) { o.TLS.CA = file },
		"reading the client certificate":  func(o *Options) { o.TLS.Cert = file },
		"filter \"\": without {address}":  func(o *Options) { o.Filter = "" },
		"filter \"(mail=x)\": without":    func(o *Options) { o.Filter = "(mail=x)" },
		"only {address}, {local}":         func(o *Options) { o.Filter = "(mail={user})" },
		"a } without a {":                 func(o *Options) { o.Filter = "(mail=x}{address})" },
		"only {address}, {local} and":     func(o *Options) { o.Filter = "(mail={address)" },
		"unexpected end of filter":        func(o *Options) { o.Filter = "(mail={address}" },
		"finished compiling filter":       func(o *Options) { o.Filter = "(mail={address}))" },
		"does not start with":             func(o *Options) { o.Filter = "mail={address}" },
		"behind a = only":                 func(o *Options) { o.Filter = "({local}=x)" },
		"a mailbox can stand behind":      func(o *Options) { o.Filter = "(&(uid={local})(mail:{domain}:=x))" },
		"a mailbox can stand behind a = ": func(o *Options) { o.Filter = "(|(uid={local})({domain}=x))" },
	} {
		o := good()
		change(&o)
		_, err := NewResolver(o)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), canary) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestOptionsOfASourceThatAreRefused(t *testing.T) {
	for want, change := range map[string]func(o *Options){
		"no place for a mailbox": func(o *Options) { o.Filter = "(mail={address})" },
		"default domain":         func(o *Options) { o.DefaultDomain = "a b" },
		"filter":                 func(o *Options) { o.Filter = "(mail=" },
		"is no attribute":        func(o *Options) { o.Address = "mail)" },
		"no url":                 func(o *Options) { o.URLs = nil },
	} {
		o := good()
		o.Filter = ""
		change(&o)
		if _, err := NewSource(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestNothingShowsThePassword(t *testing.T) {
	o := good()
	r, err := NewResolver(o)
	if err != nil {
		t.Fatal(err)
	}
	o.Filter = ""
	s, err := NewSource(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []any{o, r, s, *s, s.dialer, *s.dialer} {
		for _, form := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
			if text := fmt.Sprintf(form, shown); strings.Contains(text, canary) || strings.Contains(text, fmt.Sprintf("%x", canary)) {
				t.Errorf("%s of %T shows it", form, shown)
			}
		}
	}
}

func TestURLs(t *testing.T) {
	for text, want := range map[string]string{
		"ldap://ldap1":                   "tcp ldap1:389 ldap1",
		"ldaps://ldap1/":                 "tcp ldap1:636 ldap1",
		"ldap://[::1]:3890":              "tcp [::1]:3890 ::1",
		"ldapi://":                       "unix /var/run/slapd/ldapi ",
		"ldapi:///":                      "unix /var/run/slapd/ldapi ",
		"ldapi:///run/ldapi":             "unix /run/ldapi ",
		"ldapi://%2Frun%2Fa%20b%2Fldapi": "unix /run/a b/ldapi ",
	} {
		s, err := newServer(text)
		if err != nil || s.network+" "+s.address+" "+s.host != want {
			t.Errorf("%s: %+v, %v", text, s, err)
		}
	}
}

// FuzzFilter: whatever a mailbox is called, the filter asks for that and nothing else.
func FuzzFilter(f *testing.F) {
	for _, name := range []string{"alice", "*", "*)(uid=*", "a\x00b", `\2a`, "(", ")", "{address}", "\xff", "münchen"} {
		f.Add(name, "example.com")
	}
	t1, err := newTemplate("(&(objectClass=x)(|(mail={address})(uid={local})(cn={local}@*)(!(dc={domain}))))")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, local, domain string) {
		filter, ok := t1.fill(directory.Mailbox{Address: local + "@" + domain, Local: local, Domain: domain})
		if ok != (local != "" && domain != "") {
			t.Fatalf("%q, %q: %v", local, domain, ok)
		}
		if !ok {
			return
		}
		p, err := ldap.CompileFilter(filter)
		if err != nil {
			t.Fatal(err)
		}
		or := p.Children[1]
		got := fmt.Sprintf("%d %d %q %q %q %q", len(p.Children), len(or.Children), or.Children[0].Children[1].Data, or.Children[1].Children[1].Data,
			or.Children[2].Children[1].Children[0].Data, or.Children[3].Children[0].Children[1].Data)
		if want := fmt.Sprintf("2 4 %q %q %q %q", local+"@"+domain, local, local+"@", domain); got != want {
			t.Errorf("%q: %s, want %s", filter, got, want)
		}
	})
}
