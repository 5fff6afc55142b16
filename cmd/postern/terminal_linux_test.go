package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// openTerminal makes a terminal of so many columns: the side of the command and the
// side of the eye.
func openTerminal(t *testing.T, columns uint16) (side, eye *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("this machine has no terminals to give: %v", err)
	}
	eye = os.NewFile(uintptr(fd), "eye")
	t.Cleanup(func() { eye.Close() })
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}); err != nil {
		t.Fatal(err)
	}
	side, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { side.Close() })
	return side, eye
}

// On a real terminal no line is longer than its width, and what matters most is in
// what is left of it.
func TestTablesFitATerminal(t *testing.T) {
	t.Parallel()
	long := fakeSession("5f3a9c-00002f", "somebody.with.a.long.name@mail.example.com", "guest-01")
	g := startAdmin(t, "gw1", long, fakeSession("5f3a9c-000030", "élodie@example.com", "guest-02"))
	for _, columns := range []uint16{80, 132} {
		t.Run(fmt.Sprint(columns), func(t *testing.T) {
			text := onTerminal(t, columns, "sessions", "--admin", g.tcp)
			rows := strings.Split(strings.TrimSuffix(text, "\r\n"), "\r\n")
			if len(rows) != 3 {
				t.Fatalf("%d rows:\n%s", len(rows), text)
			}
			for _, row := range rows {
				if n := utf8.RuneCountInString(row); n > int(columns) {
					t.Errorf("%d characters: %s", n, row)
				}
			}
			if !strings.Contains(rows[1], g.tcp+"  "+long.ID+"  "+long.Mailbox) {
				t.Errorf("the row says %q", rows[1])
			}
			if cut := strings.HasSuffix(rows[1], "…"); cut != (columns == 80) {
				t.Errorf("cut is %v: %s", cut, rows[1])
			}
		})
	}
}

// onTerminal runs the command on a terminal and returns what is seen.
func onTerminal(t *testing.T, columns uint16, args ...string) string {
	t.Helper()
	side, eye := openTerminal(t, columns)
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), asPostern+"=1", tokenVariable+"="+adminSecret)
	cmd.Stdout = side
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	_ = side.Close()
	_ = eye.SetReadDeadline(time.Now().Add(5 * time.Second))
	var seen []byte
	for buf := make([]byte, 4096); ; {
		n, err := eye.Read(buf)
		if seen = append(seen, buf[:n]...); err != nil { // EIO: nobody has the other side open
			return string(seen)
		}
	}
}
