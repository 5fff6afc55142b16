package ldap

import (
	"fmt"

	"github.com/go-ldap/ldap/v3"
)

// take brings a message of the search into the draft, and in the persist stage into the content.
func (s *syncing) take(m message) error {
	if m.err != nil {
		return m.err
	}
	d, persists := s.draft, s.draft == nil
	if persists {
		d = s.content.draft()
	}
	state := false
	for _, control := range m.controls {
		var err error
		switch c := control.(type) {
		case *ldap.ControlSyncState:
			state = true
			err = s.entry(d, m.entry, c)
		case *ldap.ControlSyncInfo:
			err = s.info(d, c)
		}
		if err != nil {
			return err
		}
	}
	if m.entry != nil && !state {
		return errNoSync // it took no notice of a control that was critical
	}
	if persists {
		d.commit()
		s.remember()
		s.schedule()
	}
	return nil
}

func (s *syncing) entry(d *draft, e *ldap.Entry, c *ldap.ControlSyncState) error {
	s.learn(c.Cookie)
	k := key(c.EntryUUID)
	switch {
	case c.State == ldap.SyncStateDelete:
		d.remove(k)
	case c.State == ldap.SyncStatePresent:
		if !d.present(k) {
			return errUnknown
		}
	case e == nil:
		return fmt.Errorf("state %d of no entry", c.State)
	default:
		d.put(k, e)
	}
	return nil
}

// info takes a message about the search itself (RFC 4533, section 2.5).
func (s *syncing) info(d *draft, c *ldap.ControlSyncInfo) error {
	switch {
	case c.NewCookie != nil:
		s.learn(c.NewCookie.Cookie)
	case c.SyncIdSet != nil:
		s.learn(c.SyncIdSet.Cookie)
		for _, id := range c.SyncIdSet.SyncUUIDs {
			if c.SyncIdSet.RefreshDeletes {
				d.remove(key(id))
			} else if !d.present(key(id)) {
				return errUnknown
			}
		}
	case c.RefreshPresent != nil: // the end of the phase in which all is named that is still there
		s.learn(c.RefreshPresent.Cookie)
		d.prune = true
		s.refreshed(c.RefreshPresent.RefreshDone)
	case c.RefreshDelete != nil: // of the one in which is named what is gone
		s.learn(c.RefreshDelete.Cookie)
		s.refreshed(c.RefreshDelete.RefreshDone)
	}
	return nil
}

// learn keeps a cookie until what it stands for is in the content.
func (s *syncing) learn(cookie []byte) {
	if len(cookie) > 0 {
		s.newest = cookie
	}
}

func (s *syncing) remember() {
	if s.newest != nil {
		s.cookie = s.newest
	}
}

// refreshed ends the refresh stage, if it is done. What it found is told even where that is nothing: it
// is the answer to a request to look, and the word that all is well again.
func (s *syncing) refreshed(done bool) {
	if s.draft == nil || !done {
		return
	}
	s.draft.commit()
	s.draft = nil
	s.failing = 0
	s.remember()
	s.prepare()
}
