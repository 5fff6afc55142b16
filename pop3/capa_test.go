package pop3

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

func readCapabilities(t *testing.T, list string) Capabilities {
	t.Helper()
	var r CapabilityReader
	for line := range strings.SplitSeq(list, "\n") {
		done, err := r.Take([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		if done {
			break
		}
	}
	return r.Capabilities()
}

func TestCapabilitiesAppendSASL(t *testing.T) {
	for _, c := range []struct {
		capa Capabilities
		want string
	}{
		{Capabilities{STLS: true}, "STLS\r\n"},
		{Capabilities{SASL: []Mechanism{}}, ""},
		{Capabilities{SASL: []Mechanism{PLAIN}}, "SASL PLAIN\r\n"},
		{Capabilities{Top: true, STLS: true, SASL: []Mechanism{PLAIN, LOGIN}}, "TOP\r\nSTLS\r\nSASL PLAIN LOGIN\r\n"},
		{Capabilities{SASL: mechanisms[:]}, "SASL PLAIN LOGIN XOAUTH2 OAUTHBEARER\r\n"},
	} {
		want := "+OK Capability list follows\r\n" + c.want + ".\r\n"
		if got := string(c.capa.Append(nil)); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestCapabilityReader(t *testing.T) {
	for _, c := range []struct {
		name, list string
		want       Capabilities
	}{
		{"none", ".", Capabilities{}},
		{"RFC 5034, section 6", "SASL PLAIN DIGEST-MD5 GSSAPI ANONYMOUS\nIMPLEMENTATION BlurdyBlurp POP3 server\n.",
			Capabilities{SASL: []Mechanism{PLAIN}}},
		{"RFC 5034, section 6, before TLS", "SASL DIGEST-MD5 GSSAPI ANONYMOUS\nSTLS\n.", Capabilities{STLS: true}},
		{"RFC 2449, section 5", "TOP\nUSER\nSASL CRAM-MD5 KERBEROS_V4\nRESP-CODES\nLOGIN-DELAY 900\nPIPELINING\nEXPIRE 60\nUIDL\nIMPLEMENTATION Shlemazle-Plotz-v302\n.",
			Capabilities{Top: true, User: true, RespCodes: true, Pipelining: true, UIDL: true}},
		{"Dovecot", "CAPA\nTOP\nUIDL\nRESP-CODES\nPIPELINING\nAUTH-RESP-CODE\nSTLS\nUSER\nSASL PLAIN LOGIN XOAUTH2 OAUTHBEARER\n.",
			Capabilities{true, true, true, true, true, true, true, mechanisms[:]}},
		{"any case", "top\nuidl\nuser\nresp-codes\nauth-resp-code\npipelining\nstls\nsasl plain Login\n.",
			Capabilities{true, true, true, true, true, true, true, []Mechanism{PLAIN, LOGIN}}},
		{"spaces", "TOP \nUIDL x\nSASL  PLAIN   LOGIN \n.", Capabilities{Top: true, UIDL: true, SASL: []Mechanism{PLAIN, LOGIN}}},
		{"twice", "TOP\nTOP\nSASL PLAIN PLAIN LOGIN\nSASL LOGIN XOAUTH2\n.", Capabilities{Top: true, SASL: []Mechanism{PLAIN, LOGIN, XOAUTH2}}},
		{"not asked for", "UTF8 USER\nLANG\nX-TOP\nEXPIRE NEVER\nSASL\nSASL \n.", Capabilities{}},
		{"almost", "TO\nTOPP\n TOP\nTOP\t\nSASL-PLAIN\nSASLPLAIN\nUIDL\x00\nU\u017fER\nPIPELINING,UIDL\n\n..\n. \n.", Capabilities{}},
	} {
		if got := readCapabilities(t, c.list); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestCapabilityReaderEnds(t *testing.T) {
	var r CapabilityReader
	for _, line := range []string{"TOP", "", "..", ". ", " ."} {
		if done, err := r.Take([]byte(line)); done || err != nil {
			t.Errorf("%q: %v, %v", line, done, err)
		}
	}
	if done, err := r.Take([]byte(".")); !done || err != nil {
		t.Errorf("the dot: %v, %v", done, err)
	}
	r = CapabilityReader{}
	for range maxCapabilityLines {
		if _, err := r.Take([]byte("X")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Take([]byte("X")); err != ErrCapabilities {
		t.Errorf("an endless list: %v", err)
	}
}

func TestCapabilitiesIntersect(t *testing.T) {
	all := Capabilities{true, true, true, true, true, true, true, []Mechanism{PLAIN}}
	if got, want := all.Intersect(all), (Capabilities{Top: true, UIDL: true, RespCodes: true, Pipelining: true}); !reflect.DeepEqual(got, want) {
		t.Errorf("all with all: %+v", got)
	}
	for _, one := range []Capabilities{{Top: true}, {UIDL: true}, {RespCodes: true}, {Pipelining: true}} {
		if got := one.Intersect(all); !reflect.DeepEqual(got, one) {
			t.Errorf("%+v with all: %+v", one, got)
		}
		if got := all.Intersect(one); !reflect.DeepEqual(got, one) {
			t.Errorf("all with %+v: %+v", one, got)
		}
		if got := one.Intersect(Capabilities{}); !reflect.DeepEqual(got, Capabilities{}) {
			t.Errorf("%+v with none: %+v", one, got)
		}
	}
	if got := (Capabilities{Top: true}).Intersect(Capabilities{UIDL: true}); !reflect.DeepEqual(got, Capabilities{}) {
		t.Errorf("nothing in common: %+v", got)
	}
}

// FuzzCapabilityReader: whatever a backend lists, what was found is written and
// read again as the same, each mechanism once.
func FuzzCapabilityReader(f *testing.F) {
	for _, s := range []string{"TOP\nUIDL\nSASL PLAIN LOGIN\n.", "sasl plain plain\nSTLS\n.\nUSER", "", "SASL\xc2\xa0PLAIN", "UTF8\nLANG\n..\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, list []byte) {
		var r, again CapabilityReader
		for line := range bytes.SplitSeq(list, []byte{'\n'}) {
			if done, err := r.Take(line); done || err != nil {
				break
			}
		}
		found := r.Capabilities()
		if len(found.SASL) > len(mechanisms) {
			t.Fatalf("mechanisms twice: %q", found.SASL)
		}
		lines := strings.Split(string(found.Append(nil)), "\r\n")
		for _, line := range lines[1:] {
			if done, err := again.Take([]byte(line)); done || err != nil {
				break
			}
		}
		if !reflect.DeepEqual(again.Capabilities(), found) {
			t.Fatalf("%+v was read as %+v", found, again.Capabilities())
		}
	})
}
