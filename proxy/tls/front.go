package tls

import (
	"cmp"
	"crypto/tls"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// protocol is POP3's name in ALPN (RFC 7301, as registered by IANA).
const protocol = "pop3"

// Options are what a [Front] is made of. Keys in faults are spelled as a
// configuration would.
type Options struct {
	Certificates []Source // the first is the default, the others by SNI
	MinVersion   string   // 1.2 (if empty) or 1.3
	Curves       []string // key exchanges; which is preferred is Go's choice; empty: all of Go's
	TicketKeys   string   // a file of keys shared with other gateways; empty: random keys
	Listeners    []ListenerOptions
	Logger       *slog.Logger

	// Previous is the front that this one replaces: clients then resume sessions
	// that were sealed with its random keys. Nil: there is none.
	Previous *Front

	Poll   time.Duration // how often files are read unasked; 0: a minute
	Settle time.Duration // how long changed files must be left alone before they are read; 0: 200 ms
}

// ListenerOptions are what one listener has of its own.
type ListenerOptions struct {
	Name           string   // in faults and records, and for [Front.Config]
	Certificates   []Source // instead of the others; empty: those
	MinVersion     string   // instead of the other; here 1.0 and 1.1 may stand too
	ClientCA       string   // PEM file of authorities; empty: clients are not asked for a certificate
	ClientRequired bool     // no session without a client certificate; else one is verified if given
	Protocols      []string // for ALPN; nil: pop3
}

// Front is the TLS side of all listeners. Its methods are safe for concurrent use.
type Front struct {
	log          *slog.Logger
	poll, settle time.Duration
	listeners    []*listener

	mu      sync.Mutex // one reload at a time
	stores  []*store
	tickets *tickets
}

// New reads all that the options name. Its error is [Faults], all of them, each
// with the path of its file. A broken pair in a folder is none: it is left out, and
// the log says so.
func New(o Options) (*Front, error) {
	f := &Front{
		log:    cmp.Or(o.Logger, slog.New(slog.DiscardHandler)),
		poll:   cmp.Or(o.Poll, time.Minute),
		settle: cmp.Or(o.Settle, 200*time.Millisecond),
	}
	f.tickets = newTickets(o.TicketKeys, f.log)
	if o.Previous != nil {
		f.tickets.inherit(o.Previous.tickets)
	}
	faults := f.tickets.reload(time.Now())
	shared, more := f.store("", o.Certificates)
	faults = append(faults, more...)
	for _, l := range o.Listeners {
		faults = append(faults, f.listen(o, l, shared)...)
	}
	if err := faults.once().orNil(); err != nil {
		return nil, err
	}
	return f, nil
}

// once drops what several listeners say of the same option.
func (f Faults) once() Faults {
	var all Faults
	for _, one := range f {
		if !slices.ContainsFunc(all, func(other Fault) bool { return other.Error() == one.Error() }) {
			all = append(all, one)
		}
	}
	return all
}

func (f *Front) store(listener string, sources []Source) (*store, Faults) {
	log := f.log
	if listener != "" {
		log = log.With("listener", listener)
	}
	s := newStore(listener, sources, log)
	f.stores = append(f.stores, s)
	return s, s.load()
}

// listen makes what a listener needs.
func (f *Front) listen(o Options, l ListenerOptions, shared *store) (faults Faults) {
	if slices.ContainsFunc(f.listeners, func(other *listener) bool { return other.name == l.Name }) {
		return Faults{{l.Name, "name", errors.New("another listener has it")}}
	}
	p, faults := newPolicy(o, l)
	from := shared
	if len(l.Certificates) > 0 {
		var more Faults
		from, more = f.store(l.Name, l.Certificates)
		faults = append(faults, more...)
	} else if len(shared.sources) == 0 {
		faults = append(faults, Fault{l.Name, "certificates", errNone})
	}
	made := newListener(l, p, from, f)
	f.listeners = append(f.listeners, made)
	if p.version != 0 && p.isOld() {
		made.journal.log.Warn("clients may use versions of TLS that RFC 8996 forbids", "min_version", versionName(p.version))
	}
	return append(faults, made.reload()...)
}

// Config is the configuration of a listener; nil if none has the name. It follows
// each reload by itself, without an effect on sessions that run.
func (f *Front) Config(listener string) *tls.Config {
	for _, l := range f.listeners {
		if l.name == listener {
			return l.config
		}
	}
	return nil
}

// Reload reads all files again now. What is good takes effect for the next
// handshake, whatever is wrong with the rest. The error is [Faults]: all that is
// wrong at present, broken pairs in folders too.
func (f *Front) Reload() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	faults := f.tickets.reload(time.Now())
	for _, s := range f.stores {
		faults = append(faults, s.reload()...)
	}
	for _, l := range f.listeners {
		faults = append(faults, l.reload()...)
	}
	return faults.once().orNil()
}

// Certificates describes all that serve, in the order of the options.
func (f *Front) Certificates() []Info {
	var all []Info
	for _, s := range f.stores {
		all = append(all, s.infos()...)
	}
	return all
}
