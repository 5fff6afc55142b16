package directory

import (
	"errors"
	"time"
)

// loaded notes that a new state serves.
func (f *follower) loaded(entries int) {
	f.mu.Lock()
	f.status.Entries, f.status.LoadedAt = entries, time.Now()
	f.mu.Unlock()
	f.dir.log.Info("directory loaded", "source", f.name, "entries", entries)
}

// failed notes, and logs once for each kind of it, that the source's newest state does not serve.
func (f *follower) failed(err error) {
	var held *HeldError
	isHeld := errors.As(err, &held)
	f.mu.Lock()
	f.status.Err, f.status.Held = err, isHeld
	never := f.status.LoadedAt.IsZero()
	f.mu.Unlock()
	f.spoke()
	if text := err.Error(); text != f.lastFail {
		f.lastFail = text
		f.dir.log.Error("directory source failed, the last good state stays",
			"source", f.name, "held", isHeld, "never_loaded", never, "err", err)
	}
}

// recovered notes that the source's newest state serves.
func (f *follower) recovered() {
	f.mu.Lock()
	f.status.Err, f.status.Held = nil, false
	f.mu.Unlock()
	f.spoke()
	if f.lastFail != "" {
		f.lastFail = ""
		f.dir.log.Info("directory source is well again", "source", f.name)
	}
}

// spoke lets Load go on, whatever the source's first word was.
func (f *follower) spoke() {
	select {
	case <-f.first:
	default:
		close(f.first)
	}
}
