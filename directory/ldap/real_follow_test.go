package ldap

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postern/directory"
	"postern/pop3"
)

// follower is a source that is followed in a test.
type follower struct {
	t      *testing.T
	look   chan struct{}
	up     chan directory.Update
	groups map[string]*directory.Table
	err    error
	with   int // updates that held groups
}

func follow(t *testing.T, o Options) *follower {
	t.Helper()
	s, err := NewSource(o)
	if err != nil {
		t.Fatal(err)
	}
	return run(t, s)
}

func run(t *testing.T, s *Source) *follower {
	f := &follower{t: t, look: make(chan struct{}), up: make(chan directory.Update), groups: make(map[string]*directory.Table)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, f.look, f.up) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return f
}

func (f *follower) next() directory.Update {
	f.t.Helper()
	select {
	case u := <-f.up:
		f.take(u)
		return u
	case <-time.After(60 * time.Second):
		f.t.Fatal("the source says nothing")
	}
	return directory.Update{}
}

func (f *follower) take(u directory.Update) {
	for _, g := range u.Groups {
		f.groups[g.Name] = g.Table
	}
	if len(u.Groups) > 0 {
		f.with++
	}
	f.err = u.Err
}

func (f *follower) entries() map[string]directory.Value {
	all := make(map[string]directory.Value)
	for _, table := range f.groups {
		maps.Copy(all, maps.Collect(table.All()))
	}
	return all
}

// until takes updates until what was said so far is as wanted.
func (f *follower) until(what string, wanted func() bool) {
	f.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !wanted(); f.next() {
		if time.Now().After(deadline) {
			f.t.Fatalf("in vain: %s", what)
		}
	}
}

func (f *follower) at(address, backend string) func() bool {
	return func() bool {
		for _, table := range f.groups {
			if v, ok := table.Get(address); ok {
				return v.Backend == backend
			}
		}
		return backend == ""
	}
}

func people(from, to int) string {
	var b strings.Builder
	for i := range to - from {
		n := from + i
		b.WriteString(person(fmt.Sprintf("user%d", n), fmt.Sprintf("user%d@example.com", n), fmt.Sprintf("guest-%02d", n%10)))
	}
	return b.String()
}

func modify(uid, changes string) string {
	return "dn: uid=" + uid + ",ou=people,dc=example,dc=com\nchangetype: " + changes + "\n\n"
}

// TestRealFollowing: a thousand people, a hundred changes one by one, and each kind of change.
func TestRealFollowing(t *testing.T) {
	needReal(t)
	s := startSlapd(t, true)
	if err := s.Modify(people(0, 1000)); err != nil {
		t.Fatal(err)
	}
	f := follow(t, Options{URLs: []string{s.Plain}, Base: s.Base, Backend: "mailHost", BindDN: s.Admin, BindPassword: pop3.NewSecret([]byte(canary))})
	f.next()
	if f.err != nil || len(f.entries()) != 1000 {
		t.Fatalf("%d entries, %v", len(f.entries()), f.err)
	}
	var changes strings.Builder
	for i := range 100 {
		changes.WriteString(modify(fmt.Sprintf("user%d", i), fmt.Sprintf("modify\nreplace: mailHost\nmailHost: moved-%d", i)))
	}
	if err := s.Modify(changes.String()); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		f.until(fmt.Sprintf("change %d", i), f.at(fmt.Sprintf("user%d@example.com", i), fmt.Sprintf("moved-%d", i)))
	}
	if err := s.Modify(modify("user100", "delete") + // gone
		modify("user101", "modify\nreplace: mail\nmail: renamed@example.com") +
		modify("user102", "modify\nadd: mail\nmail: second@example.com") +
		modify("user103", "modify\ndelete: mailHost") +
		modify("user104", "modrdn\nnewrdn: uid=other104\ndeleteoldrdn: 1") +
		person("late", "late@example.com", "guest-09")); err != nil {
		t.Fatal(err)
	}
	f.until("late", f.at("late@example.com", "guest-09"))
	for address, backend := range map[string]string{
		"user100@example.com": "", "user101@example.com": "", "renamed@example.com": "guest-01", "user102@example.com": "guest-02",
		"second@example.com": "guest-02", "user103@example.com": "", "user104@example.com": "guest-04",
	} {
		if !f.at(address, backend)() {
			t.Errorf("%s is not at %q", address, backend)
		}
	}
	if f.err != nil || len(f.entries()) != 1000 {
		t.Errorf("%d entries, %v", len(f.entries()), f.err)
	}
}

// TestRealBurst: many changes at once are few updates.
func TestRealBurst(t *testing.T) {
	needReal(t)
	s := startSlapd(t, true)
	f := follow(t, Options{URLs: []string{s.Plain}, Base: s.Base, Backend: "mailHost", BindDN: s.Admin, BindPassword: pop3.NewSecret([]byte(canary))})
	f.next()
	began := time.Now()
	if err := s.Modify(people(0, 1000)); err != nil {
		t.Fatal(err)
	}
	f.until("all of them", func() bool { return len(f.entries()) == 1000 })
	if most := int(time.Since(began)/spacing) + 3; f.with > most {
		t.Errorf("%d updates in %v", f.with, time.Since(began))
	}
}

// TestRealPages: a server without synchronisation and with a limit for what one answer may hold.
func TestRealPages(t *testing.T) {
	needReal(t)
	s := startSlapd(t, false)
	if err := s.Modify(people(0, 1200)); err != nil {
		t.Fatal(err)
	}
	f := follow(t, Options{URLs: []string{s.Plain}, Base: s.Base, Backend: "mailHost", Interval: 300 * time.Millisecond})
	f.next()
	if f.err != nil || len(f.entries()) != 1200 {
		t.Fatalf("%d entries, %v", len(f.entries()), f.err)
	}
	if err := s.Modify(modify("user7", "delete") + modify("user8", "modify\nreplace: mailHost\nmailHost: moved")); err != nil {
		t.Fatal(err)
	}
	f.until("user8", f.at("user8@example.com", "moved"))
	f.until("user7", f.at("user7@example.com", ""))
	if f.with != 2 && f.with != 3 {
		t.Errorf("%d updates held groups: what did not change is sent again", f.with)
	}
}

// TestRealResume: after a crash of the server only what changed is sent over the connection.
func TestRealResume(t *testing.T) {
	needReal(t)
	s := startSlapd(t, true)
	if err := s.Modify(people(0, 1000)); err != nil {
		t.Fatal(err)
	}
	relay := newRelay(t, strings.TrimPrefix(s.Plain, "ldap://"))
	f := follow(t, Options{URLs: []string{"ldap://" + relay.address}, Base: s.Base, Backend: "mailHost", BindDN: s.Admin, BindPassword: pop3.NewSecret([]byte(canary))})
	f.next()
	all := relay.octets.Swap(0)
	s.Kill()
	f.until("a fault", func() bool { return f.err != nil })
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	f.until("the server's return", func() bool { return f.err == nil })
	f.with = 0
	if err := s.Modify(modify("user8", "modify\nreplace: mailHost\nmailHost: moved")); err != nil {
		t.Fatal(err)
	}
	f.until("user8", f.at("user8@example.com", "moved"))
	if again := relay.octets.Load(); again > all/3 || len(f.entries()) != 1000 || f.with != 1 {
		t.Errorf("%d octets, after %d at first; %d entries, %d updates with groups", again, all, len(f.entries()), f.with)
	}
}

// relay counts what a server sends.
type relay struct {
	address string
	octets  atomic.Int64
}

func newRelay(t *testing.T, to string) *relay {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	r := &relay{address: l.Addr().String()}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go r.pass(in, to)
		}
	}()
	return r
}

func (r *relay) pass(in net.Conn, to string) {
	defer in.Close()
	out, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer out.Close()
	go func() {
		_, _ = io.Copy(out, in)
		_ = out.Close()
	}()
	_, _ = io.Copy(counting{in, &r.octets}, out)
}

type counting struct {
	io.Writer
	octets *atomic.Int64
}

func (c counting) Write(p []byte) (int, error) {
	c.octets.Add(int64(len(p)))
	return c.Writer.Write(p)
}

// TestRealHangWhileFollowed: the connection stays open, and yet it is noticed.
func TestRealHangWhileFollowed(t *testing.T) {
	needReal(t)
	p := &place{Slapd: startSlapd(t, true)}
	p.Set(t, "alice@example.com guest-01\n")
	o := followed(p.Slapd)
	o.Timeout = 2 * time.Second
	s, err := NewSource(o)
	if err != nil {
		t.Fatal(err)
	}
	s.beat = 200 * time.Millisecond
	f := run(t, s)
	f.until("alice", f.at("alice@example.com", "guest-01"))
	if err := p.Freeze(); err != nil {
		t.Fatal(err)
	}
	f.until("a fault", func() bool { return f.err != nil })
	if !f.at("alice@example.com", "guest-01")() {
		t.Error("alice is gone")
	}
	if err := p.Thaw(); err != nil {
		t.Fatal(err)
	}
	f.until("the server's return", func() bool { return f.err == nil })
}

// TestRealFollowTheOther: the second server's content is taken as a whole, whatever the first one's was.
func TestRealFollowTheOther(t *testing.T) {
	needReal(t)
	first, second := pair(t, true)
	first.Set(t, "alice@example.com guest-01\nbob@example.com guest-01\n")
	second.Set(t, "alice@example.com guest-02\ncarol@example.com guest-02\n")
	o := followed(first.Slapd)
	o.URLs = []string{first.Plain, second.Plain}
	f := follow(t, o)
	f.until("the first", f.at("bob@example.com", "guest-01"))
	first.Break(t)
	f.until("the second", f.at("carol@example.com", "guest-02"))
	if !f.at("bob@example.com", "")() || !f.at("alice@example.com", "guest-02")() || f.err != nil {
		t.Errorf("%v, %v", f.entries(), f.err)
	}
}
