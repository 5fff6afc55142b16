package ldap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"postern/pop3"
)

// dialer connects to the first server that can be used.
type dialer struct {
	servers  []*server
	startTLS bool
	tls      *tls.Config
	bindDN   string
	password pop3.Secret
}

func newDialer(o Options) (*dialer, error) {
	servers, err := newServers(o.URLs)
	if err != nil {
		return nil, err
	}
	config, err := o.TLS.config()
	if err != nil {
		return nil, err
	}
	// A name without a password is taken for an anonymous login by many servers (RFC 4513, section 5.1.2).
	if (o.BindDN == "") != (len(o.BindPassword.Reveal()) == 0) {
		return nil, errors.New("bind_dn and bind_password go together")
	}
	return &dialer{
		servers: servers, startTLS: o.StartTLS, tls: config,
		bindDN: o.BindDN, password: pop3.NewSecret(o.BindPassword.Reveal()),
	}, nil
}

// connect returns a connection that is as private as it has to be, and logged in. The ctx has a deadline,
// of which each server gets its share: one that hangs leaves time for the next.
func (d *dialer) connect(ctx context.Context) (*conn, error) {
	var faults []string
	order := inOrder(d.servers)
	for i, s := range order {
		c, err := d.share(ctx, s, len(order)-i)
		if err == nil {
			s.worked()
			return c, nil
		}
		if errors.Is(ctx.Err(), context.Canceled) {
			return nil, ctx.Err() // that says nothing of the server
		}
		s.failed()
		faults = append(faults, s.url+": "+err.Error())
	}
	return nil, errors.New(strings.Join(faults, "; "))
}

func (d *dialer) share(ctx context.Context, s *server, shares int) (*conn, error) {
	ctx, cancel := portion(ctx, shares)
	defer cancel()
	return d.open(ctx, s)
}

// portion gives a part of the time that is left.
func portion(ctx context.Context, shares int) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(deadline)/time.Duration(shares))
}

func (d *dialer) open(ctx context.Context, s *server) (*conn, error) {
	// A connection on which nothing happens for hours must be known for dead in a minute.
	plain := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 4}}
	raw, err := plain.DialContext(ctx, s.network, s.address)
	if err != nil {
		return nil, err
	}
	stream, err := d.secure(ctx, s, raw)
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	c := newConn(raw, stream, s) // it closes raw from now on
	if d.bindDN == "" {
		return c, nil
	}
	err = c.during(ctx, func() error { return c.ldap.Bind(d.bindDN, string(d.password.Reveal())) })
	if err != nil {
		c.close()
		return nil, fmt.Errorf("logging in as %.160q: %w", d.bindDN, err)
	}
	return c, nil
}

// secure puts TLS on a fresh connection where it belongs. There is no way on without it.
func (d *dialer) secure(ctx context.Context, s *server, raw net.Conn) (net.Conn, error) {
	switch {
	case s.scheme == schemePlain && d.startTLS:
		stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
		err := requestTLS(raw)
		if !stop() {
			err = ctx.Err()
		}
		if err != nil {
			return nil, fmt.Errorf("asking for TLS: %w", err)
		}
	case s.scheme == schemeTLS:
	default:
		return raw, nil
	}
	config := d.tls.Clone()
	if config.ServerName == "" {
		config.ServerName = s.host
	}
	secured := tls.Client(raw, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("speaking TLS: %w", err)
	}
	return secured, nil
}

const (
	startTLSName = "1.3.6.1.4.1.1466.20037" // RFC 4511, section 4.14
	maxStartTLS  = 64 << 10
)

// requestTLS speaks StartTLS by itself. go-ldap's own leaves the connection to a reader for
// which a message may have any length, and has no context for the handshake. What is read here is
// one message and not an octet more: anything that somebody put behind it in plain text meets TLS, and fails.
func requestTLS(raw net.Conn) error {
	name := append([]byte{0x80, byte(len(startTLSName))}, startTLSName...)
	operation := append([]byte{0x77, byte(len(name))}, name...)
	message := append([]byte{0x02, 0x01, 0x01}, operation...) // message 1
	if _, err := raw.Write(append([]byte{0x30, byte(len(message))}, message...)); err != nil {
		return err
	}
	answer, err := ber.ReadPacket(io.LimitReader(raw, maxStartTLS))
	if err != nil {
		return err
	}
	if len(answer.Children) < 2 || answer.Children[0].Value != int64(1) || answer.Children[1].Tag != ldap.ApplicationExtendedResponse {
		return errors.New("the server answers something else")
	}
	return explain(ldap.GetLDAPError(answer))
}
