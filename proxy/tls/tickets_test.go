package tls

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// hexKey is a key that tests tell from others.
func hexKey(seed byte) string {
	return hex.EncodeToString(rawKey(seed))
}

func rawKey(seed byte) []byte {
	key := make([]byte, keyLength)
	for i := range key {
		key[i] = seed + byte(i)
	}
	return key
}

func TestTicketKeyFiles(t *testing.T) {
	in64 := base64.StdEncoding.EncodeToString(rawKey(7))
	for text, want := range map[string]int{
		hexKey(1):                               1,
		hexKey(1) + "\n":                        1,
		strings.ToUpper(hexKey(1)):              1,
		in64 + "\r\n":                           1,
		"# old\n\n " + hexKey(1) + " \n" + in64: 2,
		strings.Repeat(hexKey(1)+"\n", maxKeys): maxKeys,
		"":                                      0,
		"\n# " + hexKey(1):                      0,
		hexKey(1)[:63]:                          0,
		hexKey(1) + "0":                         0,
		strings.Replace(hexKey(1), "0", "g", 1): 0,
		in64[:43]:                               0,
		"!" + in64[1:]:                          0,
		base64.StdEncoding.EncodeToString([]byte{}):         0,
		base64.StdEncoding.EncodeToString(make([]byte, 31)): 0,
		base64.StdEncoding.EncodeToString(make([]byte, 33)): 0,
		strings.Repeat("0", 64):                             0,
		strings.Repeat("ab", 32):                            0,
		hexKey(1) + " " + hexKey(2):                         0,
		hexKey(1) + "\n" + "x":                              0,
		strings.Repeat(hexKey(1)+"\n", maxKeys+1):           0,
	} {
		keys, err := parseTicketKeys([]byte(text))
		if len(keys) != want || (err == nil) != (want > 0) {
			t.Errorf("%.80q: %d keys, %v, want %d", text, len(keys), err, want)
		}
		if err != nil && len(text) > 8 && strings.Contains(err.Error(), text[len(text)-8:]) {
			t.Errorf("the error quotes the file: %v", err)
		}
	}
	keys, err := parseTicketKeys([]byte(in64))
	if err != nil || string(keys[0].secret[:]) != string(rawKey(7)) {
		t.Errorf("base64: %v", err)
	}
}

// TestTicketFileStays: a bad one keeps the old keys, said once; others must not read it.
func TestTicketFileStays(t *testing.T) {
	path, log := inTemp(t, "keys", hexKey(1)), &lines{}
	f := front(t, Options{Certificates: []Source{written(t, "mail.example.com")}, TicketKeys: path, Logger: log.logger()})
	before := f.tickets.keys.Load()
	for _, text := range []string{hexKey(1)[:60], "", "no key"} {
		mustWrite(t, path, text)
		for range 2 {
			if err := f.Reload(); err == nil || f.tickets.keys.Load() != before {
				t.Errorf("%q: %v", text, err)
			}
		}
		log.wantRecord(t, "level=WARN", "the old ones stay", path)
	}
	mustWrite(t, path, hexKey(2)+"\n"+hexKey(1))
	if err := f.Reload(); err != nil || len(*f.tickets.keys.Load()) != 2 {
		t.Error(err)
	}
	log.wantRecord(t, "level=INFO", "ticket keys loaded", "keys=2")
	if err := f.Reload(); err != nil {
		t.Error(err)
	}
	log.wantRecord(t)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := f.Reload(); err == nil || !strings.Contains(err.Error(), "others may") {
		t.Error(err)
	}
	_, err := New(Options{TicketKeys: path})
	if faults, _ := errors.AsType[Faults](err); len(faults) != 1 || faults[0].Key != "ticket_keys" {
		t.Errorf("at the start: %v", err)
	}
}

// TestRandomKeysTurn: a ticket lives 24 hours at least, and 36 at most.
func TestRandomKeysTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tickets := newTickets("", front(t, Options{Certificates: []Source{written(t, "mail.example.com")}}).log)
		tickets.reload(time.Now())
		type sealed struct {
			key  ticketKey
			when time.Time
		}
		var all []sealed
		for range 24 * 7 {
			now := time.Now()
			tickets.reload(now)
			keys := *tickets.keys.Load()
			all = append(all, sealed{keys[0], now})
			for _, s := range all {
				age, open := now.Sub(s.when), false
				for _, k := range keys {
					open = open || k == s.key
				}
				if age <= 24*time.Hour && !open || age > 36*time.Hour && open {
					t.Fatalf("a ticket of %v opens: %v", age, open)
				}
			}
			if len(keys) > 3 {
				t.Fatalf("%d keys", len(keys))
			}
			time.Sleep(time.Hour)
		}
		if all[0].key == all[len(all)-1].key {
			t.Error("the key never turned")
		}
	})
}

// tlsVersions are those that tickets differ in.
var tlsVersions = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

// returning is a client that keeps its tickets.
func returning(name string, version uint16) *tls.Config {
	client := trusting(name)
	client.MaxVersion, client.ClientSessionCache = version, tls.NewLRUClientSessionCache(4)
	return client
}

// resumes makes a connection and tells whether it took up an older session. Both sides
// have to say the same.
func resumes(t *testing.T, server, client *tls.Config) bool {
	t.Helper()
	o := shake(t, server, client)
	if o.clientErr != nil || o.serverErr != nil {
		t.Fatalf("client: %v, server: %v", o.clientErr, o.serverErr)
	}
	if o.client.DidResume != o.server.DidResume || StateOf(o.server).Resumed != o.server.DidResume {
		t.Fatal("the sides don't agree")
	}
	return o.server.DidResume
}

// TestResumeElsewhere: gateways that share a file resume each other's sessions, back and forth;
// gateways that don't, do not.
func TestResumeElsewhere(t *testing.T) {
	source, keys := written(t, "mail.example.com"), inTemp(t, "keys", hexKey(1)+"\n"+hexKey(2)+"\n")
	gateway := func(keys string) *tls.Config {
		return front(t, Options{Certificates: []Source{source}, TicketKeys: keys}).Config(one)
	}
	here, there, stranger, private := gateway(keys), gateway(keys), gateway(inTemp(t, "keys", hexKey(3))), gateway("")
	for name, version := range tlsVersions {
		client := returning("mail.example.com", version)
		for i, step := range []struct {
			at   *tls.Config
			want bool
		}{
			{here, false}, {here, true}, {there, true}, {here, true},
			{stranger, false}, {stranger, true}, {private, false}, {private, true}, {there, false},
		} {
			if got := resumes(t, step.at, client); got != step.want {
				t.Errorf("%s, step %d: resumed: %v", name, i, got)
			}
		}
	}
}

// TestTurningTheFile: a client with an old ticket resumes as long as its key is in the file.
func TestTurningTheFile(t *testing.T) {
	for name, version := range tlsVersions {
		path := inTemp(t, "keys", hexKey(1))
		f := front(t, Options{Certificates: []Source{written(t, "mail.example.com")}, TicketKeys: path})
		often, later, late := returning("mail.example.com", version), returning("mail.example.com", version), returning("mail.example.com", version)
		for i, step := range []struct {
			keys   []string
			client *tls.Config
			want   bool
		}{
			{[]string{hexKey(1)}, often, false},
			{[]string{hexKey(1)}, later, false},
			{[]string{hexKey(1)}, late, false},
			{[]string{hexKey(1), hexKey(2)}, often, true},
			{[]string{hexKey(2), hexKey(1)}, often, true},
			{[]string{hexKey(2), hexKey(1)}, later, true},
			{[]string{hexKey(3), hexKey(2)}, often, true},
			{[]string{hexKey(3), hexKey(2)}, late, false}, // sealed with the first
			{[]string{hexKey(3)}, often, true},
			{[]string{hexKey(4)}, often, false},
		} {
			mustWrite(t, path, strings.Join(step.keys, "\n"))
			if err := f.Reload(); err != nil {
				t.Fatal(err)
			}
			if got := resumes(t, f.Config(one), step.client); got != step.want {
				t.Errorf("%s, step %d: resumed: %v", name, i, got)
			}
		}
	}
}

// TestTurningReachesEveryListener: each has a configuration of its own, and somebody may hold a clone.
func TestTurningReachesEveryListener(t *testing.T) {
	path := inTemp(t, "keys", hexKey(1))
	f := front(t, Options{
		Certificates: []Source{written(t, "mail.example.com")}, TicketKeys: path,
		Listeners: []ListenerOptions{{Name: "pop"}, {Name: "pops", MinVersion: "1.0"}},
	})
	configs := []*tls.Config{f.Config("pop"), f.Config("pops"), f.Config("pop").Clone()}
	for name, version := range tlsVersions {
		for _, config := range configs {
			mustWrite(t, path, hexKey(1))
			_ = f.Reload()
			client := returning("mail.example.com", version)
			resumes(t, config, client)
			mustWrite(t, path, hexKey(9))
			_ = f.Reload()
			if resumes(t, config, client) {
				t.Errorf("%s: a ticket of a key that is gone resumes", name)
			}
		}
	}
}

// TestFrontsInTurn: a reload that makes a new front doesn't cost the clients their sessions,
// unless the keys come from elsewhere then.
func TestFrontsInTurn(t *testing.T) {
	source := written(t, "mail.example.com")
	for name, version := range tlsVersions {
		client := returning("mail.example.com", version)
		first := front(t, Options{Certificates: []Source{source}})
		resumes(t, first.Config(one), client)
		second := front(t, Options{Certificates: []Source{source}, Previous: first})
		if !resumes(t, second.Config(one), client) {
			t.Errorf("%s: the session was lost", name)
		}
		third := front(t, Options{Certificates: []Source{source}, Previous: second, TicketKeys: inTemp(t, "keys", hexKey(1))})
		if resumes(t, third.Config(one), client) {
			t.Errorf("%s: a ticket of a random key resumes though there is a file", name)
		}
	}
}

// TestTicketsAreForOneName: certificates are chosen by name, so a session for
// one is not resumed for another (RFC 6066, section 3).
func TestTicketsAreForOneName(t *testing.T) {
	f := front(t, Options{Certificates: []Source{written(t, "a.example.com"), written(t, "b.example.com")}})
	for name, version := range tlsVersions {
		client := returning("a.example.com", version)
		client.ClientSessionCache = anyName{client.ClientSessionCache}
		resumes(t, f.Config(one), client)
		client.ServerName = "B.example.com"
		if resumes(t, f.Config(one), client) {
			t.Errorf("%s: resumed for another name", name)
		}
		client.ServerName = "b.EXAMPLE.com"
		if !resumes(t, f.Config(one), client) {
			t.Errorf("%s: not resumed for the same name in other letters", name)
		}
	}
}

// anyName is a client's cache that offers its ticket to everybody.
type anyName struct{ tls.ClientSessionCache }

func (c anyName) Get(string) (*tls.ClientSessionState, bool) { return c.ClientSessionCache.Get("") }
func (c anyName) Put(_ string, session *tls.ClientSessionState) {
	c.ClientSessionCache.Put("", session)
}
