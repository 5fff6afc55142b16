package admin

import (
	"encoding/json"
	"log/slog"
	"net/http"
)

// response is what goes back, and what is to be recorded of it.
type response struct {
	http.ResponseWriter
	status int         // 0: nothing was written yet
	notes  []slog.Attr // for the record of a change
}

// WriteHeader remembers the status.
func (w *response) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write remembers that there is a status.
func (w *response) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController through, for those who write without an end.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Refusal is the body of every answer that is none.
type Refusal struct {
	Error  string   `json:"error"`
	Faults []string `json:"faults,omitempty"` // of a reload
}

func refuse(w *response, status int, text string) {
	reply(w, status, Refusal{Error: text})
}

// reply writes a body as JSON. What a client that left did not read is no matter.
func reply(w *response, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
