package proxy

import "time"

// Observer hears what happens to sessions; metrics are made of it. It is called
// by the sessions themselves, so it may not wait for anything.
type Observer interface{ Observe(Event) }

// Happening is what an [Event] is about.
type Happening uint8

// What can happen.
const (
	Accepted  Happening = iota // a client has a session
	Refused                    // a client was turned away; Reason
	Secured                    // a TLS handshake is done; TLS
	Unsecured                  // a TLS handshake failed
	Judged                     // a login has its verdict; Result and the phases
	Ended                      // a session is over; By, Reason and what was relayed
)

// Event is one thing that happened. Its words are few and fixed, those of records, so
// that they can be labels, but for the last four: they are for who explains one mailbox's
// logins, and never for metrics.
type Event struct {
	Happening                        Happening
	Listener                         string
	TLS                              string // version
	Result                           string // of a login
	By, Reason                       string
	Locate, Connect, Greeting, Login time.Duration // phases of a login; 0: it did not come so far
	ToBackend, ToClient              int64         // octets

	Mailbox, Client, Backend, Step string // of a login to a mailbox that exists
}

// Results are the words that a login's result can be.
func Results() []string {
	var all []string
	for _, row := range failures {
		all = append(all, row.result)
	}
	return all
}

// nobody is the observer of a server that has none.
type nobody struct{}

func (nobody) Observe(Event) {}
