package backend_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"postern/backend"
)

// lane is how one address behaves: it answers after a time, or fails, or hangs.
type lane struct {
	after time.Duration
	fault error
	hangs bool
}

// course is a network of such addresses.
type course struct {
	lanes map[string]lane

	mu     sync.Mutex
	start  time.Time
	tried  []string
	at     []time.Duration
	opened int
	closed int
}

type laneConn struct {
	net.Conn
	address string
	course  *course
}

func (c *laneConn) Close() error {
	c.course.mu.Lock()
	defer c.course.mu.Unlock()
	c.course.closed++
	return c.Conn.Close()
}

func (c *course) connect(ctx context.Context, _, address string) (net.Conn, error) {
	c.mu.Lock()
	c.tried = append(c.tried, address)
	c.at = append(c.at, time.Since(c.start))
	l := c.lanes[address]
	c.mu.Unlock()
	if l.hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	time.Sleep(l.after) // not ended by ctx: a connection that comes up although it lost
	if l.fault != nil {
		return nil, l.fault
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.opened++
	near, far := net.Pipe()
	_ = far.Close()
	return &laneConn{near, address, c}, nil
}

// dial runs the course anew, within ten seconds.
func (c *course) dial(t *testing.T, d backend.Dialer, target backend.Target) (won string, took time.Duration, err error) {
	t.Helper()
	c.start, c.tried, c.at, c.opened, c.closed = time.Now(), nil, nil, 0, 0
	d.Connect = c.connect
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, err := d.Dial(ctx, target)
	took = time.Since(c.start)
	if err != nil {
		if c.closed != c.opened {
			t.Errorf("%d connections, %d closed", c.opened, c.closed)
		}
		return "", took, err
	}
	if c.closed != c.opened-1 { // no goroutine is left that could close one later
		t.Errorf("%d connections, %d closed besides the winner", c.opened, c.closed)
	}
	won = conn.(*laneConn).address
	_ = conn.Close()
	return won, took, nil
}

const (
	pathA = "192.0.2.1:110"
	pathB = "192.0.2.2:110"
	pathC = "192.0.2.3:110"
	head  = 250 * time.Millisecond
)

func TestDialHeadStart(t *testing.T) {
	refused := lane{fault: syscall.ECONNREFUSED}
	ms := time.Millisecond
	for name, c := range map[string]struct {
		a, b, c lane
		won     string
		took    time.Duration
		at      []time.Duration
	}{
		"the first answers":             {lane{after: 20 * ms}, lane{}, lane{}, pathA, 20 * ms, []time.Duration{0}},
		"just in time":                  {lane{after: 249 * ms}, lane{}, lane{}, pathA, 249 * ms, []time.Duration{0}},
		"the first hangs":               {lane{hangs: true}, lane{after: 10 * ms}, lane{}, pathB, 260 * ms, []time.Duration{0, head}},
		"the first is refused":          {refused, lane{after: 10 * ms}, lane{}, pathB, 10 * ms, []time.Duration{0, 0}},
		"refused late":                  {lane{after: 100 * ms, fault: syscall.ECONNREFUSED}, lane{after: 10 * ms}, lane{}, pathB, 110 * ms, []time.Duration{0, 100 * ms}},
		"two hang":                      {lane{hangs: true}, lane{hangs: true}, lane{}, pathC, 500 * ms, []time.Duration{0, head, 2 * head}},
		"hangs, then refused":           {lane{hangs: true}, refused, lane{}, pathC, 250 * ms, []time.Duration{0, head, head}},
		"slow, but faster than the 2nd": {lane{after: 300 * ms}, lane{hangs: true}, lane{}, pathA, 300 * ms, []time.Duration{0, head}},
		// The loser comes up in the moment of its end, and is waited for and closed.
		"two come up": {lane{after: 400 * ms}, lane{after: 50 * ms}, lane{}, pathB, 400 * ms, []time.Duration{0, head}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				course := &course{lanes: map[string]lane{pathA: c.a, pathB: c.b, pathC: c.c}}
				won, took, err := course.dial(t, backend.Dialer{}, backend.Target{Name: "g", Addresses: []string{pathA, pathB, pathC}})
				if err != nil || won != c.won || took != c.took || !slices.Equal(course.at, c.at) {
					t.Errorf("%s after %v, %v; tried at %v", won, took, err, course.at)
				}
			})
		})
	}
}

func TestDialAllFail(t *testing.T) {
	for name, c := range map[string]struct {
		a, b lane
		kind backend.Kind
		took time.Duration
	}{
		"refused":           {lane{fault: syscall.ECONNREFUSED}, lane{fault: syscall.EHOSTUNREACH}, backend.Unreachable, 0},
		"hang":              {lane{hangs: true}, lane{hangs: true}, backend.TimedOut, 10 * time.Second},
		"hangs and refused": {lane{hangs: true}, lane{fault: syscall.ECONNREFUSED}, backend.TimedOut, 10 * time.Second},
		"our own fault":     {lane{fault: syscall.EMFILE}, lane{fault: syscall.ENFILE}, backend.Local, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				course := &course{lanes: map[string]lane{pathA: c.a, pathB: c.b}}
				_, took, err := course.dial(t, backend.Dialer{}, backend.Target{Name: "g", Addresses: []string{pathA, pathB}})
				wantKind(t, err, c.kind)
				if took != c.took || len(course.tried) != 2 {
					t.Errorf("took %v, tried %v", took, course.tried)
				}
				for _, fault := range []error{c.a.fault, c.b.fault} {
					if fault != nil && !errors.Is(err, fault) {
						t.Errorf("%v doesn't say %v", err, fault)
					}
				}
			})
		})
	}
}

// A dead first address costs one head start a minute, and comes back by itself.
func TestDialRemembersTheWinner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		course := &course{lanes: map[string]lane{pathA: {hangs: true}, pathB: {}, pathC: {}}}
		d := backend.Dialer{Winners: backend.NewWinners()}
		target := backend.Target{Name: "g", Addresses: []string{pathA, pathB, pathC}}
		step := func(wantWon string, wantTook time.Duration, wantTried ...string) {
			t.Helper()
			won, took, err := course.dial(t, d, target)
			if err != nil || won != wantWon || took != wantTook || !slices.Equal(course.tried, wantTried) {
				t.Errorf("%s after %v, %v; tried %v", won, took, err, course.tried)
			}
		}
		step(pathB, head, pathA, pathB)
		step(pathB, 0, pathB)
		time.Sleep(59 * time.Second)
		step(pathB, 0, pathB)
		time.Sleep(time.Second) // the minute is over, however often it won
		step(pathB, head, pathA, pathB)
		course.lanes[pathB] = lane{fault: syscall.ECONNREFUSED}
		step(pathC, head, pathB, pathA, pathC)
		step(pathC, 0, pathC)
		other := backend.Target{Name: "other", Addresses: target.Addresses}
		if won, _, _ := course.dial(t, d, other); won != pathC || course.tried[0] != pathA {
			t.Errorf("another backend's dial tried %v", course.tried)
		}
		course.lanes[pathA] = lane{}
		time.Sleep(time.Minute)
		step(pathA, 0, pathA)
		target.Addresses = []string{pathC, pathA}
		step(pathC, 0, pathC)
	})
}

// A name's addresses race too, both families in turn, not more than eight.
func TestDialResolves(t *testing.T) {
	all := []string{"2001:db8::1", "2001:db8::2", "2001:db8::3", "192.0.2.1", "192.0.2.2"}
	for range 10 {
		all = append(all, "192.0.2.9")
	}
	d := backend.Dialer{Resolve: func(_ context.Context, network, host string) ([]netip.Addr, error) {
		if host != "guest-01.example.com" {
			return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
		}
		var found []netip.Addr
		for _, a := range all {
			found = append(found, netip.MustParseAddr(a))
		}
		return found, nil
	}}
	synctest.Test(t, func(t *testing.T) {
		course := &course{lanes: map[string]lane{"[2001:db8::1]:110": {hangs: true}}}
		target := backend.Target{Name: "g", Addresses: []string{"nowhere.example.com:110", "guest-01.example.com:110"}}
		won, took, err := course.dial(t, d, target)
		if err != nil || won != "192.0.2.1:110" || took != head {
			t.Errorf("%s after %v, %v", won, took, err)
		}
		for _, a := range all {
			course.lanes[net.JoinHostPort(a, "110")] = lane{fault: syscall.ECONNREFUSED}
		}
		_, _, err = course.dial(t, d, target)
		wantKind(t, err, backend.Unreachable)
		want := []string{"[2001:db8::1]:110", "192.0.2.1:110", "[2001:db8::2]:110", "192.0.2.2:110", "[2001:db8::3]:110", "192.0.2.9:110", "192.0.2.9:110", "192.0.2.9:110"}
		if !slices.Equal(course.tried, want) {
			t.Errorf("tried %v", course.tried)
		}
		target.Source = netip.MustParseAddr("2001:db8::77") // reaches its own family only
		_, _, err = course.dial(t, d, target)
		wantKind(t, err, backend.Unreachable)
		if !slices.Equal(course.tried, []string{want[0], want[2], want[4]}) {
			t.Errorf("from IPv6 tried %v", course.tried)
		}
	})
}
