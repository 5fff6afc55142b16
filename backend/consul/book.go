package consul

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"postern/backend"
)

// book is what is believed of what Consul says. It owns no socket and no goroutine.
type book struct {
	service, tag, key string
	defaults          Defaults
	reserved          map[string]bool // names, aliases and hosts of the configuration's backends

	records  map[string]record // by name; what serves
	bad      map[string]string // why a backend's instances are spoken against
	refused  map[string]error  // what the newest answer has and can't be taken
	declared map[string]declaration

	services, declarations part
	at                     time.Time         // of the newest good answer with instances
	made                   map[string]target // of records, kept as long as they are the same
}

// part is one of the two things that are followed.
type part struct {
	saved   bool  // there is a saved one
	known   bool  // there is one that may serve
	current bool  // and it is Consul's
	err     error // of the newest answer
}

// fail notes an answer that can't be taken. What is saved serves then.
func (p *part) fail(err error) { p.err, p.known = err, p.known || p.saved }

func (p *part) take() { p.err, p.known, p.current = nil, true, true }

func newBook(o Options) *book {
	b := &book{
		service: o.Service, tag: o.Tag, key: o.DeclaredKey, defaults: o.Defaults, reserved: reserved(o.Reserved),
		records: make(map[string]record), declared: make(map[string]declaration), made: make(map[string]target),
		refused: make(map[string]error),
	}
	if o.Saved != nil {
		if err := b.restore(o.Saved); err != nil {
			o.Logger.Warn("the saved list of Consul's backends can't be used", "error", err)
		}
	}
	if b.key == "" {
		b.declarations.take() // there are none, and that is known
	}
	return b
}

// reserved are the keys by which a directory finds the configuration's backends.
func reserved(targets []backend.Target) map[string]bool {
	keys := make(map[string]bool)
	for _, t := range targets {
		for _, name := range append(slices.Clone(t.Aliases), t.Name) {
			keys[strings.ToLower(name)] = true
		}
		for _, host := range hosts(t.Addresses) {
			keys[host] = true
		}
	}
	return keys
}

// hosts are the hosts' names of addresses. IP addresses can't be a backend's name here.
func hosts(addresses []string) (names []string) {
	for _, address := range addresses {
		if host, _, err := net.SplitHostPort(address); err == nil && isName(host) {
			names = append(names, strings.ToLower(host))
		}
	}
	return names
}

// hearServices takes an answer with the service's instances.
func (b *book) hearServices(a answer[[]*api.ServiceEntry]) {
	if a.err != nil {
		b.services.fail(a.err)
		return
	}
	all, err := group(a.value)
	if err != nil {
		b.services.fail(err)
		return
	}
	b.services.take()
	b.at = time.Now()
	b.take(all)
}

// take believes an answer. A backend that can't be read stays as it was, or out.
func (b *book) take(all map[string]found) {
	next := make(map[string]record, len(all))
	b.bad, b.refused = make(map[string]string), make(map[string]error)
	for name, f := range all {
		if f.bad != "" {
			b.bad[name] = f.bad
		}
		if b.refused[name] = cmp.Or(f.err, b.check(f.record)); b.refused[name] == nil {
			delete(b.refused, name)
			next[name] = f.record
		}
	}
	taken := addresses(next)
	for name, err := range b.refused {
		old, there := b.records[name]
		if there = there && !old.at(taken); there {
			old.Held = false
			next[name] = old
			b.refused[name] = fmt.Errorf("%w; it stays as it was", err)
		} else {
			delete(b.bad, name)
			b.refused[name] = fmt.Errorf("%w; it is left out", err)
		}
	}
	for _, name := range keep(b.records, all, record.held) {
		if old := b.records[name]; !old.at(taken) {
			old.Held = true
			next[name] = old
		}
	}
	b.records = next
}

func addresses(records map[string]record) map[string]bool {
	all := make(map[string]bool)
	for _, r := range records {
		for _, address := range r.Addresses {
			all[address] = true
		}
	}
	return all
}

// at tells whether a record has one of these addresses. What stays against Consul's word may not where
// another backend is by now: its users would get to a machine that isn't theirs.
func (r record) at(taken map[string]bool) bool {
	return slices.ContainsFunc(r.Addresses, func(address string) bool { return taken[address] })
}

// check tells whether a record can be a target.
func (b *book) check(r record) error {
	if b.reserved[r.Name] {
		return fmt.Errorf("the configuration has a backend that is called or found by %s", clean(r.Name))
	}
	_, err := b.defaults.target(r)
	return err
}

// hearKey takes an answer with the key of declared names. A key that isn't there declares none.
func (b *book) hearKey(a answer[*api.KVPair]) {
	if a.err != nil {
		b.declarations.fail(a.err)
		return
	}
	var text []byte
	if a.value != nil {
		text = a.value.Value
	}
	next, err := parseDeclared(text)
	if err != nil {
		b.declarations.fail(fmt.Errorf("key %s of declared backends: %w", b.key, err))
		return
	}
	b.declarations.take()
	for _, name := range keep(b.declared, next, declaration.held) {
		d := b.declared[name]
		d.Held = true
		next[name] = d
	}
	b.declared = next
}

// keep returns what serves, is not there any more, and stays nevertheless: all of it, if more than half
// went at once, and more than one. So a Consul that was wiped, or whose servers hold an old backup, looks, and
// nothing is lost by waiting: a backend that is really gone is found to be down, and its
// users hear the same. What is held stays so until it is back or confirmed, also while others come back.
func keep[T, N any](serving map[string]T, next map[string]N, held func(T) bool) (names []string) {
	var left []string
	free := 0
	for name, entry := range serving {
		_, there := next[name]
		switch {
		case held(entry) && !there:
			names = append(names, name)
			continue
		case !there:
			left = append(left, name)
		}
		free++
	}
	if len(left) > 1 && 2*len(left) > free {
		names = append(names, left...)
	}
	return names
}

func (r record) held() bool      { return r.Held }
func (d declaration) held() bool { return d.Held }

// confirm lets go of what is held.
func (b *book) confirm() {
	for name, r := range b.records {
		if r.Held {
			delete(b.records, name)
		}
	}
	for name, d := range b.declared {
		if d.Held {
			delete(b.declared, name)
		}
	}
}

// useSaved lets the saved list serve where Consul takes its time.
func (b *book) useSaved() {
	for _, p := range []*part{&b.services, &b.declarations} {
		p.known = p.known || p.saved
	}
}
