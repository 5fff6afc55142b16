package proxy

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestInherit(t *testing.T) {
	opened, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f, err := opened.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	opened.Close()
	l, err := Inherit(f, 60*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if l.Addr().String() != opened.Addr().String() {
		t.Errorf("listens on %s, want %s", l.Addr(), opened.Addr())
	}
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer accepted.Close()
	conn, ok := accepted.(*net.TCPConn)
	if !ok {
		t.Fatalf("accepts %T, which the relay can't splice", accepted)
	}
	checkKeepAlive(t, conn)
}

func TestInheritRefusesWhatIsNoListener(t *testing.T) {
	unixListener, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer unixListener.Close()
	socket, err := unixListener.(*net.UnixListener).File()
	if err != nil {
		t.Fatal(err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	for want, f := range map[string]*os.File{"type unix": socket, os.DevNull: null} {
		if _, err := Inherit(f, time.Second); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want something with %q", err, want)
		}
	}
}
