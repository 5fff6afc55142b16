//go:build !linux

package proxy

import "net"

// listenConfig leaves keepalive to package net, and has no freebind: a listener
// with it fails as one without does, when its address is not there.
func listenConfig(o ListenOptions) *net.ListenConfig {
	return &net.ListenConfig{KeepAliveConfig: KeepAlive(o.KeepAlive)}
}
