package admin

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
)

// door is one of the ways in: what there is behind it, and who is let through.
type door struct {
	routes []route
	admit  func(*http.Request) (caller, *denial)
}

// denial is why somebody is not let in. It says nothing about what there is inside.
type denial struct {
	status int
	text   string
}

func admitSocket(*http.Request) (caller, *denial) {
	return caller{name: socketCaller, role: Operator, from: socketCaller}, nil
}

func admitProbe(r *http.Request) (caller, *denial) {
	return caller{name: probeCaller, role: Viewer, from: r.RemoteAddr}, nil
}

// admitToken lets in who has a token and means this server.
func (s *Server) admitToken(r *http.Request) (caller, *denial) {
	access := s.access.Load()
	if err := access.checkHost(r, localAddress(r)); err != nil {
		return caller{}, &denial{http.StatusMisdirectedRequest, err.Error()}
	}
	token, ok := access.identify(bearer(r))
	if !ok {
		return caller{}, &denial{http.StatusUnauthorized, "want the header Authorization: Bearer with a token"}
	}
	return caller{name: token.name, role: token.role, from: r.RemoteAddr}, nil
}

// localAddress is where the connection came in, which for a listener on all addresses
// is more than the listener knows.
func localAddress(r *http.Request) netip.AddrPort {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	return local.AddrPort()
}

type callerKey struct{}

func callerOf(r *http.Request) caller {
	who, _ := r.Context().Value(callerKey{}).(caller)
	return who
}

// enter is what every request passes first, whatever it asks for.
func (s *Server) enter(d door) http.Handler {
	inside := s.endpoints(d.routes)
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w := &response{ResponseWriter: rw}
		defer func() { s.options.Observer.asked(w.status) }()
		defer s.survive(w, r)
		header := w.Header()
		header.Set("Cache-Control", "no-store")
		header.Set("X-Content-Type-Options", "nosniff")
		who, denied := d.admit(r)
		switch {
		case denied != nil:
			header.Set("Connection", "close") // its place is for somebody else
			if denied.status == http.StatusUnauthorized {
				header.Set("WWW-Authenticate", "Bearer")
			}
			refuse(w, denied.status, denied.text)
			return
		case r.ContentLength > s.limits.body:
			header.Set("Connection", "close")
			refuse(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("want a body of at most %d octets", s.limits.body))
			return
		}
		r.Body = http.MaxBytesReader(rw, r.Body, s.limits.body)
		inside.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, who)))
	})
}

// survive turns a panic into an answer and a record: a fault in a page must not end sessions.
func (s *Server) survive(w *response, r *http.Request) {
	fault := recover()
	if fault == nil {
		return
	}
	if fault == http.ErrAbortHandler {
		panic(fault)
	}
	s.log.Error("admin request panicked", "method", r.Method, "fault", fmt.Sprint(fault), "stack", string(debug.Stack()))
	if w.status == 0 {
		refuse(w, http.StatusInternalServerError, "a fault in the gateway; its log says more")
	}
}
