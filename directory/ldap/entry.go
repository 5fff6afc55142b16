package ldap

import (
	"errors"
	"fmt"
	"slices"

	"github.com/go-ldap/ldap/v3"

	"postern/directory"
	"postern/pop3"
)

// maxBackend bounds a backend's name or address as an entry spells it.
const maxBackend = 300

// attributes are the names of those that count. An empty one is none.
type attributes struct {
	backend, login, state, address string
}

func (a attributes) names() []string {
	return slices.DeleteFunc([]string{a.backend, a.login, a.state, a.address}, func(n string) bool { return n == "" })
}

var errNoBackend = errors.New("no backend")

// value reads what an entry says. An entry without a backend is errNoBackend.
func (a attributes) value(e *ldap.Entry) (directory.Value, error) {
	backend, err := one(e, a.backend)
	switch {
	case err != nil:
		return directory.Value{}, err
	case backend == "":
		return directory.Value{}, errNoBackend
	case len(backend) > maxBackend || pop3.HasControl([]byte(backend)):
		return directory.Value{}, fmt.Errorf("backend %.80q is too long or holds control octets", backend)
	}
	v := directory.Value{Backend: backend}
	if v.Login, err = one(e, a.login); err != nil {
		return directory.Value{}, err
	}
	if err := directory.CheckLogin(v.Login); err != nil {
		return directory.Value{}, err
	}
	state, err := one(e, a.state)
	if err == nil && state != "" {
		v.State, err = directory.ParseState(state)
	}
	return v, err
}

// one returns an attribute's only value, or nothing where it has none. Which of several would count
// is for nobody to guess: a server has no order among them.
func one(e *ldap.Entry, name string) (string, error) {
	if name == "" {
		return "", nil
	}
	values := slices.Compact(slices.Sorted(slices.Values(e.GetEqualFoldAttributeValues(name))))
	switch len(values) {
	case 0:
		return "", nil
	case 1:
		return values[0], nil
	}
	return "", fmt.Errorf("attribute %s has %d values", name, len(values))
}

// named says of which entry an error is. A DN is a stranger's text.
func named(dn string, err error) error { return fmt.Errorf("entry %.200q: %w", dn, err) }
