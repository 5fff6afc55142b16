package proxy

import (
	"errors"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// listenConfig sets what accepted sockets inherit on the listening one: they
// would cost four system calls for each client otherwise.
func listenConfig(o ListenOptions) *net.ListenConfig {
	return &net.ListenConfig{
		KeepAlive: -1, // not by package net
		Control: func(network, _ string, c syscall.RawConn) error {
			var fault error
			err := c.Control(func(fd uintptr) { fault = prepare(int(fd), network, o) })
			return errors.Join(err, fault)
		},
	}
}

func prepare(fd int, network string, o ListenOptions) error {
	var fault error
	set := func(level, option, value int) {
		if fault == nil {
			fault = unix.SetsockoptInt(fd, level, option, value)
		}
	}
	if seconds := int(o.KeepAlive.Round(time.Second) / time.Second); seconds > 0 {
		set(unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
		set(unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, seconds)
		set(unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, seconds)
		set(unix.IPPROTO_TCP, unix.TCP_KEEPCNT, keepAliveProbes)
	}
	if o.FreeBind {
		set(unix.IPPROTO_IP, unix.IP_FREEBIND, 1)
		if network == "tcp6" {
			set(unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1)
		}
	}
	return fault
}
