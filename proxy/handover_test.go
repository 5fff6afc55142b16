package proxy

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"postern/backend"
	"postern/pop3/pop3test"
	"postern/proxy/origin"
)

// What a backend is told of the client is what the gateway believes of him: by the socket, by the header
// of a proxy in front, by XCLIENT.
func TestBackendIsToldOfTheClient(t *testing.T) {
	for _, tt := range []struct {
		name   string
		access Access
		from   string
		says   string // ahead of USER
		client string
		tls    bool
	}{
		{"a client of its own", Access{}, "198.51.100.7", "", "198.51.100.7:40001", false},
		{"over IPv6", Access{}, "2001:db8::7", "", "[2001:db8::7]:40001", false},
		{"behind a proxy", Access{Proxies: everywhere()}, theProxy, headerV2(byProxy, "203.0.113.9", ""), "203.0.113.9:1234", false},
		{"behind a proxy that ends TLS", Access{Proxies: everywhere()}, theProxy, headerV2(byProxy, "203.0.113.9", overTLS), "203.0.113.9:1234", true},
		{"by XCLIENT", Access{XCLIENT: everywhere()}, theProxy, "XCLIENT ADDR=203.0.113.10 PORT=99\r\n", "203.0.113.10:99", false},
		{"a stranger's XCLIENT", Access{}, "198.51.100.7", "XCLIENT ADDR=203.0.113.10\r\n", "198.51.100.7:40001", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				told := make(chan origin.Origin, 1)
				y := newYard(t, backend.Target{ProxyProtocol: backend.ProxyV2}, func(c *pop3test.Conn) {
					header := origin.NewHeaderReader()
					for {
						octets, err := c.Octets(header.Room())
						if err != nil {
							return
						}
						header.Input(octets)
						if o, done, err := header.Result(); done || err != nil {
							told <- o
							break
						}
					}
					maildropOf(0)(c)
				}, nil)
				c := through(t, y.door(t, &tt.access), tt.from)
				if err := c.Send([]byte(tt.says + "USER alice\r\nPASS right\r\n")); err != nil {
					t.Fatal(err)
				}
				for line := ""; line != "+OK in"; {
					var err error
					if line, err = c.Line(); err != nil {
						t.Fatal(err)
					}
				}
				o := <-told
				if o.Client.String() != tt.client || (o.TLS != nil) != tt.tls || !strings.HasPrefix(o.UniqueID, y.prefix) {
					t.Errorf("the backend is told of %v, TLS %v, session %q", o.Client, o.TLS != nil, o.UniqueID)
				}
			})
		})
	}
}

// XCLIENT is passed on with what is left of its way, and ended where nothing is.
func TestXCLIENTIsPassedOnWithOneLess(t *testing.T) {
	for ttl, want := range map[string]string{
		"": "TTL=4", " TTL=5": "TTL=4", " TTL=3": "TTL=2", " TTL=2": "TTL=1", " TTL=1": "",
	} {
		t.Run("told"+ttl, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				told := make(chan string, 1)
				y := newYard(t, backend.Target{XCLIENT: true}, func(c *pop3test.Conn) {
					_ = c.SendLine("+OK [XCLIENT] ready")
					if line, err := c.Line(); err == nil && strings.HasPrefix(line, "XCLIENT ") {
						told <- line
					}
					_ = c.SendLine("+OK")
					maildropWithoutGreeting(c)
				}, nil)
				c := through(t, y.door(t, &Access{XCLIENT: everywhere()}), theProxy)
				expectLine(t, c, "+OK")
				says(t, c, "XCLIENT ADDR=203.0.113.10 PORT=99 SESSION=front-7"+ttl, "+OK")
				says(t, c, "USER alice", "+OK")
				if want == "" {
					says(t, c, "PASS right", downText)
					y.logs.waitFor(t, "msg=login", "proxies loop")
					if s := y.status(t); s.Failures != 0 {
						t.Error("it speaks against the backend")
					}
					if strings.Contains(y.network.heard(), "right") {
						t.Error("the password went into the loop")
					}
					return
				}
				says(t, c, "PASS right", "+OK in")
				if got := fmt.Sprintf("%s ", <-told); !strings.HasPrefix(got, "XCLIENT ADDR=203.0.113.10 PORT=99 SESSION=") || !strings.Contains(got, " "+want+" ") {
					t.Errorf("the backend is told %q, want %s", got, want)
				}
			})
		})
	}
}

// maildropWithoutGreeting plays a guest behind its greeting.
func maildropWithoutGreeting(c *pop3test.Conn) {
	for _, reply := range []string{"+OK", "+OK in"} {
		if _, err := c.Line(); err != nil || c.SendLine(reply) != nil {
			return
		}
	}
	transaction(c)
}
