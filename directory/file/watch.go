package file

import (
	"log/slog"
	"path/filepath"

	"github.com/fsnotify/fsnotify"
)

// watch tells of changes in the folder of a file, or in a folder that is itself the source. Files are replaced by renaming, and
// a watch on the file itself would stay with the old one. Where the file is a link,
// as Kubernetes mounts it, the folder of what it leads to is watched as well.
type watch struct {
	log     *slog.Logger
	watcher *fsnotify.Watcher // nil: only the poll notices changes
	events  <-chan fsnotify.Event
	errors  <-chan error
	target  string // what the source's path leads to, where links are in it
	folder  string // the source's path, if that is a folder
	said    string // the last trouble that was logged
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

// follow makes the folders of the source's path those that are watched. It is called after
// each look, since a folder may have come, and a link may lead elsewhere.
func (w *watch) follow(path string) {
	if w.watcher == nil {
		return
	}
	folders := []string{filepath.Dir(path)}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		w.target, folders = target, append(folders, filepath.Dir(target))
	}
	w.folder = ""
	if info := stat(path); info != nil && info.IsDir() {
		w.folder, folders = filepath.Clean(path), append(folders, path)
	}
	for _, folder := range folders {
		if err := w.watcher.Add(folder); err != nil {
			w.trouble(err)
		}
	}
}

func (w *watch) trouble(err error) {
	if text := err.Error(); text != w.said {
		w.said = text
		w.log.Warn("no watch on a mailbox map, changes are noticed late", "err", err)
	}
}

func (w *watch) close() {
	if w.watcher != nil {
		_ = w.watcher.Close() // nothing was written through it
	}
}
