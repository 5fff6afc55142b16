package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"postern/configs"
	"postern/directory"
	"postern/directory/consul"
)

// sourceSet is the sources of a configuration as they are now, for commands that look through all of them.
// What a gateway makes of them, a directory, tells of one mailbox only.
type sourceSet struct {
	config  *configs.Config
	domain  string // the default one
	members []*member
}

// member is one of the sources.
type member struct {
	configuredSource
	groups   []directory.Group // of one that is followed, by their names' order: the first that has an address answers
	resolver directory.Resolver
	judges   bool  // it is asked with a password only
	err      error // why it can't be read
}

// openSources reads the sources that are wanted; nil wants those that serve. Where one can't be read, its member
// says so.
func openSources(ctx context.Context, config *configs.Config, wanted func(configuredSource) bool) (*sourceSet, error) {
	domain, err := defaultDomain(config)
	if err != nil {
		return nil, usageError{err}
	}
	s := &sourceSet{config: config, domain: domain}
	for _, source := range configuredSources(config) {
		if wanted == nil && !source.shadow || wanted != nil && wanted(source) {
			s.members = append(s.members, &member{configuredSource: source})
		}
	}
	var reading sync.WaitGroup
	for _, m := range s.members {
		reading.Go(func() { m.err = m.read(ctx, domain) })
	}
	reading.Wait()
	return s, nil
}

// close ends the connections that are kept.
func (s *sourceSet) close() {
	for _, m := range s.members {
		if m.resolver != nil {
			_ = m.resolver.Close()
		}
	}
}

// err is what is wrong with the sources.
func (s *sourceSet) err() error {
	var faults []error
	for _, m := range s.members {
		if m.err != nil {
			faults = append(faults, fmt.Errorf("source %s: %w", m.name, m.err))
		}
	}
	return errors.Join(faults...)
}

// listable is an error where not all entries can be listed.
func (s *sourceSet) listable() error {
	for _, m := range s.members {
		if !followed(m.Source) {
			return &onlyAskedError{m.name}
		}
	}
	return s.err()
}

// patienceWithListing is how long a source may take to say everything that it has.
const patienceWithListing = 5 * time.Minute

// read fills a member with what its source has now, or makes what it is asked by.
func (m *member) read(ctx context.Context, domain string) (err error) {
	ctx, cancel := context.WithTimeout(ctx, patienceWithListing)
	defer cancel()
	if m.Type == configs.SourceConsul { // by asking the leader, which may have no key yet
		m.groups, err = consulGroups(ctx, m.Source, domain)
		return err
	}
	named, err := buildSource(m.Source, domain, nil)
	if err != nil {
		return err
	}
	if m.resolver, m.judges = named.Resolver, named.Judge != nil; named.Judge != nil {
		_ = named.Judge.Close()
	}
	if named.Source == nil {
		return nil
	}
	m.groups, err = listGroups(ctx, named.Source)
	return err
}

func consulStore(s configs.Source, domain string) (*consul.Store, error) {
	return consul.NewStore(consul.Options{ClientOptions: consulClient(s), Prefix: string(s.Prefix), DefaultDomain: domain})
}

func consulGroups(ctx context.Context, s configs.Source, domain string) ([]directory.Group, error) {
	store, err := consulStore(s, domain)
	if err != nil {
		return nil, err
	}
	defer store.Close()
	return store.Groups(ctx)
}

// listGroups takes a source's first word: if that is good, it holds everything.
func listGroups(ctx context.Context, source directory.Source) ([]directory.Group, error) {
	ctx, cancel := context.WithCancel(ctx)
	up, ended := make(chan directory.Update), make(chan error, 1)
	go func() { ended <- source.Run(ctx, nil, up) }()
	select {
	case u := <-up:
		cancel()
		<-ended
		slices.SortFunc(u.Groups, func(a, b directory.Group) int { return strings.Compare(a.Name, b.Name) })
		return u.Groups, u.Err
	case err := <-ended:
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = errors.New("it ended without a word")
		}
		cancel()
		return nil, err
	}
}

// entry is one entry of the sources, and what beats it.
type entry struct {
	address string
	value   directory.Value
	member  *member
	group   string
	beaten  *beaten // nil: it is what Locate finds
}

// beaten tells which earlier entry wins.
type beaten struct {
	by      *member
	group   string
	address string // the same, or @ and its domain
	value   directory.Value
}

// all returns every entry in the order of search. It holds no more of them than two octets each.
func (s *sourceSet) all() iter.Seq[entry] {
	return func(yield func(entry) bool) {
		var tables []*directory.Table
		var owners []entry // without address and value
		for _, m := range s.members {
			for _, g := range m.groups {
				tables, owners = append(tables, g.Table), append(owners, entry{member: m, group: g.Name})
			}
		}
		again, stop := iter.Pull(directory.Duplicates(tables))
		defer stop()
		next, more := again()
		domains := make(map[string]beaten) // the first of each
		for i, table := range tables {
			for address, value := range table.All() {
				e := owners[i]
				e.address, e.value = address, value
				if more && next.Again == i && next.Address == address {
					first, _ := tables[next.First].Get(address)
					e.beaten = &beaten{owners[next.First].member, owners[next.First].group, address, first}
					next, more = again()
				}
				e.underDomain(domains)
				if !yield(e) {
					return
				}
			}
		}
	}
}

// underDomain notes an entry for the rest of a domain, and finds an earlier source's for any other: that wins,
// although it is less exact.
func (e *entry) underDomain(domains map[string]beaten) {
	domain := domainOf(e.address)
	first, known := domains[domain]
	switch {
	case domain == "" || e.beaten != nil:
	case domain == e.address && !known:
		domains[domain] = beaten{e.member, e.group, e.address, e.value}
	case domain != e.address && known && first.by != e.member:
		e.beaten = &first
	}
}

// domainOf is the entry for the rest of an address's domain; empty for a bare name.
func domainOf(address string) string {
	if at := strings.LastIndexByte(address, '@'); at >= 0 {
		return address[at:]
	}
	return ""
}

// winners are the entries that nothing beats, once each: one map file of them says the same as the sources.
func (s *sourceSet) winners() iter.Seq2[string, directory.Value] {
	return func(yield func(string, directory.Value) bool) {
		for e := range s.all() {
			if e.beaten == nil && !yield(e.address, e.value) {
				return
			}
		}
	}
}

// find asks the sources for a canonical address, in their order, as a login does; but the one that judges
// passwords, which comes last, isn't asked.
func (s *sourceSet) find(ctx context.Context, address string) (v directory.Value, by *member, err error) {
	for _, m := range s.members {
		v, known, err := m.find(ctx, address)
		if err != nil {
			return v, m, fmt.Errorf("source %s: %w", m.name, err)
		}
		if known {
			return v, m, nil
		}
	}
	return v, nil, nil
}

// find looks for an address and then for the rest of its domain.
func (m *member) find(ctx context.Context, address string) (v directory.Value, known bool, err error) {
	switch {
	case m.err != nil:
		return v, false, m.err
	case m.judges:
		return v, false, nil
	case m.resolver != nil:
		v, err = m.resolver.Resolve(ctx, mailboxParts(address))
		if errors.Is(err, directory.ErrUnknown) {
			return v, false, nil
		}
		return v, err == nil, err
	}
	for _, name := range [...]string{address, domainOf(address)} {
		for _, g := range m.groups {
			if v, known = g.Table.Get(name); known {
				return v, true, nil
			}
		}
	}
	return v, false, nil
}

func mailboxParts(address string) directory.Mailbox {
	domain := domainOf(address)
	return directory.Mailbox{
		Address: address, Local: strings.TrimSuffix(address, domain), Domain: strings.TrimPrefix(domain, "@"),
	}
}
