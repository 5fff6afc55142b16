package main

import "log/slog"

// A session holds two descriptors; the rest of a gateway gets along with
// spareDescriptors: listeners, maps, logs, connections to be refused.
const (
	perSession       = 2
	spareDescriptors = 200
)

// affordable lowers the number of sessions to what the descriptors allow, so that
// running out of them is a refusal with a word and not an accept that fails.
func affordable(sessions int, log *slog.Logger) int {
	limit, ok := descriptorLimit()
	if !ok {
		return sessions
	}
	most := max(1, (int(min(limit, 1<<30))-spareDescriptors)/perSession)
	if sessions <= most {
		return sessions
	}
	log.Warn("limits.sessions is lowered to what the descriptor limit allows",
		"configured", sessions, "sessions", most, "descriptors", limit)
	return most
}
