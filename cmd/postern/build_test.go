package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"postern/backend"
	"postern/configs"
)

// A reload with a configuration that can't be used must not leave the connections of its sources behind, each time.
func TestADirectoryThatCantBeMadeLeavesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "postern.yaml")
	if err := os.WriteFile(path, []byte(`listeners: [{address: "127.0.0.1:1110"}]
directory:
  sources: [{type: sql, driver: mysql, dsn: "a:b@tcp(127.0.0.1:1)/c", query: "SELECT backend FROM m WHERE a = ?"}]
`), 0o600); err != nil {
		t.Fatal(err)
	}
	config, err := configs.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	pools := func() int {
		stack := make([]byte, 1<<20)
		return strings.Count(string(stack[:runtime.Stack(stack, true)]), "sql.(*DB).connectionOpener(")
	}
	before := pools()
	made := &backends{}
	dir, named, err := buildDirectory(config, made, "", slog.New(slog.DiscardHandler))
	if err != nil || dir == nil || pools() == before {
		t.Fatalf("a directory with a pool of connections: %v, %d pools", err, pools())
	}
	closeSources(named)
	for range 2 {
		made.targets = append(made.targets, backend.Target{Name: "twin", Addresses: []string{"192.0.2.1:110"}})
	}
	if _, _, err := buildDirectory(config, made, "", slog.New(slog.DiscardHandler)); err == nil {
		t.Fatal("two backends of one name are taken")
	}
	for deadline := time.Now().Add(30 * time.Second); pools() > before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the pool of connections is left behind")
		}
	}
}
