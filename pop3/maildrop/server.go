package maildrop

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"postern/pop3"
)

// defaultIdle is the shortest autologout timer that RFC 1939 allows (section 3).
const defaultIdle = 10 * time.Minute

// Options describe a Server. The zero value is good.
type Options struct {
	Name         string        // in the greeting; "" is "POP3 server"
	Logger       *slog.Logger  // nil logs nothing
	Idle         time.Duration // the autologout timer; 0 is ten minutes, RFC 1939's minimum
	FailureDelay time.Duration // from PASS to the refusal of a password; 0 is none
}

// Server holds mailboxes and serves them on any number of listeners.
type Server struct {
	options  Options
	greeting []byte
	stopping chan struct{} // closed by Close: nobody waits any longer
	sessions sync.WaitGroup

	mu        sync.Mutex
	mailboxes map[string]*mailbox
	listeners map[net.Listener]struct{}
	conns     map[net.Conn]struct{}
	closed    bool
}

// New returns a server without mailboxes.
func New(o Options) *Server {
	if o.Name == "" {
		o.Name = "POP3 server"
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Idle <= 0 {
		o.Idle = defaultIdle
	}
	return &Server{
		options:   o,
		greeting:  greet(o.Name),
		stopping:  make(chan struct{}),
		mailboxes: map[string]*mailbox{},
		listeners: map[net.Listener]struct{}{},
		conns:     map[net.Conn]struct{}{},
	}
}

// greet never holds <...>: a client would take it for an APOP challenge and try
// nothing else (RFC 1939, section 7).
func greet(name string) []byte {
	name = strings.NewReplacer("<", "", ">", "").Replace(pop3.Printable(name, 200))
	return pop3.Reply{OK: true, Text: name + " ready"}.Append(nil)
}

// AddMailbox creates a mailbox; from then on user may log in, at any time and spelled exactly so.
// Bodies are copied. A name that is taken or that no USER command can
// carry, a password that no PASS command can, and a bad or doubled unique id are errors.
func (s *Server) AddMailbox(user, password string, messages ...Message) error {
	const room = pop3.MaxCommandLine - len("USER \r\n")
	if user == "" || len(user) > room || pop3.HasControl([]byte(user)) {
		return fmt.Errorf("adding mailbox %q: want a name of 1 to %d octets without control characters", user, room)
	}
	if len(password) > room || strings.ContainsAny(password, "\x00\r\n") {
		return fmt.Errorf("adding mailbox %q: the password can't be sent", user)
	}
	box, err := newMailbox(user, password, messages)
	if err != nil {
		return fmt.Errorf("adding mailbox %q: %w", user, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mailboxes[user] != nil {
		return fmt.Errorf("adding mailbox %q: the name is taken", user)
	}
	s.mailboxes[user] = box
	return nil
}

func (s *Server) find(user string) *mailbox {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mailboxes[user]
}

// Shutdown closes the listeners and waits for the sessions to end by themselves.
// What still runs when ctx ends is closed, and ctx's error returned.
func (s *Server) Shutdown(ctx context.Context) error {
	s.closeListeners()
	ended := make(chan struct{})
	go func() {
		s.sessions.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		s.Close()
		return ctx.Err()
	}
}

// Close closes listeners and sessions and waits for these. Nothing is deleted from a mailbox
// by that.
func (s *Server) Close() {
	s.closeListeners()
	s.mu.Lock()
	select {
	case <-s.stopping:
	default:
		close(s.stopping)
	}
	for c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.sessions.Wait()
}

func (s *Server) closeListeners() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for l := range s.listeners {
		_ = l.Close()
		delete(s.listeners, l)
	}
}

func (s *Server) enterListener(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.listeners[l] = struct{}{}
	}
	return !s.closed
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

func (s *Server) leave(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}
