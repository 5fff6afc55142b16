package proxy

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postern/pop3/pop3test"
	"postern/proxy/limits"
)

const denial1 = "-ERR [AUTH] Wrong user name or password"

// The limits of a mailbox are told only to who has its password.
func TestEdgeMailboxIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := edgeWith(t, &Access{}, keepsIn, func(set *Settings, _ *Options) { set.Limits.PerMailbox = 1 })
		first := e.greeted(t, someClient)
		enters(t, first, "alice", rightPassword, "+OK in")
		second := e.greeted(t, "198.51.100.8")
		enters(t, second, "alice", "wrong", denial1)
		enters(t, second, "alice", rightPassword, "-ERR [IN-USE]")
		enters(t, second, "bob", rightPassword, "+OK in") // another mailbox has room
		_ = first.Close()
		synctest.Wait()
		enters(t, e.greeted(t, someClient), "alice", rightPassword, "+OK in")
	})
}

func TestEdgeLoginInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := edgeWith(t, &Access{}, keepsIn, func(set *Settings, _ *Options) {
			set.LoginInterval, set.Limits.Exempt = time.Minute, only("198.51.100.99")
		})
		again := func(from, password, want string) {
			t.Helper()
			c := e.greeted(t, from)
			enters(t, c, "alice", password, want)
			_ = c.Close()
		}
		again(someClient, rightPassword, "+OK in")
		again(someClient, "wrong", denial1)
		again(someClient, rightPassword, "-ERR [LOGIN-DELAY]")
		again("198.51.100.8", rightPassword, "+OK in") // a phone doesn't lock out the desk
		again("198.51.100.99", rightPassword, "+OK in")
		again("198.51.100.99", rightPassword, "+OK in") // not counted at all
		time.Sleep(time.Minute)
		again(someClient, rightPassword, "+OK in")
	})
}

func TestEdgeConnectionsPerMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := edgeWith(t, &Access{Proxies: only(theProxy)}, keepsIn, func(set *Settings, _ *Options) {
			set.ConnectionsPerMinute, set.Limits.Exempt = 3, only("198.51.100.99")
		})
		for range 3 {
			_ = e.greeted(t, someClient).Close()
		}
		expectLine(t, e.client(t, someClient), "-ERR [SYS/TEMP] Too many connections")
		expectLine(t, e.behindProxy(t, headerFor(someClient)), "-ERR [SYS/TEMP] Too many connections") // the same client
		e.greeted(t, "198.51.100.8")
		for range 10 {
			e.greeted(t, "198.51.100.99")
			expectLine(t, e.behindProxy(t, headerV2(byItself, someClient, "")), "+OK")
		}
		time.Sleep(21 * time.Second) // one more in 20 seconds
		e.greeted(t, someClient)
		expectLine(t, e.client(t, someClient), "-ERR [SYS/TEMP] Too many connections")
	})
}

// A network's sessions are counted together and not per address, IPv6 by its /64.
func TestEdgePerNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := edgeWith(t, &Access{}, keepsIn, func(set *Settings, _ *Options) {
			set.Limits.PerAddress = 2
			set.Limits.PerNetwork = []limits.Network{{Networks: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}, Sessions: 4}}
		})
		for range 4 {
			e.greeted(t, "203.0.113.7") // more than an address may have
		}
		expectLine(t, e.client(t, "203.0.113.8"), "-ERR [SYS/TEMP]")
		e.greeted(t, "2001:db8::1")
		e.greeted(t, "2001:db8::2")
		expectLine(t, e.client(t, "2001:db8::3"), "-ERR [SYS/TEMP]")
		e.greeted(t, "2001:db8:0:1::1")
	})
}

// refusalAfter is how long one wrong password on a connection of its own takes.
func (e *edge) refusalAfter(t *testing.T, from, user string) time.Duration {
	t.Helper()
	c := e.greeted(t, from)
	says(t, c, "USER "+user, "+OK")
	begin := time.Now()
	says(t, c, "PASS wrong", denial1)
	_ = c.Close()
	return time.Since(begin)
}

func steps(times ...int) string { return fmt.Sprint(times) }

// Who guesses waits longer, in multiples of failure_delay: 1, 1, then 1 more, 2, 4 and so on,
// the same for a mailbox that exists and one that doesn't.
func TestEdgePenaltiesGrow(t *testing.T) {
	for _, user := range []string{"alice", "nobody"} {
		t.Run(user, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := edgeWith(t, &Access{}, keepsIn, nil)
				var got []int
				for range 8 {
					took := e.refusalAfter(t, someClient, user)
					if took%(3*time.Second) != 0 {
						t.Errorf("refused after %v, no multiple of the delay", took)
					}
					got = append(got, int(took/(3*time.Second)))
				}
				if want := steps(1, 1, 1, 2, 3, 5, 9, 17); steps(got...) != want {
					t.Errorf("multiples %v, want %v", got, want)
				}
				if took := e.refusalAfter(t, "198.51.100.8", user); took != 3*time.Second {
					t.Errorf("another address waits %v", took)
				}
				time.Sleep(time.Hour)
				if took := e.refusalAfter(t, someClient, user); took != 3*time.Second {
					t.Errorf("an hour later the address waits %v", took)
				}
			})
		})
	}
}

// One password on many mailboxes makes the address wait.
func TestEdgePenaltiesOfAnAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := edgeWith(t, &Access{}, keepsIn, nil)
		first := e.refusalAfter(t, someClient, "user0")
		var last time.Duration
		for i := range 12 {
			last = e.refusalAfter(t, someClient, fmt.Sprintf("user%d", i))
		}
		if first != 3*time.Second || last <= first || last%(3*time.Second) != 0 {
			t.Errorf("first after %v, last after %v", first, last)
		}
	})
}

// A pair that logged in mistypes as often as it likes, and nobody else pays for it.
func TestEdgePairThatLoggedInIsNeverPunished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := edgeWith(t, &Access{}, keepsIn, nil)
		in := e.greeted(t, someClient)
		enters(t, in, "alice", rightPassword, "+OK in")
		for i := range 20 {
			if took := e.refusalAfter(t, someClient, "alice"); took != 3*time.Second {
				t.Fatalf("refusal %d after %v", i+1, took)
			}
		}
		if took := e.refusalAfter(t, someClient, "bob"); took != 3*time.Second {
			t.Errorf("another mailbox waits %v", took)
		}
	})
}

// The refusals of a session end it where they always did, and what is hung up on counts as well.
func TestEdgePenaltyCountsWhoHangsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := edgeWith(t, &Access{}, keepsIn, nil)
		for range 6 {
			c := e.greeted(t, someClient)
			_ = c.Send([]byte("USER alice\r\nPASS wrong\r\n"))
			expectLine(t, c, "+OK")
			time.Sleep(time.Second)
			_ = c.Close()
		}
		synctest.Wait()
		if took := e.refusalAfter(t, someClient, "alice"); took <= 6*time.Second {
			t.Errorf("refused after %v", took)
		}
	})
}

// Under pressure the oldest gives way, never one with a login in flight; waiting for a
// penalty, or at a token's refusal, is no login.
func TestEdgeOldestGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := edgeWith(t, &Access{}, func(c *pop3test.Conn) {
			_ = c.SendLine("+OK")
			forever(c)
			_, _ = c.Raw().Read(make([]byte, 64))
			time.Sleep(5 * time.Second) // judging takes its time
			_ = c.SendLine("-ERR no")
		}, func(set *Settings, _ *Options) {
			set.LoginMemory, set.Mechanisms = 3*limits.SessionMemory, allMechanisms()
		})
		busy, idle, younger := e.greeted(t, someClient), e.greeted(t, someClient), e.greeted(t, someClient)
		_ = busy.Send([]byte("USER alice\r\nPASS wrong\r\n"))
		expectLine(t, busy, "+OK")
		time.Sleep(time.Second)
		e.greeted(t, "198.51.100.8")
		expectEnd(t, idle)
		expectLine(t, busy, denial1)
		says(t, younger, "QUIT", "+OK")
		if line := e.logs.waitFor(t, `reason="gave way"`); !strings.Contains(line, "ended_by=gateway") {
			t.Error(line)
		}
	})
	for name, waits := range map[string]func(t *testing.T, e *edge) *pop3test.Client{
		"for a penalty": func(t *testing.T, e *edge) *pop3test.Client {
			for range 6 {
				e.refusalAfter(t, someClient, "nobody")
			}
			c := e.greeted(t, someClient)
			_ = c.Send([]byte("USER nobody\r\nPASS wrong\r\n"))
			expectLine(t, c, "+OK")
			return c
		},
		"to acknowledge": func(t *testing.T, e *edge) *pop3test.Client {
			c := e.greeted(t, someClient)
			says(t, c, "AUTH XOAUTH2 "+b64("user=nobody\x01auth=Bearer x\x01\x01"), "+ ")
			return c
		},
	} {
		t.Run("waits "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := edgeWith(t, &Access{}, keepsIn, func(set *Settings, _ *Options) {
					set.LoginMemory, set.Mechanisms = limits.SessionMemory+limits.TokenMemory, allMechanisms()
				})
				holder := waits(t, e)
				time.Sleep(4 * time.Second)
				for range 5 {
					e.greeted(t, "198.51.100.8")
				}
				expectEnd(t, holder)
			})
		})
	}
}
