package ldap

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"postern/directory"
	"postern/pop3"
)

func TestAnswersThatAreNone(t *testing.T) {
	entry := entryOf("alice", "alice@example.com", "guest-01")
	for want, serve := range map[string]func(c *caller){
		"10 (Referral)":                 func(c *caller) { c.done(ldap.LDAPResultReferral) },
		"32 (No Such Object)":           func(c *caller) { c.done(ldap.LDAPResultNoSuchObject) },
		"50 (Insufficient Access":       func(c *caller) { c.done(ldap.LDAPResultInsufficientAccessRights) },
		"51 (Busy)":                     func(c *caller) { c.done(ldap.LDAPResultBusy) },
		"3 (Time Limit Exceeded)":       func(c *caller) { c.say(entry); c.done(ldap.LDAPResultTimeLimitExceeded) },
		"more than two":                 func(c *caller) { c.say(entry); c.say(entry); c.done(ldap.LDAPResultSizeLimitExceeded) },
		"connection is lost":            func(c *caller) {},
		"is lost":                       func(c *caller) { c.say(entry) },
		"the connection is lost: ":      func(c *caller) { c.say(entry); c.say(entry); c.say(entry); c.done(0) },
		"no LDAP message":               func(c *caller) { _, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")); c.wait() },
		"longer than 4 MiB":             func(c *caller) { _, _ = c.Write([]byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff}); c.wait() },
		"what the server sends is no":   func(c *caller) { _, _ = c.Write([]byte{0x30, 0x80, 0x02}); c.wait() },
		"the server sends more than 8 ": func(c *caller) { flood(c) },
	} {
		t.Run(want, func(t *testing.T) {
			server := newFake(t, func(c *caller) { c.request(); serve(c) })
			r := resolver(t, server.options())
			if v, err := r.Resolve(t.Context(), alice()); err == nil || errors.Is(err, directory.ErrUnknown) || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, %v", v, err)
			}
		})
	}
}

// flood sends search references for as long as they are taken.
func flood(c *caller) {
	reference := application(ldap.ApplicationSearchResultReference, octets(strings.Repeat("x", 1<<20)))
	for range 32 {
		c.say(reference)
	}
}

// TestReferencesAreNotFollowed, and don't stand in the way of an answer.
func TestReferencesAreNotFollowed(t *testing.T) {
	other := newFake(t, func(c *caller) { t.Error("a reference is followed"); c.wait() })
	server := newFake(t, func(c *caller) {
		c.request()
		c.say(application(ldap.ApplicationSearchResultReference, octets(other.url+"/o=x??sub")))
		c.say(entryOf("alice", "alice@example.com", "guest-01"))
		c.done(0)
		c.wait()
	})
	if v, err := resolver(t, server.options()).Resolve(t.Context(), alice()); err != nil || v.Backend != "guest-01" {
		t.Errorf("%v, %v", v, err)
	}
}

// TestNoTLSNoQuestion: a server that refuses StartTLS, or answers something else, hears nothing more, a password least of all.
func TestNoTLSNoQuestion(t *testing.T) {
	for name, answer := range map[string]func(c *caller){
		"refused": func(c *caller) {
			c.result(ldap.ApplicationExtendedResponse, ldap.LDAPResultProtocolError, "no such thing")
		},
		"unavailable":       func(c *caller) { c.result(ldap.ApplicationExtendedResponse, ldap.LDAPResultUnavailable, "") },
		"another operation": func(c *caller) { c.done(0) },
		"another message":   func(c *caller) { c.id = 7; c.result(ldap.ApplicationExtendedResponse, 0, "") },
		"garbage":           func(c *caller) { _, _ = c.Write([]byte("\x30\x03\x02\x01\x01")) },
		"a long one":        func(c *caller) { _, _ = c.Write([]byte{0x30, 0x83, 0x7f, 0xff, 0xff}); flood(c) },
		"plain text behind": func(c *caller) { c.result(ldap.ApplicationExtendedResponse, 0, ""); c.done(0) },
	} {
		t.Run(name, func(t *testing.T) {
			heard := make(chan bool, 100)
			server := newFake(t, func(c *caller) {
				c.request()
				answer(c)
				buffer := make([]byte, 64)
				n, _ := c.Read(buffer)
				heard <- n > 0 && buffer[0] == 0x30 // a message; TLS begins with 0x16
			})
			o := server.options()
			o.StartTLS, o.BindDN, o.BindPassword = true, "cn=x", pop3.NewSecret([]byte(canary))
			if v, err := resolver(t, o).Resolve(t.Context(), alice()); err == nil || errors.Is(err, directory.ErrUnknown) {
				t.Errorf("%v, %v", v, err)
			}
			if <-heard {
				t.Error("the server hears a message in plain text")
			}
		})
	}
}

// TestAConnectionThatIsGoneIsReplaced: the server ended the one that was kept, before the question and in the middle of it.
func TestAConnectionThatIsGoneIsReplaced(t *testing.T) {
	answer := func(c *caller) {
		if c.request() == nil {
			return
		}
		c.say(entryOf("alice", "alice@example.com", "guest-01"))
		c.done(0)
	}
	server := newFake(t,
		answer, // and closes
		func(c *caller) { answer(c); c.request() }, // closes instead of the second answer
		func(c *caller) {
			for range 3 {
				answer(c)
			}
			c.wait()
		})
	r := resolver(t, server.options())
	for i := range 4 {
		if v, err := r.Resolve(t.Context(), alice()); err != nil || v.Backend != "guest-01" {
			t.Errorf("question %d: %v, %v", i, v, err)
		}
	}
}

// TestQuestionsHaveTheirPlaces: no more connections than configured; who waits for a place is bounded by the context.
func TestQuestionsHaveTheirPlaces(t *testing.T) {
	asked := make(chan struct{}, 10)
	server := newFake(t, func(c *caller) { c.request(); asked <- struct{}{}; c.wait() })
	o := server.options()
	o.MaxConnections = 1
	r := resolver(t, o)
	first := make(chan error, 1)
	go func() { _, err := r.Resolve(context.Background(), alice()); first <- err }()
	<-asked
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := r.Resolve(ctx, alice()); !errors.Is(err, context.DeadlineExceeded) || len(asked) > 0 {
		t.Errorf("a second question: %v, %d connections", err, 1+len(asked))
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if err := <-first; err == nil || errors.Is(err, directory.ErrUnknown) {
		t.Errorf("a question when the source was closed: %v", err)
	}
	if _, err := r.Resolve(t.Context(), alice()); !errors.Is(err, errClosed) {
		t.Errorf("a question after that: %v", err)
	}
}

// TestTheTextOfAServerIsCut and quoted: it is a stranger's.
func TestTheTextOfAServerIsCut(t *testing.T) {
	server := newFake(t, func(c *caller) {
		c.request()
		c.result(ldap.ApplicationSearchResultDone, ldap.LDAPResultOther, "\x1b[2J\n"+strings.Repeat("x", 5000))
		c.wait()
	})
	_, err := resolver(t, server.options()).Resolve(t.Context(), alice())
	if err == nil || len(err.Error()) > 500 || strings.ContainsAny(err.Error(), "\x1b\n") {
		t.Errorf("%q", err)
	}
}
