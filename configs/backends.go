package configs

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// OffOrDuration is a duration, or zero for off.
type OffOrDuration time.Duration

// UnmarshalText takes off and a duration above zero.
func (d *OffOrDuration) UnmarshalText(text []byte) error {
	if string(text) == "off" {
		*d = 0
		return nil
	}
	value, err := time.ParseDuration(string(text))
	if err != nil || value <= 0 {
		return errors.New("want a duration such as 60s, or off")
	}
	*d = OffOrDuration(value)
	return nil
}

// Address is an IP address of this machine.
type Address string

// UnmarshalText takes an address without port.
func (a *Address) UnmarshalText(text []byte) error {
	if _, err := netip.ParseAddr(string(text)); err != nil {
		return errors.New(`want an IP address such as 192.0.2.1 or "2001:db8::1", without port`)
	}
	*a = Address(text)
	return nil
}

// Pin is the SHA-256 sum of a certificate's public key, in hexadecimal.
type Pin string

const pinSize = 32

// UnmarshalText takes a sum in hexadecimal, with colons or without, and in base64, as
// RFC 7469, section 2.4, writes it.
func (p *Pin) UnmarshalText(text []byte) error {
	sum, err := hex.DecodeString(strings.ReplaceAll(string(text), ":", ""))
	if err != nil || len(sum) != pinSize {
		sum, err = base64.StdEncoding.DecodeString(strings.TrimPrefix(string(text), "sha256/"))
	}
	if err != nil || len(sum) != pinSize {
		return errors.New("want the SHA-256 sum of a public key, in hexadecimal or base64")
	}
	*p = Pin(hex.EncodeToString(sum))
	return nil
}

// checkBackendSettings finds settings that mean nothing without another one.
func checkBackendSettings(b Backends, r *report) {
	checkSettings(b.Defaults, "backends.defaults", r)
	for i, s := range b.Static {
		checkSettings(s.BackendSettings, fmt.Sprintf("%s[%d]", staticPath, i), r)
	}
	checkPair(b.Consul.TLS, "backends.consul.tls", r)
	if b.Consul.Service == "" && (b.Consul.Address != "" || b.Consul.Tag != "") && !r.hasFault("backends.consul.service") {
		r.fault("backends.consul", "consul: service is missing: want the name of a service in the catalogue")
	}
}

func checkSettings(s BackendSettings, path string, r *report) {
	if s.TLS == TLSNone && !r.hasFault(path+".tls") {
		for key, set := range map[string]bool{"ca": s.CA != "", "server_name": s.ServerName != "", "pins": len(s.Pins) > 0} {
			if _, written := r.marks[path+"."+key]; set && written {
				r.fault(path+"."+key, key+": it means nothing with tls: none: want stls or implicit")
			}
		}
	}
	if (s.ProbeUser == "") != (s.ProbePassword == Secret{}) && !r.hasFault(path+".probe_user") && !r.hasFault(path+".probe_password") {
		at := path + ".probe_user"
		if _, written := r.marks[at]; !written {
			at = path
		}
		r.fault(at, "probe_user: want probe_user and probe_password together")
	}
}
