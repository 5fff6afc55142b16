package maildrop

import (
	"bytes"
	"fmt"
	"strconv"

	"postern/pop3"
)

const noSuchMessage = "no such message"

// maxDigits keeps numbers within an int on every platform.
const maxDigits = 9

func (s *session) stat(pop3.Command) answer {
	count, size := s.sum()
	return ok(fmt.Sprintf("%d %d", count, size))
}

func (s *session) list(c pop3.Command) answer {
	return s.perMessage(c, func(m *stored) string { return strconv.Itoa(m.size) })
}

func (s *session) uidl(c pop3.Command) answer {
	return s.perMessage(c, func(m *stored) string { return m.uid })
}

// perMessage answers LIST and UIDL: one message's fact or, without argument, all.
func (s *session) perMessage(c pop3.Command, fact func(*stored) string) answer {
	if word := c.Word(); len(word) > 0 {
		i, found := s.number(word)
		if !found {
			return refuse(pop3.NoCode, noSuchMessage)
		}
		return ok(fmt.Sprintf("%d %s", i+1, fact(s.messages[i])))
	}
	var lines []byte
	for i, m := range s.messages {
		if !s.deleted[i] {
			lines = fmt.Appendf(lines, "%d %s\r\n", i+1, fact(m))
		}
	}
	return multi(plural(s.sum()), lines)
}

func (s *session) retr(c pop3.Command) answer {
	i, found := s.number(c.Word())
	if !found {
		return refuse(pop3.NoCode, noSuchMessage)
	}
	m := s.messages[i]
	return multi(fmt.Sprintf("%d octets", m.size), m.lines)
}

func (s *session) top(c pop3.Command) answer {
	word, count, _ := bytes.Cut(c.Word(), []byte{' '})
	n, counted := parseNumber(bytes.TrimLeft(count, " "))
	if !counted {
		return refuse(pop3.NoCode, "TOP wants a message and a number of lines")
	}
	i, found := s.number(word)
	if !found {
		return refuse(pop3.NoCode, noSuchMessage)
	}
	return multi("top of message follows", s.messages[i].top(n))
}

func (s *session) dele(c pop3.Command) answer {
	i, found := s.number(c.Word())
	if !found {
		return refuse(pop3.NoCode, noSuchMessage)
	}
	s.deleted[i] = true
	return ok(fmt.Sprintf("message %d deleted", i+1))
}

func (s *session) rset(pop3.Command) answer {
	clear(s.deleted)
	return ok(plural(s.sum()))
}

func (s *session) noop(pop3.Command) answer { return ok("") }

// update is QUIT: what was marked goes, and the lock before the answer, so that a
// client that heard it can come back at once.
func (s *session) update(c pop3.Command) answer {
	var kept []*stored
	for i, m := range s.messages {
		if !s.deleted[i] {
			kept = append(kept, m)
		}
	}
	s.box.unlock(kept)
	s.box = nil
	return s.leave(c)
}

// number finds a message that is not marked by its number. Numbers stay the same
// for a session, whatever is deleted.
func (s *session) number(word []byte) (index int, found bool) {
	n, ok := parseNumber(word)
	if !ok || n < 1 || n > len(s.messages) || s.deleted[n-1] {
		return 0, false
	}
	return n - 1, true
}

// parseNumber reads decimal digits and nothing else: no sign, no space.
func parseNumber(word []byte) (n int, ok bool) {
	if len(word) == 0 || len(word) > maxDigits {
		return 0, false
	}
	for _, c := range word {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int(c-'0')
	}
	return n, true
}

// sum counts what is not marked as deleted, as STAT does.
func (s *session) sum() (count, size int) {
	for i, m := range s.messages {
		if !s.deleted[i] {
			count++
			size += m.size
		}
	}
	return count, size
}

func plural(count, size int) string {
	if count == 1 {
		return fmt.Sprintf("1 message (%d octets)", size)
	}
	return fmt.Sprintf("%d messages (%d octets)", count, size)
}
