// How long a login takes where the guest is far away.

package main_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/cmd/postern/realtest"
)

// The way to the guest, and that of the client to the gateway.
const (
	farDelay  = 10 * time.Millisecond // each way
	typeDelay = 20 * time.Millisecond // the client's round trip between USER and PASS
)

// TestRealLatency measures what is in docs/performance.md: with -v it prints the table. Speed is
// not held, only that all of them work.
func TestRealLatency(t *testing.T) {
	needReal(t)
	logins := 10
	if long() {
		logins = 100
	}
	o := wardOptions{path: &realtest.Path{Delay: farDelay}, victim: realtest.VictimOptions{More: wellSettings}}
	w := newWard(t, o)
	o.backends = "  eager_connect: true"
	eager := newWard(t, o)
	proxies := []struct{ name, address string }{
		{"nginx", nginxTo(t, w.way.Address)},
		{"Dovecot", dovecotTo(t, w.way.Address)},
		{"postern", w.address},
		{"postern, eager_connect", eager.address},
	}
	for _, learning := range []*ward{w, eager} {
		for deadline := time.Now().Add(20 * time.Second); !strings.Contains(learning.process.LogTail(1<<20), "step=auth"); {
			if learning.getsIn(0, slack); time.Now().After(deadline) {
				t.Fatal("the guest's CAPA is not known")
			}
		}
	}
	all := make([]latencies, len(proxies))
	for i := range logins + 1 { // one after the other: what else the machine does meets all
		for n, p := range proxies {
			if took := farLogin(t, p.address); i > 0 { // the first is for warming up
				all[n] = append(all[n], took)
			}
		}
	}
	var table strings.Builder
	fmt.Fprintln(&table, "| proxy | median, ms | p95, ms | × nginx |")
	fmt.Fprintln(&table, "| --- | ---: | ---: | ---: |")
	for n, p := range proxies {
		slices.Sort(all[n])
		fmt.Fprintf(&table, "| %s | %.1f | %.1f | %.2f |\n", p.name, all[n].at(.5).Seconds()*1e3, all[n].at(.95).Seconds()*1e3,
			all[n].at(.5).Seconds()/all[0].at(.5).Seconds())
	}
	t.Log("\n" + table.String())
}

// farLogin is the time from PASS to +OK.
func farLogin(t *testing.T, address string) time.Duration {
	t.Helper()
	terminal, err := realtest.DialTerminal(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	if _, err := terminal.Must("USER " + sickUser(1)); err != nil {
		t.Fatal(err)
	}
	time.Sleep(typeDelay)
	began := time.Now()
	if _, err := terminal.Must("PASS secret"); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	quit(t, terminal)
	return took
}

// nginxTo is an nginx that sends everybody to one server.
func nginxTo(t *testing.T, address string) string {
	t.Helper()
	host, port, _ := net.SplitHostPort(address)
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Auth-Status", "OK")
		w.Header().Set("Auth-Server", host)
		w.Header().Set("Auth-Port", port)
	}))
	t.Cleanup(service.Close)
	addresses, err := realtest.StartNginx(t, realtest.Nginx{
		Service: service.Listener.Addr().String() + "/auth", Protocols: []string{"pop3"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return addresses["pop3"]
}

// dovecotTo is a Dovecot that sends everybody to one server.
func dovecotTo(t *testing.T, address string) string {
	t.Helper()
	host, port, _ := net.SplitHostPort(address)
	proxy, err := realtest.StartVictim(t, realtest.VictimOptions{More: fmt.Sprintf(
		"passdb {\n  driver = static\n  args = proxy=y host=%s port=%s nopassword=y\n}\n", host, port)})
	if err != nil {
		t.Fatal(err)
	}
	return proxy.Address
}
