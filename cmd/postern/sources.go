package main

import (
	"errors"
	"fmt"

	"postern/configs"
	"postern/directory"
	"postern/directory/authhttp"
	"postern/directory/cache"
	"postern/directory/consul"
	"postern/directory/file"
	"postern/directory/ldap"
	"postern/directory/sql"
	"postern/pop3"
)

// buildSources makes the places of a list, with their names. Where only some mailboxes are wanted, those that
// hold all of theirs in a file keep no other. What can't be made is a *directory.LoadError, so that
// its place in the configuration can be found.
func buildSources(list []configs.Source, names []string, defaultDomain string, only ...string) ([]directory.NamedSource, error) {
	var all []directory.NamedSource
	for i, s := range list {
		named, err := buildSource(s, defaultDomain, only)
		named.Name, named.Fingerprint = names[i], fingerprint(s, defaultDomain)
		if err == nil && named.Name == directory.PolicySource {
			err = errors.New("that is what the policy for unknown mailboxes is called: want another name")
			all = append(all, named)
		}
		if err != nil {
			closeSources(all)
			return nil, &directory.LoadError{Source: named.Name, Err: fmt.Errorf("source %s: %w", named.Name, err)}
		}
		all = append(all, named)
	}
	return all, nil
}

// closeSources ends what no directory has taken over.
func closeSources(list []directory.NamedSource) {
	for _, s := range list {
		if s.Resolver != nil {
			_ = s.Resolver.Close()
		}
		if s.Judge != nil {
			_ = s.Judge.Close()
		}
	}
}

// buildSource chooses what a source's type needs.
func buildSource(s configs.Source, defaultDomain string, only []string) (n directory.NamedSource, err error) {
	switch {
	case s.Type == configs.SourceFile:
		n.Source, err = file.New(file.Options{Path: string(s.Path), DefaultDomain: defaultDomain, Only: only})
	case s.Type == configs.SourceConsul:
		n.Source, err = consul.New(consul.Options{
			ClientOptions: consulClient(s), Prefix: string(s.Prefix), DefaultDomain: defaultDomain,
		})
	case s.Type == configs.SourceSQL:
		n.Resolver, err = sql.New(sqlOptions(s, defaultDomain))
	case s.Type == configs.SourceLDAP && s.Mode == configs.LDAPFollow:
		n.Source, err = ldap.NewSource(ldapOptions(s, defaultDomain))
	case s.Type == configs.SourceLDAP:
		n.Resolver, err = ldap.NewResolver(ldapOptions(s, defaultDomain))
	case s.Type == configs.SourceAuthHTTP:
		n.Judge, err = authhttp.New(authHTTPOptions(s))
	}
	if n.Resolver != nil {
		n.Cache = cache.Options{Size: s.Cache, TTL: s.TTL, NegativeTTL: s.NegativeTTL, Stale: s.Stale, Timeout: s.Timeout}
	}
	return n, err
}

func consulClient(s configs.Source) consul.ClientOptions {
	return consul.ClientOptions{
		Address: string(s.Address), Token: secret(s.Token),
		TLS:       consul.TLS(clientTLS(s.TLS)),
		Namespace: string(s.Namespace), Partition: string(s.Partition), Datacenter: string(s.Datacenter),
	}
}

func sqlOptions(s configs.Source, defaultDomain string) sql.Options {
	return sql.Options{
		Driver: string(s.Driver), DSN: secret(s.DSN), Query: string(s.Query), Listen: string(s.Listen),
		DefaultDomain: defaultDomain, MaxConnections: s.Connections, Timeout: s.Timeout,
	}
}

func ldapOptions(s configs.Source, defaultDomain string) ldap.Options {
	return ldap.Options{
		URLs: texts(s.URLs), StartTLS: s.StartTLS, TLS: ldap.TLS(clientTLS(s.TLS)),
		BindDN: string(s.BindDN), BindPassword: secret(s.BindPassword),
		Base: string(s.Base), Scope: string(s.Scope), Filter: string(s.Filter),
		Address: string(s.Mailbox), Backend: string(s.Backend), Login: string(s.Login), State: string(s.State),
		Timeout: s.Timeout, MaxConnections: s.Connections, DefaultDomain: defaultDomain, Interval: s.Interval,
	}
}

func authHTTPOptions(s configs.Source) authhttp.Options {
	o := authhttp.Options{URLs: texts(s.URLs), Timeout: s.Timeout, TLS: authhttp.TLS(clientTLS(s.TLS))}
	for _, h := range s.Headers {
		o.Headers = append(o.Headers, authhttp.Header{Name: string(h.Name), Value: secret(h.Value)})
	}
	return o
}

// tlsFiles has the shape that the packages' own options have.
type tlsFiles struct {
	CA, Cert, Key      string
	ServerName         string
	InsecureSkipVerify bool
}

func clientTLS(t configs.ClientTLS) tlsFiles {
	return tlsFiles{
		CA: string(t.CA), Cert: string(t.Cert), Key: string(t.Key),
		ServerName: string(t.ServerName), InsecureSkipVerify: t.InsecureSkipVerify,
	}
}

func secret(s configs.Secret) pop3.Secret { return pop3.NewSecret([]byte(s.Reveal())) }
