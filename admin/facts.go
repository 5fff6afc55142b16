package admin

import (
	"fmt"
	"time"
)

// Facts are how a gateway is, as those who run its parts know it. Nothing in it is
// about a person but for the sources' Error.
type Facts struct {
	Gateway      string        `json:"gateway"` // this machine's name
	Version      string        `json:"version"`
	Started      time.Time     `json:"started"`
	Draining     bool          `json:"draining"`
	Sessions     int           `json:"sessions"`
	Listeners    []Listener    `json:"listeners"`
	Directory    []Source      `json:"directory"` // in the order in which they are asked
	Certificates []Certificate `json:"certificates,omitempty"`
	Catalogue    *Catalogue    `json:"catalogue,omitempty"`
	Distrust     bool          `json:"distrust"`  // most backends look down, so the gateway's own checks don't count
	Forwarded    uint64        `json:"forwarded"` // logins of mailboxes that no source knows, sent on by directory.unknown
}

// Listener is an address that clients connect to.
type Listener struct {
	Name     string `json:"name"`
	Address  string `json:"address"`
	TLS      string `json:"tls,omitempty"` // "implicit", "stls", or none
	Sessions int    `json:"sessions"`
}

// Source is how a source of the directory stands.
type Source struct {
	Name       string    `json:"name"`
	Entries    int       `json:"entries"` // that serve
	LoadedAt   time.Time `json:"loaded_at,omitzero"`
	AgeSeconds int64     `json:"age_seconds"` // since LoadedAt; filled in when it is asked for
	Failing    bool      `json:"failing"`     // its newest state does not serve
	Held       bool      `json:"held"`        // the shrink guard is why
	Error      string    `json:"error,omitempty"`
	Saved      bool      `json:"saved"`              // what serves was read from disk
	Asked      bool      `json:"asked"`              // it is asked for each mailbox; Entries are answers that are kept
	Shadow     bool      `json:"shadow"`             // it is only compared
	Kept       *Kept     `json:"kept,omitempty"`     // of one that is asked
	Compared   *Shadow   `json:"compared,omitempty"` // of a shadow
	Replica    *Replica  `json:"replica,omitempty"`  // of one whose servers are several
}

func (s Source) age(now time.Time) time.Duration {
	if s.LoadedAt.IsZero() {
		return 0
	}
	return max(0, now.Sub(s.LoadedAt))
}

// Certificate is one that clients are shown.
type Certificate struct {
	Name     string    `json:"name"`
	NotAfter time.Time `json:"not_after"`
	Failing  bool      `json:"failing"` // its newest file can't be used, an older one serves
}

// Readiness says whether new clients should be sent here.
//
// Only what concerns this gateway alone is a Reason against it. What hits all gateways alike
// only degrades them: a load balancer that empties the whole pool helps nobody.
type Readiness struct {
	Ready    bool     `json:"ready"`
	Reasons  []string `json:"reasons,omitempty"` // why not
	Degraded []string `json:"degraded"`
}

// What is left of something when it counts as used up, or nearly.
const (
	spareDescriptors = 16
	expirySoon       = 14 * 24 * time.Hour
)

// readiness judges the facts. The texts name no person: the probes door tells
// them to everybody, so an error's own text has no place here.
func (f *Facts) readiness(now time.Time, backends []Backend, open, limit int) Readiness {
	r := Readiness{Degraded: []string{}}
	if f.Draining {
		r.Reasons = append(r.Reasons, "draining")
	}
	// Without the first source nobody can be located: the search stops there.
	if len(f.Directory) == 0 || !f.Directory[0].loaded() {
		r.Reasons = append(r.Reasons, "no directory state was ever loaded")
	}
	if limit > 0 && limit-open < spareDescriptors {
		r.Reasons = append(r.Reasons, "no descriptors left")
	}
	for _, s := range f.Directory {
		r.Degraded = append(r.Degraded, s.degraded(now)...)
	}
	for _, c := range f.Certificates {
		r.Degraded = append(r.Degraded, c.degraded(now)...)
	}
	r.Degraded = append(r.Degraded, f.Catalogue.degraded(now)...)
	r.Degraded = append(r.Degraded, degradedBackends(backends, f.Distrust)...)
	r.Ready = len(r.Reasons) == 0
	return r
}

func (c Certificate) degraded(now time.Time) []string {
	var all []string
	if c.Failing {
		all = append(all, fmt.Sprintf("certificate %s: its newest file can't be used", c.Name))
	}
	switch left := c.NotAfter.Sub(now); {
	case left <= 0:
		all = append(all, fmt.Sprintf("certificate %s has expired", c.Name))
	case left < expirySoon:
		all = append(all, fmt.Sprintf("certificate %s expires in %s", c.Name, left.Truncate(time.Hour)))
	}
	return all
}

// Status is the answer to GET /api/v1/status.
type Status struct {
	Facts
	Readiness
	UptimeSeconds int64 `json:"uptime_seconds"`
}

// aged fills in what depends on the moment, and leaves out what a role may not see: the
// error of a source may quote an entry, and an entry is somebody's mailbox.
func aged(sources []Source, now time.Time, role Role) []Source {
	sources = append([]Source{}, sources...)
	for i := range sources {
		s := &sources[i]
		s.AgeSeconds = int64(s.age(now).Seconds())
		if role < Helpdesk {
			s.Error = ""
		}
	}
	return sources
}
