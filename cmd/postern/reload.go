package main

import (
	"fmt"
	"reflect"

	"postern/configs"
)

// unchangeable names the first key that a reload would change and can't: sockets
// are open, and the log's form is what its readers were set up for.
func unchangeable(now, next *configs.Config) error {
	if len(now.Listeners) != len(next.Listeners) {
		return needsRestart(next, "listeners")
	}
	for i, l := range next.Listeners {
		old := now.Listeners[i]
		at := fmt.Sprintf("listeners[%d].", i)
		switch {
		case old.Address != l.Address:
			return needsRestart(next, at+"address")
		case old.Name != l.Name:
			return needsRestart(next, at+"name")
		case old.Freebind != l.Freebind:
			return needsRestart(next, at+"freebind")
		}
	}
	switch {
	case now.Timeouts.Keepalive != next.Timeouts.Keepalive:
		return needsRestart(next, "timeouts.keepalive")
	case now.Log.Format != next.Log.Format:
		return needsRestart(next, "log.format")
	case now.Admin.Socket != next.Admin.Socket:
		return needsRestart(next, "admin.socket")
	case now.Admin.Address != next.Admin.Address:
		return needsRestart(next, "admin.address")
	case now.Admin.Probes != next.Admin.Probes:
		return needsRestart(next, "admin.probes")
	case now.Admin.PProf != next.Admin.PProf:
		return needsRestart(next, "admin.pprof")
	case !reflect.DeepEqual(now.Directory.Socketmap, next.Directory.Socketmap):
		return needsRestart(next, "directory.socketmap")
	case !reflect.DeepEqual(now.Directory.AuthHTTP, next.Directory.AuthHTTP):
		return needsRestart(next, "directory.auth_http")
	case !reflect.DeepEqual(now.Admin.TLS, next.Admin.TLS):
		return needsRestart(next, "admin.tls")
	}
	return nil
}

func needsRestart(config *configs.Config, key string) error {
	fault, _ := config.Position(key)
	fault.Message = key + " can't change while the gateway runs; restart it"
	return fault
}
