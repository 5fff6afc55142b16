package ldap

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"postern/cmd/postern/realtest"
	"postern/directory"
	"postern/pop3"
)

// pair starts two servers at once.
func pair(t *testing.T, sync2 bool) (first, second *place) {
	t.Helper()
	var starting sync.WaitGroup
	var servers [2]*realtest.Slapd
	var faults [2]error
	for i := range servers {
		starting.Go(func() {
			servers[i], faults[i] = realtest.StartSlapd(t, realtest.SlapdOptions{Sync: sync2, Password: canary})
		})
	}
	starting.Wait()
	if err := errors.Join(faults[:]...); err != nil {
		t.Fatal(err)
	}
	return &place{Slapd: servers[0]}, &place{Slapd: servers[1]}
}

func resolver(t *testing.T, o Options) *Resolver {
	t.Helper()
	r, err := NewResolver(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func alice() directory.Mailbox {
	return directory.Mailbox{Address: "alice@example.com", Local: "alice", Domain: "example.com"}
}

// told asks for alice, who is known.
func told(t *testing.T, r *Resolver) (backend string, err error) {
	t.Helper()
	v, err := r.Resolve(t.Context(), alice())
	if errors.Is(err, directory.ErrUnknown) {
		t.Fatalf("alice is unknown: %v", err)
	}
	if err != nil && strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), canary) {
		t.Error("the error shows the password")
	}
	return v.Backend, err
}

func TestRealWaysToConnect(t *testing.T) {
	needReal(t)
	p := &place{Slapd: startSlapd(t, false)}
	p.Set(t, "alice@example.com guest-01\n")
	for name, test := range map[string]struct {
		url   string
		start bool
		tls   TLS
		wants string // in the error; empty: it works
	}{
		"plain":                            {url: p.Plain},
		"socket":                           {url: p.Socket},
		"ldaps":                            {url: p.Secure, tls: TLS{CA: p.Authority}},
		"ldaps by name":                    {url: p.Secure, tls: TLS{CA: p.Authority, ServerName: "ldap.example.com"}},
		"ldaps under another's name":       {url: p.Secure, tls: TLS{CA: p.Authority, ServerName: "other.example.com"}, wants: "other.example.com"},
		"ldaps of an unknown authority":    {url: p.Secure, wants: "certificate"},
		"ldaps unchecked":                  {url: p.Secure, tls: TLS{InsecureSkipVerify: true}},
		"StartTLS":                         {url: p.Plain, start: true, tls: TLS{CA: p.Authority}},
		"StartTLS under another's name":    {url: p.Plain, start: true, tls: TLS{CA: p.Authority, ServerName: "other.example.com"}, wants: "other.example.com"},
		"StartTLS of an unknown authority": {url: p.Plain, start: true, wants: "certificate"},
		"ldaps where plain text is":        {url: strings.Replace(p.Plain, "ldap:", "ldaps:", 1), tls: TLS{CA: p.Authority}, wants: "speaking TLS"},
		"plain text where ldaps is":        {url: strings.Replace(p.Secure, "ldaps:", "ldap:", 1), wants: "ldap://"},
	} {
		t.Run(name, func(t *testing.T) {
			o := mailboxes(p.Slapd)
			o.URLs, o.StartTLS, o.TLS = []string{test.url}, test.start, test.tls
			backend, err := told(t, resolver(t, o))
			switch {
			case test.wants == "" && (err != nil || backend != "guest-01"):
				t.Errorf("%q, %v", backend, err)
			case test.wants != "" && (err == nil || !strings.Contains(err.Error(), test.wants)):
				t.Errorf("%q, %v; want an error with %q", backend, err, test.wants)
			}
		})
	}
}

func TestRealWrongBindPassword(t *testing.T) {
	needReal(t)
	p := &place{Slapd: startSlapd(t, false)}
	p.Set(t, "alice@example.com guest-01\n")
	o := mailboxes(p.Slapd)
	o.BindPassword = pop3.NewSecret([]byte(canary + "-not"))
	if _, err := told(t, resolver(t, o)); err == nil || !strings.Contains(err.Error(), "49") {
		t.Errorf("asked with a wrong password: %v", err)
	}
	o = followed(p.Slapd)
	o.BindPassword = pop3.NewSecret([]byte(canary + "-not"))
	if u := follow(t, o).next(); u.Err == nil || len(u.Groups) > 0 || strings.Contains(u.Err.Error(), canary) {
		t.Errorf("followed with a wrong password: %v", u)
	}
}

func TestRealWrongBase(t *testing.T) {
	needReal(t)
	o := mailboxes(startSlapd(t, false))
	o.Base = "ou=nowhere," + o.Base
	if _, err := told(t, resolver(t, o)); err == nil || !strings.Contains(err.Error(), "32") {
		t.Errorf("a base that is not there: %v", err)
	}
}

// TestRealFailover: one server crashes, later the other, later one hangs. No question is left without an answer.
func TestRealFailover(t *testing.T) {
	needReal(t)
	first, second := pair(t, false)
	first.Set(t, "alice@example.com guest-01\n")
	second.Set(t, "alice@example.com guest-02\n")
	o := mailboxes(first.Slapd)
	o.URLs = []string{first.Plain, second.Plain}
	o.Timeout = 12 * time.Second
	r := resolver(t, o)
	answers := func(want string) {
		t.Helper()
		if backend, err := told(t, r); err != nil || backend != want {
			t.Errorf("%q, %v; want %s", backend, err, want)
		}
	}
	answers("guest-01")
	first.Break(t)
	answers("guest-02")
	first.Repair(t)
	answers("guest-02") // that connection is still good
	second.Break(t)
	answers("guest-01")
	second.Repair(t)
	if err := first.Freeze(); err != nil {
		t.Fatal(err)
	}
	answers("guest-02")
	began := time.Now()
	answers("guest-02")
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("a server that hangs is not avoided: the second question took %v", took)
	}
}

func TestRealServerThatHangs(t *testing.T) {
	needReal(t)
	p := &place{Slapd: startSlapd(t, false)}
	p.Set(t, "alice@example.com guest-01\n")
	r := resolver(t, mailboxes(p.Slapd))
	if _, err := told(t, r); err != nil {
		t.Fatal(err)
	}
	if err := p.Freeze(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // on a connection that was kept, and on a new one
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		began := time.Now()
		_, err := r.Resolve(ctx, alice())
		cancel()
		if took := time.Since(began); err == nil || errors.Is(err, directory.ErrUnknown) || took > 4*time.Second {
			t.Errorf("%v after %v", err, took)
		}
	}
	if err := p.Thaw(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "an answer", func() bool { _, err := told(t, r); return err == nil })
}

// TestRealPeople: usual entries, found by what people put into filters.
func TestRealPeople(t *testing.T) {
	needReal(t)
	s := startSlapd(t, false)
	if err := s.Modify(person("alice", "alice@example.com", "guest-01") + person("bob", "bob@example.com", "guest-02") +
		"dn: uid=bob," + s.People + "\nchangetype: modify\nadd: mail\nmail: robert@example.com\n\n" +
		"dn: uid=carol," + s.People + "\nchangetype: add\nobjectClass: inetOrgPerson\ncn: c\nsn: c\nuid: carol\nmail: carol@example.com\n\n" +
		person("dave1", "dave@example.com", "guest-01") + person("dave2", "dave@example.com", "guest-01") +
		person("erin1", "erin@example.com", "guest-01") + person("erin2", "erin@example.com", "guest-02") +
		person("frank1", "frank@example.com", "g") + person("frank2", "frank@example.com", "g") + person("frank3", "frank@example.com", "g")); err != nil {
		t.Fatal(err)
	}
	o := Options{URLs: []string{s.Plain}, Base: s.Base, Backend: "MAILHOST", Login: "uid", Filter: "(&(objectClass=inetOrgPerson)(|(mail={address})(uid={address})))"}
	r := resolver(t, o)
	for address, want := range map[string]string{
		"alice@example.com":  "guest-01 alice",
		"robert@example.com": "guest-02 bob",
		"bob":                "guest-02 bob",
		"*":                  "unknown", "al*": "unknown", "*)(uid=*": "unknown", "alice)(uid=*": "unknown", `\61lice`: "unknown", "bob\x00": "unknown", "用户": "unknown",
		"carol@example.com": "no backend",
		"dave@example.com":  "login",
		"erin@example.com":  "differ",
		"frank@example.com": "more than two",
	} {
		v, err := r.Resolve(t.Context(), directory.Mailbox{Address: address})
		got := v.Backend + " " + v.Login
		switch {
		case errors.Is(err, directory.ErrUnknown):
			got = "unknown"
		case err != nil:
			got = err.Error()
		}
		if want == "login" { // the backends are the same, the logins are not
			want = "differ"
		}
		if got != want && (err == nil || !strings.Contains(got, want)) {
			t.Errorf("%q: %s, want %s", address, got, want)
		}
	}
}

func person(uid, mail, host string) string {
	return fmt.Sprintf("dn: uid=%s,ou=people,dc=example,dc=com\nchangetype: add\nobjectClass: inetOrgPerson\nobjectClass: inetLocalMailRecipient\n"+
		"cn: %[1]s\nsn: %[1]s\nuid: %[1]s\nmail: %s\nmailHost: %s\n\n", uid, mail, host)
}
