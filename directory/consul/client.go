package consul

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"postern/pop3"
)

const (
	// maxConnections stays below the 200 that Consul allows a client by default
	// (limits.http_max_conns_per_client); other programs of this machine want some too.
	maxConnections = 160
	// maxAnswer bounds an answer's body in octets: far more than a group of keys has.
	maxAnswer = 256 << 20
)

// ClientOptions say where Consul is and who asks. What is empty is taken from Consul's own
// environment variables, and where they are silent too, from Consul's defaults.
type ClientOptions struct {
	Address    string // host:port, or one with http://, https:// or unix:// before it
	Scheme     string // http or https; a scheme in Address wins
	Token      pop3.Secret
	TLS        TLS
	Namespace  string
	Partition  string
	Datacenter string
}

// TLS says how Consul's server proves itself, and how this client does. If any of it
// is set, CONSUL_HTTP_SSL_VERIFY does not apply.
type TLS struct {
	CA, Cert, Key      string // PEM files
	ServerName         string
	InsecureSkipVerify bool
}

// Client is Consul's client with bounds: of connections, of what an answer may hold.
type Client struct {
	*api.Client
	address string // as errors call it
	base    string // of its URLs
	secret  string // never part of an error
	http    *http.Client
}

// NewClient returns a client. It asks nothing yet.
func NewClient(o ClientOptions) (*Client, error) {
	config := api.DefaultConfig() // reads the environment
	scheme, address, err := o.place(config)
	if err != nil {
		return nil, err
	}
	token := string(o.Token.Reveal())
	config.Address, config.Scheme = address, scheme
	if scheme == "unix" {
		config.Address, config.Scheme = "localhost", "http" // what the Host header says
	}
	config.Token = cmp.Or(token, config.Token)
	config.Namespace = cmp.Or(o.Namespace, config.Namespace)
	config.Partition = cmp.Or(o.Partition, config.Partition)
	config.Datacenter = o.Datacenter
	o.TLS.over(&config.TLSConfig)
	if err := secure(config); err != nil {
		return nil, fmt.Errorf("setting up TLS to Consul: %w", err)
	}
	shape(config.Transport, scheme, address)
	config.HttpClient = &http.Client{
		Transport: bounded{config.Transport, token},
		// Go would send the token along to wherever a redirect leads.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	client, err := api.NewClient(config)
	if err != nil {
		return nil, fmt.Errorf("making a client of Consul: %w", err)
	}
	return &Client{
		Client: client, address: address, base: config.Scheme + "://" + config.Address,
		secret: config.Token, http: config.HttpClient,
	}, nil
}

// Close ends the connections that nobody uses.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// place returns the scheme and the address, or a socket's path for the scheme unix.
func (o ClientOptions) place(environment *api.Config) (scheme, address string, err error) {
	scheme = cmp.Or(o.Scheme, environment.Scheme)
	address = cmp.Or(o.Address, environment.Address)
	if before, after, found := strings.Cut(address, "://"); found {
		scheme, address = before, after
	}
	switch {
	case scheme != "http" && scheme != "https" && scheme != "unix":
		return "", "", fmt.Errorf("scheme %.20q of Consul's address: want http, https or unix", scheme)
	case address == "" || scheme != "unix" && strings.ContainsAny(address, "/@?#"):
		return "", "", errors.New("want host:port, https://host:port or unix:///path as the address of Consul")
	}
	return scheme, address, nil
}

// over lays what is configured over what the environment says.
func (t TLS) over(config *api.TLSConfig) {
	if t != (TLS{}) {
		config.InsecureSkipVerify = t.InsecureSkipVerify
	}
	if t.CA != "" {
		config.CAFile, config.CAPath = t.CA, ""
	}
	if t.Cert != "" || t.Key != "" {
		config.CertFile, config.KeyFile = t.Cert, t.Key
	}
	config.Address = cmp.Or(t.ServerName, config.Address)
}

// secure sets the transport's TLS up here, once: the library would take from the environment
// again what the configuration has switched off.
func secure(config *api.Config) (err error) {
	config.Transport.TLSClientConfig, err = api.SetupTLSConfig(&config.TLSConfig)
	return err
}

// shape bounds a transport. A connection whose other end is gone without a word is noticed
// within half a minute: a blocking query alone would wait for ten.
func shape(transport *http.Transport, scheme, address string) {
	dialer := &net.Dialer{
		Timeout:         10 * time.Second,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3},
	}
	transport.DialContext = dialer.DialContext
	if scheme == "unix" {
		transport.Proxy = nil
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", address)
		}
	}
	transport.MaxConnsPerHost, transport.MaxIdleConnsPerHost, transport.MaxIdleConns = maxConnections, maxConnections, maxConnections
	transport.DisableCompression = true // of base64 that is mostly read from this machine's agent
}

// bounded sends the configured token, whatever the library takes from CONSUL_HTTP_TOKEN_FILE,
// and lets no answer grow without end.
type bounded struct {
	transport *http.Transport
	token     string
}

func (b bounded) RoundTrip(request *http.Request) (*http.Response, error) {
	if b.token != "" {
		request = request.Clone(request.Context())
		request.Header.Set("X-Consul-Token", b.token)
	}
	response, err := b.transport.RoundTrip(request)
	if err == nil {
		response.Body = http.MaxBytesReader(nil, response.Body, maxAnswer)
	}
	return response, err
}

// CloseIdleConnections is what http.Client's method of that name calls.
func (b bounded) CloseIdleConnections() { b.transport.CloseIdleConnections() }
