package state

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTidyRemovesWhatIsOldAndNobodys(t *testing.T) {
	folder := t.TempDir()
	for name, age := range map[string]time.Duration{
		"source-old": 48 * time.Hour, "source-young": time.Hour, "source-ours": 48 * time.Hour, "another": 48 * time.Hour,
	} {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-age)
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-48 * time.Hour)
	if err := os.Mkdir(filepath.Join(folder, "source-folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(filepath.Join(folder, "source-folder"), old, old); err != nil {
		t.Fatal(err)
	}
	removed, err := Tidy(folder, 24*time.Hour, func(name string) bool {
		return strings.HasPrefix(name, "source-") && name != "source-ours"
	})
	if err != nil || removed != 1 {
		t.Errorf("%d removed, %v", removed, err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if want := []string{"another", "source-folder", "source-ours", "source-young"}; !slices.Equal(left, want) {
		t.Errorf("left %q, want %q", left, want)
	}
	if _, err := Tidy(filepath.Join(folder, "missing"), time.Hour, nil); err != nil {
		t.Errorf("a folder that is not there: %v", err)
	}
}
