package configs

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestExampleSmallSite(t *testing.T) {
	c, err := Load("examples/small-site/postern.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if got := names(c); got != "old-mail=local new-mail=local" || c.Backends.Static[0].Address[0] != "192.0.2.21:110" {
		t.Errorf("got %s", got)
	}
	checkExampleMap(t, c)
}

func TestExampleManyGuests(t *testing.T) {
	t.Setenv("POSTERN_PROBE", "203.0.113.7")
	c, err := Load("examples/many-guests/postern.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := "lobby=mailbox guest-001=mailbox guest-002=mailbox guest-003=mailbox guest-101=mailbox guest-102=local"
	if got := names(c); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	checkExampleMap(t, c)
}

func TestExamplePublicEdge(t *testing.T) {
	t.Setenv("POSTERN_ANNA", sampleToken)
	t.Setenv("POSTERN_WATCH", strings.ToUpper(sampleToken))
	c, err := Load("examples/public-edge/postern.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range c.Listeners {
		got = append(got, fmt.Sprintf("%s %s %s %d", l.Name, l.TLS, c.MinVersionFor(l), len(c.CertificatesFor(l))))
	}
	want := []string{"pop  1.2 2", "pops implicit 1.2 2", "balanced implicit 1.2 2", "old-scanners implicit 1.0 1", "devices implicit 1.3 2"}
	if !slices.Equal(got, want) || c.Auth.Plaintext != PlaintextNever {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	checkExampleMap(t, c)
}

func TestExampleConsulSite(t *testing.T) {
	t.Setenv("POSTERN_CONSUL_TOKEN", "secret")
	c := loadExample(t, "consul-site", "guest-01=mailbox guest-02=mailbox guest-03=mailbox")
	if s := c.Directory.Sources[0]; s.Type != SourceConsul || s.Prefix != "postern/directory" || s.Token.Reveal() != "secret" {
		t.Errorf("the source is %+v", s)
	}
	if c.Backends.Static[0].Weight != 2 || c.Directory.Socketmap[0].Transport != "lmtp:inet:[{host}]:{lmtp}" {
		t.Errorf("got %+v, %+v", c.Backends.Static[0], c.Directory.Socketmap[0])
	}
}

func TestExampleSQLSite(t *testing.T) {
	t.Setenv("POSTERN_DB_PASSWORD", "secret")
	c := loadExample(t, "sql-site", "guest-01=mailbox guest-02=mailbox")
	s := c.Directory.Sources[1]
	if s.Driver != DriverPostgres || !strings.Contains(s.DSN.Reveal(), ":secret@db.example.com/") || s.Listen != "postern" || s.Stale != 72*time.Hour {
		t.Errorf("the source is %+v", s)
	}
	checkExampleMap(t, c)
}

func TestExampleLDAPSite(t *testing.T) {
	t.Setenv("POSTERN_LDAP_PASSWORD", "secret")
	c := loadExample(t, "ldap-site", "staff=mailbox students=mailbox lobby=typed")
	people, projects := c.Directory.Sources[0], c.Directory.Sources[1]
	if people.Mode != LDAPFollow || !people.StartTLS || projects.Mode != LDAPAsk || c.Directory.Unknown.Backend() != "lobby" {
		t.Errorf("the sources are %+v", c.Directory.Sources)
	}
}

func TestExampleBehindNginx(t *testing.T) {
	t.Setenv("POSTERN_SERVICE_KEY", "secret")
	t.Setenv("POSTERN_NGINX_KEY", "another")
	c := loadExample(t, "behind-nginx", "guest-01=typed guest-02=typed")
	if s := c.Directory.Sources[1]; s.Type != SourceAuthHTTP || s.Headers[0].Value.Reveal() != "secret" || len(s.URLs) != 2 {
		t.Errorf("the source is %+v", s)
	}
	if c.Directory.AuthHTTP[0].Key.Reveal() != "another" || c.Backends.Static[0].Ports.IMAP != 143 || c.Backends.Static[1].Ports.IMAP != 1143 {
		t.Errorf("got %+v, %+v", c.Directory.AuthHTTP, c.Backends.Static)
	}
	checkExampleMap(t, c)
}

// loadExample expects an example's backends and their logins.
func loadExample(t *testing.T, name, want string) *Config {
	t.Helper()
	c, err := Load("examples/" + name + "/postern.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if got := names(c); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	return c
}

// TestExamplesAreAllLoaded: an example nobody loads rots.
func TestExamplesAreAllLoaded(t *testing.T) {
	found, err := filepath.Glob("examples/*/postern.yaml")
	var want []string
	for _, name := range []string{"behind-nginx", "consul-site", "ldap-site", "many-guests", "public-edge", "small-site", "sql-site"} {
		want = append(want, "examples/"+name+"/postern.yaml")
	}
	if err != nil || !slices.Equal(found, want) {
		t.Errorf("found %v, %v", found, err)
	}
}

// checkExampleMap reads just enough of a map file to see that its backends exist.
func checkExampleMap(t *testing.T, c *Config) {
	t.Helper()
	known := map[string]bool{}
	for _, b := range c.Backends.Static {
		known[string(b.Name)] = true
		for _, alias := range b.Aliases {
			known[string(alias)] = true
		}
	}
	text, err := os.ReadFile(string(c.Directory.Sources[0].Path))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		backend := strings.Fields(line)[1]
		if !known[backend] && !strings.HasPrefix(backend, "10.20.") {
			t.Errorf("no backend is called %s", backend)
		}
	}
}
