package admin

import (
	"errors"
	"log/slog"
	"net/http"
	"time"
)

// Kept is how well the answers serve that are kept of a source which is asked.
type Kept struct {
	Hits      uint64 `json:"hits"`      // answered from memory
	Misses    uint64 `json:"misses"`    // waited for the source
	Stale     uint64 `json:"stale"`     // answered from memory although expired, since the source can't
	Questions uint64 `json:"questions"` // put to the source
	Errors    uint64 `json:"errors"`    // of those, not answered
	InFlight  int    `json:"in_flight"` // being asked now
}

// Shadow is what came of comparing a source that is asked beside the others.
type Shadow struct {
	Same         uint64 `json:"same"`
	Different    uint64 `json:"different"`     // in backend, login or state
	UnknownThere uint64 `json:"unknown_there"` // it does not know the mailbox
	UnknownHere  uint64 `json:"unknown_here"`  // only it does
	Failed       uint64 `json:"failed"`        // it can't answer, or its entry leads nowhere
	Dropped      uint64 `json:"dropped"`       // not compared: too many waited
}

// Replica is how far the server behind, from which a source was read last, may be behind its leader.
type Replica struct {
	StaleSeconds float64 `json:"stale_seconds"`
	KnownLeader  bool    `json:"known_leader"`
}

// Confirmed is the answer to POST /api/v1/directory/{source}/confirm.
type Confirmed struct {
	Gateway string `json:"gateway"`
	Source  string `json:"source"`
}

// Forgotten is the answer to POST /api/v1/mailboxes/{address}/forget.
type Forgotten struct {
	Gateway   string `json:"gateway"`
	Forgotten int    `json:"forgotten"` // answers that were kept
}

// What Options.Confirm refuses with.
var (
	ErrNoSource = errors.New("there is no such source")
	ErrNotHeld  = errors.New("the shrink guard holds nothing of this source")
)

func (s *Server) confirm(w *response, r *http.Request) {
	source := r.PathValue("source")
	err := s.options.Confirm(source)
	switch {
	case errors.Is(err, ErrNoSource):
		refuse(w, http.StatusNotFound, err.Error())
	case errors.Is(err, ErrNotHeld):
		refuse(w, http.StatusConflict, err.Error())
	case err != nil:
		refuse(w, http.StatusInternalServerError, err.Error())
	default:
		w.notes = append(w.notes, slog.String("source", source))
		reply(w, http.StatusOK, Confirmed{Gateway: s.options.Facts().Gateway, Source: source})
	}
}

func (s *Server) forget(w *response, r *http.Request) {
	n, err := s.options.Forget(r.PathValue("address"))
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	w.notes = append(w.notes, slog.Int("forgotten", n))
	reply(w, http.StatusOK, Forgotten{Gateway: s.options.Facts().Gateway, Forgotten: n})
}

// loaded tells whether a source can serve at all: one that is asked needs nothing before.
func (s Source) loaded() bool { return s.Asked || !s.LoadedAt.IsZero() }

func (s Source) degraded(now time.Time) []string {
	age := s.age(now).Truncate(time.Second).String()
	switch {
	case s.Shadow:
		return nil
	case !s.loaded():
		return []string{"source " + s.Name + " was never loaded"}
	case s.Held:
		return []string{"source " + s.Name + ": the shrink guard holds its newest state, the one of " + age + " ago serves"}
	case s.Asked && s.Failing:
		return []string{"source " + s.Name + " can't answer, what is kept of its answers serves"}
	case s.Failing:
		return []string{"source " + s.Name + " can't be read, its state of " + age + " ago serves"}
	case s.Saved:
		return []string{"source " + s.Name + " was not read yet, its saved state of " + age + " ago serves"}
	}
	return nil
}
