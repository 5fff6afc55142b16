package serve

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
)

func TestListenUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := ListenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode() != os.ModeSocket|0o660 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if _, err := ListenUnix(path); err == nil {
		t.Error("the place of a living one is taken")
	}
	// What a dead process left: a socket file that nobody listens at.
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path + "2", Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	_ = dead.Close()
	again, err := ListenUnix(path + "2")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+"3", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ListenUnix(path + "3"); err == nil {
		t.Error("a file that is no socket is replaced")
	}
	_, _ = l.Close(), again.Close()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the file stays: %v", err)
	}
}

// TestSocketmapByUnix: whoever can open the socket may ask.
func TestSocketmapByUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := ListenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- socketmapOf(t, newSite(), "").Serve(ctx, l) }()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = c.Write(appendNetstring(nil, "backend alice@example.com"))
	_ = c.(*net.UnixConn).CloseWrite()
	if got, err := io.ReadAll(c); err != nil || string(got) != "11:OK guest-01," {
		t.Errorf("%q, %v", got, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the file stays: %v", err)
	}
}
