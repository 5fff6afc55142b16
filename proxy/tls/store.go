package tls

import (
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Source names certificates: one with its key, or a folder of them.
type Source struct {
	Cert, Key string // PEM files; the certificate's is followed by its intermediates
	Dir       string // NAME.pem with NAME.key; a broken pair blocks only itself
}

var errNone = errors.New("there is no certificate that could be served")

// store is one list of certificates, kept in step with its files. All but certificate and infos
// is called under the front's lock.
type store struct {
	listener string
	sources  []Source
	journal  journal
	slots    map[place]*slot // nil: nothing was ever good
	current  atomic.Pointer[table]
}

// slot is what is known of one place.
type slot struct {
	place
	serving *tls.Certificate  // nil: none was ever good
	sum     [sha256.Size]byte // of what is serving
	trouble error             // why that is not what the files hold; nil: it is
}

func newStore(listener string, sources []Source, log *slog.Logger) *store {
	return &store{listener: listener, sources: sources, journal: newJournal(log)}
}

// certificate answers a handshake.
func (s *store) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	t := s.current.Load()
	if t == nil {
		return nil, errNone
	}
	return t.choose(hello, time.Now()), nil
}

// load reads all for the first time. A broken pair in a folder doesn't stop the
// start, unless nothing else is there.
func (s *store) load() (blocking Faults) {
	for _, fault := range s.reload() {
		if _, ok := errors.AsType[skipped](fault.Err); !ok && !errors.Is(fault.Err, errNone) {
			blocking = append(blocking, fault)
		}
	}
	if blocking == nil && s.slots == nil {
		return s.none()
	}
	return blocking
}

// skipped marks the fault of a pair in a folder.
type skipped struct{ error }

func (e skipped) Unwrap() error { return e.error }

// reload reads all again and puts what is good in the place of what was. What is bad is
// returned, and what was in its place stays.
func (s *store) reload() Faults {
	places, faults := s.places()
	now := time.Now()
	var next []*slot
	for _, p := range places {
		fresh := s.renew(p, now)
		if fresh.trouble != nil {
			faults = append(faults, s.fault(p, fresh.trouble))
		}
		next = append(next, fresh)
	}
	if !slices.ContainsFunc(next, func(one *slot) bool { return one.serving != nil }) {
		return append(faults, s.none()...)
	}
	s.publish(next)
	return faults
}

// none is what it is when no certificate is left: emptying a folder takes nobody's
// TLS away while the gateway runs.
func (s *store) none() Faults {
	if len(s.sources) == 0 {
		return nil // nobody asked for TLS
	}
	if s.slots != nil {
		s.journal.trouble(s.everything(), "no certificate is left, the old ones stay", errNone)
	}
	return Faults{{Listener: s.listener, Key: "certificates", Err: errNone}}
}

// everything is the path under which the journal has that nothing is left. That happens to
// folders only: a pair that the options name stays when its files go.
func (s *store) everything() string { return filepath.Join(s.sources[0].Dir, "*") }

// places lists where pairs are, or were: a folder that can't be read keeps what it had.
func (s *store) places() (all []place, faults Faults) {
	for i, source := range s.sources {
		if source.Dir == "" {
			all = append(all, place{source: i, cert: source.Cert, key: source.Key, named: true})
			continue
		}
		found, err := folderPlaces(i, source.Dir)
		if err != nil {
			faults = append(faults, Fault{s.listener, key(i), err})
			found = s.known(i)
		}
		if s.slots != nil {
			s.noteFolder(source.Dir, err)
		}
		all = append(all, found...)
	}
	return all, faults
}

// known are a source's places as of the last time, in their order.
func (s *store) known(source int) (all []place) {
	for p := range s.slots {
		if p.source == source {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b place) int { return strings.Compare(a.cert, b.cert) })
	return all
}

func key(source int) string { return fmt.Sprintf("certificates[%d]", source) }

func (s *store) fault(p place, err error) Fault {
	if !p.named {
		err = skipped{err}
	}
	return Fault{s.listener, key(p.source), err}
}

func (s *store) noteFolder(dir string, err error) {
	if err != nil {
		s.journal.trouble(dir, "a folder of certificates can't be read, those it had stay", err)
	} else if s.journal.fine(dir) {
		s.journal.log.Info("a folder of certificates can be read again", "path", dir)
	}
}

// renew makes the slot of a place as its files are now.
func (s *store) renew(p place, now time.Time) *slot {
	fresh := &slot{place: p}
	if old := s.slots[p]; old != nil {
		*fresh = *old
	}
	before := fresh.serving
	fresh.trouble = fresh.take(now)
	s.note(fresh, before, now)
	return fresh
}

// take puts what the files hold in service, or says why not. A certificate that is
// not valid now is better than none, but not better than a valid one.
func (s *slot) take(now time.Time) error {
	c, err := s.read()
	if err != nil {
		return err
	}
	if s.serving != nil && s.sum == c.sum {
		return nil
	}
	pair, err := s.parse(c)
	if err != nil {
		return err
	}
	if fault := validity(pair.Leaf, now); fault != nil && s.serving != nil && validity(s.serving.Leaf, now) == nil {
		return fmt.Errorf("%s was renewed, but %w", s.cert, fault)
	}
	s.serving, s.sum = pair, c.sum
	return nil
}

// note writes the record of a change. At the start, faults of what the options name
// are returned instead, and that all is well needs no word.
func (s *store) note(fresh *slot, before *tls.Certificate, now time.Time) {
	starting := s.slots == nil
	switch recovered := fresh.trouble == nil && s.journal.fine(fresh.cert); {
	case fresh.trouble != nil && starting && fresh.named:
	case fresh.trouble != nil && fresh.serving != nil:
		s.journal.trouble(fresh.cert, "a certificate can't be renewed, the old one stays", fresh.trouble)
	case fresh.trouble != nil:
		s.journal.trouble(fresh.cert, "a certificate is left out", fresh.trouble)
	case before != fresh.serving && !starting:
		s.journal.log.Info("certificate loaded", "path", fresh.cert,
			"names", names(fresh.serving.Leaf), "not_after", fresh.serving.Leaf.NotAfter.UTC())
	case recovered:
		s.journal.log.Info("the files of a certificate are well again", "path", fresh.cert)
	}
	if fresh.serving != before {
		if fault := validity(fresh.serving.Leaf, now); fault != nil {
			s.journal.log.Warn("a certificate is served though clients will refuse it", "path", fresh.cert, "err", fault)
		}
	}
}

// publish makes the slots those that serve.
func (s *store) publish(next []*slot) {
	var certificates []*tls.Certificate
	slots := make(map[place]*slot, len(next))
	for _, one := range next {
		slots[one.place] = one
		if one.serving != nil {
			certificates = append(certificates, one.serving)
		}
	}
	for p := range s.slots {
		if slots[p] == nil {
			s.journal.fine(p.cert)
			s.journal.log.Info("certificate removed", "path", p.cert)
		}
	}
	s.journal.fine(s.everything())
	t := newTable(certificates)
	t.infos = describe(s.listener, next)
	s.slots = slots
	s.current.Store(t)
}

// infos describes what serves.
func (s *store) infos() []Info {
	if t := s.current.Load(); t != nil {
		return t.infos
	}
	return nil
}

// paths are the folders and files whose changes concern the store.
func (s *store) paths() (folders, files []string) {
	for _, source := range s.sources {
		if source.Dir != "" {
			folders = append(folders, source.Dir)
		} else {
			files = append(files, source.Cert, source.Key)
		}
	}
	for p := range s.slots {
		files = append(files, p.cert, p.key)
	}
	return folders, files
}
