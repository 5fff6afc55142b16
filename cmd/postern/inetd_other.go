//go:build !unix

package main

import (
	"errors"
	"log/slog"
	"net"

	"postern/configs"
)

func takeStandardSocket() (*net.TCPConn, error) {
	return nil, errors.New("--inetd: only on Unix systems")
}

// syslogSink is nothing: there is no syslog here.
type syslogSink struct{}

func dialSyslog(string, string) syslogSink { return syslogSink{} }

func (syslogSink) logger(configs.Format, *slog.LevelVar) *slog.Logger {
	return slog.New(slog.DiscardHandler)
}
