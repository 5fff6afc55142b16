package maildrop

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"
)

// Accept waits so long after a failure; without descriptors it would spin.
const (
	firstPause = 5 * time.Millisecond
	lastPause  = time.Second
)

// Serve accepts on l until Shutdown or Close, which close it, and then returns
// nil. It returns an error only where l was closed by somebody else.
func (s *Server) Serve(l net.Listener) error {
	if !s.enterListener(l) {
		_ = l.Close()
		return nil
	}
	pause := firstPause
	for {
		c, err := l.Accept()
		switch {
		case err == nil:
			pause = firstPause
			s.start(c)
		case s.isClosed():
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accepting: %w", err)
		default:
			s.options.Logger.Warn("accepting", "error", err, "pause", pause)
			s.sleep(pause)
			pause = min(2*pause, lastPause)
		}
	}
}

// start serves c in a goroutine of its own, which closes it.
func (s *Server) start(c net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = c.Close()
		return
	}
	s.conns[c] = struct{}{}
	s.sessions.Go(func() { s.serve(c) })
}

// serve is one session, top to bottom.
func (s *Server) serve(raw net.Conn) {
	defer s.leave(raw)
	c := newConn(raw, s.options.Idle)
	session := &session{find: s.find}
	log := s.options.Logger.With("client", raw.RemoteAddr().String())
	err := s.talk(c, session, log)
	c.close()
	session.release()
	log.Debug("end", "error", err)
}

// talk answers line by line. It returns nil if the last answer was the end.
func (s *Server) talk(c *conn, session *session, log *slog.Logger) error {
	if err := c.send(s.greeting); err != nil {
		return err
	}
	for {
		line, lineErr, gone := c.next()
		if gone != nil {
			return gone
		}
		a := session.handle(line, lineErr)
		if a.verdict != "" {
			log.Info("login", "result", a.verdict, "mailbox", a.mailbox)
		}
		if a.late {
			if err := s.delay(c); err != nil {
				return err
			}
		}
		if err := c.send(a.wire...); err != nil || a.last {
			return err
		}
	}
}

// delay holds an answer back, after those before it are on their way.
func (s *Server) delay(c *conn) error {
	if s.options.FailureDelay <= 0 {
		return nil
	}
	err := c.out.Flush()
	s.sleep(s.options.FailureDelay)
	return err
}

func (s *Server) sleep(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.stopping:
	}
}
