package ldap

import (
	"testing"
	"time"

	"postern/directory"
	"postern/directory/directorytest"
)

// oneGroup has the suite's lines in one group: it wants a fault to hold back what changed beside it.
func oneGroup(t *testing.T, o Options) *Source {
	t.Helper()
	s, err := NewSource(o)
	if err != nil {
		t.Fatal(err)
	}
	s.parts = 1
	return s
}

func TestRealConformanceOfFollowing(t *testing.T) {
	needReal(t)
	p := &place{Slapd: startSlapd(t, true)}
	directorytest.Run(t, func(t *testing.T) (directory.Source, directorytest.Site) {
		return oneGroup(t, followed(p.Slapd)), p.clean(t)
	})
}

func TestRealConformanceOfSearching(t *testing.T) {
	needReal(t)
	p := &place{Slapd: startSlapd(t, false)}
	directorytest.Run(t, func(t *testing.T) (directory.Source, directorytest.Site) {
		o := followed(p.Slapd)
		o.Interval = 100 * time.Millisecond
		return oneGroup(t, o), p.clean(t)
	})
}

func TestRealConformanceOfAsking(t *testing.T) {
	needReal(t)
	p := &place{Slapd: startSlapd(t, false)}
	directorytest.RunResolver(t, canary, func(t *testing.T) (directory.Resolver, directorytest.AskedSite) {
		r, err := NewResolver(mailboxes(p.Slapd))
		if err != nil {
			t.Fatal(err)
		}
		return r, p.clean(t)
	})
}
