package tls

import "log/slog"

// journal tells of troubles that last: once when one begins, again when it becomes
// another, and once when it is over. Its owner holds a lock.
type journal struct {
	log  *slog.Logger
	said map[string]string // by path
}

func newJournal(log *slog.Logger) journal {
	return journal{log: log, said: map[string]string{}}
}

// trouble says what is wrong with a path, unless that was said last.
func (j journal) trouble(path, message string, err error) {
	if text := err.Error(); j.said[path] != text {
		j.said[path] = text
		j.log.Warn(message, "path", path, "err", err)
	}
}

// fine tells whether a path that is well was not before.
func (j journal) fine(path string) (recovered bool) {
	_, recovered = j.said[path]
	delete(j.said, path)
	return recovered
}
