package tls

import (
	"context"
	"crypto/x509"
	"log/slog"
	"slices"
	"time"
)

const day = 24 * time.Hour

// Info describes a certificate that serves.
type Info struct {
	Listener  string   // empty: it is of those that listeners share
	Path      string   // of its file
	Names     []string // what it is for: host names and addresses
	NotBefore time.Time
	NotAfter  time.Time
	Default   bool   // it answers clients that ask for no name, or for one nobody has
	Problem   string // why it is not what its file holds now; empty: it is
}

func describe(listener string, slots []*slot) []Info {
	var all []Info
	for _, one := range slots {
		if one.serving == nil {
			continue
		}
		leaf := one.serving.Leaf
		info := Info{
			Listener: listener, Path: one.cert, Names: names(leaf),
			NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter, Default: all == nil,
		}
		if one.trouble != nil {
			info.Problem = one.trouble.Error()
		}
		all = append(all, info)
	}
	return all
}

func names(leaf *x509.Certificate) []string {
	all := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		all = append(all, ip.String())
	}
	return all
}

// due says whether to speak of a certificate's end, and how loudly. What is renewed in
// its last third, as is the custom, is not spoken of before: of a certificate
// for six days there would be a record each day.
func (i Info) due(now time.Time) (slog.Level, bool) {
	left := i.NotAfter.Sub(now)
	switch lifetime := i.NotAfter.Sub(i.NotBefore); {
	case left > 30*day, left > lifetime/3:
		return 0, false
	case left > 7*day:
		return slog.LevelInfo, true
	case left > day:
		return slog.LevelWarn, true
	}
	return slog.LevelError, true
}

// remind writes a record for each certificate whose end is near. It is called once a day.
func (f *Front) remind(now time.Time) {
	for _, c := range f.Certificates() {
		level, due := c.due(now)
		if !due {
			continue
		}
		message := "a certificate expires soon"
		if now.After(c.NotAfter) {
			message = "a certificate has expired"
		}
		f.log.Log(context.Background(), level, message, "path", c.Path, "names", c.Names,
			"not_after", c.NotAfter.UTC(), "days", int(c.NotAfter.Sub(now)/day))
	}
}
