package realtest

import "context"

// Secured is an account that is reached over TLS only.
type Secured struct {
	Account
	STLS bool   // the port is a plain one with STLS; else it begins with TLS
	SASL string // the mechanism to log in by; empty: what the client does by itself
}

// authorityFile is where a client finds whom it trusts, and nobody else.
const authorityFile = "authority.pem"

// Secure has the account's client trust an authority, a PEM certificate.
func (a Account) Secure(authority []byte) (Secured, error) {
	return Secured{Account: a}, a.settings(authorityFile, string(authority))
}

// authority is that file.
func (s Secured) authority() string { return s.path(authorityFile) }

// SecureClient is a mail client with its settings for TLS.
type SecureClient struct {
	Name    string
	Fetch   func(ctx context.Context, s Secured) ([][]byte, error)
	Deletes bool

	// STLS: it begins in plain text and insists on TLS before it logs in.
	STLS bool
	// NameOnly: it takes no certificate for an address.
	NameOnly bool
	// SASL is how it is told to log in, Mechanism is how it then does; empty: USER and PASS.
	SASL, Mechanism string
}

// SecureClients are all clients, with each way to TLS and each way to send a
// password that they can be told to use. getmail knows no STLS.
func SecureClients() []SecureClient {
	var clients []SecureClient
	for _, stls := range []bool{false, true} {
		clients = append(clients,
			SecureClient{Name: "openssl", Fetch: FetchOpenSSL, STLS: stls},
			SecureClient{Name: "curl", Fetch: FetchCurlSecure, STLS: stls, Mechanism: "PLAIN"},
			SecureClient{Name: "curl", Fetch: FetchCurlSecure, STLS: stls, SASL: "PLAIN", Mechanism: "PLAIN"},
			SecureClient{Name: "curl", Fetch: FetchCurlSecure, STLS: stls, SASL: "LOGIN", Mechanism: "LOGIN"},
			SecureClient{Name: "fetchmail", Fetch: FetchFetchmailSecure, STLS: stls, Deletes: true, NameOnly: true},
			SecureClient{Name: "mpop", Fetch: FetchMpopSecure, STLS: stls, SASL: "USER", Deletes: true},
			SecureClient{Name: "mpop", Fetch: FetchMpopSecure, STLS: stls, SASL: "PLAIN", Mechanism: "PLAIN", Deletes: true},
			SecureClient{Name: "mpop", Fetch: FetchMpopSecure, STLS: stls, SASL: "LOGIN", Mechanism: "LOGIN", Deletes: true},
			SecureClient{Name: "poplib", Fetch: FetchPoplibSecure, STLS: stls})
	}
	return append(clients, SecureClient{Name: "getmail6", Fetch: FetchGetmailSecure, Deletes: true})
}
