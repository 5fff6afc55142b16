package serve

import (
	"context"
	"errors"
	"strings"

	"postern/directory"
)

// The answers of socketmap_table(5) that carry no value. TEMP has a mail server try again
// later: the sender's message waits, and is not returned.
const (
	notFound        = "NOTFOUND "
	tempDirectory   = "TEMP the directory can't answer"
	tempPassword    = "TEMP the mailbox is known only with a password"
	tempMoving      = "TEMP the mailbox is moving"
	tempUnreachable = "TEMP the backend takes no mail that way"
	permMap         = "PERM no such map: want transport, mailbox or backend"
)

// answer answers a request: a map's name, a space and a key.
//
//   - transport: where mail for an address goes. While the mailbox is moving, mail waits.
//   - mailbox: the canonical address, where such a mailbox exists (virtual_mailbox_maps,
//     relay_recipient_maps).
//   - backend: the name of the backend that owns it.
//
// A suspended mailbox is answered like any other: its user can't get in, and its mail still arrives.
func (s *Socketmap) answer(ctx context.Context, request string) string {
	name, key, _ := strings.Cut(request, " ")
	var value func(directory.Route) string
	switch name {
	case "transport":
		value = s.transport
	case "mailbox":
		value = func(r directory.Route) string { return "OK " + r.Mailbox }
	case "backend":
		value = func(r directory.Route) string { return "OK " + r.Backend.Name }
	default:
		return permMap
	}
	if !isAddress(key) {
		return notFound
	}
	route, err := s.options.Locate(ctx, query(key))
	switch {
	case errors.Is(err, directory.ErrUnknown):
		return notFound
	case errors.Is(err, directory.ErrNeedsPassword):
		return tempPassword
	case err != nil:
		s.log.Debug("socketmap: no answer", "error", err)
		return tempDirectory
	}
	return value(route)
}

// query asks for what is known, and not for where unknown mailboxes are sent: mail for a name that
// nobody has must be refused while its sender is still there.
func query(user string) directory.Query {
	return directory.Query{User: user, Strict: true}
}

func (s *Socketmap) transport(r directory.Route) string {
	if r.State == directory.Moving {
		return tempMoving
	}
	transport, err := s.options.Transport.Of(r.Backend)
	if err != nil {
		s.log.Warn("socketmap: no transport", "error", err)
		return tempUnreachable
	}
	return "OK " + transport
}

// isAddress tells whole addresses from the other keys that Postfix and Sendmail ask for: a
// domain, .domain, @domain, a user alone, *. The directory could take a bare name for one in its
// default domain.
func isAddress(key string) bool {
	at := strings.LastIndexByte(key, '@')
	return at > 0 && at < len(key)-1
}
