package proxy

import (
	"bytes"
	"crypto/tls"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postern/backend"
	"postern/directory"
	"postern/pop3/pop3test"
	"postern/proxy/tls/tlstest"
)

// encryptedGuest is a backend with TLS: what the gateway knows of it, and its own side.
func encryptedGuest(t *testing.T, mode backend.TLSMode) (backend.Target, *tls.Config) {
	t.Helper()
	ca := tlstest.NewCA(t, "authority")
	cert, key := ca.Issue(t, "guest-01.example.org")
	o := backend.TLSOptions{Mode: mode, Roots: ca.Pool(), ServerName: "guest-01.example.org"}
	return backend.Target{TLS: backend.NewTLS(o, []string{guestAt})}, &tls.Config{Certificates: []tls.Certificate{tlstest.KeyPair(t, cert, key)}}
}

// upgrades plays a guest up to its answer to STLS, which is the whole of answer.
func upgrades(c *pop3test.Conn, answer string) bool {
	_ = c.SendLine("+OK ready")
	line, err := c.Line()
	return err == nil && line == "STLS" && c.Send([]byte(answer)) == nil
}

// inside goes on within TLS.
func inside(c *pop3test.Conn, config *tls.Config) (*pop3test.Conn, bool) {
	conn := tls.Server(c.Raw(), config)
	forever(c)
	if conn.Handshake() != nil {
		return nil, false
	}
	return pop3test.NewConn(conn), true
}

// accepts plays the login behind the greeting.
func accepts(c *pop3test.Conn) bool {
	for _, want := range []string{"USER alice", "PASS right"} {
		if line, err := c.Line(); err != nil || line != want {
			return false
		}
		if c.SendLine("+OK in") != nil {
			return false
		}
	}
	forever(c)
	return true
}

// The whole session over TLS to the backend: both directions at once, and each ends by itself.
func TestBackendOverTLS(t *testing.T) {
	for name, mode := range map[string]backend.TLSMode{"by STLS": backend.TLSByCommand, "implicit": backend.TLSImplicit} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				payload := make([]byte, 1<<20)
				_, _ = rand.NewChaCha8([32]byte{2}).Read(payload)
				copy(payload, "Subject: confidential")
				target, config := encryptedGuest(t, mode)
				y := newYard(t, target, func(plain *pop3test.Conn) {
					if mode == backend.TLSByCommand && !upgrades(plain, "+OK\r\n") {
						return
					}
					c, ok := inside(plain, config)
					if !ok || mode == backend.TLSImplicit && c.SendLine("+OK ready") != nil || !accepts(c) {
						return
					}
					var all sync.WaitGroup
					all.Go(func() { _, _ = c.Raw().Write(payload) })
					got, err := io.ReadAll(c.Raw()) // to the client's half-close
					all.Wait()
					if err == nil && bytes.Equal(got, payload) {
						_ = c.SendLine("+OK all of it, and the end")
					}
					_ = c.Fin()
				}, nil)
				c := y.greeted(t, from(1))
				enters(t, c, "alice", rightPassword, "+OK in")
				var all sync.WaitGroup
				all.Go(func() { _, _ = c.Raw().Write(payload); _ = c.Fin() })
				got, err := c.Octets(len(payload))
				all.Wait()
				if err != nil || !bytes.Equal(got, payload) {
					t.Fatalf("%d octets came, %v", len(got), err)
				}
				expectLine(t, c, "+OK all of it, and the end")
				expectEnd(t, c)
				y.wantIdle(t)
				y.wantNothingInTheClear(t)
				if s := y.status(t); s.Failures != 0 || s.LastError != "" {
					t.Errorf("%d failures, %s", s.Failures, s.LastError)
				}
			})
		})
	}
}

func (y *yard) wantNothingInTheClear(t *testing.T) {
	t.Helper()
	for _, secret := range []string{"right", "alice", "confidential"} {
		if strings.Contains(y.network.heard(), secret) {
			t.Errorf("%q traveled in the clear", secret)
		}
	}
}

// No TLS, no password; and the user hears the truth in time.
func TestNoTLSWithTheBackend(t *testing.T) {
	for _, tt := range []struct {
		name  string
		guest func(c *pop3test.Conn, config *tls.Config)
		after time.Duration
		err   string
	}{
		{"refused", func(c *pop3test.Conn, _ *tls.Config) { _ = upgrades(c, "-ERR no TLS here\r\n"); _ = c.End() }, 0, "stls: no tls"},
		{"octets behind its +OK", func(c *pop3test.Conn, config *tls.Config) {
			if upgrades(c, "+OK\r\n+OK in\r\n") {
				_, _ = inside(c, config)
			}
		}, 0, "octets behind the answer to STLS"},
		{"a stalled handshake", func(c *pop3test.Conn, _ *tls.Config) {
			_ = upgrades(c, "+OK\r\n")
			forever(c)
			_, _ = io.Copy(io.Discard, c.Raw())
		}, 10 * time.Second, "secure: timed out"},
		{"no handshake", func(c *pop3test.Conn, _ *tls.Config) {
			_ = upgrades(c, "+OK\r\n")
			time.Sleep(time.Second)
			_ = c.SendLine("-ERR what?")
			_ = c.End()
		}, time.Second, "secure: no tls"},
		{"closed in the handshake", func(c *pop3test.Conn, _ *tls.Config) { _ = upgrades(c, "+OK\r\n") }, 0, "secure: closed"},
		{"somebody else's certificate", func(c *pop3test.Conn, _ *tls.Config) {
			if upgrades(c, "+OK\r\n") {
				_, config := encryptedGuest(t, backend.TLSByCommand)
				_, _ = inside(c, config)
			}
		}, 0, "secure: no tls"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				target, config := encryptedGuest(t, backend.TLSByCommand)
				y := newYard(t, target, func(c *pop3test.Conn) { tt.guest(c, config) }, nil)
				c, reply, took := y.login(t, 1, "alice")
				if reply != downText || took != tt.after {
					t.Errorf("hears %q after %v", reply, took)
				}
				y.logs.waitFor(t, "msg=login", tt.err)
				y.wantNothingInTheClear(t)
				says(t, c, "QUIT", "+OK")
				_ = c.Close()
				y.wantIdle(t)
				if s := y.status(t); s.Failures != 1 {
					t.Errorf("%d failures count, want 1: %s", s.Failures, s.LastError)
				}
			})
		})
	}
}

// Who ends a session from outside doesn't wait for a handshake, and it says nothing of the backend.
func TestStoppedInTheBackendsHandshake(t *testing.T) {
	for _, mode := range []backend.TLSMode{backend.TLSByCommand, backend.TLSImplicit} {
		for name, stop := range map[string]func(*yard){
			"kick":     func(y *yard) { y.Kick([]string{y.List()[0].ID}, "kicked") },
			"shutdown": func(y *yard) { y.cutOff() },
		} {
			t.Run(mode.String()+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					target, _ := encryptedGuest(t, mode)
					y := newYard(t, target, func(c *pop3test.Conn) {
						if mode == backend.TLSByCommand && !upgrades(c, "+OK\r\n") {
							return
						}
						forever(c)
						_, _ = io.Copy(io.Discard, c.Raw())
					}, nil)
					c := y.greeted(t, from(1))
					if err := c.Send([]byte("USER alice\r\nPASS right\r\n")); err != nil {
						t.Fatal(err)
					}
					expectLine(t, c, "+OK")
					time.Sleep(time.Second)
					begin := time.Now()
					stop(y)
					expectEnd(t, c)
					if took := time.Since(begin); took != 0 {
						t.Errorf("ended after %v", took)
					}
					y.wantIdle(t)
					if s := y.status(t); s.Failures != 0 {
						t.Errorf("%d failures count: %s", s.Failures, s.LastError)
					}
					y.logs.waitFor(t, "msg=end", "ended_by=gateway")
				})
			})
		}
	}
}

// The same on real sockets, where nothing is around the connection.
func TestBackendOverTLSOnSockets(t *testing.T) {
	target, config := encryptedGuest(t, backend.TLSByCommand)
	payload := much()
	guest := pop3test.NewBackend(t, func(plain *pop3test.Conn) {
		if !upgrades(plain, "+OK\r\n") {
			return
		}
		c, ok := inside(plain, config)
		if !ok || !accepts(c) {
			return
		}
		var all sync.WaitGroup
		all.Go(func() { _, _ = c.Raw().Write(payload) })
		got, err := io.ReadAll(c.Raw())
		all.Wait()
		if err == nil && bytes.Equal(got, payload) {
			_ = c.SendLine("+OK all of it, and the end")
		}
		_ = c.Fin()
	})
	target.Name, target.Addresses = "guest-01", []string{guest.Addr()}
	s := serve(t, func(_ *Settings, o *Options) {
		o.Directory = locatorFunc(func(q directory.Query) (directory.Route, error) {
			return directory.Route{Mailbox: q.User, Login: q.User, Backend: &target}, nil
		})
	})
	c := s.greeted(t)
	c.SetTimeout(time.Minute)
	enters(t, c, "alice", rightPassword, "+OK in")
	var all sync.WaitGroup
	all.Go(func() { _, _ = c.Raw().Write(payload); _ = c.Fin() })
	got, err := c.Octets(len(payload))
	all.Wait()
	if err != nil || !bytes.Equal(got, payload) {
		t.Fatalf("%d octets came, %v", len(got), err)
	}
	expectLine(t, c, "+OK all of it, and the end")
	expectEnd(t, c)
	s.logs.waitFor(t, "msg=end", "to_client=5242", "to_backend=5242880", "reason=fin")
}
