package ldap

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-ldap/ldap/v3"

	"postern/directory"
)

// full sends alice, bob and carol.
func full(c *caller) {
	c.request()
	c.synced(ldap.SyncStateAdd, "alice", "alice@example.com", "guest-01")
	c.synced(ldap.SyncStateAdd, "bob", "bob@example.com", "guest-01")
	c.synced(ldap.SyncStateAdd, "carol", "carol@example.com", "guest-01")
	c.refreshed("one")
}

// thenEnds does as serve does, and ends the connection when that was seen.
func thenEnds(serve func(*caller)) (func(*caller), func()) {
	seen := make(chan struct{})
	return func(c *caller) { serve(c); <-seen }, func() { close(seen) }
}

func (f *follower) text() string {
	var all []string
	for address, v := range f.entries() {
		all = append(all, strings.TrimSuffix(address, "@example.com")+" "+v.Backend)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func (f *follower) wants(text string) {
	f.t.Helper()
	f.until(text, func() bool { return f.err == nil && f.text() == text })
}

const everybody = "alice guest-01, bob guest-01, carol guest-01"

// TestARefreshThatEndsEarlyChangesNothing: bob and carol were not named yet when the connection is lost, and
// alice's change was told already.
func TestARefreshThatEndsEarlyChangesNothing(t *testing.T) {
	cookies := make(chan string, 10)
	first, end := thenEnds(full)
	server := newFake(t, first, func(c *caller) {
		c.request()
		cookies <- c.cookie
		c.synced(ldap.SyncStateModify, "alice", "alice@example.com", "guest-02")
		c.info(0, octets("two")) // a new cookie, which doesn't count either
	}, func(c *caller) {
		c.request()
		cookies <- c.cookie
		c.ids(false, "ab")
		c.info(2, octets("two"), flag(false)) // the present phase is over, the refresh is not
	}, func(c *caller) {
		c.request()
		cookies <- c.cookie
		c.synced(ldap.SyncStateModify, "alice", "alice@example.com", "guest-03")
		c.ids(false, "b")
		c.presented("three")
		c.wait()
	})
	f := server.follow()
	f.wants(everybody)
	end()
	for range 3 { // the first connection's end, the second's, the third's
		if u := f.next(); u.Err == nil || len(u.Groups) > 0 {
			t.Errorf("a connection ended, and the source says %v", u)
		}
	}
	f.wants("alice guest-03, bob guest-01")
	for range 3 {
		if cookie := <-cookies; cookie != "one" {
			t.Errorf("a refresh began at %q", cookie)
		}
	}
}

func TestAFirstRefreshThatEndsEarlyIsNoContent(t *testing.T) {
	server := newFake(t, func(c *caller) {
		c.request()
		c.synced(ldap.SyncStateAdd, "alice", "alice@example.com", "guest-01")
	}, func(c *caller) { full(c); c.wait() })
	f := server.follow()
	if u := f.next(); u.Err == nil || len(u.Groups) > 0 {
		t.Errorf("half a first refresh: %v", u)
	}
	f.wants(everybody)
}

// TestPhases: what each kind of message means, in a refresh with a cookie and after it.
func TestPhases(t *testing.T) {
	for name, test := range map[string]struct {
		then func(c *caller)
		want string
	}{
		"nothing changed":   {func(c *caller) { c.refreshed("") }, everybody},
		"deleted by name":   {func(c *caller) { c.synced(ldap.SyncStateDelete, "bob", "", ""); c.refreshed("") }, "alice guest-01, carol guest-01"},
		"deleted by set":    {func(c *caller) { c.ids(true, "bc"); c.refreshed("") }, "alice guest-01"},
		"present by set":    {func(c *caller) { c.ids(false, "ac"); c.presented("") }, "alice guest-01, carol guest-01"},
		"present by name":   {func(c *caller) { c.synced(ldap.SyncStatePresent, "bob", "", ""); c.presented("") }, "bob guest-01"},
		"nobody is present": {func(c *caller) { c.presented("") }, ""},
		"both phases":       {func(c *caller) { c.ids(false, "abc"); c.info(2, flag(false)); c.ids(true, "a"); c.refreshed("") }, "bob guest-01, carol guest-01"},
		"added in the last": {func(c *caller) {
			c.info(2, flag(false))
			c.synced(ldap.SyncStateAdd, "dave", "dave@example.com", "g")
			c.refreshed("")
		}, "dave g"},
		"persisting": {func(c *caller) {
			c.refreshed("")
			c.synced(ldap.SyncStateModify, "bob", "robert@example.com", "g")
			c.ids(true, "ac")
		}, "robert g"},
		"an address goes over": {func(c *caller) {
			c.refreshed("")
			c.ids(true, "a")
			c.synced(ldap.SyncStateAdd, "dave", "alice@example.com", "g")
		}, "alice g, bob guest-01, carol guest-01"},
		"a person loses the mail": {func(c *caller) { c.refreshed(""); c.synced(ldap.SyncStateModify, "bob", "bob@example.com", "") }, "alice guest-01, carol guest-01"},
		"references are no matter": {func(c *caller) {
			c.say(application(ldap.ApplicationSearchResultReference, octets("ldap://127.0.0.1:1/")))
			c.refreshed("")
		}, everybody},
	} {
		t.Run(name, func(t *testing.T) {
			first, end := thenEnds(full)
			server := newFake(t, first, func(c *caller) { c.request(); test.then(c); c.wait() })
			f := server.follow()
			f.wants(everybody)
			end()
			f.until("the end", func() bool { return f.err != nil })
			f.wants(test.want)
		})
	}
}

// TestACookieThatIsNotWantedIsDropped: the next refresh begins from nothing, and what it does not name is gone.
func TestACookieThatIsNotWantedIsDropped(t *testing.T) {
	for name, refuse := range map[string]func(c *caller){
		"refresh required":     func(c *caller) { c.done(ldap.LDAPResultSyncRefreshRequired) },
		"refused":              func(c *caller) { c.done(ldap.LDAPResultUnwillingToPerform) },
		"of unknown entries":   func(c *caller) { c.ids(false, "abcz"); c.wait() },
		"while nothing is new": func(c *caller) { c.refreshed("two"); c.done(ldap.LDAPResultSyncRefreshRequired) },
	} {
		t.Run(name, func(t *testing.T) {
			first, end := thenEnds(full)
			server := newFake(t, first, func(c *caller) { c.request(); refuse(c) }, func(c *caller) {
				if c.request(); c.cookie != "" {
					t.Errorf("it begins at %q", c.cookie)
				}
				c.synced(ldap.SyncStateAdd, "bob", "bob@example.com", "guest-07")
				c.refreshed("new")
				c.wait()
			})
			f := server.follow()
			f.wants(everybody)
			end()
			f.wants("bob guest-07")
		})
	}
}

// TestWithoutSynchronisation: a server that says so, and one that takes no notice.
func TestWithoutSynchronisation(t *testing.T) {
	answer := func(c *caller) {
		c.request()
		c.say(entryOf("alice", "alice@example.com", "guest-01"))
		c.done(0)
		c.wait()
	}
	for name, first := range map[string]func(c *caller){
		"it says so":         func(c *caller) { c.request(); c.done(ldap.LDAPResultUnavailableCriticalExtension); c.wait() },
		"it takes no notice": answer,
	} {
		t.Run(name, func(t *testing.T) {
			server := newFake(t, first, func(c *caller) {
				if c.request(); c.sync {
					t.Error("it is asked for synchronisation again")
				}
				c.say(entryOf("alice", "alice@example.com", "guest-01"))
				c.done(0)
				c.wait()
			})
			server.follow().wants("alice guest-01")
		})
	}
}

// TestAPageThatIsCutChangesNothing: the connection is lost behind the first entry of a search.
func TestAPageThatIsCutChangesNothing(t *testing.T) {
	server := newFake(t, func(c *caller) {
		c.request()
		c.say(entryOf("alice", "alice@example.com", "guest-01"))
		c.say(entryOf("bob", "bob@example.com", "guest-01"))
		c.done(0)
		c.wait()
	}, func(c *caller) {
		c.request()
		c.say(entryOf("alice", "alice@example.com", "guest-02"))
	})
	o := server.options()
	o.Filter, o.Paged, o.Interval = "", true, time.Millisecond
	f := follow(t, o)
	f.wants("alice guest-01, bob guest-01")
	for range 3 {
		if u := f.next(); u.Err == nil || len(u.Groups) > 0 {
			t.Errorf("a cut page: %v", u)
		}
	}
}

// TestAnUpdateThatNobodyTakesIsNotLost: the connection ends while one is waiting.
func TestAnUpdateThatNobodyTakesIsNotLost(t *testing.T) {
	server := newFake(t, full, func(c *caller) {
		c.request()
		c.refreshed("")
		c.wait()
	})
	f := server.follow()
	<-time.After(time.Second) // the first connection has ended, and nobody listened
	f.wants(everybody)
}

func TestTheGroupsOfAnUpdate(t *testing.T) {
	server := newFake(t, func(c *caller) {
		full(c)
		c.synced(ldap.SyncStateModify, "bob", "bob@example.com", "guest-02")
		c.wait()
	})
	f := server.follow()
	f.wants(everybody)
	before := maps.Clone(f.groups)
	f.wants("alice guest-01, bob guest-02, carol guest-01")
	changed := 0
	for name, table := range f.groups {
		if before[name] != table {
			changed++
		}
	}
	if changed != 1 {
		t.Errorf("one entry changed %d groups", changed)
	}
	var _ directory.Source = (*Source)(nil)
	var _ directory.Resolver = (*Resolver)(nil)
}
