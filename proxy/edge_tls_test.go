package proxy

import (
	"crypto/tls"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postern/pop3/pop3test"
	posterntls "postern/proxy/tls"
	"postern/proxy/tls/tlstest"
)

// What was sent behind STLS was sent by whoever could write on the line: it ends the
// session, whole commands and halves alike, and no octet of it is obeyed.
func TestEdgeNothingFollowsSTLS(t *testing.T) {
	for name, behind := range map[string]string{
		"a command": "QUIT\r\n", "a login": "USER alice\r\nPASS right\r\n", "half a command": "US", "one octet": "\n",
		"a second STLS": "STLS\r\n", "a handshake": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, _ := tlsFront(t, nil)
				e := edgeWith(t, &Access{TLS: server}, keepsIn, nil)
				c := e.greeted(t, someClient)
				if err := c.Send([]byte("STLS\r\n" + behind)); err != nil {
					t.Fatal(err)
				}
				expectLine(t, c, "-ERR Nothing may follow STLS")
				expectEnd(t, c)
				e.logs.waitFor(t, "msg=end", `reason="data behind STLS"`)
				if e.guest.Sessions() > 0 {
					t.Error("a backend was dialled")
				}
			})
		})
	}
}

// The same in a segment of its own is taken for the handshake, which it isn't.
func TestEdgeCommandInPlaceOfTheHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, _ := tlsFront(t, nil)
		e := edgeWith(t, &Access{TLS: server}, keepsIn, nil)
		c := e.greeted(t, someClient)
		says(t, c, "STLS", "+OK")
		if err := c.Send([]byte("USER alice\r\nPASS hunter2\r\n")); err != nil {
			t.Fatal(err)
		}
		if line, err := c.Line(); strings.HasPrefix(line, "+OK") || err == nil {
			t.Errorf("the client hears %q", line)
		}
		e.logs.waitFor(t, "msg=end", `reason="tls handshake"`)
		if log := e.logs.String(); strings.Contains(log, "hunter2") || strings.Contains(log, "msg=login") {
			t.Errorf("log: %s", log)
		}
	})
}

// Half a line before the handshake and the rest inside it are two lines. The first is dropped with the
// session, the second is a line of its own.
func TestEdgeHalfACommandBeforeTheHandshake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, trusting := tlsFront(t, nil)
		e := edgeWith(t, &Access{TLS: server}, keepsIn, nil)
		socket := e.socket(t, someClient)
		c := pop3test.NewClient(socket)
		expectLine(t, c, "+OK")
		says(t, c, "STLS", "+OK Begin TLS")
		inside := over(t, socket, trusting)
		if err := inside.Send([]byte("ER alice\r\n")); err != nil {
			t.Fatal(err)
		}
		expectLine(t, inside, "-ERR Unknown command")
		enters(t, inside, "alice", rightPassword, "+OK in")
	})
}

// USER is forgotten, CAPA is a new one, and STLS is gone.
func TestEdgeSTLSForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, trusting := tlsFront(t, nil)
		e := edgeWith(t, &Access{TLS: server}, keepsIn, func(set *Settings, _ *Options) { set.Plaintext = PlaintextNever })
		socket := e.socket(t, someClient)
		c := pop3test.NewClient(socket)
		expectLine(t, c, "+OK")
		if got := capabilities(t, c); got != "TOP\r\nUIDL\r\nAUTH-RESP-CODE\r\nSTLS\r\n" {
			t.Errorf("CAPA before: %q", got)
		}
		says(t, c, "USER alice", "-ERR Passwords are taken over TLS only")
		says(t, c, "AUTH PLAIN", "-ERR Passwords are taken over TLS only")
		says(t, c, "STLS", "+OK Begin TLS")
		inside := over(t, socket, trusting)
		if got := capabilities(t, inside); got != "TOP\r\nUIDL\r\nUSER\r\nAUTH-RESP-CODE\r\nSASL PLAIN LOGIN\r\n" {
			t.Errorf("CAPA inside: %q", got)
		}
		says(t, inside, "STLS", "-ERR")
		enters(t, inside, "alice", rightPassword, "+OK in")
		e.logs.waitFor(t, "msg=login", "result=ok", "tls=1.3")
	})
	synctest.Test(t, func(t *testing.T) { // where USER was taken before
		server, trusting := tlsFront(t, nil)
		e := edgeWith(t, &Access{TLS: server}, keepsIn, nil)
		socket := e.socket(t, someClient)
		c := pop3test.NewClient(socket)
		expectLine(t, c, "+OK")
		says(t, c, "USER alice", "+OK")
		says(t, c, "STLS", "+OK Begin TLS")
		says(t, over(t, socket, trusting), "PASS right", "-ERR Send USER first")
	})
}

// A listener without certificates knows no STLS, as before.
func TestEdgeSTLSWithoutCertificates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := edgeWith(t, &Access{}, keepsIn, nil).greeted(t, someClient)
		if got := capabilities(t, c); strings.Contains(got, "STLS") {
			t.Errorf("CAPA: %q", got)
		}
		says(t, c, "STLS", "-ERR Unknown command")
	})
}

// Garbage in place of a handshake ends the session at once, and what it was stays out of the log.
func TestEdgeTLSGarbage(t *testing.T) {
	for name, garbage := range map[string]string{
		"POP3": "USER alice\r\nPASS hunter2\r\n", "HTTP": "GET / HTTP/1.1\r\nHost: hunter2\r\n\r\n",
		"a wrong record": "\x17\x03\x03\x00\x07hunter2", "an endless record": "\x16\x03\x01\xff\xff" + strings.Repeat("hunter2", 100),
		"a wrong hello": "\x16\x03\x01\x00\x07\x01\x00\x00\x03hun",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, _ := tlsFront(t, nil)
				e := edgeWith(t, &Access{TLS: server, Implicit: true}, keepsIn, nil)
				socket := e.socket(t, someClient)
				begin := time.Now()
				if _, err := socket.Write([]byte(garbage)); err != nil {
					t.Fatal(err)
				}
				e.logs.waitFor(t, "msg=end", `reason="tls handshake"`)
				if took := time.Since(begin); took > time.Second {
					t.Errorf("it took %v", took)
				}
				if strings.Contains(e.logs.String(), "hunter2") {
					t.Errorf("log: %s", e.logs)
				}
			})
		})
	}
}

// A handshake that stalls has a deadline of its own, also behind a slow PROXY header.
func TestEdgeHandshakeThatStalls(t *testing.T) {
	for name, beginning := range map[string]string{"silent": "", "half a hello": "\x16\x03\x01\x02\x00\x01\x00"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, _ := tlsFront(t, nil)
				e := edgeWith(t, &Access{TLS: server, Implicit: true}, keepsIn, nil)
				c, begin := e.client(t, someClient), time.Now()
				if beginning != "" {
					_ = c.Send([]byte(beginning))
				}
				expectEnd(t, c)
				if took := time.Since(begin); took != 10*time.Second {
					t.Errorf("closed after %v, want 10s", took)
				}
			})
		})
	}
	t.Run("behind a slow PROXY header", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			server, trusting := tlsFront(t, nil)
			e := edgeWith(t, &Access{TLS: server, Implicit: true, Proxies: everywhere()}, keepsIn, nil)
			socket := e.socket(t, "10.0.0.5")
			time.Sleep(6 * time.Second)
			_, _ = socket.Write([]byte(headerFor(someClient)))
			time.Sleep(6 * time.Second) // each step has its ten seconds
			expectLine(t, over(t, socket, trusting), "+OK")
		})
	})
}

// 500 connections that never finish their handshake keep nobody from logging in.
func TestEdgeHalfOpenHandshakes(t *testing.T) {
	server, trusting := tlsFront(t, nil)
	guest := pop3test.NewBackend(t, keepsIn)
	s := serveWith(t, nil, &Access{TLS: server, Implicit: true}, func(set *Settings, o *Options) {
		set.Limits.PerAddress = 0
		o.Directory = locatorFunc(at(guest.Addr()))
	})
	for i := range 500 {
		c := s.dial(t)
		if i%2 == 0 {
			_ = c.Send([]byte("\x16\x03\x01\x02\x00\x01\x00"))
		}
	}
	begin := time.Now()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			conn, err := tls.Dial("tcp", s.address, trusting)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			if err := pop3test.NewClient(conn).Login("alice", rightPassword); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("20 logins took %v", took)
	}
}

// A client that offers protocols, and not POP3, was sent here by somebody else (ALPACA).
func TestEdgeALPN(t *testing.T) {
	for name, tt := range map[string]struct {
		offers []string
		served bool
	}{
		"POP3": {[]string{"pop3"}, true}, "nothing": {nil, true}, "POP3 among others": {[]string{"h2", "pop3"}, true},
		"HTTP": {[]string{"h2", "http/1.1"}, false}, "another case": {[]string{"POP3"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, trusting := tlsFront(t, nil)
				e := edgeWith(t, &Access{TLS: server, Implicit: true}, keepsIn, nil)
				trusting.NextProtos = tt.offers
				err := tls.Client(e.socket(t, someClient), trusting).Handshake()
				if served := err == nil; served != tt.served {
					t.Fatalf("handshake: %v", err)
				}
				if !tt.served && !strings.Contains(err.Error(), "no application protocol") {
					t.Errorf("the client hears %v", err)
				}
			})
		})
	}
}

// Where a client certificate is required nobody gets as far as a greeting without one.
func TestEdgeClientCertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca, stranger := tlstest.NewCA(t, "staff"), tlstest.NewCA(t, "others")
		authorities := t.TempDir() + "/ca.pem"
		tlstest.WriteFile(t, authorities, ca.PEM())
		server, trusting := tlsFront(t, func(l *posterntls.ListenerOptions) { l.ClientCA, l.ClientRequired = authorities, true })
		e := edgeWith(t, &Access{TLS: server, Implicit: true}, keepsIn, nil)
		for name, issuer := range map[string]*tlstest.CA{"none": nil, "another's": stranger} {
			config := trusting.Clone()
			if issuer != nil {
				cert, key := issuer.Sign(t, tlstest.Leaf{Client: true, Subject: "mallory"})
				config.Certificates = []tls.Certificate{tlstest.KeyPair(t, cert, key)}
			}
			conn := tls.Client(e.socket(t, someClient), config)
			if _, err := pop3test.NewClient(conn).Line(); err == nil || !strings.Contains(err.Error(), "tls: ") {
				t.Errorf("certificate %s: %v", name, err)
			}
		}
		cert, key := ca.Sign(t, tlstest.Leaf{Client: true, Subject: "anna"})
		trusting.Certificates = []tls.Certificate{tlstest.KeyPair(t, cert, key)}
		c := over(t, e.socket(t, someClient), trusting)
		expectLine(t, c, "+OK")
		enters(t, c, "alice", rightPassword, "+OK in")
		e.logs.waitFor(t, "msg=login", `client_subject="CN=anna"`)
	})
}
