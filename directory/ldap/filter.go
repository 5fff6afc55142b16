package ldap

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"postern/directory"
)

// template is a filter with places for the mailbox that is asked for.
type template struct {
	literals []string // one more than places
	places   []func(directory.Mailbox) string
}

func newTemplate(filter string) (template, error) {
	var t template
	for rest := filter; ; {
		open := strings.IndexAny(rest, "{}")
		if open < 0 {
			t.literals = append(t.literals, rest)
			break
		}
		end := strings.IndexByte(rest[open:], '}')
		if end == 0 {
			return t, fmt.Errorf("filter %.160q: a } without a {", filter)
		}
		var place func(directory.Mailbox) string
		if end > 0 {
			place = placeOf(rest[open : open+end+1])
		}
		if place == nil {
			return t, fmt.Errorf("filter %.160q: only {address}, {local} and {domain} are filled in", filter)
		}
		t.literals, t.places = append(t.literals, rest[:open]), append(t.places, place)
		rest = rest[open+end+1:]
	}
	return t, t.check(filter)
}

func placeOf(name string) func(directory.Mailbox) string {
	switch name {
	case "{address}":
		return func(m directory.Mailbox) string { return m.Address }
	case "{local}":
		return func(m directory.Mailbox) string { return m.Local }
	case "{domain}":
		return func(m directory.Mailbox) string { return m.Domain }
	}
	return nil
}

// check refuses what would fail, or ask for something else, only once a user is there.
func (t template) check(filter string) error {
	if len(t.places) == 0 {
		return fmt.Errorf("filter %.160q: without {address}, {local} or {domain} it asks the same for every mailbox", filter)
	}
	before := ""
	for _, literal := range t.literals[:len(t.places)] {
		// Escaping makes a name safe as a value, not as an attribute or a matching rule.
		if before += literal; strings.LastIndexByte(before, '=') <= strings.LastIndexByte(before, '(') {
			return fmt.Errorf("filter %.160q: a mailbox can stand behind a = only", filter)
		}
		before += "x"
	}
	sample, _ := t.fill(directory.Mailbox{Address: "*)(\\@example.org", Local: "*)(\\", Domain: "example.org"})
	return checkFilter(sample, filter)
}

// checkFilter compiles a filter, as shown is told to an operator.
func checkFilter(filter, shown string) error {
	if _, err := ldap.CompileFilter(filter); err != nil {
		var why *ldap.Error
		if errors.As(err, &why) {
			err = why.Err
		}
		return fmt.Errorf("filter %.160q: %w", shown, err)
	}
	return nil
}

// fill makes the filter for a mailbox, whose name is escaped as RFC 4515 has it. Where the mailbox has
// nothing for a place there is no filter: (mail=*{domain}) without a domain would match everything.
func (t template) fill(m directory.Mailbox) (filter string, ok bool) {
	var b strings.Builder
	for i, place := range t.places {
		text := place(m)
		if text == "" {
			return "", false
		}
		b.WriteString(t.literals[i])
		b.WriteString(ldap.EscapeFilter(text))
	}
	b.WriteString(t.literals[len(t.places)])
	return b.String(), true
}
