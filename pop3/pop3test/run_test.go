package pop3test

import (
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
)

// relay is the plainest gateway: each client's connection goes to the next backend,
// ends and resets included.
type relay struct {
	listener net.Listener
	dial     []func() (net.Conn, error)
	running  sync.WaitGroup
}

func (r *relay) serve() {
	for i := 0; ; i++ {
		client, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.running.Go(func() { r.session(client, r.dial[i%len(r.dial)]) })
	}
}

func (r *relay) session(client net.Conn, dial func() (net.Conn, error)) {
	defer client.Close()
	backend, err := dial()
	if err != nil {
		// A backend that resets at once may do so before the dial has returned.
		_ = (&Conn{raw: client}).Reset()
		return
	}
	defer backend.Close()
	var up sync.WaitGroup
	up.Go(func() { half(backend, client) })
	half(client, backend)
	up.Wait()
}

// half copies one direction; what ends it ends the other side the same way.
func half(to, from net.Conn) {
	if _, err := io.Copy(to, from); err != nil {
		_ = (&Conn{raw: to}).Reset()
		_ = from.Close()
		return
	}
	_ = (&Conn{raw: to}).Fin()
}

// overLoopback is an Env of n backends behind a relay over sockets.
func overLoopback(t *testing.T, n int) Env {
	r := &relay{listener: listen(t)}
	backends := NewBackends(t, n)
	for _, l := range backends {
		r.dial = append(r.dial, func() (net.Conn, error) { return net.Dial("tcp", l.Addr().String()) })
	}
	r.running.Go(r.serve)
	t.Cleanup(func() {
		_ = r.listener.Close()
		r.running.Wait()
	})
	address := r.listener.Addr().String()
	return Env{Backends: backends, Dial: func() (net.Conn, error) { return net.Dial("tcp", address) }}
}

// overPipes is the same in memory.
func overPipes(t *testing.T, n int) Env {
	front, err := ListenPipe("127.0.0.1:110")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{listener: front}
	env := Env{Dial: front.Dial}
	for range n {
		l, _ := ListenPipe("192.0.2.1:110")
		r.dial = append(r.dial, l.Dial)
		env.Backends = append(env.Backends, l)
	}
	r.running.Go(r.serve)
	t.Cleanup(func() {
		_ = front.Close()
		r.running.Wait()
	})
	return env
}

// everywhere runs f over sockets and, in a bubble, over pipes.
func everywhere(t *testing.T, f func(t *testing.T, env func(*testing.T, int) Env)) {
	t.Run("loopback", func(t *testing.T) { f(t, overLoopback) })
	t.Run("pipes", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { f(t, overPipes) })
	})
}

const opening = "C-dial\nb-dial\n"

var goodScripts = map[string]string{
	"lines":        opening + "b< +OK ready\nS: +OK ...\nC: USER alice\nb> USER alice\nC-close\nb>-close\n",
	"any text":     opening + "b< +OK ready\nS: ...\nS-quiet 10ms\nb-close\nS-close\nC-close\n",
	"regexp":       opening + "b< +OK 17\nS~ [+]OK \\d+\nC: x\nb>~ [xyz]\nC-close\nb>-fin\n",
	"raw":          opening + "b-raw: \"\\x00\\xff\\n\"\nS-raw: \"\\x00\\xff\\n\"\nC-raw: \"ab\" * 3\nb>-raw: \"ababab\"\nC-close\nb>-close\n",
	"client's fin": opening + "C: QUIT\nC-fin\nb> QUIT\nb>-fin\nb< +OK bye\nb-fin\nS: +OK bye\nS-fin\n",
	"backend's fin": opening + "b< +OK\nb-fin\nS: +OK\nS-fin\nC: late\nb> late\nC-fin\nb>-fin\n" +
		"C-close\n",
	"client's rst":  opening + "C: x\nb> x\nC-rst\nb>-rst\n",
	"backend's rst": opening + "b< x\nS: x\nb-rst\nS-rst\n",
	"rst as close":  opening + "b< x\nS: x\nb-rst\nS-close\n",
	"two clients":   opening + "C2-dial\nb2-dial\nb2< +OK 2\nb< +OK 1\nS: +OK 1\nS2: +OK 2\nC-close\nb>-close\nC2-close\nb2>-close\n",
	"one backend twice": opening + "C2-dial\nb2-dial\nC3: x\nb3-dial 1\nb3> x\n" +
		"C-close\nb>-close\nC2-close\nb2>-close\nC3-close\nb3>-close\n",
	"again":             opening + "C-close\nb>-close\nC-dial\nb-dial 2\nb< +OK\nS: +OK\nC-close\nb>-close\n",
	"undialled":         "b>-quiet 20ms\nC-dial\nb-dial\nb>-quiet 20ms\nC-close\nb>-close\nb>-quiet 20ms\n",
	"to nobody":         opening + "b-rst\nS-rst\nC: x\nC: y\nC: z\nC-close\n",
	"waiting":           "timeout 1s\nwait 10ms\n" + opening + "C-close\nb>-close\n",
	"empty lines count": opening + "b<\nS:\nC:\nb>\nC-close\nb>-close\n",
	"nothing at all":    "# silence\n",
	"a large message":   opening + "b-raw: \"0123456789abcdef\" * 3000\nS-raw: \"0123456789abcdef\" * 3000\nC-close\nb>-close\n",
}

func TestRun(t *testing.T) {
	for name, script := range goodScripts {
		t.Run(name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, env func(*testing.T, int) Env) {
				Run(t, []byte(script), env(t, 2))
			})
		})
	}
}

// Each of these departs from what the relay does and must be found out.
var badScripts = []struct {
	name, script string
	want         []string // in the report
}{
	{"another line", opening + "b< +OK\nS: -ERR\n", []string{"C-dial\nb-dial\nb< +OK\n", "line 4: want S: -ERR\n", "got  S: +OK"}},
	{"another line at the backend", opening + "C: a\nb> b\n", []string{"line 4: want b> b\n", "got  b> a"}},
	{"a prefix is no word", opening + "b< +OKAY\nS: +OK ...\n", []string{"got  S: +OKAY"}},
	{"regexp over the whole line", opening + "b< +OK x\nS~ [+]OK\n", []string{"got  S: +OK x"}},
	{"nothing comes", "timeout 20ms\n" + opening + "S: +OK\n", []string{"got  nothing within 20ms"}},
	{"half a line", "timeout 20ms\n" + opening + "b-raw: \"+O\"\nS: +OK\n", []string{`S-raw: "+O"`, "got  nothing within 20ms"}},
	{"bare LF", opening + "b-raw: \"+OK\\n\"\nS: +OK\n", []string{`S-raw: "+OK\n"`, "LF without CR"}},
	{"an end instead", opening + "b-close\nS: +OK\n", []string{"got  a fin"}},
	{"a reset instead", opening + "wait 50ms\nb-rst\nS: +OK\n", []string{"got  a rst"}},
	{"fin is no rst", opening + "b-close\nS-rst\n", []string{"got  a fin"}},
	{"rst is no fin", opening + "wait 50ms\nb-rst\nS-fin\n", []string{"got  a rst"}},
	{"no end", "timeout 20ms\n" + opening + "S-close\n", []string{"got  nothing within 20ms"}},
	{"a line before the end", opening + "b< +OK\nb-close\nS-close\n", []string{`octets came instead of the end: "+OK\r\n"`}},
	{"not quiet", opening + "b< +OK\nS-quiet 1s\n", []string{`octets came: "+OK\r\n"`}},
	{"an end is not quiet", opening + "b-close\nS-quiet 1s\n", []string{"the stream ended: EOF"}},
	{"dials when it shouldn't", "C-dial\nb>-quiet 50ms\n", []string{"the gateway dials", "# unexpected connection to backend 1"}},
	{"doesn't dial", "timeout 20ms\nb-dial\n", []string{"doesn't dial within 20ms"}},
	{"dials another", "timeout 50ms\nC-dial\nb2-dial\n", []string{"doesn't dial", "# unexpected connection to backend 1"}},
	{"no such backend", "C-dial\nb3-dial\n", []string{"there are 2 backends"}},
	{"no such backend to be quiet", "b3>-quiet 1s\n", []string{"there are 2 backends"}},
	{"nobody dialled", "b< +OK\n", []string{"no b-dial before this line"}},
	{"other octets", opening + "b-raw: \"abcd\"\nS-raw: \"abxd\"\n", []string{`S-raw: "abcd"`, "octet 2 is 0x63, want 0x78"}},
	{"fewer octets", opening + "b-raw: \"abc\"\nb-close\nS-raw: \"abcd\"\n", []string{"3 of 4 octets came"}},
	{"what else came", opening + "C: x\nb< +OK\nb< more\nS: +OK\nb> y\n", []string{"got  b> x", `# unread on C: "more\r\n"`}},
	{"no end of the client", opening + "b-close\n", []string{"line 3: want the end", "how C ends"}},
	{"no end of the backend", opening + "C-close\n", []string{"how b ends"}},
	{"half an end", opening + "C-fin\nb>-fin\n", []string{"how C ends"}},
	{"an unannounced connection", opening + "C2-dial\nwait 50ms\nC-close\nb>-close\nC2-close\n", []string{"dialled backend 2 and no b-dial says so"}},
	{"connected twice", opening + "C-dial\n", []string{"still connected"}},
	{"dialled twice", opening + "C2-dial\nb-dial 2\n", []string{"has no end yet"}},
	{"sending behind one's own end", opening + "C-close\nC: x\n", []string{"closed"}},
	{"a fault of its own", "C: x\nnonsense\n", []string{"line 2", "nothing a transcript knows"}},
}

func TestRunFindsDepartures(t *testing.T) {
	for _, c := range badScripts {
		t.Run(c.name, func(t *testing.T) {
			everywhere(t, func(t *testing.T, env func(*testing.T, int) Env) {
				e := env(t, 2)
				err := play([]byte(c.script), e)
				if err == nil {
					t.Fatal("not found")
				}
				for _, part := range c.want {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("the report lacks %q:\n%v", part, err)
					}
				}
				for _, l := range e.Backends {
					_ = l.Close()
				}
			})
		})
	}
}

func TestSpoken(t *testing.T) {
	for _, c := range []struct {
		w          wire
		line, want string
	}{
		{wire{false, 1}, "+OK hi", "S: +OK hi"},
		{wire{false, 2}, "+OK", "S2: +OK"},
		{wire{true, 1}, "USER \u00e4", "b> USER \u00e4"},
		{wire{true, 12}, "", "b12>"},
		{wire{false, 1}, "", "S:"},
		{wire{false, 1}, "+OK ", `S-raw: "+OK \r\n"`},
		{wire{false, 1}, "+OK ...", `S-raw: "+OK ...\r\n"`},
		{wire{false, 3}, "\xff", `S3-raw: "\xff\r\n"`},
		{wire{true, 2}, "a\x00", `b2>-raw: "a\x00\r\n"`},
		{wire{true, 1}, "a\tb", `b>-raw: "a\tb\r\n"`},
	} {
		got := spoken(c.w, c.line)
		if got != c.want {
			t.Errorf("%v %q: got %s, want %s", c.w, c.line, got, c.want)
		}
		if s, err := parseLine(got); err != nil || s.wire != c.w {
			t.Errorf("%s is no line of a transcript: %v", got, err)
		}
	}
}

// What a report says was said is a transcript that can be played.
func TestReportIsTranscript(t *testing.T) {
	err := play([]byte(opening+"b< +OK ready\nS: +OK ...\nC: x\nb> x\nC-close\nb>-close\nC: y\n"), overLoopback(t, 1))
	if err == nil {
		t.Fatal("no report")
	}
	_, said, _ := strings.Cut(err.Error(), "\n\n")
	said, _, _ = strings.Cut(said, "C: y\n")
	if !strings.Contains(said, "S: +OK ready\n") {
		t.Errorf("not what was really said:\n%s", said)
	}
	Run(t, []byte(said), overLoopback(t, 1))
}

// failing stands for a test that ends with Fatal.
type failing struct {
	testing.TB
	text string
}

func (f *failing) Helper() {}

func (f *failing) Fatal(args ...any) {
	for _, a := range args {
		if err, ok := a.(error); ok {
			f.text += err.Error()
		}
	}
	runtime.Goexit()
}

func TestRunFails(t *testing.T) {
	f := &failing{TB: t}
	passed := false
	var wg sync.WaitGroup
	wg.Go(func() {
		Run(f, []byte(opening+"b< +OK\nS: -ERR\n"), overLoopback(t, 1))
		passed = true
	})
	wg.Wait()
	if passed || !strings.Contains(f.text, "want S: -ERR\ngot  S: +OK") {
		t.Errorf("a departure doesn't end the test: %q", f.text)
	}
}

func TestRunWithoutGateway(t *testing.T) {
	refused := errors.New("connection refused")
	err := play([]byte("C: QUIT\n"), Env{Dial: func() (net.Conn, error) { return nil, refused }})
	if !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
}

// net.Pipe knows neither half-close nor reset; the rest of the language works.
func TestRunOverNetPipe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		var wg sync.WaitGroup
		wg.Go(func() {
			c := NewConn(theirs)
			_ = c.SendLine("+OK ready")
			if line, err := c.Line(); line == "QUIT" && err == nil {
				_ = c.SendLine("+OK bye")
			}
			_ = c.Close()
		})
		env := Env{Dial: func() (net.Conn, error) { return ours, nil }}
		Run(t, []byte("S: +OK ready\nC: QUIT\nS: +OK bye\nS-close\n"), env)
		wg.Wait()
	})
	ours, _ := net.Pipe()
	env := Env{Dial: func() (net.Conn, error) { return ours, nil }}
	for _, script := range []string{"C-fin\n", "C-rst\n"} {
		if err := play([]byte(script), env); err == nil || !strings.Contains(err.Error(), "*net.pipe can't be") {
			t.Errorf("%q: %v", script, err)
		}
	}
}
