package main

import (
	"io"
	"log/slog"
	"time"

	"postern/configs"
)

// newLogger writes records to w, UTC with milliseconds. The level can change while it is used.
func newLogger(w io.Writer, format configs.Format, level *slog.LevelVar) *slog.Logger {
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: replaceAttr}
	if format == configs.FormatJSON {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// replaceAttr writes times and durations so that they read alike in both formats:
// durations as Go writes them, rounded to microseconds.
func replaceAttr(groups []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindTime:
		if len(groups) == 0 && a.Key == slog.TimeKey {
			a.Value = slog.StringValue(a.Value.Time().UTC().Format("2006-01-02T15:04:05.000Z"))
		}
	case slog.KindDuration:
		a.Value = slog.StringValue(a.Value.Duration().Round(time.Microsecond).String())
	}
	return a
}

func setLevel(level *slog.LevelVar, to configs.Level) {
	_ = level.UnmarshalText([]byte(to)) // configs allows only the levels' own names
}
