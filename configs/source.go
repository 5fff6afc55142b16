package configs

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// SourceType is a kind of directory source.
type SourceType string

// The choices of a source's type.
const (
	SourceFile     SourceType = "file"      // a mailbox map file, or a folder of them
	SourceConsul   SourceType = "consul"    // keys below a prefix, each a piece of map file
	SourceSQL      SourceType = "sql"       // a query of the operator's own
	SourceLDAP     SourceType = "ldap"      // a filter, or a subtree that is followed
	SourceAuthHTTP SourceType = "auth_http" // the service that nginx's mail module asks
)

func (SourceType) choices() []string {
	return words(SourceFile, SourceConsul, SourceSQL, SourceLDAP, SourceAuthHTTP)
}

// Source is one place that knows mailboxes. Sources are asked in their order.
//
// Tags: `for` names the types that a key is for (none: all of them), `needs` those
// that can't do without it.
type Source struct {
	Type SourceType `yaml:"type,required"`
	// Name is what logs, routes and the operator call it. Left out: the type, and what tells it
	// from others of its type.
	Name Name `yaml:"name"`

	// Path is resolved: a relative one starts from the configuration file's folder.
	Path Path `yaml:"path" for:"file" needs:"file"`

	// Address may be a URL. Left out here and in its siblings: what Consul's environment
	// variables say.
	Address    Text   `yaml:"address,optional" for:"consul"`
	Prefix     Text   `yaml:"prefix" for:"consul" needs:"consul"`
	Token      Secret `yaml:"token" for:"consul"`
	Namespace  Text   `yaml:"namespace,optional" for:"consul"`
	Partition  Text   `yaml:"partition,optional" for:"consul"`
	Datacenter Text   `yaml:"datacenter,optional" for:"consul"`

	Driver Driver `yaml:"driver" for:"sql" needs:"sql"`
	DSN    Secret `yaml:"dsn" for:"sql" needs:"sql"`
	Query  Text   `yaml:"query" for:"sql" needs:"sql"`
	Listen Text   `yaml:"listen,optional" for:"sql"`

	URLs         []Text    `yaml:"urls,single" for:"ldap auth_http" needs:"ldap auth_http"`
	Mode         LDAPMode  `yaml:"mode" default:"ask" for:"ldap"`
	Base         Text      `yaml:"base,optional" for:"ldap"`
	Scope        LDAPScope `yaml:"scope" default:"sub" for:"ldap"`
	Filter       Text      `yaml:"filter,optional" for:"ldap"`
	Mailbox      Text      `yaml:"mailbox" default:"mail" for:"ldap"`
	Backend      Text      `yaml:"backend" for:"ldap" needs:"ldap"`
	Login        Text      `yaml:"login,optional" for:"ldap"`
	State        Text      `yaml:"state,optional" for:"ldap"`
	BindDN       Text      `yaml:"bind_dn,optional" for:"ldap"`
	BindPassword Secret    `yaml:"bind_password" for:"ldap"`
	StartTLS     bool      `yaml:"starttls" default:"false" for:"ldap"`
	// Interval is how often a server without content synchronisation (RFC 4533) is searched.
	Interval time.Duration `yaml:"interval" default:"5m" min:"1s" for:"ldap"`

	Headers []Header  `yaml:"headers" for:"auth_http"`
	TLS     ClientTLS `yaml:"tls" for:"consul ldap auth_http"`

	Timeout     time.Duration `yaml:"timeout" default:"5s" above:"0s" for:"sql ldap auth_http"`
	Connections int           `yaml:"connections" default:"8" min:"1" max:"1000" for:"sql ldap"`
	Cache       int           `yaml:"cache" default:"100000" min:"1" for:"sql ldap"`
	TTL         time.Duration `yaml:"ttl" default:"60s" min:"0s" for:"sql ldap"`
	NegativeTTL time.Duration `yaml:"negative_ttl" default:"10s" min:"0s" for:"sql ldap"`
	Stale       time.Duration `yaml:"stale" default:"24h" min:"0s" for:"sql ldap"`
}

// ClientTLS says how a server that postern asks is known to be the right one.
type ClientTLS struct {
	CA                 Path `yaml:"ca,optional"`
	Cert               Path `yaml:"cert,optional"`
	Key                Path `yaml:"key,optional"`
	ServerName         Host `yaml:"server_name,optional"`
	InsecureSkipVerify bool `yaml:"insecure_skip_verify" default:"false"`
}

// Header is a line that is sent with each request, such as a shared key.
type Header struct {
	Name  Text   `yaml:"name,required"`
	Value Secret `yaml:"value,required"`
}

// Driver is a kind of database.
type Driver string

// The choices of a source's driver.
const (
	DriverPostgres Driver = "postgres"
	DriverMySQL    Driver = "mysql" // and MariaDB
)

func (Driver) choices() []string { return words(DriverPostgres, DriverMySQL) }

// LDAPMode says whether a server is asked for each mailbox or all of it is held.
type LDAPMode string

// The choices of a source's mode.
const (
	LDAPAsk    LDAPMode = "ask"
	LDAPFollow LDAPMode = "follow"
)

func (LDAPMode) choices() []string { return words(LDAPAsk, LDAPFollow) }

// LDAPScope is how far below the base entries are searched (RFC 4511, section 4.5.1.2).
type LDAPScope string

// The choices of a source's scope.
const (
	ScopeSub  LDAPScope = "sub"
	ScopeOne  LDAPScope = "one"
	ScopeBase LDAPScope = "base"
)

func (LDAPScope) choices() []string { return words(ScopeSub, ScopeOne, ScopeBase) }

// Unknown says what happens to a mailbox that no source knows.
type Unknown string

// The choices of directory.unknown besides backend:NAME.
const (
	UnknownReject Unknown = "reject" // it is refused like a wrong password
	UnknownHash   Unknown = "hash"   // its name says which backend has it
)

const unknownBackend = "backend:"

// UnmarshalText takes the two words, and a backend's name.
func (u *Unknown) UnmarshalText(text []byte) error {
	name, named := strings.CutPrefix(string(text), unknownBackend)
	var n Name
	if *u = Unknown(text); *u == UnknownReject || *u == UnknownHash || named && n.UnmarshalText([]byte(name)) == nil {
		return nil
	}
	return errors.New("want reject, hash or backend:NAME")
}

// Backend is the name behind backend:, or empty.
func (u Unknown) Backend() string {
	name, named := strings.CutPrefix(string(u), unknownBackend)
	if !named {
		return ""
	}
	return name
}

// OnMove says what happens to the sessions of a mailbox that moves.
type OnMove string

// The choices of directory.on_move.
const (
	OnMoveEnd  OnMove = "end"
	OnMoveKeep OnMove = "keep"
)

func (OnMove) choices() []string { return words(OnMoveEnd, OnMoveKeep) }

func checkDirectory(c *Config, r *report) {
	names := claims{}
	checkSources(c.Directory.Sources, "directory.sources", names, r)
	checkSources(c.Directory.Shadow, "directory.shadow", names, r)
	for i, s := range c.Directory.Sources {
		if s.Type == SourceAuthHTTP && i < len(c.Directory.Sources)-1 {
			r.fault(fmt.Sprintf("directory.sources[%d].type", i),
				"type: auth_http judges the password too: want it last, so that the others are asked first")
		}
	}
	for i, s := range c.Directory.Shadow {
		if s.Type == SourceAuthHTTP {
			r.fault(fmt.Sprintf("directory.shadow[%d].type", i), "type: auth_http counts every question as a login: it can't be a shadow")
		}
	}
	if name := c.Directory.Unknown.Backend(); name != "" && !c.hasBackend(name) && c.Backends.Consul.Service == "" {
		r.fault("directory.unknown", fmt.Sprintf("unknown: %s: want the name of a backend in backends.static", r.text("directory.unknown")))
	}
	checkAnswering(c.Directory, r)
}

func (c *Config) hasBackend(name string) bool {
	return slices.ContainsFunc(c.Backends.Static, func(b Backend) bool {
		return strings.EqualFold(string(b.Name), name) ||
			slices.ContainsFunc(b.Aliases, func(a Name) bool { return strings.EqualFold(string(a), name) })
	})
}

func checkSources(list []Source, path string, names claims, r *report) {
	for i, s := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		if s.Name != "" {
			names.take(string(s.Name), at, at+".name", r)
		}
		if s.Type != "" {
			checkKeysOf(s, at, r)
		}
		if s.Type == SourceLDAP && s.Mode == LDAPAsk && s.Filter == "" && !r.hasFault(at+".filter") {
			r.fault(at, "filter is missing: want one such as (mail={address}), unless mode is follow")
		}
		checkPair(s.TLS, at+".tls", r)
		if s.BindDN != "" && s.BindPassword == (Secret{}) && !r.hasFault(at+".bind_password") {
			r.fault(at+".bind_dn", "bind_dn: want bind_password too: an empty one is no authentication (RFC 4513, section 5.1.2)")
		}
	}
}

// checkPair: a certificate is of no use without its key.
func checkPair(t ClientTLS, path string, r *report) {
	if (t.Cert == "") != (t.Key == "") && !r.hasFault(path+".cert") && !r.hasFault(path+".key") {
		r.fault(path, "tls: want cert and key together")
	}
}

// checkKeysOf finds the keys that a source's type doesn't have, and those that it lacks.
func checkKeysOf(s Source, path string, r *report) {
	v := reflect.ValueOf(s)
	for _, f := range fieldsOf(v.Type()) {
		at := join(path, f.key)
		types, only := f.tag.Lookup("for")
		_, written := r.marks[at]
		switch {
		case only && written && !slices.Contains(strings.Fields(types), string(s.Type)):
			r.fault(at, fmt.Sprintf("key %s is not one of type %s (allowed: %s)", f.key, s.Type, strings.Join(keysFor(s.Type), ", ")))
		case slices.Contains(strings.Fields(f.tag.Get("needs")), string(s.Type)) && v.FieldByIndex(f.index).IsZero() && !r.hasFault(at):
			r.fault(at, missing(v.FieldByIndex(f.index), f.key))
		}
	}
}

func keysFor(t SourceType) []string {
	var keys []string
	for _, f := range fieldsOf(reflect.TypeFor[Source]()) {
		if types, only := f.tag.Lookup("for"); !only || slices.Contains(strings.Fields(types), string(t)) {
			keys = append(keys, f.key)
		}
	}
	return keys
}
