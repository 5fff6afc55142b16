package configs

// choice is a value that must be one of a few words.
type choice interface{ choices() []string }

// Plaintext says where a password may travel unencrypted.
type Plaintext string

// The choices of auth.plaintext.
const (
	PlaintextNever    Plaintext = "never"
	PlaintextLoopback Plaintext = "loopback"
	PlaintextAlways   Plaintext = "always"
)

func (Plaintext) choices() []string { return words(PlaintextNever, PlaintextLoopback, PlaintextAlways) }

// Mechanism is a way to log in with AUTH (RFC 5034), by its registered name.
type Mechanism string

// The choices of auth.mechanisms.
const (
	MechanismPlain       Mechanism = "PLAIN"
	MechanismLogin       Mechanism = "LOGIN"
	MechanismXOAuth2     Mechanism = "XOAUTH2"
	MechanismOAuthBearer Mechanism = "OAUTHBEARER"
)

func (Mechanism) choices() []string {
	return words(MechanismPlain, MechanismLogin, MechanismXOAuth2, MechanismOAuthBearer)
}

// Login is what the backend gets as the user's name.
type Login string

// The choices of a backend's login: the canonical address, its local part, or
// what the client typed.
const (
	LoginMailbox Login = "mailbox"
	LoginLocal   Login = "local"
	LoginTyped   Login = "typed"
)

func (Login) choices() []string { return words(LoginMailbox, LoginLocal, LoginTyped) }

// TLSMode says how the connection to a backend is protected.
type TLSMode string

// The choices of a backend's tls: plain, by the command STLS, or from the first octet.
const (
	TLSNone     TLSMode = "none"
	TLSSTLS     TLSMode = "stls"
	TLSImplicit TLSMode = "implicit"
)

func (TLSMode) choices() []string { return words(TLSNone, TLSSTLS, TLSImplicit) }

// ProxyProtocol says whether a backend is told who the client is by a PROXY header.
type ProxyProtocol string

// The choices of a backend's proxy_protocol.
const (
	ProxyNone ProxyProtocol = "none"
	ProxyV1   ProxyProtocol = "v1"
	ProxyV2   ProxyProtocol = "v2"
)

func (ProxyProtocol) choices() []string { return words(ProxyNone, ProxyV1, ProxyV2) }

// Capability is a line of a backend's CAPA (RFC 2449) that clients may be told of.
// USER is among them so that a server with neither TOP nor UIDL can be written.
type Capability string

// The choices of a backend's capabilities.
const (
	CapabilityUser       Capability = "USER"
	CapabilityTop        Capability = "TOP"
	CapabilityUIDL       Capability = "UIDL"
	CapabilityPipelining Capability = "PIPELINING"
	CapabilityRespCodes  Capability = "RESP-CODES"
)

func (Capability) choices() []string {
	return words(CapabilityUser, CapabilityTop, CapabilityUIDL, CapabilityPipelining, CapabilityRespCodes)
}

// Code is a response code (RFC 2449, RFC 3206) without its brackets.
type Code string

// The choices of a refusal's code.
const (
	CodeInUse      Code = "IN-USE"
	CodeLoginDelay Code = "LOGIN-DELAY"
	CodeSysTemp    Code = "SYS/TEMP"
	CodeSysPerm    Code = "SYS/PERM"
	CodeAuth       Code = "AUTH"
)

func (Code) choices() []string {
	return words(CodeInUse, CodeLoginDelay, CodeSysTemp, CodeSysPerm, CodeAuth)
}

// Level is the least severity that is logged.
type Level string

// The choices of log.level, which are also the names that log/slog reads.
const (
	LevelDebug Level = "debug"
	LevelInfo  Level = "info"
	LevelWarn  Level = "warn"
	LevelError Level = "error"
)

func (Level) choices() []string { return words(LevelDebug, LevelInfo, LevelWarn, LevelError) }

// Format is the form of a log record.
type Format string

// The choices of log.format.
const (
	FormatText Format = "text"
	FormatJSON Format = "json"
)

func (Format) choices() []string { return words(FormatText, FormatJSON) }

// UnknownUsers says how a name that the directory does not know is logged.
// People type passwords there.
type UnknownUsers string

// The choices of log.unknown_users.
const (
	UnknownUsersHash  UnknownUsers = "hash"
	UnknownUsersOmit  UnknownUsers = "omit"
	UnknownUsersPlain UnknownUsers = "plain"
)

func (UnknownUsers) choices() []string {
	return words(UnknownUsersHash, UnknownUsersOmit, UnknownUsersPlain)
}

// ClientDetail says how much of a client's address is logged.
type ClientDetail string

// The choices of log.client: the address, or its /24 (IPv4) or /48 (IPv6).
const (
	ClientFull   ClientDetail = "full"
	ClientPrefix ClientDetail = "prefix"
)

func (ClientDetail) choices() []string { return words(ClientFull, ClientPrefix) }

func words[T ~string](choices ...T) []string {
	list := make([]string, len(choices))
	for i, c := range choices {
		list[i] = string(c)
	}
	return list
}
