package tls

import (
	"crypto/tls"
	"errors"
	"slices"
	"strings"
	"testing"

	"postern/proxy/tls/tlstest"
)

func TestVersions(t *testing.T) {
	source := written(t, "mail.example.com")
	for _, c := range []struct {
		forAll, own string
		client      uint16
		want        string // empty: refused
	}{
		{"", "", tls.VersionTLS10, ""},
		{"", "", tls.VersionTLS11, ""},
		{"", "", tls.VersionTLS12, "1.2"},
		{"", "", tls.VersionTLS13, "1.3"},
		{"1.2", "", tls.VersionTLS11, ""},
		{"1.3", "", tls.VersionTLS12, ""},
		{"1.3", "", tls.VersionTLS13, "1.3"},
		{"1.3", "1.2", tls.VersionTLS12, "1.2"},
		{"1.2", "1.3", tls.VersionTLS12, ""},
		{"", "1.0", tls.VersionTLS10, "1.0"},
		{"", "1.1", tls.VersionTLS10, ""},
		{"1.3", "1.1", tls.VersionTLS11, "1.1"},
		{"", "1.0", tls.VersionTLS13, "1.3"},
	} {
		f := front(t, Options{
			Certificates: []Source{source}, MinVersion: c.forAll,
			Listeners: []ListenerOptions{{Name: one, MinVersion: c.own}},
		})
		client := trusting("mail.example.com")
		client.MinVersion, client.MaxVersion = tls.VersionTLS10, c.client
		o := shake(t, f.Config(one), client)
		switch {
		case c.want == "" && o.clientErr == nil:
			t.Errorf("%+v: served with %s", c, StateOf(o.server).Version)
		case c.want == "" && !strings.Contains(o.clientErr.Error(), "protocol version"):
			t.Errorf("%+v: refused, but with %v", c, o.clientErr)
		case c.want != "" && (o.clientErr != nil || StateOf(o.server).Version != c.want):
			t.Errorf("%+v: %v, %s", c, o.clientErr, StateOf(o.server).Version)
		}
	}
}

// TestOldVersionsWarn: below 1.2 is for one listener only, and not without a word.
func TestOldVersionsWarn(t *testing.T) {
	source := written(t, "mail.example.com")
	log := &lines{}
	front(t, Options{Certificates: []Source{source}, Logger: log.logger(), Listeners: []ListenerOptions{
		{Name: "pop"}, {Name: "scanners", MinVersion: "1.0"},
	}})
	log.wantRecord(t, "level=WARN", "listener=scanners", "RFC 8996", "min_version=1.0")
}

// TestSuites offers one suite at a time with TLS 1.2.
func TestSuites(t *testing.T) {
	cert, key := tlstest.SelfSigned(t, tlstest.Leaf{Names: []string{"mail.example.com"}, RSA: true})
	sources := []Source{written(t, "mail.example.com"), placed(t, cert, key)}
	all := slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites())
	for _, own := range []string{"", "1.0"} {
		f := front(t, Options{Certificates: sources, Listeners: []ListenerOptions{{Name: one, MinVersion: own}}})
		var served []uint16
		for _, suite := range all {
			if !slices.Contains(suite.SupportedVersions, tls.VersionTLS12) {
				continue
			}
			client := trusting("mail.example.com")
			client.MaxVersion, client.CipherSuites = tls.VersionTLS12, []uint16{suite.ID}
			if o := shake(t, f.Config(one), client); o.clientErr == nil {
				served = append(served, o.server.CipherSuite)
			}
		}
		want := slices.Clone(modernSuites)
		if own != "" {
			want = append(want, oldSuites...)
		}
		slices.Sort(served)
		slices.Sort(want)
		if !slices.Equal(served, want) {
			t.Errorf("min_version %q: served %x, want %x", own, served, want)
		}
	}
}

func TestCurves(t *testing.T) {
	source := written(t, "mail.example.com")
	for _, c := range []struct {
		allowed []string
		offered []tls.CurveID
		want    string // empty: refused
	}{
		{nil, nil, "X25519MLKEM768"}, // of all that both have
		{nil, []tls.CurveID{tls.CurveP521}, "P-521"},
		{[]string{"X25519"}, nil, "X25519"},
		{[]string{"P-256", "P-384"}, []tls.CurveID{tls.CurveP384, tls.X25519}, "P-384"},
		{[]string{"X25519"}, []tls.CurveID{tls.CurveP256}, ""},
		{[]string{"X25519MLKEM768", "P-256"}, []tls.CurveID{tls.X25519, tls.CurveP256}, "P-256"},
	} {
		f := front(t, Options{Certificates: []Source{source}, Curves: c.allowed})
		client := trusting("mail.example.com")
		client.CurvePreferences = c.offered
		o := shake(t, f.Config(one), client)
		if got := StateOf(o.server).KeyExchange; (o.clientErr != nil) != (c.want == "") || got != c.want {
			t.Errorf("%+v: %q, %v", c, got, o.clientErr)
		}
	}
}

// TestALPN: a client that offers a list must offer POP3; one that offers none is served.
func TestALPN(t *testing.T) {
	f := front(t, Options{Certificates: []Source{written(t, "mail.example.com")}})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, c := range []struct {
			offered []string
			want    string // "-": refused
		}{
			{nil, ""},
			{[]string{"pop3"}, "pop3"},
			{[]string{"imap", "pop3"}, "pop3"},
			{[]string{"h2", "http/1.1"}, "-"},
			{[]string{"http/1.1"}, "-"},
			{[]string{"imap"}, "-"},
			{[]string{"POP3"}, "-"}, // names of protocols are octets
		} {
			client := trusting("mail.example.com")
			client.NextProtos, client.MaxVersion = c.offered, version
			o := shake(t, f.Config(one), client)
			switch {
			case c.want == "-" && (o.clientErr == nil || !strings.Contains(o.clientErr.Error(), "no application protocol")):
				t.Errorf("%x %q: %v", version, c.offered, o.clientErr)
			case c.want != "-" && (o.clientErr != nil || o.client.NegotiatedProtocol != c.want):
				t.Errorf("%x %q: %q, %v", version, c.offered, o.client.NegotiatedProtocol, o.clientErr)
			}
		}
	}
}

// TestOwnProtocols: the admin page is no POP3.
func TestOwnProtocols(t *testing.T) {
	f := front(t, Options{
		Certificates: []Source{written(t, "mail.example.com")},
		Listeners:    []ListenerOptions{{Name: one, Protocols: []string{"h2", "http/1.1"}}},
	})
	client := trusting("mail.example.com")
	client.NextProtos = []string{"http/1.1"}
	if o := shake(t, f.Config(one), client); o.client.NegotiatedProtocol != "http/1.1" {
		t.Errorf("%q, %v", o.client.NegotiatedProtocol, o.clientErr)
	}
}

// TestAllFaultsAtOnce: who checks a configuration wants them all, with their place.
func TestAllFaultsAtOnce(t *testing.T) {
	good := written(t, "mail.example.com")
	_, err := New(Options{
		Certificates: []Source{good, {Cert: "/nowhere/cert.pem", Key: good.Key}},
		MinVersion:   "1.1",
		Curves:       []string{"P-257\n"},
		TicketKeys:   "/nowhere/ticket.keys",
		Listeners: []ListenerOptions{
			{Name: "a"},
			{Name: "b", MinVersion: "1.4", Certificates: []Source{{Dir: "/nowhere/certs.d"}}},
			{Name: "c", ClientCA: "/nowhere/ca.pem", MinVersion: "1.2"},
			{Name: "c"},
		},
	})
	faults, ok := errors.AsType[Faults](err)
	if !ok {
		t.Fatalf("%T: %v", err, err)
	}
	var places []string
	for _, f := range faults {
		places = append(places, f.Listener+" "+f.Key)
		if strings.Contains(f.Error(), "\n") {
			t.Errorf("two lines: %q", f.Error())
		}
	}
	want := []string{
		" ticket_keys", " certificates[1]",
		"a min_version", " curves",
		"b min_version", "b certificates[0]",
		"c client_ca", "c name",
	}
	if !slices.Equal(places, want) {
		t.Errorf("faults in %q\nwant      %q\n%v", places, want, err)
	}
}

func TestOptionFaults(t *testing.T) {
	good := written(t, "mail.example.com")
	for what, o := range map[string]Options{
		"1.2":                  {MinVersion: "1.0", Certificates: []Source{good}},
		"want 1.0, 1.1, 1.2":   {MinVersion: "TLSv1.2", Certificates: []Source{good}},
		"none of these is for": {Curves: []string{"X25519MLKEM768"}, Certificates: []Source{good}},
		"no certificate":       {},
	} {
		o.Listeners = []ListenerOptions{{Name: one}}
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("want %q: %v", what, err)
		}
	}
	if _, err := New(Options{}); err != nil {
		t.Errorf("without listeners: %v", err)
	}
	hybrid := Options{Curves: []string{"X25519MLKEM768"}, MinVersion: "1.3", Certificates: []Source{good}}
	if front(t, hybrid).Config("another") != nil {
		t.Error("a configuration for a listener that isn't there")
	}
}
