package backend

import (
	"bytes"
	"strings"

	"postern/pop3"
)

var (
	// withoutCapa is what a server offers that knows no CAPA, and what is offered
	// as long as nothing is known of any: TOP and UIDL are optional in RFC 1939, and
	// every server of the last twenty years has them.
	withoutCapa = pop3.Capabilities{Top: true, UIDL: true}

	// everything is what pop3.Capabilities.Intersect can leave: the common offer
	// before the first backend narrows it.
	everything = pop3.Capabilities{Top: true, UIDL: true, RespCodes: true, Pipelining: true}
)

func same(a, b pop3.Capabilities) bool { return bytes.Equal(a.Append(nil), b.Append(nil)) }

// tags are the lines of an offer, for a log.
func tags(c pop3.Capabilities) string {
	_, lines, _ := strings.Cut(string(c.Append(nil)), "\r\n")
	return strings.ReplaceAll(strings.TrimSuffix(lines, "\r\n.\r\n"), "\r\n", ", ")
}
