package serve

import (
	"bufio"
	"fmt"
	"io"
	"iter"
	"strings"

	"postern/backend"
	"postern/directory"
)

// Format is a kind of file.
type Format string

// The formats: an address, a tab and a transport on each line, for postmap and makemap.
//
//   - Postfix reads it as transport_maps. An entry for the rest of a domain is the domain alone. A
//     moving mailbox gets the retry transport, so that its mail waits.
//   - Sendmail reads it as a map of mailertable's values. An entry for the rest of a domain
//     keeps its @. A moving mailbox gets a temporary error.
const (
	Postfix  Format = "postfix"
	Sendmail Format = "sendmail"
)

// moving is what stands for the transport of a mailbox that is moving.
var moving = map[Format]string{
	Postfix:  "retry:4.2.1 the mailbox is moving",
	Sendmail: "error:4.2.1:450 the mailbox is moving",
}

// ExportOptions say how the entries are written.
type ExportOptions struct {
	Format    Format
	Transport *Transport
	// Resolve finds the backend that an entry's value names.
	Resolve func(value string) (*backend.Target, bool)
}

// Exported counts what became of the entries.
type Exported struct {
	Written   int
	NoBackend int // their value names no backend, or one that takes no mail that way
	Unwritten int // their address can't stand in such a file
}

// Export writes entries as a mail server's map, in their order. What is left out is counted: a file
// that lacks ten mailboxes of a million is better than none.
func Export(w io.Writer, entries iter.Seq2[string, directory.Value], o ExportOptions) (Exported, error) {
	var done Exported
	later, known := moving[o.Format]
	if !known {
		return done, fmt.Errorf("format %.20q: want %s or %s", o.Format, Postfix, Sendmail)
	}
	out := bufio.NewWriter(w)
	transports := map[string]string{} // by value; empty: none
	for address, v := range entries {
		key, ok := o.Format.key(address)
		if !ok {
			done.Unwritten++
			continue
		}
		transport, seen := transports[v.Backend]
		if !seen {
			transport = o.transport(v.Backend)
			transports[v.Backend] = transport
		}
		if transport == "" {
			done.NoBackend++
			continue
		}
		if v.State == directory.Moving {
			transport = later
		}
		if _, err := fmt.Fprintf(out, "%s\t%s\n", key, transport); err != nil {
			return done, err
		}
		done.Written++
	}
	return done, out.Flush()
}

func (o ExportOptions) transport(value string) string {
	target, found := o.Resolve(value)
	if !found {
		return ""
	}
	transport, err := o.Transport.Of(target)
	if err != nil {
		return ""
	}
	return transport
}

// key is an address as it stands in the file. Bare names are left out: a mail server
// knows addresses only. White space ends a key, and there is no escape for it that both formats know;
// quotes, # and : would change what the line means.
func (f Format) key(address string) (string, bool) {
	domain, whole := strings.CutPrefix(address, "@")
	if whole && f == Postfix {
		address = domain
	}
	if !whole && !isAddress(address) || strings.ContainsAny(address, " \t\"#:") {
		return "", false
	}
	return address, address != ""
}
