package ldap

import (
	"errors"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strings"
	"unique"

	"github.com/go-ldap/ldap/v3"

	"postern/directory"
)

// key tells entries apart: the entryUUID where the server tells of changes, a hash of the DN where
// it is searched.
type key [16]byte

// parts is a set of the source's groups. An address belongs to one of them by its hash, so that a
// change rebuilds one in 64 of the tables and not all of what may be a million mailboxes; and an address
// that two entries hold is found where its table is built.
type parts uint64

const maxParts = 64

// row is an entry that can be used. Only its text is its own: backends and parents are shared.
type row struct {
	in      parts
	backend unique.Handle[string]
	parent  unique.Handle[string] // of the DN
	state   directory.State
	text    string // login, addresses, the first part of the DN
}

// No login and no address holds control octets.
const (
	fieldEnd   = "\x00"
	addressEnd = "\n"
)

func (r row) fields() (login string, addresses []string, name string) {
	login, rest, _ := strings.Cut(r.text, fieldEnd)
	list, name, _ := strings.Cut(rest, fieldEnd)
	if list == "" {
		return login, nil, name
	}
	return login, strings.Split(list, addressEnd), name
}

func (r row) dn() string {
	_, _, name := r.fields()
	return name + r.parent.Value()
}

// fault is an entry that can't be used, and where it holds back what changes.
type fault struct {
	in   parts
	text string
}

// content is all that a source knows, by entry.
type content struct {
	attributes    attributes
	defaultDomain string
	parts         uint32 // how many there are

	rows    map[key]row // an entry that is none of ours has an empty one
	faults  map[key]fault
	dirty   parts // changed since they were sent
	changed bool  // something did, a fault included, since the last update was made
	whole   bool  // everything was sent once
}

func newContent(a attributes, defaultDomain string, number uint32) *content {
	return &content{
		attributes: a, defaultDomain: defaultDomain, parts: number,
		rows: make(map[key]row), faults: make(map[key]fault),
	}
}

// read makes a row of an entry. One without a backend, or without an address, is a person without
// mail, and none of ours.
func (c *content) read(e *ldap.Entry) (row, error) {
	v, err := c.attributes.value(e)
	if errors.Is(err, errNoBackend) {
		return row{}, nil
	}
	addresses, in, wrong := c.addresses(e)
	if err = errors.Join(err, wrong); err != nil {
		return row{in: in}, named(e.DN, err)
	}
	if len(addresses) == 0 {
		return row{}, nil
	}
	name, parent := cutDN(e.DN)
	return row{
		in: in, state: v.State, backend: unique.Make(v.Backend), parent: unique.Make(parent),
		text: v.Login + fieldEnd + strings.Join(addresses, addressEnd) + fieldEnd + name,
	}, nil
}

func (c *content) addresses(e *ldap.Entry) (addresses []string, in parts, wrong error) {
	for _, value := range e.GetEqualFoldAttributeValues(c.attributes.address) {
		address, err := directory.AppendAddress(nil, []byte(value), c.defaultDomain)
		if err != nil {
			wrong = fmt.Errorf("address %.80q: %w", value, err)
			continue
		}
		addresses = append(addresses, string(address))
		in |= c.partOf(string(address))
	}
	slices.Sort(addresses)
	return slices.Compact(addresses), in, wrong
}

// partOf is FNV-1a, the same in each process: the state that a gateway has on disk and the
// one that it reads then have the same groups.
func (c *content) partOf(address string) parts {
	hash := uint32(2166136261)
	for i := range len(address) {
		hash = (hash ^ uint32(address[i])) * 16777619
	}
	return 1 << (hash % c.parts)
}

// maxShown bounds each half of a DN that is kept for people.
const maxShown = 100

// cutDN cuts behind the first comma, which may be an escaped one: it is for sharing what entries have in common.
func cutDN(dn string) (name, parent string) {
	comma := strings.IndexByte(dn, ',')
	name, parent = dn[:comma+1], dn[comma+1:]
	return name[:min(len(name), maxShown)], parent[:min(len(parent), maxShown)]
}

// set takes an entry as it is now.
func (c *content) set(k key, r row) {
	old, known := c.rows[k]
	_, faulty := c.faults[k]
	if known && old == r && !faulty {
		return
	}
	if old != r {
		c.dirty |= old.in | r.in
	}
	c.rows[k], c.changed = r, true
	delete(c.faults, k)
}

// blame keeps what was good before, and holds back all that it concerned and concerns.
func (c *content) blame(k key, f fault) {
	f.in |= c.rows[k].in
	if c.faults[k] != f {
		c.faults[k], c.changed = f, true
	}
}

func (c *content) remove(k key) {
	if c.knows(k) {
		c.dirty |= c.rows[k].in
		c.changed = true
		delete(c.rows, k)
		delete(c.faults, k)
	}
}

func (c *content) knows(k key) bool {
	_, known := c.rows[k]
	_, faulty := c.faults[k]
	return known || faulty
}

// update makes what there is to say, and of which parts. The caller says whether it was sent.
func (c *content) update() (directory.Update, parts) {
	var held parts
	texts := make([]string, 0, len(c.faults))
	for _, f := range c.faults {
		held |= f.in
		texts = append(texts, f.text)
	}
	slices.Sort(texts)
	tables, clashes := c.build(c.dirty &^ held)
	texts = append(texts, clashes...)
	c.changed = false
	u := directory.Update{Err: faultsOf(texts)}
	if !c.whole && u.Err != nil {
		return u, 0 // users of the rest would be unknown
	}
	var sent parts
	for _, part := range slices.Sorted(maps.Keys(tables)) {
		u.Groups = append(u.Groups, directory.Group{Name: part.name(), Table: tables[part]})
		sent |= part
	}
	c.dirty &^= sent
	return u, sent
}

// sent notes that an update was taken; kept, that it was not.
func (c *content) sent(u directory.Update) { c.whole = c.whole || u.Err == nil }
func (c *content) kept(in parts)           { c.dirty, c.changed = c.dirty|in, true }

func (p parts) name() string { return fmt.Sprintf("part-%02d", bits.TrailingZeros64(uint64(p))) }

// maxFaults is how many faults are told; the others are counted.
const maxFaults = 20

func faultsOf(texts []string) error {
	if len(texts) == 0 {
		return nil
	}
	shown := strings.Join(texts[:min(len(texts), maxFaults)], "\n")
	if more := len(texts) - maxFaults; more > 0 {
		shown += fmt.Sprintf("\nand %d more", more)
	}
	return errors.New(shown)
}
