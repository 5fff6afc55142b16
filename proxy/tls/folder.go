package tls

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxPairs bounds what one folder may hold.
const maxPairs = 10_000

// folderPlaces lists a folder's pairs, NAME.pem with NAME.key, by name. One file
// alone is a pair too, a broken one: the other may be on its way. Hidden files are not
// ours: tools write under such names before they rename.
func folderPlaces(source int, dir string) ([]place, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err // says "open DIR: why"
	}
	names := map[string]struct{}{}
	for _, e := range entries {
		extension := filepath.Ext(e.Name())
		if name := strings.TrimSuffix(e.Name(), extension); name != "" && name[0] != '.' &&
			(extension == ".pem" || extension == ".key") {
			names[name] = struct{}{}
		}
	}
	if len(names) > maxPairs {
		return nil, fmt.Errorf("reading %s: it holds more than %d pairs", dir, maxPairs)
	}
	var found []place
	for _, name := range slices.Sorted(maps.Keys(names)) {
		path := filepath.Join(dir, name)
		found = append(found, place{source: source, cert: path + ".pem", key: path + ".key"})
	}
	return found, nil
}
