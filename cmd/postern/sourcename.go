package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"postern/configs"
)

// nameSources tells how records, routes and the operator call the sources and the shadows: by their own names,
// else by the type and what tells one from others. No two have one name. Names are printed, so nothing of
// a URL is in them but its scheme and host: the rest may hold a password or a key.
func nameSources(section configs.Directory) (sources, shadow []string) {
	all := slices.Concat(section.Sources, section.Shadow)
	names, forms := make([]string, len(all)), make([]int, len(all))
	for range sourceForms { // whoever still is called like another gets the next longer form
		taken := make(map[string]int)
		for i, s := range all {
			names[i] = cmp.Or(string(s.Name), sourceForm(s, i, forms[i]))
			taken[names[i]]++
		}
		for i := range all {
			if taken[names[i]] > 1 {
				forms[i]++
			}
		}
	}
	return names[:len(section.Sources)], names[len(section.Sources):]
}

// sourceForms is how many forms a derived name has.
const sourceForms = 4

// sourceForm is a derived name: short, with the whole place, with all that tells sources apart, and with
// the position in the configuration, which nobody else has.
func sourceForm(s configs.Source, i, form int) string {
	short, whole := sourcePlace(s)
	mark := ":" + fingerprint(s, "")[:8]
	return [sourceForms]string{short, whole, whole + mark, whole + mark + fmt.Sprintf("#%d", i+1)}[min(form, sourceForms-1)]
}

// sourcePlace names a source shortly, and with all of its place.
func sourcePlace(s configs.Source) (short, whole string) {
	kind := string(s.Type) + ":"
	switch s.Type {
	case configs.SourceFile:
		return kind + filepath.Base(string(s.Path)), kind + string(s.Path)
	case configs.SourceConsul:
		return kind + string(s.Prefix), kind + hostOf(string(s.Address)) + "/" + string(s.Prefix)
	case configs.SourceSQL:
		return kind + string(s.Driver), kind + string(s.Driver) + ":" + fingerprint(s, "")[:8]
	}
	var hosts []string
	for _, u := range s.URLs {
		hosts = append(hosts, hostOf(string(u)))
	}
	return kind + strings.Join(hosts[:min(1, len(hosts))], ""), kind + strings.Join(hosts, ",")
}

// hostOf is a URL's scheme and host, or what stands for a host without being a URL.
func hostOf(text string) string {
	if u, err := url.Parse(text); err == nil && u.Host != "" {
		return u.Scheme + "://" + u.Host
	}
	if scheme, _, isURL := strings.Cut(text, "://"); isURL {
		return scheme + "://" // what follows can't be told apart
	}
	return text[strings.LastIndexByte(text, '@')+1:]
}

// fingerprint tells sources apart whose state is kept on disk: that of another must not come back. It holds where and
// what is asked. With another name, password, patience or time to keep answers a source is the same.
func fingerprint(s configs.Source, defaultDomain string) string {
	database := ""
	if s.Type == configs.SourceSQL {
		database = sqlOptions(s, defaultDomain).Place()
	}
	s.Address = configs.Text(withoutUser(string(s.Address)))
	s.URLs = slices.Clone(s.URLs)
	for i, u := range s.URLs {
		s.URLs[i] = configs.Text(withoutUser(string(u)))
	}
	s.Name, s.Token, s.DSN, s.BindPassword = "", configs.Secret{}, configs.Secret{}, configs.Secret{}
	s.Headers, s.TLS, s.StartTLS, s.Listen = nil, configs.ClientTLS{}, false, ""
	s.Timeout, s.Connections, s.Interval = 0, 0, 0
	s.Cache, s.TTL, s.NegativeTTL, s.Stale = 0, 0, 0, 0
	text, err := json.Marshal(s)
	if err != nil {
		return "" // plain data always can be
	}
	sum := sha256.Sum256(fmt.Appendf(text, "\x00%s\x00%s", database, defaultDomain))
	return hex.EncodeToString(sum[:])
}

// withoutUser is a URL without the user and the password that may stand in it.
func withoutUser(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.User == nil {
		return text
	}
	u.User = nil
	return u.String()
}
