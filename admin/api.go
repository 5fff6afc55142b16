package admin

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// DirectoryState is the answer to GET /api/v1/directory.
type DirectoryState struct {
	Gateway string   `json:"gateway"`
	Sources []Source `json:"sources"` // in the order in which they are asked
}

// Reloaded is the answer to a POST /api/v1/reload that took.
type Reloaded struct {
	Gateway  string `json:"gateway"`
	Reloaded bool   `json:"reloaded"`
}

func (s *Server) livez(w *response, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n"))
}

func (s *Server) readyz(w *response, _ *http.Request) {
	facts := s.options.Facts()
	ready, status := s.readiness(&facts), http.StatusOK
	if !ready.Ready {
		status = http.StatusServiceUnavailable
	}
	reply(w, status, ready)
}

func (s *Server) readiness(f *Facts) Readiness {
	open, limit := s.options.Descriptors()
	return f.readiness(time.Now(), s.options.Backends(), open, limit)
}

func (s *Server) metrics(w *response, r *http.Request) { s.pages.ServeHTTP(w, r) }

func (s *Server) status(w *response, r *http.Request) {
	facts, now := s.options.Facts(), time.Now()
	ready := s.readiness(&facts)
	facts.Directory = aged(facts.Directory, now, callerOf(r).role)
	facts.Listeners = append([]Listener{}, facts.Listeners...)
	reply(w, http.StatusOK, Status{
		Facts: facts, Readiness: ready, UptimeSeconds: int64(now.Sub(facts.Started).Seconds()),
	})
}

func (s *Server) directory(w *response, r *http.Request) {
	facts := s.options.Facts()
	reply(w, http.StatusOK, DirectoryState{
		Gateway: facts.Gateway, Sources: aged(facts.Directory, time.Now(), callerOf(r).role),
	})
}

func (s *Server) sessions(w *response, r *http.Request) {
	wanted, err := parseSelection(r.URL.RawQuery, s.options.Canonical)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	found := wanted.of(s.options.Sessions())
	limit := cmp.Or(wanted.limit, usualSessions)
	reply(w, http.StatusOK, SessionList{
		Gateway: s.options.Facts().Gateway, Matching: len(found), Sessions: found[:min(len(found), limit)],
	})
}

// kickSelected ends the sessions that a query names. One that names all of them is taken for
// a mistake: whoever means that stops the gateway.
func (s *Server) kickSelected(w *response, r *http.Request) {
	wanted, err := parseSelection(r.URL.RawQuery, s.options.Canonical)
	switch {
	case err != nil:
		refuse(w, http.StatusBadRequest, err.Error())
	case wanted.everything() || wanted.limit != 0:
		refuse(w, http.StatusBadRequest, "want mailbox, backend or address, and no limit")
	default:
		s.kicked(w, s.options.Kick(ids(wanted.of(s.options.Sessions()))))
	}
}

func (s *Server) kick(w *response, r *http.Request) {
	n := s.options.Kick([]string{r.PathValue("id")})
	if n == 0 {
		refuse(w, http.StatusNotFound, "there is no such session")
		return
	}
	s.kicked(w, n)
}

func (s *Server) kicked(w *response, n int) {
	w.notes = append(w.notes, slog.Int("kicked", n))
	reply(w, http.StatusOK, Kicked{Gateway: s.options.Facts().Gateway, Kicked: n})
}

func (s *Server) explain(w *response, r *http.Request) {
	e, err := s.options.Explain(r.Context(), r.PathValue("address"))
	if err != nil {
		refuse(w, http.StatusInternalServerError, err.Error())
		return
	}
	e.Gateway = s.options.Facts().Gateway
	now := time.Now()
	for i := range e.Sources {
		e.Sources[i].AgeSeconds = int64(e.Sources[i].age(now).Seconds())
	}
	reply(w, http.StatusOK, e)
}

// reload goes on when the one who asked for it leaves: half of it would be worse.
func (s *Server) reload(w *response, r *http.Request) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), s.limits.reloadTime)
	defer cancel()
	if err := s.options.Reload(ctx); err != nil {
		w.notes = append(w.notes, slog.Any("err", err))
		reply(w, http.StatusUnprocessableEntity, Refusal{
			Error: "what is faulty was refused, and stays as it was", Faults: faults(err),
		})
		return
	}
	reply(w, http.StatusOK, Reloaded{Gateway: s.options.Facts().Gateway, Reloaded: true})
}

// faults are the lines of an error that has one for each fault.
func faults(err error) []string {
	return strings.Split(strings.TrimSpace(err.Error()), "\n")
}
