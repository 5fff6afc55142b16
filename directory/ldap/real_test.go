package ldap

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"postern/cmd/postern/realtest"
	"postern/directory"
	"postern/directory/mapfile"
	"postern/pop3"
)

const canary = "canary-Xk29-password"

func needReal(t *testing.T) {
	t.Helper()
	if os.Getenv("POSTERN_REAL") == "" {
		t.Skip("needs OpenLDAP: `make test` installs it and sets POSTERN_REAL=1")
	}
}

func startSlapd(t *testing.T, sync bool) *realtest.Slapd {
	t.Helper()
	s, err := realtest.StartSlapd(t, realtest.SlapdOptions{Sync: sync, Password: canary})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// mailboxes are the options for entries of class mailbox, which keep every octet.
func mailboxes(s *realtest.Slapd) Options {
	return Options{
		URLs: []string{s.Plain}, BindDN: s.Admin, BindPassword: pop3.NewSecret([]byte(canary)),
		Base: s.People, Filter: "(mailboxAddress={address})",
		Backend: "mailboxBackend", Login: "mailboxLogin", State: "mailboxState",
	}
}

// followed are the same for a source.
func followed(s *realtest.Slapd) Options {
	o := mailboxes(s)
	o.Filter, o.Address = "(objectClass=mailbox)", "mailboxAddress"
	return o
}

// place is a server whose entries are set as lines of a map file.
type place struct {
	*realtest.Slapd
	broken bool
	lines  string
}

func (p *place) admin(t *testing.T) *ldap.Conn {
	t.Helper()
	c, err := ldap.DialURL(p.Plain)
	if err == nil {
		err = c.Bind(p.Admin, canary)
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (p *place) Break(t *testing.T) {
	t.Helper()
	if !p.broken {
		p.Kill()
		p.broken = true
	}
}

func (p *place) Repair(t *testing.T) {
	t.Helper()
	if !p.broken {
		return
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	p.broken = false
	p.apply(t)
}

func (p *place) Set(t *testing.T, lines string) {
	t.Helper()
	p.lines = lines
	if !p.broken {
		p.apply(t)
	}
}

// apply brings the entries from what they are to what the lines say. LDAP has no transaction around
// it, so the last line comes first: the suite's faulty lines have the faulty one there.
func (p *place) apply(t *testing.T) {
	t.Helper()
	c := p.admin(t)
	defer c.Close()
	wanted := p.entries(t)
	there := p.there(t, c)
	for i := len(wanted) - 1; i >= 0; i-- {
		w := wanted[i]
		e, known := there[w.address]
		delete(there, w.address)
		var err error
		switch {
		case !known:
			err = c.Add(w.add(p.People, len(there)*1000+i))
		default:
			err = c.Modify(w.modify(e))
		}
		if err != nil {
			t.Fatalf("%q: %v", w.address, err)
		}
	}
	for _, e := range there {
		if err := c.Del(ldap.NewDelRequest(e.DN, nil)); err != nil {
			t.Fatal(err)
		}
	}
}

type wantedEntry struct {
	address string
	value   directory.Value
	login   string // as the line has it, faulty or not
}

func (p *place) entries(t *testing.T) []wantedEntry {
	t.Helper()
	var all []wantedEntry
	for line := range strings.Lines(p.lines) {
		raw := ""
		if before, after, faulty := strings.Cut(line, " login=%0D%0A"); faulty {
			line, raw = before+after, "\r\n"
		}
		table, err := mapfile.Read(strings.NewReader(line), mapfile.Options{File: "lines"})
		if err != nil {
			t.Fatal(err)
		}
		for address, v := range table.All() {
			all = append(all, wantedEntry{address, v, v.Login + raw})
		}
	}
	return all
}

func (p *place) there(t *testing.T, c *ldap.Conn) map[string]*ldap.Entry {
	t.Helper()
	r, err := c.Search(&ldap.SearchRequest{BaseDN: p.People, Scope: ldap.ScopeSingleLevel, Filter: "(objectClass=mailbox)"})
	if err != nil {
		t.Fatal(err)
	}
	there := make(map[string]*ldap.Entry)
	for _, e := range r.Entries {
		there[e.GetAttributeValue("mailboxAddress")] = e
	}
	return there
}

func (w wantedEntry) attributes() map[string]string {
	return map[string]string{"mailboxBackend": w.value.Backend, "mailboxLogin": w.login, "mailboxState": stateOf(w.value.State)}
}

func stateOf(s directory.State) string {
	if s == directory.Active {
		return ""
	}
	return s.String()
}

func (w wantedEntry) add(base string, number int) *ldap.AddRequest {
	name := fmt.Sprintf("m%d-%d", number, time.Now().UnixNano())
	r := ldap.NewAddRequest("uid="+name+","+base, nil)
	r.Attribute("objectClass", []string{"account", "mailbox"})
	r.Attribute("uid", []string{name})
	r.Attribute("mailboxAddress", []string{w.address})
	for name, value := range w.attributes() {
		if value != "" {
			r.Attribute(name, []string{value})
		}
	}
	return r
}

func (w wantedEntry) modify(e *ldap.Entry) *ldap.ModifyRequest {
	r := ldap.NewModifyRequest(e.DN, nil)
	for name, value := range w.attributes() {
		values := []string{}
		if value != "" {
			values = append(values, value)
		}
		r.Replace(name, values)
	}
	return r
}

// clean has the server answer, without an entry.
func (p *place) clean(t *testing.T) *place {
	t.Helper()
	_ = p.Thaw()
	p.Repair(t)
	p.Set(t, "\n")
	return p
}

// eventually polls for what takes a while on a busy machine.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !done(); <-time.After(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("in vain: %s", what)
		}
	}
}
