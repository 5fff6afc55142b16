package proxy

import (
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postern/pop3/pop3test"
	"postern/proxy/limits"
)

// strangers connect from addresses of their own, and stay.
func (e *edge) strangers(t *testing.T, n int, say string) (all []net.Conn) {
	t.Helper()
	for i := range n {
		source := netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)})
		c, err := e.front.DialFrom(source)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if _, err := c.Write([]byte(say)); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
		if i%100 == 99 {
			synctest.Wait() // so that the listener's backlog has room
		}
	}
	synctest.Wait()
	return all
}

func heapInUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// 5,000 strangers hold connections, all of which fit into login_memory by what a session
// counts for; a user logs in meanwhile, and what they really take is no more than that.
func TestEdgeStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many = 5000
		e := edgeWith(t, &Access{}, keepsIn, func(set *Settings, _ *Options) { set.LoginMemory = 64 << 20 })
		idle := e.strangers(t, 100, "") // what the test itself takes for each
		before := heapInUse()
		e.strangers(t, many, "USER somebody\r\nCAPA\r\nUS")
		grown := heapInUse() - before
		if each := grown / many; each > 2*limits.SessionMemory { // client's and server's ends of a pipe included
			t.Errorf("a stranger takes %d octets", each)
		}
		if sessions, memory := e.waiting.Held(); sessions != many+len(idle) || memory > 64<<20 {
			t.Errorf("%d sessions count for %d octets", sessions, memory)
		}
		begin := time.Now()
		enters(t, e.greeted(t, someClient), "alice", rightPassword, "+OK in")
		if took := time.Since(begin); took > time.Second {
			t.Errorf("the login took %v", took)
		}
	})
}

// Where login_memory holds fewer, the oldest give way, and users still get in. Tokens count
// for what they are.
func TestEdgeStrangersBeyondMemory(t *testing.T) {
	for name, say := range map[string]string{"silent": "", "with tokens": "AUTH XOAUTH2 " + strings.Repeat("x", 20<<10)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const bound = 2 << 20
				e := edgeWith(t, &Access{}, keepsIn, func(set *Settings, _ *Options) {
					set.LoginMemory, set.Mechanisms = bound, allMechanisms()
				})
				all := e.strangers(t, 1000, say)
				sessions, memory := e.waiting.Held()
				if memory > bound || sessions < 10 {
					t.Errorf("%d sessions count for %d octets", sessions, memory)
				}
				enters(t, e.greeted(t, someClient), "alice", rightPassword, "+OK in")
				expectEnd(t, readPast(all[0]))
				if n := e.Sessions(); n > sessions+1 {
					t.Errorf("%d sessions are open", n)
				}
			})
		})
	}
}

// readPast is a client whose greeting was read.
func readPast(c net.Conn) *pop3test.Client {
	client := pop3test.NewClient(c)
	_, _ = client.Line()
	return client
}

// A total that strangers have filled makes room for users as well, whatever those do.
func TestEdgeStrangersFillTheTotal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := edgeWith(t, &Access{}, keepsIn, func(set *Settings, _ *Options) { set.Limits.Sessions = 300 })
		e.strangers(t, 1000, "")
		for i := range 20 {
			c := e.greeted(t, fmt.Sprintf("198.51.100.%d", i))
			enters(t, c, fmt.Sprintf("user%d", i), rightPassword, "+OK in")
		}
		if n := e.census.Sessions(); n > 300 {
			t.Errorf("%d sessions", n)
		}
	})
}
