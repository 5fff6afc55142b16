package configs

import (
	"net/netip"
	"time"
)

// Config is what one configuration file asks for, with every default in place.
//
// Its sections are plain data: a reload compares them with reflect.DeepEqual.
// Compare sections, not the whole Config, which also remembers where each value
// stands in its file, so that a comment more would be a change.
//
// Tags: `yaml` names the key (`required`: may not be missing or empty; `optional`:
// the empty text is taken too, and means none; `single`: one value stands for a list
// of one), `default` is its default (of a list: parted by white space), `min`,
// `above` and `max` are its bounds, `seed` names the sibling that a list's elements
// begin as.
type Config struct {
	Listeners []Listener `yaml:"listeners,required"`
	TLS       TLS        `yaml:"tls"`
	Auth      Auth       `yaml:"auth"`
	Timeouts  Timeouts   `yaml:"timeouts"`
	Limits    Limits     `yaml:"limits"`
	Directory Directory  `yaml:"directory"`
	Backends  Backends   `yaml:"backends"`
	Admin     Admin      `yaml:"admin"`
	Log       Log        `yaml:"log"`

	marks marks
}

// Listener is one address that clients connect to.
type Listener struct {
	Address ListenAddress `yaml:"address,required"`
	// Name stands in logs and metrics. Left out, it is the address.
	Name     Name `yaml:"name"`
	Freebind bool `yaml:"freebind" default:"false"`
	// TLS left out: plain POP3, which offers STLS where there are certificates.
	TLS ListenerTLS `yaml:"tls,optional"`
	// Certificates and MinVersion go over those of the section tls: ask
	// CertificatesFor and MinVersionFor what holds here.
	Certificates []Certificate `yaml:"certificates"`
	MinVersion   TLSVersion    `yaml:"min_version,optional"`
	// ClientCA is a file with the authorities whose client certificates are
	// believed. Without it none is asked for.
	ClientCA   Path       `yaml:"client_ca,optional"`
	ClientAuth ClientAuth `yaml:"client_auth" default:"offer"`
	// ProxyProtocol lists the peers that must send a PROXY header, and are believed.
	ProxyProtocol []netip.Prefix `yaml:"proxy_protocol"`
	// XCLIENT lists the peers that may send that command, and are believed.
	XCLIENT []netip.Prefix `yaml:"xclient"`
	// Allow is never empty: a list that lets nobody in is refused as a mistake.
	Allow         []netip.Prefix `yaml:"allow,required" default:"0.0.0.0/0 ::/0"`
	Deny          []netip.Prefix `yaml:"deny"`
	DefaultDomain Domain         `yaml:"default_domain"`
}

// Auth says how a client may prove who it is.
type Auth struct {
	Plaintext Plaintext `yaml:"plaintext" default:"loopback"`
	// Mechanisms may be empty: then USER and PASS are the only way in.
	Mechanisms []Mechanism `yaml:"mechanisms" default:"PLAIN LOGIN"`
	// FailureDelay may not be zero: refusals fall on its multiples, so that
	// their time does not tell an unknown mailbox from a wrong password.
	FailureDelay time.Duration `yaml:"failure_delay" default:"3s" above:"0s"`
	MaxFailures  int           `yaml:"max_failures" default:"3" min:"1"`
}

// Timeouts bound every wait of a session. None can be switched off: a peer that
// says nothing must not hold a session for ever.
type Timeouts struct {
	Login time.Duration `yaml:"login" default:"120s" above:"0s"`
	// Handshake bounds one TLS handshake. Login goes on counting meanwhile, so the
	// sooner of the two ends it.
	Handshake    time.Duration `yaml:"handshake" default:"10s" above:"0s"`
	Backend      time.Duration `yaml:"backend" default:"10s" above:"0s"`
	BackendLogin time.Duration `yaml:"backend_login" default:"30s" above:"0s"`
	// Idle below RFC 1939's ten minutes is taken: section 3 asks it of a server's
	// autologout timer, and an operator under attack, or a test, may know better.
	Idle   time.Duration `yaml:"idle" default:"15m" above:"0s"`
	Linger time.Duration `yaml:"linger" default:"30s" above:"0s"`
	// DrainDelay of zero: listeners close as soon as the drain begins.
	DrainDelay time.Duration `yaml:"drain_delay" default:"0s" min:"0s"`
	// Drain of zero: running sessions end as soon as the listeners are closed.
	Drain     time.Duration `yaml:"drain" default:"5m" min:"0s"`
	Keepalive time.Duration `yaml:"keepalive" default:"60s" above:"0s"`
}

// Limits bound what strangers can use up.
type Limits struct {
	Sessions int `yaml:"sessions" default:"10000" min:"1"`
	// LoginMemory bounds what all sessions hold together that have not logged in.
	LoginMemory Size `yaml:"login_memory" default:"64MiB" min:"1MiB"`
	// Zero means no limit, here and in the two keys below it.
	SessionsPerAddress   int `yaml:"sessions_per_address" default:"200" min:"0"`
	SessionsPerMailbox   int `yaml:"sessions_per_mailbox" default:"20" min:"0"`
	ConnectionsPerMinute int `yaml:"connections_per_minute" default:"0" min:"0"`

	PerNetwork []NetworkLimit `yaml:"per_network"`
	Exempt     []netip.Prefix `yaml:"exempt"`
	// LoginInterval is the least time between two logins of one address to one
	// mailbox. Zero: any time.
	LoginInterval time.Duration `yaml:"login_interval" default:"0s" min:"0s"`
}

// NetworkLimit is a limit for a few networks together, instead of that for each
// address: webmail, a big NAT.
type NetworkLimit struct {
	// Networks stand in one NetworkLimit only, but may lie within another's: the
	// first that holds an address counts.
	Networks []netip.Prefix `yaml:"networks,required"`
	Sessions int            `yaml:"sessions,required" min:"1"`
}

// Directory says where to learn which backend owns a mailbox.
type Directory struct {
	DefaultDomain Domain `yaml:"default_domain"`
	// State is the folder of the last good state of each source, for a start without
	// them. Empty: none is kept. Whether the default's folder can be made is not for
	// the default to say: ask Position whether the key was set.
	State       Path        `yaml:"state,optional" default:"/var/lib/postern/directory"`
	Sources     []Source    `yaml:"sources,required"`
	Unknown     Unknown     `yaml:"unknown" default:"reject"`
	ShrinkGuard ShrinkGuard `yaml:"shrink_guard"`
	// Shadow are sources that are asked too, compared and counted, and never used.
	Shadow []Source `yaml:"shadow"`
	OnMove OnMove   `yaml:"on_move" default:"end"`
	// Socketmap and AuthHTTP serve the directory to the rest of the mail system.
	Socketmap []Socketmap `yaml:"socketmap"`
	AuthHTTP  []AuthHTTP  `yaml:"auth_http"`
}

// ShrinkGuard holds back a source that loses more than Ratio of its rows at once,
// if that is more than Rows: a truncated file must not lock everybody out.
type ShrinkGuard struct {
	Ratio float64 `yaml:"ratio" default:"0.5" min:"0" max:"1"`
	Rows  int     `yaml:"rows" default:"20" min:"0"`
}

// Backends are the servers that own the mailboxes.
type Backends struct {
	Defaults        BackendSettings `yaml:"defaults"`
	AllowedNetworks []netip.Prefix  `yaml:"allowed_networks"`
	// Include has been read already: what it names stands at Static's end.
	Include []Glob    `yaml:"include,single"`
	Static  []Backend `yaml:"static" seed:"Defaults"`
	// Consul is where further backends come from.
	Consul ConsulBackends `yaml:"consul"`

	EagerConnect bool   `yaml:"eager_connect" default:"false"`
	Health       Health `yaml:"health"`
	// QueueTimeout is how long a login waits for its turn, where a backend has as many as it takes.
	QueueTimeout time.Duration `yaml:"queue_timeout" default:"10s" above:"0s"`
	ReplaceStale OffOrDuration `yaml:"replace_stale" default:"60s"`
	Refusals     []Refusal     `yaml:"refusals"`
}

// Health says when backends are checked.
type Health struct {
	Interval     time.Duration `yaml:"interval" default:"60s" min:"1s"`
	DownInterval time.Duration `yaml:"down_interval" default:"2s" min:"100ms"`
	Timeout      time.Duration `yaml:"timeout" default:"5s" above:"0s"`
	Fall         int           `yaml:"fall" default:"3" min:"1"`
	Rise         int           `yaml:"rise" default:"1" min:"1"`
	// CAPA has checks ask for that too, and not only for the greeting.
	CAPA bool `yaml:"capa" default:"false"`
}

// ConsulBackends is a service in Consul's catalogue.
type ConsulBackends struct {
	// Service is empty where none come from there.
	Service Name `yaml:"service"`
	Tag     Text `yaml:"tag,optional"`
	// Declared is a key that only an operator changes, with the names of those backends over which
	// unknown mailboxes may be hashed. Empty: none of Consul's.
	Declared Text `yaml:"declared,optional"`

	Address    Text      `yaml:"address,optional"`
	Token      Secret    `yaml:"token"`
	Namespace  Text      `yaml:"namespace,optional"`
	Partition  Text      `yaml:"partition,optional"`
	Datacenter Text      `yaml:"datacenter,optional"`
	TLS        ClientTLS `yaml:"tls"`
}

// BackendSettings are those keys of a backend that backends.defaults can preset.
type BackendSettings struct {
	Login Login `yaml:"login" default:"mailbox"`

	TLS                TLSMode `yaml:"tls" default:"none"`
	CA                 Path    `yaml:"ca,optional"`
	ServerName         Host    `yaml:"server_name,optional"`
	InsecureSkipVerify bool    `yaml:"insecure_skip_verify" default:"false"`
	// Pins are SHA-256 sums of public keys, of which the backend's certificates must have one.
	Pins []Pin `yaml:"pins"`

	ProxyProtocol ProxyProtocol `yaml:"proxy_protocol" default:"none"`
	XCLIENT       bool          `yaml:"xclient" default:"false"`
	SourceAddress Address       `yaml:"source_address,optional"`

	// Zero means no limit, here and in the next.
	MaxSessions int `yaml:"max_sessions" default:"0" min:"0"`
	MaxLogins   int `yaml:"max_logins" default:"20" min:"0"`

	// ProbeUser is a mailbox on the backend that checks log in to. Empty: they only take the greeting.
	ProbeUser     Text   `yaml:"probe_user,optional"`
	ProbePassword Secret `yaml:"probe_password"`

	// Capabilities are those of a server that knows no CAPA. Empty: asked for, and
	// without an answer it counts as TOP and UIDL.
	Capabilities []Capability `yaml:"capabilities"`
	// Weight is this backend's part of what is spread over all: unknown mailboxes by hash,
	// new ones by `directory assign`.
	Weight int   `yaml:"weight" default:"1" min:"1" max:"1000"`
	Ports  Ports `yaml:"ports"`
}

// Backend is one server, with the settings it left out taken from
// backends.defaults.
type Backend struct {
	Name Name `yaml:"name,required"`
	// Address lists the ways to this one server, tried in their order.
	Address []BackendAddress `yaml:"address,single,required"`
	Aliases []Name           `yaml:"aliases"`
	BackendSettings
}

// Refusal gives a response code to refusals of servers that send none.
type Refusal struct {
	Match Pattern `yaml:"match,required"`
	Code  Code    `yaml:"code,required"`
}

// Log says what is written, and how much of a person is in it.
type Log struct {
	Level        Level        `yaml:"level" default:"info"`
	Format       Format       `yaml:"format" default:"text"`
	UnknownUsers UnknownUsers `yaml:"unknown_users" default:"hash"`
	Client       ClientDetail `yaml:"client" default:"full"`
}
