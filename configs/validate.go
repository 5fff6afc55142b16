package configs

import (
	"fmt"
	"reflect"
	"strings"
)

// validate finds what no key shows on its own: what is missing, and what clashes
// with a value elsewhere. What was refused already is zero and passed over.
func validate(c *Config, r *report) {
	checkRequired(reflect.ValueOf(c).Elem(), "", r)
	addresses := claims{}
	checkListeners(c.Listeners, addresses, r)
	checkTLS(c, r)
	checkMechanisms(c.Auth.Mechanisms, r)
	checkPerNetwork(c.Limits.PerNetwork, r)
	checkBackendNames(c.Backends.Static, r)
	checkBackendAddresses(c.Backends.Static, r)
	checkBackendSettings(c.Backends, r)
	checkDirectory(c, r)
	checkAdmin(c.Admin, addresses, r)
}

// checkRequired looks through a section and all below it for required keys that
// are missing or empty.
func checkRequired(section reflect.Value, path string, r *report) {
	for _, f := range fieldsOf(section.Type()) {
		v, key := section.FieldByIndex(f.index), join(path, f.key)
		switch {
		case f.required && v.IsZero() && !r.hasFault(key):
			r.fault(key, missing(v, f.key))
		case isScalar(v.Type()):
		case v.Kind() == reflect.Struct:
			checkRequired(v, key, r)
		case !isScalar(v.Type().Elem()):
			for i := range v.Len() {
				checkRequired(v.Index(i), fmt.Sprintf("%s[%d]", key, i), r)
			}
		}
	}
}

func missing(v reflect.Value, key string) string {
	if !isScalar(v.Type()) {
		return key + " is missing or empty: want at least one entry"
	}
	if err := convert("", reflect.New(v.Type()).Elem()); err != nil {
		return key + " is missing: " + err.Error()
	}
	return key + " is missing"
}

func checkListeners(listeners []Listener, addresses claims, r *report) {
	names := claims{}
	for i, l := range listeners {
		path := fmt.Sprintf("listeners[%d]", i)
		if l.Address == "" {
			continue
		}
		address := path + ".address"
		if !l.Address.anyPort() && !addresses.take(l.Address.canonical(), address, address, r) {
			continue
		}
		if l.Name != "" {
			names.take(string(l.Name), path+".name", path+".name", r)
		} else {
			names.take(string(l.Address), address, address, r)
		}
	}
}

func checkMechanisms(mechanisms []Mechanism, r *report) {
	seen := claims{}
	for i, m := range mechanisms {
		seen.once(string(m), fmt.Sprintf("auth.mechanisms[%d]", i), r)
	}
}

// checkPerNetwork: of two limits for one network, nobody could say which holds.
func checkPerNetwork(limits []NetworkLimit, r *report) {
	seen := claims{}
	for i, limit := range limits {
		for j, network := range limit.Networks {
			if network.IsValid() { // else it was refused already
				seen.once(network.String(), fmt.Sprintf("limits.per_network[%d].networks[%d]", i, j), r)
			}
		}
	}
}

// checkBackendNames holds what a directory may call a backend: names and aliases
// are one space, whatever the case.
func checkBackendNames(backends []Backend, r *report) {
	names := claims{}
	for i, b := range backends {
		owner := fmt.Sprintf("%s[%d]", staticPath, i)
		names.take(strings.ToLower(string(b.Name)), owner, owner+".name", r)
	}
	for i, b := range backends {
		owner := fmt.Sprintf("%s[%d]", staticPath, i)
		for j, alias := range b.Aliases {
			names.take(strings.ToLower(string(alias)), owner, fmt.Sprintf("%s.aliases[%d]", owner, j), r)
		}
	}
}

// checkBackendAddresses: a directory may name a backend by its address, so an
// address has one owner, and no other backend is called like it.
func checkBackendAddresses(backends []Backend, r *report) {
	addresses := claims{}
	for i, b := range backends {
		for j, a := range b.Address {
			path := fmt.Sprintf("%s[%d].address[%d]", staticPath, i, j)
			addresses.take(string(a), path, path, r)
		}
	}
	for i, b := range backends {
		own := fmt.Sprintf("%s[%d].", staticPath, i)
		addresses.avoid(string(b.Name), own, own+"name", r)
		for j, alias := range b.Aliases {
			addresses.avoid(string(alias), own, fmt.Sprintf("%saliases[%d]", own, j), r)
		}
	}
}

// claims knows who was the first to use a word that may have one owner only.
type claims map[string]claim

type claim struct{ owner, path string }

// take claims word for owner, and reports the value of path if another owner has
// it. The empty word stands for a value that was refused already.
func (c claims) take(word, owner, path string, r *report) bool {
	first, taken := c[word]
	if word == "" || taken && first.owner == owner {
		return true
	}
	if taken {
		r.fault(path, fmt.Sprintf("%s: %s is taken already, in %s: want one that nothing else has",
			keyOf(path), r.text(path), r.place(first.path)))
		return false
	}
	c[word] = claim{owner, path}
	return true
}

// avoid reports the value of path if its word was claimed by what does not lie
// under own.
func (c claims) avoid(word, own, path string, r *report) {
	first, taken := c[strings.ToLower(word)]
	if taken && !strings.HasPrefix(first.path, own) {
		r.fault(path, fmt.Sprintf("%s: %s is another backend's address, in %s: want a name that is not",
			keyOf(path), r.text(path), r.place(first.path)))
	}
}

// once reports the value of path if its word stood elsewhere before.
func (c claims) once(word, path string, r *report) {
	first, seen := c[word]
	if word == "" {
		return
	}
	if seen {
		r.fault(path, fmt.Sprintf("%s: %s stands here twice, first in %s: want it once", keyOf(path), r.text(path), r.place(first.path)))
		return
	}
	c[word] = claim{path, path}
}
