package admin

import (
	"cmp"
	"net/http"

	"postern/pop3"
)

// audit writes the record of a change, also of one that was refused to somebody who is
// known. A stranger's attempts are only counted: he could fill the disk with them.
func (s *Server) audit(who caller, w *response, r *http.Request) {
	args := []any{
		"who", who.name, "role", who.role.String(), "from", who.from,
		"what", r.Method + " " + pop3.Printable(r.URL.RequestURI(), maxAudited), "status", cmp.Or(w.status, http.StatusInternalServerError),
	}
	for _, note := range w.notes {
		args = append(args, note)
	}
	s.log.Info("admin", args...)
}

// maxAudited is how much of a request's address a record holds, in octets.
const maxAudited = 300
