package tls

import (
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"

	"github.com/fsnotify/fsnotify"
)

// watch tells of changes in folders. Files are replaced by renaming, and a watch on the
// file itself would stay with the old one.
type watch struct {
	log     *slog.Logger
	watcher *fsnotify.Watcher // nil: only the poll notices changes
	events  <-chan fsnotify.Event
	errors  <-chan error
	said    bool // that there is trouble
}

// newWatch returns a watch on nothing yet. A system that gives no watch (their
// number is limited) is no reason not to serve.
func newWatch(log *slog.Logger) *watch {
	w := &watch{log: log}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		w.trouble(err)
		return w
	}
	w.watcher, w.events, w.errors = watcher, watcher.Events, watcher.Errors
	return w
}

// follow adds folders, and the folders of files. Where a file is a link, as certbot and
// Kubernetes have it, the folder of what it leads to is watched as well. It is
// called after each look, since a folder may have come, and a link may lead elsewhere.
func (w *watch) follow(folders, files []string) {
	if w.watcher == nil {
		return
	}
	wanted := map[string]struct{}{}
	for _, folder := range folders {
		wanted[folder] = struct{}{}
	}
	for _, file := range files {
		wanted[filepath.Dir(file)] = struct{}{}
		if target, err := filepath.EvalSymlinks(file); err == nil {
			wanted[filepath.Dir(target)] = struct{}{}
		}
	}
	for folder := range wanted {
		if err := w.watcher.Add(folder); err != nil && !errors.Is(err, fs.ErrNotExist) { // that, who reads it says
			w.trouble(err)
		}
	}
}

func (w *watch) trouble(err error) {
	if !w.said {
		w.said = true
		w.log.Warn("no watch on some TLS files, changes are noticed late", "err", err)
	}
}

func (w *watch) close() {
	if w.watcher != nil {
		_ = w.watcher.Close() // nothing was written through it
	}
}
