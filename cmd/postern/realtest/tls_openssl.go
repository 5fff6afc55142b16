package realtest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// openSSL is a running `openssl s_client`: what is written to it goes through its
// TLS, what is read is what came.
type openSSL struct {
	net.Conn
	cancel context.CancelFunc
	done   chan struct{} // closed when it has ended
	err    error         // how; set before done is closed
}

// FetchOpenSSL is [FetchTerminal] with `openssl s_client` instead of telnet.
func FetchOpenSSL(ctx context.Context, s Secured) ([][]byte, error) {
	t, err := DialOpenSSL(ctx, s)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	if err := t.Login(s.User, s.Password); err != nil {
		return nil, err
	}
	messages, err := t.RetrieveAll()
	if err != nil {
		return nil, err
	}
	return messages, t.Quit()
}

// DialOpenSSL is a person at `openssl s_client`. With STLS s_client keeps the
// greeting, and the answer to its STLS, to itself.
func DialOpenSSL(ctx context.Context, s Secured) (*Terminal, error) {
	conn, err := startOpenSSL(ctx, s.openSSL("-quiet")...)
	if err != nil {
		return nil, err
	}
	t := &Terminal{conn: conn, reader: bufio.NewReader(conn)}
	if s.STLS {
		return t, nil
	}
	if _, err := t.answer(); err != nil {
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

// Handshake says QUIT and returns what s_client tells of its TLS session. Further
// args are s_client's.
func (s Secured) Handshake(ctx context.Context, args ...string) (string, error) {
	out, err := run(exec.CommandContext(ctx, "openssl", s.openSSL(append(args, "-ign_eof")...)...), "QUIT\r\n")
	return string(out), err
}

// Renegotiate has s_client ask for a new handshake in a running session of TLS 1.2,
// and returns what s_client ends with. A server that grants it leaves both waiting, up
// to a time-out.
func (s Secured) Renegotiate(ctx context.Context) error {
	conn, err := startOpenSSL(ctx, s.openSSL("-tls1_2")...)
	if err != nil {
		return err
	}
	t := &Terminal{conn: conn, reader: bufio.NewReader(conn)}
	conn.SetDeadline(time.Now().Add(terminalTimeout))
	for line := ""; line != "    Extended master secret: yes\n"; { // what s_client says of the session
		if line, err = t.reader.ReadString('\n'); err != nil {
			return errors.Join(err, t.Close())
		}
	}
	if _, err = conn.Write([]byte("R\n")); err == nil { // s_client's own command
		_, err = t.reader.WriteTo(io.Discard)
	}
	return errors.Join(err, t.Close())
}

// openSSL is the arguments that all runs have. -crlf and the like are not needed:
// whoever talks through s_client ends lines himself.
func (s Secured) openSSL(more ...string) []string {
	args := []string{"s_client", "-connect", net.JoinHostPort(s.Host, s.Port),
		"-no-CAfile", "-no-CApath", "-no-CAstore", "-CAfile", s.authority(), "-verify_return_error"}
	if net.ParseIP(s.Host) != nil {
		args = append(args, "-verify_ip", s.Host, "-noservername")
	} else {
		args = append(args, "-verify_hostname", s.Host, "-servername", s.Host)
	}
	if s.STLS {
		args = append(args, "-starttls", "pop3")
	}
	return append(args, more...)
}

// startOpenSSL runs s_client with both its ends in the connection's hands. Whoever
// gets the connection closes it, which ends s_client.
func startOpenSSL(ctx context.Context, args ...string) (*openSSL, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, "openssl", args...)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs, theirs, &stderr
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, errors.Join(err, ours.Close())
	}
	o := &openSSL{Conn: ours, cancel: cancel, done: make(chan struct{})}
	go func() {
		if err := cmd.Wait(); err != nil {
			o.err = fmt.Errorf("openssl s_client: %w\n%s", err, tail(stderr.Bytes(), 4<<10))
		}
		close(o.done)
	}()
	return o, nil
}

// Close returns how s_client ended, where it did so by itself: after a QUIT it has
// seen the other's end of TLS, and complains if there was none.
func (o *openSSL) Close() error {
	defer o.cancel()
	err := o.Conn.Close()
	select {
	case <-o.done:
		return errors.Join(err, o.err)
	case <-time.After(time.Second):
		o.cancel()
		<-o.done
		return err
	}
}

// socketPair is a connection between this process and one that it will start.
func socketPair() (ours net.Conn, theirs *os.File, err error) {
	syscall.ForkLock.RLock()
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(pair[0])
		syscall.CloseOnExec(pair[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, fmt.Errorf("making a pair of sockets: %w", err)
	}
	end := os.NewFile(uintptr(pair[0]), "ours")
	defer end.Close() // FileConn has a copy
	theirs = os.NewFile(uintptr(pair[1]), "theirs")
	if ours, err = net.FileConn(end); err != nil {
		return nil, nil, errors.Join(err, theirs.Close())
	}
	return ours, theirs, nil
}
