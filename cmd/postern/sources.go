package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"

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

// buildSources makes the places of a list. Where only some mailboxes are wanted, those that hold all
// of theirs in a file keep no other.
func buildSources(list []configs.Source, defaultDomain string, only ...string) ([]directory.NamedSource, error) {
	var all []directory.NamedSource
	for i, s := range list {
		named, err := buildSource(s, defaultDomain, only)
		named.Name = sourceName(list, i)
		if err != nil {
			closeSources(all)
			return nil, fmt.Errorf("source %s: %w", named.Name, err)
		}
		named.Fingerprint = fingerprint(s, defaultDomain)
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

// fingerprint tells sources apart whose state is kept on disk: that of another must not come back.
// Secrets print as nothing, and a new password makes no new source.
func fingerprint(s configs.Source, defaultDomain string) string {
	text, err := json.Marshal(s)
	if err != nil {
		return "" // plain data always can be
	}
	sum := sha256.Sum256(append(text, defaultDomain...))
	return hex.EncodeToString(sum[:])
}

// sourceName is how records, routes and the operator call a source: by its own name, else by its type
// and what tells it from others.
func sourceName(list []configs.Source, i int) string {
	if list[i].Name != "" {
		return string(list[i].Name)
	}
	short, whole := sourcePlace(list[i])
	for j, other := range list {
		if otherShort, _ := sourcePlace(other); j != i && other.Name == "" && otherShort == short {
			return whole
		}
	}
	return short
}

// sourcePlace names a source shortly, and so that no other has the name.
func sourcePlace(s configs.Source) (short, whole string) {
	kind := string(s.Type) + ":"
	switch s.Type {
	case configs.SourceFile:
		return kind + filepath.Base(string(s.Path)), kind + string(s.Path)
	case configs.SourceConsul:
		return kind + string(s.Prefix), kind + string(s.Address) + "/" + string(s.Prefix)
	case configs.SourceSQL:
		return kind + string(s.Driver), kind + string(s.Driver) + ":" + fingerprint(s, "")[:8]
	}
	short = string(s.Type)
	if len(s.URLs) > 0 {
		short = kind + string(s.URLs[0])
	}
	return short, short + ":" + fingerprint(s, "")[:8]
}
