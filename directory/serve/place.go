package serve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"postern/backend"
	"postern/directory"
)

// Locate is what is asked of the directory.
type Locate func(ctx context.Context, q directory.Query) (directory.Route, error)

// Ports tells where a backend serves a protocol other than POP3: imap, smtp or lmtp. False:
// nowhere. POP3 is served where the target's addresses say.
type Ports func(t *backend.Target, protocol string) (port uint16, served bool)

// place is the host and the port at which a backend serves a protocol. Of several ways to
// one machine it is the first.
func (p Ports) place(t *backend.Target, protocol string) (host string, port uint16, err error) {
	if len(t.Addresses) == 0 {
		return "", 0, fmt.Errorf("backend %s has no address", t.Name)
	}
	host, text, err := net.SplitHostPort(t.Addresses[0])
	if err != nil {
		return "", 0, fmt.Errorf("backend %s: %w", t.Name, err)
	}
	if protocol != "pop3" {
		port, served := p(t, protocol)
		if !served || port == 0 {
			return "", 0, fmt.Errorf("backend %s serves no %s", t.Name, protocol)
		}
		return host, port, nil
	}
	own, err := strconv.ParseUint(text, 10, 16)
	if err != nil || own == 0 {
		return "", 0, fmt.Errorf("backend %s: its port is no number", t.Name)
	}
	return host, uint16(own), nil
}

// DefaultTransport hands a message to the backend's own mail server.
const DefaultTransport = "smtp:[{host}]:{smtp}"

// Transport is what a mail server is told about where a backend takes mail.
type Transport struct {
	template string
	ports    Ports
}

// portPlaces are the places of a template that stand for a port, with the protocol.
var portPlaces = [...][2]string{{"{smtp}", "smtp"}, {"{lmtp}", "lmtp"}, {"{imap}", "imap"}, {"{port}", "pop3"}}

// NewTransport reads a template. In it {host} and {backend} stand for the backend's first address, without
// port, and for its name; {smtp}, {lmtp}, {imap} and {port} for ports, the last for POP3's.
// An IPv6 address gets brackets, unless the template has them.
func NewTransport(template string, ports Ports) (*Transport, error) {
	if ports == nil {
		return nil, errors.New("transport: no ports")
	}
	if template == "" {
		template = DefaultTransport
	}
	rest := strings.NewReplacer("{host}", "", "{backend}", "", "{smtp}", "", "{lmtp}", "", "{imap}", "", "{port}", "").Replace(template)
	if strings.ContainsAny(rest, "{}\r\n\x00") {
		return nil, fmt.Errorf("transport %.80q: only {host}, {backend}, {smtp}, {lmtp}, {imap} and {port} are filled in", template)
	}
	return &Transport{template: template, ports: ports}, nil
}

// Of returns a backend's transport, or why it has none.
func (t *Transport) Of(target *backend.Target) (string, error) {
	host, _, err := t.ports.place(target, "pop3")
	if err != nil {
		return "", err
	}
	bracketed := host
	if strings.Contains(host, ":") {
		bracketed = "[" + host + "]"
	}
	fill := []string{"[{host}]", "[" + host + "]", "{host}", bracketed, "{backend}", target.Name}
	for _, p := range portPlaces {
		if !strings.Contains(t.template, p[0]) {
			continue
		}
		_, port, err := t.ports.place(target, p[1])
		if err != nil {
			return "", err
		}
		fill = append(fill, p[0], strconv.Itoa(int(port)))
	}
	return strings.NewReplacer(fill...).Replace(t.template), nil
}
