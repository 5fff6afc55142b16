package configs

import (
	"errors"
	"fmt"
	"strings"
)

// Admin says where and to whom a running gateway tells of itself.
type Admin struct {
	// Hosts are further names that a request's Host header may have, without port.
	Hosts []Host `yaml:"hosts"`
	// Socket is a Unix socket; whoever may open it is an operator. Empty: none.
	// Whether the folder of the default must exist is not for the default to say:
	// ask Position whether the key was set.
	Socket Path `yaml:"socket,optional" default:"/run/postern/admin.sock"`
	// Address serves the page and the API to those with a token. Empty: it does not.
	Address ListenAddress `yaml:"address,optional"`
	TLS     AdminTLS      `yaml:"tls"`
	Tokens  []Token       `yaml:"tokens"`
	// Probes serves /metrics, /livez and /readyz to everybody. Empty: it does not.
	Probes ListenAddress `yaml:"probes,optional"`
	// PProf adds Go's profiles to the API. A heap profile may show whose mail is read.
	PProf bool `yaml:"pprof" default:"false"`
}

// AdminTLS protects Admin.Address. Without certificates that speaks plain HTTP.
type AdminTLS struct {
	Certificates []Certificate `yaml:"certificates"`
}

// Token is one person or program that may use the API.
type Token struct {
	Name  Name   `yaml:"name,required"` // in the audit log, unique
	Role  Role   `yaml:"role,required"`
	Token Secret `yaml:"token,required"`
}

// Role says what a token may do.
type Role string

// The choices of a token's role, each with all that the one before it may.
const (
	RoleViewer   Role = "viewer"
	RoleHelpdesk Role = "helpdesk"
	RoleOperator Role = "operator"
)

func (Role) choices() []string { return words(RoleViewer, RoleHelpdesk, RoleOperator) }

// Host is a host's name or address in lower case, without port.
type Host string

// UnmarshalText takes what a Host header may name.
func (h *Host) UnmarshalText(text []byte) error {
	if !isHost(string(text)) {
		return errors.New("want a host's name such as postern.example.com, or an address, without port")
	}
	*h = Host(strings.ToLower(string(text)))
	return nil
}

// minToken is how short a token may be, in octets: 128 bits, if each were random.
const minToken = 16

func checkAdmin(a Admin, addresses claims, r *report) {
	checkAdminAddress(a.Address, "admin.address", addresses, r)
	checkAdminAddress(a.Probes, "admin.probes", addresses, r)
	if a.Address != "" && len(a.Tokens) == 0 && !r.hasFault("admin.tokens") {
		r.fault("admin.address", "address: "+r.text("admin.address")+": want tokens too, or nobody could use it")
	}
	checkCertificates(a.TLS.Certificates, "admin.tls.certificates", r)
	checkTokens(a.Tokens, r)
}

func checkAdminAddress(a ListenAddress, path string, addresses claims, r *report) {
	if a != "" && !a.anyPort() {
		addresses.take(a.canonical(), path, path, r)
	}
}

// checkTokens: a name or a token that two have would leave it open who did what.
func checkTokens(tokens []Token, r *report) {
	names, owners := claims{}, map[string]string{}
	for i, t := range tokens {
		path := fmt.Sprintf("admin.tokens[%d]", i)
		names.take(string(t.Name), path+".name", path+".name", r)
		path += ".token"
		text := t.Token.Reveal()
		first, taken := owners[text]
		switch {
		case text == "": // missing, or refused already
		case strings.ContainsFunc(text, isNoToken):
			r.fault(path, "token: want printable ASCII without white space, since it travels in a header")
		case len(text) < minToken:
			r.fault(path, fmt.Sprintf("token: want at least %d octets", minToken))
		case taken:
			r.fault(path, fmt.Sprintf("token: it is the one in %s: want one that nobody else has", r.place(first)))
		default:
			owners[text] = path
		}
	}
}

func isNoToken(r rune) bool { return r <= ' ' || r > '~' }
