package maildrop_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"postern/pop3/maildrop"
	"postern/pop3/pop3test"
)

// guest is the server that the transcripts speak of.
func guest(t *testing.T, o maildrop.Options) *maildrop.Server {
	t.Helper()
	o.Name = "guest.example.com"
	s := maildrop.New(o)
	for _, err := range []error{
		s.AddMailbox("alice", "secret words",
			maildrop.Message{UID: "uid-1", Body: []byte("Subject: lines\n\none\ntwo\n\nfour\r\nfive five\n")},
			maildrop.Message{UID: "uid-2", Body: []byte("Subject: dots\r\n\r\n.\r\n.one dot\r\n..two dots\r\n .none\r\nthe last line has no end")},
			maildrop.Message{UID: "uid-3", Body: []byte("Subject: octets\n\n\x00\x01\x7f\x80\xc3\xa4\xff\rbare\n\r\r\n")}),
		s.AddMailbox("bob", "secret words"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// serve runs s on l for the time of the test.
func serve(t *testing.T, s *maildrop.Server, l net.Listener) {
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

// overLoopback returns a client's way to s over a socket.
func overLoopback(t *testing.T, s *maildrop.Server) pop3test.Env {
	l := pop3test.NewBackends(t, 1)[0]
	serve(t, s, l)
	return pop3test.Env{Dial: func() (net.Conn, error) { return net.Dial("tcp", l.Addr().String()) }}
}

// overPipe is the same in memory, for tests of time.
func overPipe(t *testing.T, s *maildrop.Server) pop3test.Env {
	l, err := pop3test.ListenPipe("192.0.2.1:110")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, s, l)
	return pop3test.Env{Dial: l.Dial}
}

func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		script, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".txt")
		t.Run("pipe/"+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pop3test.Run(t, script, overPipe(t, guest(t, maildrop.Options{})))
			})
		})
		if name == "autologout" { // ten minutes pass in a bubble only
			continue
		}
		t.Run("loopback/"+name, func(t *testing.T) {
			pop3test.Run(t, script, overLoopback(t, guest(t, maildrop.Options{})))
		})
	}
}
