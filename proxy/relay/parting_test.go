package relay

import (
	"crypto/tls"
	"io"
	"testing"
	"time"

	"postern/proxy/tls/tlstest"
)

const word = "-ERR [SYS/TEMP] Going down\r\n"

// ends expects the rest of what the client gets, the backend's end, and why.
func (r *relayed) ends(t *testing.T, rest string) {
	t.Helper()
	expect(t, r.client, rest)
	expectEnd(t, r.client, 5*time.Second)
	r.client.Close()
	expectEnd(t, r.backend, 5*time.Second)
	if got := r.ended(t, 5*time.Second); got.By != Gateway || got.Reason != "drain" {
		t.Errorf("ended with %+v", got)
	}
}

func TestEndBetweenTwoCommands(t *testing.T) {
	r := start(t, "", timeouts)
	send(t, r.client, "NOOP\r\n")
	expect(t, r.backend, "NOOP\r\n")
	send(t, r.backend, "+OK\r\n")
	expect(t, r.client, "+OK\r\n")
	r.End("drain", []byte(word), time.Minute)
	r.ends(t, word)
}

func TestEndWaitsForTheEndOfAMessage(t *testing.T) {
	r := start(t, "RETR 1\r\n", timeouts)
	expect(t, r.backend, "RETR 1\r\n")
	send(t, r.backend, "+OK\r\nSubject: x\r\n")
	expect(t, r.client, "+OK\r\nSubject: x\r\n")
	r.End("drain", []byte(word), time.Minute)
	send(t, r.backend, "\r\nbody\r\n")
	expect(t, r.client, "\r\nbody\r\n")
	if n, verb := r.Standing(); n != 1 || verb != "RETR" {
		t.Errorf("%d outstanding, the last %q", n, verb)
	}
	send(t, r.backend, ".\r\n")
	r.ends(t, ".\r\n"+word)
}

func TestEndWithoutAWordWhereItIsNotCertain(t *testing.T) {
	for name, ahead := range map[string]string{
		"in a message": "RETR 1\r\n", "after QUIT": "QUIT\r\n", "in a command": "NO", "an unknown command": "XTND\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, ahead, timeouts)
			expect(t, r.backend, ahead)
			send(t, r.backend, "+OK\r\n")
			expect(t, r.client, "+OK\r\n")
			began := time.Now()
			r.End("drain", []byte(word), 100*time.Millisecond)
			r.ends(t, "")
			if took := time.Since(began); took < 100*time.Millisecond {
				t.Errorf("cut after %v", took)
			}
		})
	}
}

// A command that crosses the word on its way must not turn it into a reset.
func TestEndReachesAClientThatSpeaks(t *testing.T) {
	for range 20 {
		r := start(t, "", timeouts)
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			_, _ = io.WriteString(r.client, "NOOP\r\n")
		}()
		r.End("drain", []byte(word), 0)
		<-sent
		got, err := io.ReadAll(r.client)
		r.client.Close()
		if err == nil && string(got) != word && string(got) != "" {
			t.Fatalf("the client got %q", got)
		}
		r.ended(t, 5*time.Second)
	}
}

// A later end with less patience wins; one for a relay that is over changes nothing.
func TestEndTwice(t *testing.T) {
	r := start(t, "RETR 1\r\n", timeouts)
	expect(t, r.backend, "RETR 1\r\n")
	r.End("drain", []byte(word), time.Hour)
	r.End("kick", []byte(word), 0)
	r.ends(t, "")
	r.End("late", []byte(word), 0)
}

// The word is the last thing that a client hears, whatever the backend says meanwhile.
func TestNothingFollowsTheWord(t *testing.T) {
	for range 20 {
		r := start(t, "", timeouts)
		go func() {
			for {
				if _, err := io.WriteString(r.backend, "+OK\r\n"); err != nil {
					return
				}
			}
		}()
		r.End("drain", []byte(word), 50*time.Millisecond)
		got, _ := io.ReadAll(r.client)
		r.client.Close()
		for i := range got {
			if rest := string(got[i:]); got[i] == '-' && rest != word {
				t.Fatalf("the word is followed by %.60q", rest)
			}
		}
		r.ended(t, 5*time.Second)
	}
}

func TestEndOverTLS(t *testing.T) {
	client, front := secured(t)
	back, backend := connection(t)
	r := &relayed{Relay: New(front, back, nil, timeouts, new(Buffers)), backend: backend, result: make(chan Result, 1)}
	go func() { r.result <- r.Run() }()
	r.End("drain", []byte(word), 0)
	if got, err := io.ReadAll(client); string(got) != word || err != nil {
		t.Errorf("the client got %q, %v", got, err)
	}
	client.Close()
	r.ended(t, 5*time.Second)
}

// secured returns both ends of a TLS connection.
func secured(t *testing.T) (client *tls.Conn, front *tls.Conn) {
	t.Helper()
	dialed, accepted := connection(t)
	ca := tlstest.NewCA(t, "authority")
	cert, key := ca.Issue(t, "pop.example.com")
	client = tls.Client(dialed, &tls.Config{RootCAs: ca.Pool(), ServerName: "pop.example.com"})
	front = tls.Server(accepted, &tls.Config{Certificates: []tls.Certificate{tlstest.KeyPair(t, cert, key)}})
	done := make(chan error, 1)
	go func() { done <- client.Handshake() }()
	if err := front.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return client, front
}
