package proxy

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postern/backend"
	"postern/directory"
	"postern/pop3/pop3test"
)

// chance is randomness that many may draw from, the same in each run of a seed but for their order.
type chance struct {
	mu sync.Mutex
	r  *rand.Rand
}

func (c *chance) n(most int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.r.IntN(most)
}

// within is a time up to so long.
func (c *chance) within(most time.Duration) time.Duration { return time.Duration(c.n(int(most))) }

// moody plays a guest that is sometimes slow, refuses, closes or says nothing any more, at any step.
func (c *chance) moody(conn *pop3test.Conn) {
	forever(conn)
	conn.SetTimeout(24 * time.Hour)
	for step := range 3 {
		switch c.n(20) {
		case 0:
			return
		case 1:
			_ = conn.SendLine("-ERR [SYS/TEMP] no")
			return
		case 2:
			_, _ = io.Copy(io.Discard, conn.Raw())
			return
		case 3, 4, 5:
			time.Sleep(c.within(12 * time.Second))
		case 6, 7, 8, 9:
			if step == 2 {
				_ = conn.SendLine([]string{"-ERR [IN-USE] locked", "-ERR [AUTH] no"}[c.n(2)])
				return
			}
		}
		if conn.SendLine("+OK") != nil {
			return
		}
		if step < 2 {
			if _, err := conn.Line(); err != nil {
				return
			}
		}
	}
	transaction(conn)
}

// moodyDialer fails, takes its time, or is broken.
type moodyDialer struct {
	backend.Dialer
	*chance
}

func (d moodyDialer) DialFor(ctx context.Context, t backend.Target, o backend.Origin) (net.Conn, error) {
	switch d.n(20) {
	case 0:
		panic("broken dialer")
	case 1:
		return nil, &backend.Error{Kind: backend.Unreachable, Step: backend.Connect}
	case 2, 3:
		select {
		case <-time.After(d.within(15 * time.Second)):
		case <-ctx.Done():
			return nil, &backend.Error{Kind: backend.TimedOut, Step: backend.Connect, Err: ctx.Err()}
		}
	}
	return d.Dialer.DialFor(ctx, t, o)
}

// stormy plays one client: it logs in as one of few users, now and then twice, and leaves whenever it likes.
func (c *chance) stormy(socket net.Conn) {
	defer func() { _ = socket.Close() }()
	client := pop3test.NewConn(socket)
	timer := time.AfterFunc(c.within(40*time.Second), func() {
		if c.n(2) == 0 {
			_ = client.Reset()
		} else {
			_ = socket.Close()
		}
	})
	defer timer.Stop()
	client.SetTimeout(time.Hour)
	hears := func() bool { _, err := client.Line(); return err == nil }
	if !hears() {
		return
	}
	for range 1 + c.n(2) {
		if client.SendLine(fmt.Sprintf("USER user%d", c.n(12))) != nil || !hears() {
			return
		}
		time.Sleep(c.within(7 * time.Second))
		if client.SendLine("PASS right") != nil || !hears() {
			return
		}
	}
	for range c.n(4) {
		time.Sleep(c.within(12 * time.Second))
		if client.SendLine([]string{"NOOP", "RETR 1", "HANG", "QUIT"}[c.n(4)]) != nil || !hears() {
			return
		}
	}
}

// Whatever sessions come to, at whatever step, nothing is left: no place in the pool, no seat, no connection.
// Clients leave or are kicked at any moment, the backend and the way to it are moody, parts of the gateway
// panic, and an operator drains and resumes meanwhile.
func TestNothingIsLeftBehindAStorm(t *testing.T) {
	var log strings.Builder
	for seed := range uint64(12) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := &chance{r: rand.New(rand.NewPCG(seed, 5))}
				target := backend.Target{MaxLogins: 1 + c.n(6), MaxSessions: c.n(2) * 12}
				y := c.stormyYard(t, target, seed)
				checking := context.WithoutCancel(t.Context())
				checking, cancel := context.WithCancel(checking)
				var checks, clients sync.WaitGroup
				checks.Go(func() { y.pool.Run(checking) })
				checks.Go(func() { c.trouble(checking, y) })
				for n := range 150 {
					clients.Go(func() { c.stormy(y.socket(t, from(n%100))) })
					time.Sleep(c.within(400 * time.Millisecond))
				}
				clients.Wait()
				cancel()
				checks.Wait()
				y.cutOff()
				time.Sleep(10 * time.Second)
				y.wantIdle(t)
				log.WriteString(y.logs.String())
			})
		})
	}
	for _, happened := range []string{ // else it was none
		"result=ok", `result="backend busy"`, `result="backend drained"`, `result="backend unreachable"`, `result="backend down"`,
		`result="in use"`, "result=refused", `result="login timeout"`, "reason=kicked", "reason=reset", "reason=fin",
		"session panicked", "ready panicked",
	} {
		if !strings.Contains(log.String(), happened) {
			t.Errorf("no %s in all storms", happened)
		}
	}
}

func (c *chance) stormyYard(t *testing.T, target backend.Target, seed uint64) *yard {
	var y *yard
	y = newYard(t, target, c.moody, func(set *Settings, o *Options) {
		set.EagerConnect, set.Login = seed%2 == 0, 30*time.Second
		if seed%3 == 0 {
			set.ReplaceStale = 5 * time.Second
		}
		o.Dialer = moodyDialer{o.Dialer.(backend.Dialer), c}
		o.Directory = locatorFunc(func(q directory.Query) (directory.Route, error) {
			if c.n(50) == 0 {
				panic("broken directory")
			}
			return y.locate(q)
		})
	})
	return y
}

// trouble is an operator who kicks anybody, and drains and resumes.
func (c *chance) trouble(ctx context.Context, y *yard) {
	for {
		select {
		case <-time.After(c.within(2 * time.Second)):
		case <-ctx.Done():
			return
		}
		switch all := y.List(); {
		case len(all) > 0 && c.n(3) == 0:
			y.Kick([]string{all[c.n(len(all))].ID}, "kicked")
		case c.n(30) == 0:
			_ = y.pool.Drain("guest-01", "olga")
		default:
			_ = y.pool.Resume("guest-01", "olga")
		}
	}
}
