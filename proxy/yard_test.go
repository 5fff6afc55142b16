package proxy

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postern/backend"
	"postern/directory"
	"postern/pop3/pop3test"
)

// yard is a gateway in memory before one backend that a pool watches over, for bubbles of synctest.
type yard struct {
	*edge
	pool    *backend.Pool
	target  *backend.Target
	network *network
}

// network dials the backend, and tells how often, and how many connections are open.
type network struct {
	dial func(context.Context, string, string) (net.Conn, error)

	mu     sync.Mutex
	dialed int
	open   int
	sent   bytes.Buffer  // by the gateway, as it travels
	err    error         // instead of a connection
	takes  time.Duration // until it is there
}

func (n *network) connect(ctx context.Context, kind, address string) (net.Conn, error) {
	n.mu.Lock()
	n.dialed++
	fault, takes := n.err, n.takes
	n.mu.Unlock()
	if takes > 0 {
		select {
		case <-time.After(takes):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if fault != nil {
		return nil, fault
	}
	conn, err := n.dial(ctx, kind, address)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	n.open++
	n.mu.Unlock()
	return &counted{halves: conn.(halves), network: n}, nil
}

// become changes what the next dials come to.
func (n *network) become(takes time.Duration, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.takes, n.err = takes, err
}

func (n *network) counts() (dialed, open int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dialed, n.open
}

// heard is all that was sent to the backend, as it traveled.
func (n *network) heard() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.sent.String()
}

type halves interface {
	net.Conn
	CloseWrite() error
}

// counted is a connection that is open until it is closed once.
type counted struct {
	halves
	network *network
	once    sync.Once
}

func (c *counted) Write(p []byte) (int, error) {
	c.network.mu.Lock()
	c.network.sent.Write(p)
	c.network.mu.Unlock()
	return c.halves.Write(p)
}

func (c *counted) Close() error {
	c.once.Do(func() {
		c.network.mu.Lock()
		c.network.open--
		c.network.mu.Unlock()
	})
	return c.halves.Close()
}

// well is what checks find where a pool is run.
type well struct{}

func (well) Probe(context.Context, backend.Target) (entered bool, err error) { return true, nil }

// newYard serves everybody but nobody from the target, which is complete but for its name and address.
func newYard(t *testing.T, target backend.Target, guest func(*pop3test.Conn), change func(*Settings, *Options)) *yard {
	t.Helper()
	target.Name, target.Addresses, target.Declared = "guest-01", []string{guestAt}, true
	front, behind := pipe(t, "127.0.0.1:110"), pipe(t, guestAt)
	y := &yard{target: &target, network: &network{dial: pop3test.DialPipes(behind)}}
	y.pool = backend.NewPool(backend.PoolOptions{
		Settings: backend.Settings{QueueTimeout: 10 * time.Second, DownInterval: 2 * time.Second, Timeout: 5 * time.Second, Fall: 3, Rise: 1},
		Prober:   well{}, Logger: slog.New(slog.DiscardHandler),
	})
	y.pool.Sync([]backend.Target{target})
	y.edge = &edge{front: front, guest: pop3test.ServeBackend(t, behind, guest)}
	y.runningServer = serveWith(t, front, &Access{}, func(set *Settings, o *Options) {
		set.FailureDelay, set.Plaintext = 3*time.Second, PlaintextAlways
		o.Directory, o.Pool, o.Dialer = locatorFunc(y.locate), y.pool, backend.Dialer{Connect: y.network.connect}
		if change != nil {
			change(set, o)
		}
	})
	return y
}

// door opens one more address with rules of its own, until the server is shut down.
func (y *yard) door(t *testing.T, access *Access) *pop3test.PipeListener {
	t.Helper()
	l := pipe(t, "127.0.0.1:111")
	served := make(chan struct{})
	go func() { defer close(served); y.Serve(context.Background(), NewListener(l, "door", access)) }()
	t.Cleanup(func() {
		y.cutOff()
		<-served
	})
	return l
}

// through connects from an address by a door.
func through(t *testing.T, l *pop3test.PipeListener, address string) *pop3test.Client {
	t.Helper()
	raw, err := l.DialFrom(netip.MustParseAddr(address))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = raw.Close() })
	c := pop3test.NewClient(raw)
	c.SetTimeout(3 * time.Minute)
	return c
}

func (y *yard) locate(q directory.Query) (directory.Route, error) {
	if strings.HasPrefix(q.User, "nobody") {
		return directory.Route{}, directory.ErrUnknown
	}
	mailbox := q.User + "@example.com"
	return directory.Route{Mailbox: mailbox, Entry: mailbox, Login: q.User, Backend: y.target}, nil
}

func (y *yard) status(t *testing.T) backend.Status {
	t.Helper()
	all := y.pool.Snapshot()
	if len(all) != 1 {
		t.Fatalf("%d backends", len(all))
	}
	return all[0]
}

// wantIdle holds that nothing is left: no place in the pool, no session, no connection.
func (y *yard) wantIdle(t *testing.T) {
	t.Helper()
	synctest.Wait()
	s := y.status(t)
	if s.Logins != 0 || s.Queued != 0 || s.Sessions != 0 {
		t.Errorf("the pool holds %d logins, %d in the queue, %d sessions", s.Logins, s.Queued, s.Sessions)
	}
	if n := y.Sessions(); n != 0 || y.census.Sessions() != 0 {
		t.Errorf("%d sessions, %d seats", n, y.census.Sessions())
	}
	if _, open := y.network.counts(); open != 0 {
		t.Errorf("%d connections to the backend are open", open)
	}
	y.eagers.mu.Lock()
	defer y.eagers.mu.Unlock()
	if len(y.eagers.clients) != 0 || len(y.eagers.backends) != 0 {
		t.Errorf("held for what was made ready: %v, %v", y.eagers.clients, y.eagers.backends)
	}
}

// from is the nth client's address, each in a network of its own.
func from(n int) string { return netip.AddrFrom4([4]byte{10, byte(n >> 8), byte(n), 1}).String() }

// login is one from its own address. It returns the answer to PASS and how long that took.
func (y *yard) login(t *testing.T, n int, user string) (*pop3test.Client, string, time.Duration) {
	t.Helper()
	c := y.greeted(t, from(n))
	says(t, c, "USER "+user, "+OK")
	begin := time.Now()
	reply, err := c.Cmd("PASS " + rightPassword)
	if err != nil {
		t.Errorf("%s: %v", user, err)
	}
	return c, reply, time.Since(begin)
}

// quits says QUIT, which the guests of these tests understand.
func quits(t *testing.T, c *pop3test.Client) {
	t.Helper()
	says(t, c, "QUIT", "+OK")
	expectEnd(t, c)
	_ = c.Close()
}

// maildropOf plays a guest that judges a password after a while, and then answers as POP3 servers do.
func maildropOf(takes time.Duration) func(*pop3test.Conn) {
	return func(c *pop3test.Conn) {
		judge(c, func(_, password string) string {
			time.Sleep(takes)
			if password == rightPassword {
				return "+OK in"
			}
			return "-ERR [AUTH] no"
		})
		transaction(c)
	}
}

// transaction answers commands until QUIT or the end.
func transaction(c *pop3test.Conn) {
	forever(c)
	c.SetTimeout(24 * time.Hour)
	for {
		line, err := c.Line()
		if err != nil {
			return
		}
		switch {
		case line == "QUIT":
			_ = c.SendLine("+OK bye")
			return
		case strings.HasPrefix(line, "RETR"):
			_ = c.SendLine("+OK")
			_ = c.SendLine("Subject: long")
			time.Sleep(1500 * time.Millisecond)
			_ = c.Send([]byte("\r\nbody\r\n.\r\n"))
		case line == "HANG":
			_, _ = io.Copy(io.Discard, c.Raw())
			return
		default:
			_ = c.SendLine("+OK")
		}
	}
}
