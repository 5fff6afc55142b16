package backend

// hearsay is what the catalogue says of a backend, and what came of it.
type hearsay struct {
	bad       bool
	why       string
	disproved bool // a login succeeded since
}

// rumour is what is said against the backend and no login has disproved. It
// refuses nobody: it makes the backend half-open, where logins decide. A
// mailbox has one owner, so to refuse its user on a rumour helps nobody.
func (m *member) rumour() string {
	switch {
	case m.checksDown:
		return "checks fail: " + m.checkError
	case m.hearsay.bad && !m.hearsay.disproved:
		return "the catalogue says: " + m.hearsay.why
	}
	return ""
}

// disprove ends the rumours; by is what did.
func (m *member) disprove(by string) {
	if m.rumour() != "" {
		m.shown.by = by
	}
	m.failedChecks, m.checksDown = 0, false
	m.hearsay.disproved = m.hearsay.bad
}

// hear takes what the catalogue says. What a login disproved stays so until it
// is said anew.
func (m *member) hear(bad bool, why string) {
	switch {
	case !bad:
		if m.rumour() != "" {
			m.shown.by = "the catalogue says that it is well"
		}
		m.hearsay = hearsay{}
	case !m.hearsay.bad:
		m.hearsay = hearsay{bad: true, why: why}
	default:
		m.hearsay.why = why
	}
}
