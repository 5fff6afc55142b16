package configs

import (
	"fmt"
	"net/netip"
	"strings"
)

// Socketmap is where Postfix and Sendmail ask the directory. It is a Unix socket, or an
// address with the networks that may ask.
type Socketmap struct {
	Socket  Path           `yaml:"socket,optional"`
	Address ListenAddress  `yaml:"address,optional"`
	Allow   []netip.Prefix `yaml:"allow" default:"127.0.0.0/8 ::1/128"`
	// Transport is what the map transport answers, with {host}, {port} and the
	// backend's ports filled in.
	Transport Text `yaml:"transport" default:"smtp:[{host}]:{smtp}"`
}

// AuthHTTP is where nginx's mail module asks the directory.
type AuthHTTP struct {
	Address ListenAddress  `yaml:"address,required"`
	Allow   []netip.Prefix `yaml:"allow" default:"127.0.0.0/8 ::1/128"`
	// Key has to stand in the header X-Auth-Key of each request. Empty: none has to.
	Key Secret `yaml:"key"`
}

// Ports are where a backend serves other protocols, for those who ask the directory
// on behalf of these.
type Ports struct {
	IMAP int `yaml:"imap" default:"143" min:"1" max:"65535"`
	SMTP int `yaml:"smtp" default:"25" min:"1" max:"65535"`
	LMTP int `yaml:"lmtp" default:"24" min:"1" max:"65535"`
}

// TransportPlaces are what a transport may have filled in.
var transportPlaces = []string{"{host}", "{port}", "{smtp}", "{lmtp}", "{imap}", "{backend}"}

// checkAnswering finds listeners for other servers that nobody could reach, or anybody.
func checkAnswering(d Directory, r *report) {
	for i, s := range d.Socketmap {
		at := fmt.Sprintf("directory.socketmap[%d]", i)
		if (s.Socket == "") == (s.Address == "") && !r.hasFault(at+".socket") && !r.hasFault(at+".address") {
			r.fault(at, "socketmap: want either socket or address in each entry")
		}
		rest := string(s.Transport)
		for _, place := range transportPlaces {
			rest = strings.ReplaceAll(rest, place, "")
		}
		if strings.ContainsAny(rest, "{}") {
			r.fault(at+".transport", "transport: "+r.text(at+".transport")+": want only these filled in: "+strings.Join(transportPlaces, ", "))
		}
	}
}
