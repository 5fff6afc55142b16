package proxy

import (
	"context"
	"errors"
	"testing"
	"time"

	"postern/backend"
	"postern/directory"
	"postern/pop3"
)

// keptRoute is alice's as a source said so some time ago.
func (b *table) keptRoute(guest string, age time.Duration) directory.Route {
	return directory.Route{
		Mailbox: "alice@example.com", Login: "alice", Backend: &backend.Target{Name: guest}, AskedAt: b.now.Add(-age),
	}
}

// refuse has the backend that is dialed refuse the password.
func (b *table) refuse(answer string) {
	b.t.Helper()
	b.event(event{kind: evConnected})
	b.event(event{kind: evBackend, data: []byte("+OK\r\n")})
	b.event(event{kind: evBackend, data: []byte("+OK\r\n")})
	b.event(event{kind: evBackend, data: []byte(answer + "\r\n")})
}

// asked is what a source said when it was asked, and whether a fresh answer was wanted.
type asked []bool

func (b *table) asks(said *asked, answers ...func() (directory.Route, error)) {
	b.locate = func(q directory.Query) (directory.Route, error) {
		*said = append(*said, q.Fresh)
		return answers[min(len(*said), len(answers))-1]()
	}
}

func TestARefusalOnAKeptRouteAsksOnceMore(t *testing.T) {
	b, said := begin(t), asked{}
	b.asks(&said,
		func() (directory.Route, error) { return b.keptRoute("guest-01", 6*time.Second), nil },
		func() (directory.Route, error) { return b.keptRoute("guest-02", 0), nil })
	b.event(event{kind: evClient, data: []byte("USER alice\r\nPASS x\r\n")})
	b.refuse("-ERR [AUTH] no")
	b.says("S: +OK Send PASS", "dial guest-01", "b> USER alice", "b> PASS x", "hang up", "dial guest-02")
	b.event(event{kind: evConnected})
	b.event(event{kind: evBackend, data: []byte("+OK\r\n")})
	b.event(event{kind: evBackend, data: []byte("+OK\r\n")})
	b.event(event{kind: evBackend, data: []byte("+OK welcome\r\n")})
	b.says("b> USER alice", "b> PASS x", "S: +OK welcome", `relay ""`)
	if len(said) != 2 || said[0] || !said[1] {
		t.Errorf("asked for fresh answers: %v", said)
	}
}

func TestASecondRefusalIsTheLast(t *testing.T) {
	b, said := begin(t), asked{}
	b.asks(&said,
		func() (directory.Route, error) { return b.keptRoute("guest-01", time.Minute), nil },
		func() (directory.Route, error) { return b.keptRoute("guest-02", time.Minute), nil })
	b.event(event{kind: evClient, data: []byte("USER alice\r\nPASS x\r\n")})
	b.refuse("-ERR [AUTH] no")
	b.refuse("-ERR [AUTH] no")
	if len(said) != 2 {
		t.Errorf("asked %d times", len(said))
	}
	b.now = b.now.Add(3 * time.Second)
	b.event(event{kind: evTimer})
	b.says("S: +OK Send PASS", "dial guest-01", "b> USER alice", "b> PASS x", "hang up",
		"dial guest-02", "b> USER alice", "b> PASS x", "hang up", "S: "+string(denied.Append(nil)[:len(denied.Append(nil))-2]))
}

// Where the answer is the same, there is none, or it was fresh, the refusal stands, and no backend is asked twice.
func TestARefusalStands(t *testing.T) {
	for name, test := range map[string]struct {
		age   time.Duration
		again func(b *table) (directory.Route, error)
		asked int
	}{
		"the same":            {time.Minute, func(b *table) (directory.Route, error) { return b.keptRoute("guest-01", 0), nil }, 2},
		"no answer":           {time.Minute, func(*table) (directory.Route, error) { return directory.Route{}, errors.New("down") }, 2},
		"unknown":             {time.Minute, func(*table) (directory.Route, error) { return directory.Route{}, directory.ErrUnknown }, 2},
		"a fresh answer":      {4 * time.Second, nil, 1},
		"a source's of files": {-1, nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			b, said := begin(t), asked{}
			first := b.keptRoute("guest-01", test.age)
			if test.age < 0 {
				first.AskedAt = time.Time{}
			}
			b.asks(&said, func() (directory.Route, error) { return first, nil },
				func() (directory.Route, error) { return test.again(b) })
			b.event(event{kind: evClient, data: []byte("USER alice\r\nPASS x\r\n")})
			b.refuse("-ERR [AUTH] no")
			b.says("S: +OK Send PASS", "dial guest-01", "b> USER alice", "b> PASS x", "hang up")
			if len(said) != test.asked || b.d.state != delaying || b.d.attempt.failure != wrongPassword {
				t.Errorf("asked %d times, %v in state %d", len(said), b.d.attempt.failure, b.d.state)
			}
		})
	}
}

// What is no refusal, or says when to come back, is not reconsidered.
func TestOtherRefusalsAreNotReconsidered(t *testing.T) {
	b, said := begin(t), asked{}
	b.asks(&said, func() (directory.Route, error) { return b.keptRoute("guest-01", time.Minute), nil })
	b.event(event{kind: evClient, data: []byte("USER alice\r\nPASS x\r\n")})
	b.refuse("-ERR [IN-USE] locked")
	if len(said) != 1 || b.d.state != authorizing {
		t.Errorf("asked %d times, state %d", len(said), b.d.state)
	}
}

func TestAJudgeIsToldOfTheLogin(t *testing.T) {
	b := begin(t)
	var told []directory.Login
	b.locate = func(q directory.Query) (directory.Route, error) {
		l := *q.Login
		if got := string(l.Password.Reveal()); got != "x" {
			t.Errorf("password %q", got)
		}
		l.Password = pop3.Secret{}
		told = append(told, l)
		return directory.Route{}, &directory.RefusalError{Code: pop3.Auth, Wait: 7 * time.Second}
	}
	for range 2 {
		b.event(event{kind: evClient, data: []byte("USER Alice\r\nPASS x\r\n")})
		began := b.now
		for b.d.state == delaying {
			b.now = b.d.until
			b.event(event{kind: evTimer})
		}
		if took := b.now.Sub(began); took < 7*time.Second || took > 12*time.Second {
			t.Errorf("refused after %v", took)
		}
	}
	client := localPeer.address.Addr()
	want := []directory.Login{{User: "Alice", Attempt: 1, Client: client}, {User: "Alice", Attempt: 2, Client: client}}
	if len(told) != 2 || told[0] != want[0] || told[1] != want[1] {
		t.Errorf("got %+v", told)
	}
}

// A Judge may have another password for the backend, and the refusal that it speaks has a code.
func TestAJudgesWords(t *testing.T) {
	b := begin(t)
	b.locate = func(directory.Query) (directory.Route, error) {
		r := b.keptRoute("guest-01", 0)
		r.AskedAt, r.Password = time.Time{}, pop3.NewSecret([]byte("master"))
		return r, nil
	}
	b.event(event{kind: evClient, data: []byte("USER alice\r\nPASS x\r\n")})
	b.refuse("-ERR [SYS/TEMP] later")
	b.says("S: +OK Send PASS", "dial guest-01", "b> USER alice", "b> PASS master", "hang up",
		"S: -ERR [SYS/TEMP] "+unavailable.Text)
	b.locate = func(directory.Query) (directory.Route, error) {
		return directory.Route{}, &directory.RefusalError{Code: pop3.SysTemp}
	}
	b.event(event{kind: evClient, data: []byte("USER alice\r\nPASS x\r\n")})
	b.says("S: +OK Send PASS", "S: -ERR [SYS/TEMP] "+unavailable.Text)
}

// counting is a Judge that says yes.
type counting struct{ asked int }

func (c *counting) Judge(context.Context, directory.Mailbox, directory.Login) (directory.Verdict, error) {
	c.asked++
	return directory.Verdict{Value: directory.Value{Backend: "guest-01"}}, nil
}

func (*counting) Close() error { return nil }

// A Judge counts each question as a login, and may lock a mailbox after some. However long the backend takes to refuse, it
// is not asked again.
func TestAJudgeIsAskedOncePerPass(t *testing.T) {
	b, judge := begin(t), new(counting)
	d, err := directory.New(directory.Options{Sources: []directory.NamedSource{{Name: "judge", Judge: judge}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.SetBackends([]backend.Target{{Name: "guest-01", Addresses: []string{"192.0.2.1:110"}}}, directory.Fallback{}); err != nil {
		t.Fatal(err)
	}
	b.locate = func(q directory.Query) (directory.Route, error) {
		route, err := d.Locate(t.Context(), q)
		if !route.AskedAt.IsZero() {
			route.AskedAt = b.now // the table has a clock of its own
		}
		return route, err
	}
	b.event(event{kind: evClient, data: []byte("USER alice\r\nPASS x\r\n")})
	b.event(event{kind: evConnected})
	b.event(event{kind: evBackend, data: []byte("+OK\r\n")})
	b.event(event{kind: evBackend, data: []byte("+OK\r\n")})
	b.now = b.now.Add(2 * directory.FreshAge)
	b.event(event{kind: evBackend, data: []byte("-ERR [AUTH] no\r\n")})
	if judge.asked != 1 || b.d.attempt.failure != wrongPassword {
		t.Errorf("asked %d times, %v", judge.asked, b.d.attempt.failure)
	}
}
