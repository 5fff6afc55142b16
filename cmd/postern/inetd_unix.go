//go:build unix

package main

import (
	"errors"
	"fmt"
	"log/slog"
	"log/syslog"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"postern/configs"
)

var errNoClient = errors.New("--inetd: standard input is not the TCP connection of a client")

// takeStandardSocket returns the client at descriptors 0 and 1. These, and
// standard error with them, become the null device: the connection must end when the session
// does, and whatever the process may still print, a crash's stack above all, is
// not for the client.
func takeStandardSocket() (*net.TCPConn, error) {
	conn, err := net.FileConn(os.Stdin) // a copy
	if err != nil {
		return nil, errNoClient
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok || tcp.RemoteAddr() == nil {
		_ = conn.Close()
		return nil, errNoClient
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("taking the client's connection: %w", err)
	}
	defer func() { _ = null.Close() }()
	for standard := range 3 {
		err = errors.Join(err, unix.Dup2(int(null.Fd()), standard))
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("taking the client's connection: %w", err)
	}
	return tcp, nil
}

// syslogSink is the local syslog, or nothing.
type syslogSink struct{ to *syslog.Writer }

// dialSyslog connects to the syslog daemon of this machine; network and address are for
// one that is elsewhere. Without any the log is lost: there is nowhere else to write
// to, and the client is worth serving.
func dialSyslog(network, address string) syslogSink {
	to, err := syslog.Dial(network, address, syslog.LOG_MAIL|syslog.LOG_INFO, "postern")
	if err != nil {
		return syslogSink{}
	}
	return syslogSink{to}
}

func (s syslogSink) logger(format configs.Format, level *slog.LevelVar) *slog.Logger {
	if s.to == nil {
		return slog.New(slog.DiscardHandler)
	}
	var all bySeverity
	for i, write := range [len(all)]severity{s.to.Debug, s.to.Info, s.to.Warning, s.to.Err} {
		all[i] = newLogger(write, format, level).Handler()
	}
	return slog.New(all)
}
