package pop3test

import (
	"bytes"
	"net"
	"testing"
)

// Env is where a transcript is played.
type Env struct {
	// Dial connects a client to the gateway.
	Dial func() (net.Conn, error)
	// Backends are the listeners that the gateway takes for its backends b, b2, b3 ...
	// The one who opened them told the gateway their addresses. Run closes them.
	Backends []net.Listener
}

// Run plays a transcript. Where the gateway departs from it, the test ends with
// what was really said so far, again as a transcript, and with what was wanted.
// Under testing/synctest all of its waiting is durable.
func Run(t testing.TB, script []byte, env Env) {
	t.Helper()
	if err := play(script, env); err != nil {
		t.Fatal(err)
	}
}

func play(script []byte, env Env) error {
	steps, err := parse(script)
	if err != nil {
		return err
	}
	p := newPlayer(env)
	defer p.stop()
	for _, s := range steps {
		if err := s.play(p, s); err != nil {
			return p.report(s, err)
		}
	}
	if err := p.checkEnds(); err != nil {
		return p.report(step{text: "the end", line: bytes.Count(script, []byte("\n"))}, err)
	}
	return nil
}
