// What happens to guests, and what their users and the others notice.

package main_test

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"postern/cmd/postern/realtest"
	"postern/proxy/tls/tlstest"
)

// Bounds for a machine that does other things too. The aims are 1 s of refused
// connections, and 5 s from the return; what was measured is in docs/performance.md.
const (
	slack      = 5 * time.Second
	backWithin = 15 * time.Second
)

// fault is something that happens to a guest.
type fault struct {
	options wardOptions
	prepare func(*testing.T, *wardOptions) // what must be made for the options
	strike  func(*ward) error              // nil: it is sick from the start
	heal    func(*ward) error              // nil: it stays sick
	within  time.Duration                  // what its users wait at most, but for slack
	opens   bool                           // the breaker
}

func sickness() map[string]fault {
	stop, kill := (*realtest.Victim).Freeze, (*realtest.Victim).Kill
	faults := map[string]fault{
		"hung": {
			strike: func(w *ward) error { return stop(w.sick) },
			heal:   func(w *ward) error { return w.sick.Thaw() },
			within: 3 * time.Second, opens: true,
		},
		"killed": {
			strike: func(w *ward) error { return kill(w.sick) },
			heal:   func(w *ward) error { return w.sick.Start() },
			opens:  true,
		},
		"restarted": {
			strike: func(w *ward) error { return w.sick.Stop() },
			heal:   func(w *ward) error { return w.sick.Start() },
			opens:  true,
		},
		"out of descriptors": {
			options: wardOptions{victim: realtest.VictimOptions{Descriptors: 200, More: oneLoginProcess}},
			strike: func(w *ward) (err error) {
				w.strangers, err = w.sick.Crowd()
				return err
			},
			heal:   (*ward).empty,
			within: 3 * time.Second, opens: true,
		},
		"out of processes": {
			options: wardOptions{victim: realtest.VictimOptions{More: "service pop3 {\n  process_limit = 2\n}\n"}},
			strike: func(w *ward) error {
				w.strangers = []net.Conn{w.past(1), w.past(2)}
				return nil
			},
			heal:   (*ward).empty,
			within: 4 * time.Second, opens: true,
		},
		"greets with -ERR": {
			options: wardOptions{path: &realtest.Path{}},
			strike: func(w *ward) error {
				w.way.Change(realtest.Path{Instead: "-ERR [SYS/TEMP] Too many connections\r\n"})
				return nil
			},
			heal:  func(w *ward) error { w.way.Change(realtest.Path{}); return nil },
			opens: true,
		},
		"expired certificate": {prepare: expired, opens: true},
		"wrong name":          {prepare: wrongName, opens: true},
		"wrong name, STLS":    {prepare: wrongNameSTLS, opens: true},
	}
	for name, fate := range map[string]string{"drop": "drop", "reject": "reject", "reset": "reject with tcp reset"} {
		f := fault{
			prepare: inNamespace,
			strike:  func(w *ward) error { return w.namespace().Refuse(fate) },
			heal:    func(w *ward) error { return w.namespace().Refuse("") },
			opens:   true,
		}
		if fate == "drop" {
			f.within = 3 * time.Second
		}
		faults["nftables "+name] = f
	}
	return faults
}

// oneLoginProcess has all connections before the login share its descriptors.
const oneLoginProcess = "service pop3-login {\n  process_limit = 1\n  process_min_avail = 1\n}\n"

// past logs in past the gateway.
func (w *ward) past(number int) net.Conn {
	w.t.Helper()
	conn, err := net.Dial("tcp", w.sick.Address)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "USER %s\r\nPASS secret\r\n", sickUser(number)); err != nil {
		w.t.Fatal(err)
	}
	lines := bufio.NewScanner(conn)
	for range 3 {
		if !lines.Scan() || !strings.HasPrefix(lines.Text(), "+OK") {
			w.t.Fatalf("past the gateway the login hears %q (%v)", lines.Text(), lines.Err())
		}
	}
	return conn
}

// empty has the strangers leave.
func (w *ward) empty() error {
	for _, conn := range w.strangers {
		_ = conn.Close()
	}
	return nil
}

func (w *ward) namespace() *realtest.Network { return w.sick.Namespace() }

func inNamespace(t *testing.T, o *wardOptions) {
	var err error
	if o.victim.Namespace, err = realtest.StartNetwork(t); err != nil {
		t.Fatal(err)
	}
}

func expired(t *testing.T, o *wardOptions) {
	yesterday := time.Now().Add(-24 * time.Hour)
	withTLS(t, o, "implicit", tlstest.Leaf{
		Names: []string{"127.0.0.1"}, NotBefore: yesterday.Add(-time.Hour), NotAfter: yesterday,
	})
}

func wrongName(t *testing.T, o *wardOptions) {
	withTLS(t, o, "implicit", tlstest.Leaf{Names: []string{"other.example.com"}})
}

func wrongNameSTLS(t *testing.T, o *wardOptions) {
	withTLS(t, o, "stls", tlstest.Leaf{Names: []string{"other.example.com"}})
}

// withTLS gives the sick guest a certificate of an authority that the gateway believes.
func withTLS(t *testing.T, o *wardOptions, mode string, leaf tlstest.Leaf) {
	dir := t.TempDir()
	authority := tlstest.NewCA(t, "the tests")
	cert, key := authority.Sign(t, leaf)
	certFile, keyFile := tlstest.Write(t, dir, "guest", cert, key)
	authorityFile := dir + "/authority.pem"
	tlstest.WriteFile(t, authorityFile, authority.PEM())
	from := "no"
	if mode == "implicit" {
		from = "yes"
	}
	o.victim.More = fmt.Sprintf("ssl = yes\nssl_cert = <%s\nssl_key = <%s\n"+
		"service pop3-login {\n  inet_listener pop3 {\n    ssl = %s\n  }\n}\n", certFile, keyFile, from)
	o.backend = fmt.Sprintf(", tls: %s, ca: %q", mode, authorityFile)
}

// TestRealFaults lets each of them happen.
func TestRealFaults(t *testing.T) {
	needReal(t)
	together(t, sickness(), func(t *testing.T, f fault) {
		if f.prepare != nil {
			f.prepare(t, &f.options)
		}
		w := newWard(t, f.options)
		w.endure(f)
	})
}

// endure is one fault from before to after.
func (w *ward) endure(f fault) {
	w.t.Helper()
	if f.strike != nil {
		w.getsIn(0, slack)
	}
	w.login("well@example.com", "secret")
	quietTime, sickTime := 2*time.Second, 2*time.Second
	if long() {
		quietTime, sickTime = 6*time.Second, 6*time.Second
	}
	quiet := w.measureFor(quietTime)
	before := w.footprint()
	if f.strike != nil {
		if err := f.strike(w); err != nil {
			w.t.Fatal(err)
		}
	}
	stop, measured := make(chan struct{}), make(chan latencies, 1)
	go func() { measured <- w.measure(stop) }()
	first := w.expectTemporary(w.crowd(0, 6), f.within+slack)
	opened := time.Duration(0)
	if f.opens {
		opened = w.becomes("open", slack)
	}
	later := w.expectTemporary(w.crowd(6, sickUsers), slack)
	time.Sleep(sickTime)
	later = max(later, w.expectTemporary(w.crowd(6, sickUsers), slack))
	close(stop)
	during := <-measured
	back := w.recover(f)
	after := w.comesBackTo(before)
	w.t.Logf("users hear [SYS/TEMP] after %v at most, with the breaker open after %v (open %v behind them); "+
		"back after %v; others p50 %v, p99 %v, quiet %v, %v; the gateway %+v, before %+v",
		first.Round(time.Millisecond), later.Round(time.Millisecond), opened.Round(time.Millisecond), back.Round(time.Millisecond),
		during.at(.5), during.at(.99), quiet.at(.5), quiet.at(.99), after, before)
	if bound := max(5*quiet.at(.99), time.Second); during.at(.99) > bound {
		w.t.Errorf("the others wait %v (p99), in quiet times %v", during.at(.99), quiet.at(.99))
	}
}

// recover heals the guest, and tells how long its users wait for it.
func (w *ward) recover(f fault) time.Duration {
	w.t.Helper()
	if f.heal == nil {
		return 0
	}
	if err := f.heal(w); err != nil {
		w.t.Fatal(err)
	}
	back := w.getsIn(0, backWithin)
	w.becomes("closed", slack)
	return back
}
