package main

import (
	"context"
	"log/slog"
	"strings"
)

// severity writes records to syslog at one of its severities.
type severity func(line string) error

// Write implements io.Writer.
func (s severity) Write(p []byte) (int, error) {
	return len(p), s(strings.TrimSuffix(string(p), "\n"))
}

// bySeverity writes each record at the severity of its level, which a writer can't
// see: debug, info, warning, error.
type bySeverity [4]slog.Handler

func (h bySeverity) of(level slog.Level) slog.Handler {
	switch {
	case level < slog.LevelInfo:
		return h[0]
	case level < slog.LevelWarn:
		return h[1]
	case level < slog.LevelError:
		return h[2]
	}
	return h[3]
}

// Enabled implements slog.Handler, as the other three do.
func (h bySeverity) Enabled(ctx context.Context, level slog.Level) bool {
	return h.of(level).Enabled(ctx, level)
}

// Handle writes the record.
func (h bySeverity) Handle(ctx context.Context, r slog.Record) error {
	return h.of(r.Level).Handle(ctx, r)
}

// WithAttrs adds attributes to all records.
func (h bySeverity) WithAttrs(attrs []slog.Attr) slog.Handler {
	for i := range h {
		h[i] = h[i].WithAttrs(attrs)
	}
	return h
}

// WithGroup puts later attributes into a group.
func (h bySeverity) WithGroup(name string) slog.Handler {
	for i := range h {
		h[i] = h[i].WithGroup(name)
	}
	return h
}
