package configs

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
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

// TestExamplesAreAllLoaded: an example nobody loads rots.
func TestExamplesAreAllLoaded(t *testing.T) {
	found, err := filepath.Glob("examples/*/postern.yaml")
	want := []string{"examples/many-guests/postern.yaml", "examples/public-edge/postern.yaml", "examples/small-site/postern.yaml"}
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
